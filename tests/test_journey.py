"""The real daemon, sensor and run workers as processes of their own, and what survives their death."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.demo.play import prepare, stop_services
from agentci_dagster.demo.scenario import STEPS, Scenario
from agentci_dagster.demo.settings import ENVIRONMENT, NAME
from agentci_dagster.demo.traffic import Traffic
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import CauseClass, DeployOutcome, Ending
from agentci_dagster.domain.rollout import RolloutState
from agentci_dagster.instance import daemon, prepare_instance
from agentci_dagster.resources import Resources

pytestmark = [pytest.mark.journey, pytest.mark.sandbox]

SETTLED_WITHIN_S = 20.0
LIMIT_S = 300.0
STEP = {step.number: step for step in STEPS}


class Installation:
    """A home of its own with a daemon, a repository and traffic."""

    def __init__(self, home: Path, resources: Resources) -> None:
        self.home = home
        self.resources = resources
        self.scenario = Scenario(home / "git", datetime.now(UTC) - timedelta(minutes=30))
        self.address = resources.router.ensure(ENVIRONMENT)
        self._last = datetime.now(UTC)

    def push(self, number: int, branch: str = "") -> CommitKey:
        step = STEP[number]
        self._last = max(self._last + timedelta(seconds=1), datetime.now(UTC))
        sha = self.scenario.push(replace(step, branch=branch or step.branch), self._last)
        return CommitKey(NAME, sha)

    def outcome(self, key: CommitKey) -> DeployOutcome:
        wait(lambda: self.resources.ledger.outcome(key) is not None, f"outcome of {key}")
        found = self.resources.ledger.outcome(key)
        assert found is not None
        return found

    def ending(self, key: CommitKey) -> Ending | None:
        """How the commit ended as far as it is known now. Dagster may notice the death first; what
        became of the rollout is then settled a tick later."""
        known = self.resources.ledger.outcome(key)
        return known.ending if known else None

    def kill_worker_in(self, key: CommitKey, states: set[RolloutState]) -> float:
        """Kill -9 the run worker of the commit once its rollout is in one of the states."""

        def is_there() -> bool:
            rollouts = self.resources.ledger.rollouts(key=key)
            assert not rollouts or not rollouts[-1].state.is_final, "it was over too soon"
            return bool(rollouts) and rollouts[-1].state in states

        wait(is_there, f"{key} in {states}", pause_s=0.004)
        os.kill(self._worker_of(key), signal.SIGKILL)
        return time.monotonic()

    def _worker_of(self, key: CommitKey) -> int:
        with sqlite3.connect(f"file:{self.home / 'ledger.db'}?mode=ro", uri=True) as database:
            (holder,) = database.execute(
                "select holder from agentci_leases where name like 'run:%' and subject = ? "
                "order by generation desc, name",
                (str(key),),
            ).fetchone()
        return int(holder.rpartition(":")[2])

    def is_whole(self) -> bool:
        """Exactly one release runs, it is last known good, it has all traffic, it is healthy."""
        live = self.resources.ledger.live(ENVIRONMENT)
        running = self.resources.runtime.releases(ENVIRONMENT)
        if live is None or [r.name for r in running] != [live.name]:
            return False
        shares = {n: s for n, s in self.resources.router.shares(ENVIRONMENT).items() if s > 0}
        if list(shares) != [live.name]:
            return False
        with urllib.request.urlopen(f"{self.address}/healthz", timeout=2) as answer:
            return answer.status == 200


def wait(is_done: Callable[[], bool], what: str, limit_s: float = LIMIT_S, pause_s: float = 0.1):
    deadline = time.monotonic() + limit_s
    while not is_done():
        assert time.monotonic() < deadline, f"{what} did not come within {limit_s:.0f} s"
        time.sleep(pause_s)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    home = tmp_path / "home"
    resources = prepare(home)
    installed = Installation(home, resources)
    installed.scenario.prepare()
    try:
        # History before the first look: only its tip is delivered.
        for number in (1, 2, 3, 4, 7, 8):
            installed.push(number, branch="main")
        environment = prepare_instance(home)
        with daemon(home, environment), Traffic(installed.address, 30.0):
            yield installed
    finally:
        stop_services(resources)


def test_killed_workers_leave_one_healthy_release_and_settled_commits(
    installation: Installation,
) -> None:
    tip = CommitKey(NAME, installation.scenario.shas[8])
    assert installation.outcome(tip).ending is Ending.PROMOTED
    assert (
        installation.resources.ledger.outcome(CommitKey(NAME, installation.scenario.shas[7]))
        is None
    )
    campaign = [
        (13, {RolloutState.STARTING, RolloutState.READY}, {Ending.INFRASTRUCTURE}),
        (11, {RolloutState.STEPPING}, {Ending.INFRASTRUCTURE}),
        (10, {RolloutState.ROLLING_BACK}, {Ending.ROLLED_BACK}),
    ]
    for number, states, endings in campaign:
        key = installation.push(number)

        killed_at = installation.kill_worker_in(key, states)
        wait(
            lambda key=key, endings=endings: (
                installation.ending(key) in endings
                and installation.resources.ledger.rollouts(ENVIRONMENT, is_open=True) == ()
                and installation.is_whole()
            ),
            f"one healthy release and an outcome after a kill in {states}",
            SETTLED_WITHIN_S - (time.monotonic() - killed_at),
        )

        assert installation.resources.ledger.live(ENVIRONMENT).key == tip
    assert installation.outcome(key).cause is CauseClass.HEALTH_ERRORS
    assert installation.resources.ledger.verify() > 0
    assert replayed(installation.home)["different"] == []


def replayed(home: Path) -> dict[str, Any]:
    """Every decision of this installation, made again."""
    done = subprocess.run(
        [sys.executable, "-m", "agentci_dagster", "replay", "--json"],
        env={**os.environ, "AGENTCI_HOME": str(home)},
        capture_output=True,
        check=False,
    )
    return dict(json.loads(done.stdout))
