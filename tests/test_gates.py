"""The gates in the real graph: what each of them stops, what a doubt does not stop, and what an approval continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.health import HealthReport, Verdict
from agentci_dagster.domain.image import SchemaFinding
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.selection import Isolation, TestFailure, TestRun
from agentci_dagster.gates import release_is_healthy
from agentci_dagster.jobs import COMMIT_ASSETS
from agentci_dagster.sensors.approvals import continue_approved
from tests.fakes.deploy import Behaviour
from tests.fakes.image import FakeImageBuilder, FakeSchemaProbe
from tests.fakes.learning import FixedModel
from tests.house import CODE, House, house, made
from tests.sensors.test_settle import settle

RED = TestRun(
    2, 1, 0, (TestFailure("test_cart.py::test_total", "assert 2 == 1"),), {}, {}, 0.5,
    Isolation.STRONG,
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {
        e.check_name: (e.passed, e.severity.value) for e in result.get_asset_check_evaluations()
    }


def stopped_behind(world: House, result: dg.ExecuteInProcessResult, last: str) -> bool:
    """Whether the run failed, made nothing after that asset, and nothing was started or built."""
    done = COMMIT_ASSETS[: COMMIT_ASSETS.index(last) + 1]
    return not result.success and made(result) == list(done) and not world.runtime.n_started


def continued(world: House) -> dg.ExecuteInProcessResult:
    """The run that the sensor asks for after an approval."""
    context = dg.build_sensor_context(
        instance=world.instance, resources=world.resources("log", "outcomes")
    )
    asked = continue_approved(context)
    assert isinstance(asked, dg.SensorResult)
    (request,) = asked.run_requests or ()
    keys = [key.to_user_string() for key in request.asset_selection or ()]
    key = next(k for k in world.ledger.settled if str(k) == request.partition_key)
    return world.deliver(key, keys, **request.tags)


def test_good_commit_passes_all_gates(world: House) -> None:
    commit = world.push()

    result = world.deliver(commit)

    assert made(result) == list(COMMIT_ASSETS)
    assert {name: passed for name, (passed, _) in checks(result).items()} == {
        "risk_is_accepted": True,
        "tests_allow_delivery": True,
        "image_is_deployable": True,
        "release_is_healthy": True,
    }
    assert world.ledger.settled[commit].ending is Ending.PROMOTED


@pytest.mark.parametrize(
    ("is_service", "ending"), [(True, Ending.PROMOTED), (False, Ending.DELIVERED)]
)
def test_held_commit_stops_until_it_is_approved_and_then_goes_on_to_the_end(
    tmp_path: Path, is_service: bool, ending: Ending
) -> None:
    with house(tmp_path, model=FixedModel(0.9), is_service=is_service) as world:
        commit = world.push()

        first = world.deliver(commit)
        settle(world, first)

        assert stopped_behind(world, first, "risk_score")
        assert checks(first) == {"risk_is_accepted": (False, "ERROR")}
        held = world.ledger.settled[commit]
        assert (held.ending, held.stage, held.cause) == (Ending.WITHHELD, "risk_score", None)

        world.say(commit, is_approved=True)
        rest = continued(world)

        assert rest.success
        assert made(rest) == list(COMMIT_ASSETS[2:])
        assert {"tests_allow_delivery", "image_is_deployable"} <= set(checks(rest))
        assert world.ledger.settled[commit].ending is ending


def test_gates_stand_after_an_approval_too(tmp_path: Path) -> None:
    with house(tmp_path, model=FixedModel(0.9)) as world:
        commit = world.push()
        world.test_bench.runs[commit] = RED
        settle(world, world.deliver(commit))
        world.say(commit, is_approved=True)

        rest = continued(world)
        settle(world, rest)

        assert made(rest) == ["generated_tests", "test_report"]
        settled = world.ledger.settled[commit]
        assert (settled.ending, settled.cause) == (Ending.WITHHELD, CauseClass.TEST)


def test_approval_before_the_score_is_met_at_the_gate(tmp_path: Path) -> None:
    with house(tmp_path, model=FixedModel(0.9)) as world:
        commit = world.push()
        world.say(commit, is_approved=True)

        assert world.deliver(commit).success
        assert world.ledger.settled[commit].ending is Ending.PROMOTED


def test_rejected_commit_stops_and_is_settled_as_rejected(tmp_path: Path) -> None:
    with house(tmp_path, model=FixedModel(0.9)) as world:
        commit = world.push()
        world.say(commit, is_approved=False)

        result = world.deliver(commit)
        settle(world, result)

        assert stopped_behind(world, result, "risk_score")
        assert world.ledger.settled[commit].ending is Ending.REJECTED


def test_approval_that_outruns_the_settling_of_the_hold_continues(tmp_path: Path) -> None:
    with house(tmp_path, model=FixedModel(0.9)) as world:
        commit = world.push()
        first = world.deliver(commit)
        world.say(commit, is_approved=True)
        settle(world, first)

        rest = continued(world)

        assert rest.success
        assert world.ledger.settled[commit].ending is Ending.PROMOTED


def test_red_tests_stop_everything_after_them(world: House) -> None:
    commit = world.push()
    world.test_bench.runs[commit] = RED

    result = world.deliver(commit)
    settle(world, result)

    assert stopped_behind(world, result, "test_report")
    assert world.builder.built == []
    settled = world.ledger.settled[commit]
    assert (settled.ending, settled.cause, settled.label) == (Ending.WITHHELD, CauseClass.TEST, 1)
    assert "assert 2 == 1" in settled.evidence


@pytest.mark.parametrize("cause", [CauseClass.BUILD, CauseClass.MIGRATION])
def test_image_that_cannot_ship_stops_everything_after_it(world: House, cause: CauseClass) -> None:
    commit = world.push()
    if cause is CauseClass.BUILD:
        world.builder = FakeImageBuilder(failures={commit.sha: "it does not compile"})
    else:
        finding = SchemaFinding("cart.py", 1, "SELECT age", "no column age")
        world.schema_probe = FakeSchemaProbe({commit.sha: (finding,)})

    result = world.deliver(commit)
    settle(world, result)

    assert stopped_behind(world, result, "image")
    assert checks(result)["image_is_deployable"] == (False, "ERROR")
    settled = world.ledger.settled[commit]
    assert (settled.ending, settled.cause) == (Ending.WITHHELD, cause)


def test_doubt_is_shown_as_a_failed_check_and_stops_nothing(world: House) -> None:
    commit = world.push(files={"cart.py": CODE + b"# untested\n", "test_cart.py": None})

    result = world.deliver(commit)

    assert checks(result)["tests_allow_delivery"] == (False, "WARN")
    assert result.success
    assert made(result) == list(COMMIT_ASSETS)
    assert world.ledger.settled[commit].ending is Ending.PROMOTED


def test_bad_release_is_rolled_back_and_nothing_stops_behind_it(world: House) -> None:
    assert world.deliver(world.push()).success
    bad = world.push(behaviour=Behaviour(error_rate=0.5))

    result = world.deliver(bad)

    assert result.success
    assert checks(result)["release_is_healthy"] == (False, "ERROR")
    settled = world.ledger.settled[bad]
    assert (settled.ending, settled.cause) == (Ending.ROLLED_BACK, CauseClass.HEALTH_ERRORS)
    assert [title for title, _ in world.notifier.told] == [f"{bad} rolled back: health-errors"]


def test_docs_only_commit_walks_through_and_is_skipped(world: House) -> None:
    commit = world.push(files={"README.md": b"words"})

    result = world.deliver(commit)

    assert made(result) == list(COMMIT_ASSETS)
    assert world.ledger.settled[commit].ending is Ending.SKIPPED
    assert world.runtime.n_started == 0


@pytest.mark.parametrize(
    ("verdict", "passed"),
    [(Verdict.PASS, True), (Verdict.INCONCLUSIVE, True), (Verdict.FAIL, False)],
)
def test_only_a_fail_verdict_fails_the_check_on_the_release(verdict: Verdict, passed: bool) -> None:
    none = (None,) * 7
    report = HealthReport(verdict, "held", "the rule\x1b[2J", "", 0, 0, 0, 0, *none, (), "", 0.0)

    result = release_is_healthy(report)

    assert isinstance(result, dg.AssetCheckResult)
    assert result.passed is passed
    assert result.description == "the rule"
