"""`generated_tests` and `test_report`: what is asked of writer and bench, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.assets import generated_tests as stage
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.generated_tests import Candidate, Finding, Funnel, GeneratedTests
from agentci_dagster.domain.risk import Advice, RiskBand, RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.savings import Audit
from agentci_dagster.domain.selection import (
    Isolation,
    SelectionMode,
    TestFailure,
    TestRun,
    TestVerdict,
)
from agentci_dagster.journeys import audits
from agentci_dagster.settings import Catalogue, parse_settings
from tests.builders import features
from tests.fakes.test_bench import NOTHING, PASSING
from tests.house import CODE, House, house, metadata

CANDIDATE = Candidate("test_total_0", "cart.py::total", "def test_total(): ...\n", "offline")
FINDING = Finding("cart.py::mean", "mean([])", "ZeroDivisionError", "division", "def test_x(): ...")
KEPT = GeneratedTests(
    (CANDIDATE,), (), Funnel(4, 3, 2, 2, 1), ("cart.py::total",), Isolation.STRONG, 2.0, "1 kept"
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def score(commit: CommitKey, route: Route = Route.FAST) -> RiskScore:
    return RiskScore(commit, 0.1, RiskBand.LOW, route, (), (), Advice(), "prior", features(), ())


def written(world: House, commit: CommitKey, route: Route = Route.FAST) -> Any:
    return stage.generated_tests(
        world.context(commit),
        world.mirror.diff(commit.sha),
        score(commit, route),
        test_bench=world.test_bench,
        test_writer=world.test_writer,
        catalogue=world.catalogue,
    )


def reported(
    world: House, commit: CommitKey, generated: GeneratedTests = NOTHING, route: Route = Route.FAST
) -> Any:
    return stage.test_report(
        world.context(commit),
        world.mirror.diff(commit.sha),
        score(commit, route),
        generated,
        mirrors=world.mirrors,
        journeys=world.journeys,
        test_bench=world.test_bench,
        catalogue=world.catalogue,
    )


def changing(world: House) -> CommitKey:
    return world.push(files={"cart.py": CODE.replace(b"sum(items)", b"sum(items) + 0")})


def test_writer_is_asked_in_a_checkout_that_is_closed_again(world: House) -> None:
    commit = changing(world)
    world.test_writer.written[commit] = KEPT

    made = written(world, commit)

    assert made.value == KEPT
    assert world.test_bench.open_checkouts == 0
    told = metadata(made)
    assert (told["n_kept"], told["n_findings"], told["isolation"]) == (1, 0, "strong")
    assert told["funnel"] == {
        "n_proposed": 4, "n_parsed": 3, "n_passed": 2, "n_stable": 2, "n_kept": 1,
    }  # fmt: skip
    assert "def test_total" in told["tests"]
    assert told["findings"] == "none"


def test_nothing_is_checked_out_when_there_is_nothing_to_write(world: House) -> None:
    world.test_bench.checkout = None

    made = written(world, world.push(files={"README.md": b"words"}), Route.SKIP)

    assert made.value.note.startswith("0 tests, because")
    assert metadata(made)["n_kept"] == 0


def test_budget_of_nothing_writes_nothing(world: House) -> None:
    text = '[[repository]]\nname = "shop"\nurl = "x"\n[repository.test]\ngenerate_budget_s = 0\n'
    world.catalogue = Catalogue(parse_settings(text, home=world.folder))

    assert "budget" in written(world, changing(world)).value.note


def test_source_cannot_close_its_fence(world: House) -> None:
    commit = changing(world)
    evil = replace(CANDIDATE, source="x = '''\n```\n# <b>out</b>\n```\n'''")
    world.test_writer.written[commit] = replace(KEPT, kept=(evil,))

    shown = metadata(written(world, commit))["tests"]

    assert shown.count("```") == 2


def test_chosen_tests_are_run_and_the_report_told(world: House) -> None:
    commit = changing(world)

    made = reported(world, commit, KEPT)

    (asked,) = world.test_bench.asked
    assert asked[0] == commit
    assert asked[1].test_files == ("test_cart.py",)
    assert asked[2] == (CANDIDATE,)
    assert made.value.verdict is TestVerdict.PASSED
    told = metadata(made)
    assert (told["verdict"], told["n_passed"], told["n_failed"]) == ("passed", 3, 0)
    assert told["isolation"] == "strong"
    assert told["failures"] == "none"
    assert "changed_line_coverage" not in told


def test_coverage_of_changed_lines_is_told(world: House) -> None:
    commit = changing(world)
    world.test_bench.runs[commit] = TestRun(
        1, 0, 0, (), {"cart.py": (1, 2)}, {"cart.py": (1, 2)}, 0.1, Isolation.STRONG
    )

    assert metadata(reported(world, commit))["changed_line_coverage"] == 1.0


def test_tree_that_passed_before_is_not_tested_again(world: House) -> None:
    first, other = world.push(), changing(world)
    for commit in (first, other):
        world.values.store("test_report", reported(world, commit).value, commit)
    back = world.push("put it back", files={"cart.py": world.mirror.trees[first.sha]["cart.py"]})
    world.test_bench.asked.clear()

    made = reported(world, back)

    assert world.test_bench.asked == []
    assert made.value.verdict is TestVerdict.NOT_NEEDED
    assert f"the same tree passed them as {first.sha[:12]}" in metadata(made)["selection"]


def test_skipped_commit_runs_nothing(world: House) -> None:
    made = reported(world, world.push(files={"README.md": b"words"}), route=Route.SKIP)

    assert world.test_bench.asked == []
    assert made.value.verdict is TestVerdict.NOT_NEEDED
    assert made.value.plan.mode is SelectionMode.NONE


def broken(world: House, commit: CommitKey) -> None:
    failures = (TestFailure("test_cart.py::test_total", "E   assert 1 == 2"),)
    world.test_bench.runs[commit] = replace(PASSING, n_failed=1, failures=failures)


def stored(world: House, commit: CommitKey, generated: GeneratedTests = NOTHING) -> Any:
    report = reported(world, commit, generated).value
    world.values.store("test_report", report, commit)
    return report


def test_break_of_a_version_that_was_never_judged_does_not_ride_along(world: House) -> None:
    good, bad, child = changing(world), world.push(), world.push()
    assert stored(world, good).verdict is TestVerdict.PASSED
    broken(world, bad)
    broken(world, child)

    report = reported(world, child).value

    assert report.verdict is TestVerdict.FAILED
    assert report.plan.mode is SelectionMode.ALL
    assert world.test_bench.reran == [(good, ("test_cart.py::test_total",))]


def test_old_failures_are_set_aside_and_said_where_nothing_was_ever_judged(world: House) -> None:
    parent, child = changing(world), world.push()
    broken(world, parent)
    broken(world, child)

    report = reported(world, child).value

    assert report.verdict is TestVerdict.PASSED
    assert report.plan.mode is SelectionMode.SELECTED
    assert "nobody knows whose the old" in report.summary


def test_red_version_behind_one_that_was_never_judged_is_remembered(world: House) -> None:
    red, unjudged, child = changing(world), world.push(), world.push()
    broken(world, red)
    first = world.mirror.commit(red.sha).parents[0]
    world.values.store("test_report", reported(world, red).value, red)
    for commit in (CommitKey("shop", first), unjudged, child):
        broken(world, commit)
    failed = replace(stored(world, red), verdict=TestVerdict.FAILED)
    world.values.store(
        "test_report", replace(failed, failures=world.test_bench.runs[red].failures), red
    )

    report = reported(world, child).value

    assert report.verdict is TestVerdict.FAILED
    assert report.plan.mode is SelectionMode.ALL


@pytest.mark.parametrize(("hangs_before", "verdict"), [(False, "failed"), (True, "inconclusive")])
def test_hang_that_the_version_before_does_not_have_is_this_commits_failure(
    world: House, hangs_before: bool, verdict: str
) -> None:
    parent, child = changing(world), world.push()
    hung = replace(PASSING, n_passed=0, trouble="the tests did not end", is_suspect=True)
    world.test_bench.runs[child] = hung
    if hangs_before:
        world.test_bench.runs[parent] = hung

    report = reported(world, child).value

    assert report.verdict.value == verdict
    assert "the tests did not end" in (report.summary + "".join(f.message for f in report.failures))


def test_hang_of_the_first_version_is_trouble(world: House) -> None:
    changing(world)
    (first,) = (c for c in world.mirror.commits.values() if not c.parents)
    hung = replace(PASSING, n_passed=0, trouble="the tests did not end", is_suspect=True)
    world.test_bench.runs[first.key] = hung

    assert reported(world, first.key).value.verdict is TestVerdict.INCONCLUSIVE


def test_crash_of_a_withheld_version_is_asked_again_and_withholds_the_next(world: House) -> None:
    red, child = changing(world), world.push()
    assert stored(world, red, replace(KEPT, findings=(FINDING,))).verdict is TestVerdict.FAILED

    report = reported(world, child).value

    assert [c.source for c in world.test_bench.asked[-1][2]] == [FINDING.test_source]
    assert report.verdict is TestVerdict.FAILED
    assert "mean([])" in report.failures[0].message


@pytest.mark.parametrize(("withholds", "verdict"), [(True, "failed"), (False, "passed")])
def test_finding_withholds_when_the_settings_say_so(
    world: House, withholds: bool, verdict: str
) -> None:
    text = (
        '[[repository]]\nname = "shop"\nurl = "x"\n'
        f"[repository.test]\nwithhold_on_findings = {str(withholds).lower()}\n"
    )
    world.catalogue = Catalogue(parse_settings(text, home=world.folder))

    made = reported(world, changing(world), replace(KEPT, findings=(FINDING,)))

    assert metadata(made)["verdict"] == verdict
    assert ("mean([])" in metadata(made)["failures"]) is withholds


def audited(world: House, commit: CommitKey) -> Any:
    return stage.audit_report(
        world.context(commit),
        world.mirror.diff(commit.sha),
        mirrors=world.mirrors,
        test_bench=world.test_bench,
        catalogue=world.catalogue,
        log=world.ledger,
        clock=world.clock,
    )


def test_an_audit_runs_all_tests_and_is_remembered(world: House) -> None:
    commit = world.push()

    value = audited(world, commit)

    ((key, plan, extra),) = world.test_bench.asked
    assert (key, plan.mode, plan.test_files, extra) == (
        commit, SelectionMode.ALL, ("test_cart.py",), (),
    )  # fmt: skip
    assert value.value.verdict is TestVerdict.PASSED
    (event,) = world.ledger.events(kind="audit")
    assert (event.id, event.body["verdict"]) == (f"audit/{commit}", "passed")
    assert audits(world.ledger) == (Audit(commit, TestVerdict.PASSED),)


def test_an_audit_twice_is_one_event(world: House) -> None:
    commit = world.push()

    audited(world, commit)
    audited(world, commit)

    assert len(world.ledger.events(kind="audit")) == 1


def test_an_audit_does_not_blame_the_commit_for_what_failed_before(world: House) -> None:
    commit = world.push()
    failure = TestFailure("test_cart.py::test_total", "E   assert 1 == 2")
    before = CommitKey(commit.repository, world.mirror.commit(commit.sha).parents[0])
    failing = replace(PASSING, n_failed=1, failures=(failure,))
    world.test_bench.runs = {commit: failing, before: failing}

    assert audited(world, commit).value.verdict is TestVerdict.PASSED

    world.test_bench.runs = {commit: failing}
    assert audited(world, commit).value.verdict is TestVerdict.FAILED
