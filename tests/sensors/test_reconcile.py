"""What died is put right in the tick: rollouts reverted, runs reported, commits settled, leases released."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, RouterError
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.routing import Route
from agentci_dagster.sensors.reconcile import reconcile
from tests.builders import outcome
from tests.house import House, house

TTL = timedelta(seconds=8)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def tick(world: House) -> str:
    names = ("rollouts", "catalogue", "leases", "journeys", "outcomes", "clock")
    context = dg.build_sensor_context(instance=world.instance, resources=world.resources(*names))
    result = reconcile(context)
    assert isinstance(result, dg.SkipReason)
    return result.skip_message or ""


def started(world: House, commit: CommitKey, job: str = "deliver_commit") -> dg.DagsterRun:
    """A run whose process holds its lease."""

    @dg.job(name=job)
    def journey() -> None:
        pass

    tags = {"dagster/partition": str(commit), "agentci/branch": "main"}
    run = world.instance.create_run_for_job(journey, status=dg.DagsterRunStatus.STARTED, tags=tags)
    world.ledger.acquire(f"run:{run.run_id}", "host:1", str(commit), TTL)
    return run


def status(world: House, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    known = world.instance.get_run_by_id(run.run_id)
    assert known is not None
    return known.status


def test_nothing_to_do_is_said(world: House) -> None:
    assert tick(world) == "0 rollouts put right, 0 dead runs settled."


def test_living_run_is_left_alone(world: House) -> None:
    run = started(world, world.push())

    said = tick(world)

    assert "0 dead runs" in said
    assert status(world, run) is dg.DagsterRunStatus.STARTED


def test_dead_run_is_failed_its_commit_settled_and_its_lease_released(world: House) -> None:
    commit = world.push()
    run = started(world, commit)
    world.clock.sleep(9)

    said = tick(world)

    settled = world.ledger.settled[commit]
    assert "1 dead runs settled" in said
    assert status(world, run) is dg.DagsterRunStatus.FAILURE
    assert (settled.ending, settled.cause) == (Ending.INFRASTRUCTURE, CauseClass.INFRA)
    assert (settled.evidence, settled.label) == ("the process of the run died", None)
    assert (settled.run_id, settled.branch) == (run.run_id, "main")
    assert world.ledger.held == {}
    assert "0 dead runs" in tick(world)


def test_run_that_died_behind_its_outcome_keeps_it(world: House) -> None:
    commit = world.push()
    run = started(world, commit)
    world.ledger.settle(outcome(1, Ending.PROMOTED, key=commit))
    world.clock.sleep(9)

    tick(world)

    assert world.ledger.settled[commit].ending is Ending.PROMOTED
    assert status(world, run) is dg.DagsterRunStatus.FAILURE


def test_dead_analysis_is_failed_and_settles_nothing(world: House) -> None:
    commit = world.push()
    run = started(world, commit, job="analyse_commit")
    world.clock.sleep(9)

    tick(world)

    assert world.ledger.settled == {}
    assert status(world, run) is dg.DagsterRunStatus.FAILURE
    assert world.ledger.held == {}


def test_run_that_the_instance_does_not_know_is_settled_all_the_same(world: House) -> None:
    commit = world.push()
    world.ledger.acquire("run:gone", "host:1", str(commit), TTL)
    world.clock.sleep(9)

    tick(world)

    assert world.ledger.settled[commit].ending is Ending.INFRASTRUCTURE


def test_environment_that_cannot_be_mended_keeps_no_dead_run_waiting(
    world: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.push()
    started(world, commit)
    world.clock.sleep(9)

    def broken(*_: object) -> tuple[()]:
        raise RouterError("HAProxy does not start.")

    monkeypatch.setattr(world.rollouts, "reconcile", broken)

    with pytest.raises(InfrastructureError, match=r"production: HAProxy does not start"):
        tick(world)

    assert world.ledger.settled[commit].ending is Ending.INFRASTRUCTURE
    assert world.ledger.held == {}


def test_dead_rollout_is_reverted_and_the_live_release_serves_on(world: House) -> None:
    good, bad = world.push(), world.push()
    assert world.deliver(good).success
    service = world.catalogue.service("shop")
    assert service is not None
    dying = world.new_rollouts()
    diff = world.mirror.diff(bad.sha)
    image = world.builder.build(bad, diff)
    dying.begin(service, image, diff.commit, Route.FAST, world.canary_policy)
    for keeper in dying._keepers.values():
        keeper.abandon()
    started(world, bad)
    world.clock.sleep(9)

    said = tick(world)

    live = world.ledger.live("production")
    assert said == "1 rollouts put right, 1 dead runs settled."
    assert live is not None
    assert live.key == good
    assert world.router.shares("production") == {live.name: 1.0}
    assert world.ledger.settled[bad].ending is Ending.INFRASTRUCTURE
