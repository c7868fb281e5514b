"""The audit sample: drawn fast commits get one run each, and nothing from before the first look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import Ending
from agentci_dagster.domain.routing import RiskPolicy, Route
from agentci_dagster.sensors.audits import audit_fast_commits
from tests.builders import NOON, outcome
from tests.house import House, house


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
            resources=self.world.resources("outcomes", "risk_policy"),
        )
        result = audit_fast_commits(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or ():
            self.added += request.partition_keys
        return list(result.run_requests or ())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with house(tmp_path, risk_policy=RiskPolicy(audit_share=1.0)) as world:
        yield Daemon(world)


def settled(daemon: Daemon, n: int, route: Route = Route.FAST, **facts: object) -> CommitKey:
    return daemon.world.ledger.settle(outcome(n, route=route, **facts)).key


def test_what_was_settled_before_the_first_look_is_not_audited(daemon: Daemon) -> None:
    settled(daemon, 1)

    assert daemon.tick() == []
    assert daemon.tick() == []


def test_a_new_fast_commit_is_audited_once(daemon: Daemon) -> None:
    daemon.tick()
    commit = settled(daemon, 1, subject="quick \x1b[31mone")
    daemon.world.live_key(commit)

    (request,) = daemon.tick()

    assert (request.run_key, request.partition_key) == (f"audit:{commit}", str(commit))
    assert request.tags["agentci/audit"] == "true"
    assert "\x1b" not in request.tags["agentci/title"]
    assert daemon.added == []
    assert daemon.tick() == []


def test_other_routes_and_other_endings_are_not_audited(daemon: Daemon) -> None:
    daemon.tick()
    settled(daemon, 1, Route.STANDARD)
    daemon.world.ledger.settle(outcome(2, Ending.ROLLED_BACK, route=Route.FAST))

    assert daemon.tick() == []


def test_none_is_drawn_when_none_is_asked_for(daemon: Daemon) -> None:
    daemon.world.risk_policy = RiskPolicy(audit_share=0.0)
    daemon.tick()
    settled(daemon, 1)

    assert daemon.tick() == []


def test_many_are_audited_a_few_a_tick_and_none_is_lost(daemon: Daemon) -> None:
    daemon.tick()
    commits = [settled(daemon, n) for n in range(1, 13)]

    ticks = [[r.partition_key for r in daemon.tick()] for _ in range(4)]

    assert [len(tick) for tick in ticks] == [5, 5, 2, 0]
    assert [name for tick in ticks for name in tick] == [str(commit) for commit in commits]
    # Their partitions were retired meanwhile.
    assert daemon.added == [str(commit) for commit in commits]


def test_commits_settled_within_one_second_are_told_apart(daemon: Daemon) -> None:
    daemon.tick()
    settled(daemon, 1, settled_at=NOON)
    first = daemon.tick()
    settled(daemon, 2, settled_at=NOON + timedelta(microseconds=1))

    assert (len(first), len(daemon.tick())) == (1, 1)
