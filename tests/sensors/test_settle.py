"""Runs that fail leave an outcome: of the commit, of a gate, or of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.sensors.settle import settle_failed_runs
from tests.builders import key, outcome
from tests.fakes.image import FakeImageBuilder
from tests.house import House, house


class BrokenBuilder(FakeImageBuilder):
    def build(self, key: object, diff: object) -> Image:
        raise InfrastructureError("The disk is full.", "make room")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def settle(world: House, result: dg.ExecuteInProcessResult) -> None:
    """The tick that follows a failed run."""
    failures = [e for e in result.all_events if e.is_run_failure]
    context = dg.build_run_status_sensor_context(
        sensor_name="settle_failed_runs",
        dagster_event=failures[0],
        dagster_instance=world.instance,
        dagster_run=world.instance.get_run_by_id(result.run_id),
        resources=world.resources("journeys", "outcomes", "clock"),
    ).for_run_failure()
    settle_failed_runs(context)


def shown(world: House) -> list[str]:
    records = world.instance.fetch_materializations(dg.AssetKey("deploy_outcome"), limit=10).records
    return [str(r.asset_materialization.metadata["ending"].value) for r in records]


def test_error_of_ours_is_recorded_as_infrastructure(world: House) -> None:
    commit = world.push()
    world.builder = BrokenBuilder()

    settle(world, world.deliver(commit))

    settled = world.ledger.settled[commit]
    assert (settled.ending, settled.cause) == (Ending.INFRASTRUCTURE, CauseClass.INFRA)
    assert (settled.label, settled.stage, settled.branch) == (None, "image", "main")
    assert "The disk is full. Next: make room" in settled.evidence
    assert shown(world) == ["infrastructure"]


def test_earlier_outcome_stands_when_a_rerun_fails(world: House) -> None:
    commit = world.push()
    world.ledger.settle(outcome(1, Ending.PROMOTED, key=commit))
    world.builder = BrokenBuilder()

    settle(world, world.deliver(commit))

    assert world.ledger.settled[commit].ending is Ending.PROMOTED
    assert shown(world) == ["promoted"]


def test_analysis_of_history_settles_nothing(world: House) -> None:
    unknown = world.live_key(key(77))

    settle(world, world.deliver(unknown, ("commit_diff", "risk_score")))

    assert world.ledger.settled == {}


def test_choice_of_a_person_in_the_ui_is_settled(world: House) -> None:
    unknown = world.live_key(key(77))

    settle(world, world.deliver(unknown, ("image", "deployment")))

    assert world.ledger.settled[unknown].ending is Ending.INFRASTRUCTURE


def test_run_without_a_commit_settles_nothing(world: House) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError("no commit here")

    @dg.job(executor_def=dg.in_process_executor)
    def learn() -> None:
        breaks()

    settle(world, learn.execute_in_process(instance=world.instance, raise_on_error=False))

    assert world.ledger.settled == {}
