"""A person's word becomes one run of the rest of the journey, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.outcome import DeployOutcome, Ending
from agentci_dagster.partitions import COMMITS
from agentci_dagster.sensors.approvals import continue_approved
from tests.builders import key, outcome
from tests.house import House, house

REST = ["generated_tests", "test_report", "image", "deployment", "health_report", "deploy_outcome"]


class Daemon:
    """Ticks the sensor and hands its cursor on."""

    def __init__(self, world: House) -> None:
        self.world = world
        self.cursor: str | None = None
        self.added: list[str] = []

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.world.instance,
            cursor=self.cursor,
            resources=self.world.resources("log", "outcomes"),
        )
        result = continue_approved(context)
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor or self.cursor
        for request in result.dynamic_partitions_requests or ():
            self.added += request.partition_keys
        return list(result.run_requests or ())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with house(tmp_path) as world:
        yield Daemon(world)


def held(daemon: Daemon, n: int = 1, **facts: object) -> DeployOutcome:
    facts = {"stage": "risk_score", **facts}
    daemon.world.live_key(key(n))
    return daemon.world.ledger.settle(outcome(n, Ending.WITHHELD, **facts))


def test_approval_requests_exactly_the_rest_of_the_journey_once(daemon: Daemon) -> None:
    held(daemon, branch="main", subject="risky \x1b[31mchange")
    said = daemon.world.say(key(), is_approved=True)

    first, second = daemon.tick(), daemon.tick()

    assert [r.run_key for r in first] == [said.id]
    assert first[0].partition_key == str(key())
    assert [k.to_user_string() for k in first[0].asset_selection or ()] == REST
    assert first[0].tags["agentci/branch"] == "main"
    assert first[0].tags["agentci/title"] == "risky change"
    assert second == []
    assert daemon.added == []


def test_rejection_requests_nothing(daemon: Daemon) -> None:
    held(daemon)
    daemon.world.say(key(), is_approved=False)

    assert daemon.tick() == []


def test_last_word_counts(daemon: Daemon) -> None:
    held(daemon)
    daemon.world.say(key(), is_approved=True, n=1)
    daemon.world.say(key(), is_approved=False, n=2)

    assert daemon.tick() == []

    daemon.world.say(key(), is_approved=True, n=3)
    assert [r.run_key for r in daemon.tick()] == ["approval:3"]


def test_commit_still_on_its_way_meets_its_approval_at_the_gate(daemon: Daemon) -> None:
    daemon.world.say(key(), is_approved=True)

    assert daemon.tick() == []


def test_approval_that_came_before_the_hold_was_settled_is_not_lost(daemon: Daemon) -> None:
    daemon.world.say(key(), is_approved=True)
    daemon.tick()

    held(daemon)

    assert len(daemon.tick()) == 1


@pytest.mark.parametrize(
    "ending", [Ending.PROMOTED, Ending.ROLLED_BACK, Ending.SUPERSEDED, Ending.SKIPPED]
)
def test_approval_of_a_settled_commit_deploys_nothing(daemon: Daemon, ending: Ending) -> None:
    daemon.world.ledger.settle(outcome(1, ending))
    daemon.world.say(key(), is_approved=True)

    assert daemon.tick() == []


def test_approval_does_not_open_the_other_gates(daemon: Daemon) -> None:
    held(daemon, stage="test_report", cause=CauseClass.TEST)
    daemon.world.say(key(), is_approved=True)

    assert daemon.tick() == []


def test_several_commits_are_continued_in_one_tick(daemon: Daemon) -> None:
    for n in (1, 2):
        held(daemon, n)
        daemon.world.say(key(n), is_approved=True, n=n)

    assert [r.partition_key for r in daemon.tick()] == [str(key(1)), str(key(2))]
    held(daemon, 3)
    daemon.world.say(key(3), is_approved=True, n=3)
    assert [r.partition_key for r in daemon.tick()] == [str(key(3))]


def test_retired_partition_comes_back_with_its_approval(daemon: Daemon) -> None:
    held(daemon)
    daemon.world.instance.delete_dynamic_partition(COMMITS, str(key()))
    daemon.world.say(key(), is_approved=True)

    assert len(daemon.tick()) == 1
    assert daemon.added == [str(key())]
