"""Kill -9 of the driver with real processes: whatever it was doing, one healthy release is left and the commit is settled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.haproxy_router import HaproxyRouter
from agentci_dagster.adapters.processes import find
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.domain.health import HealthReport
from agentci_dagster.domain.rollout import Deployment, DeploymentStatus, Rollout, RolloutState
from tests.builders import commit
from tests.driving import QUICK, SERVICE, deploy, driver
from tests.serving import bundle

ENVIRONMENT = SERVICE.environment
SETTLED_WITHIN_S = 20.0
"""The one promise of time that is part of the behaviour: whatever dies is put right by then."""
SLOW_MIGRATION = "import time\ntime.sleep(60)\n"


@dataclass
class Machine:
    """A home with commit 1 live, and what its tests ask of it."""

    home: Path

    def killed_in(self, state: RolloutState, folder: Path, bake_s: float = 30.0) -> Rollout:
        """Drive commit 2 in a process of its own and kill it as soon as the journal says so."""
        _, ledger = driver(self.home)
        argv = [
            sys.executable,
            "-m",
            "tests.driving",
            str(self.home),
            str(folder),
            "2",
            str(bake_s),
        ]
        process = subprocess.Popen(argv, cwd=Path(__file__).parent.parent)
        until = time.monotonic() + 20
        try:
            while True:
                reached = ledger.rollouts(ENVIRONMENT, commit(2).key)
                if reached and reached[-1].state is state:
                    break
                assert time.monotonic() < until, reached
                assert process.poll() is None, reached
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return reached[-1]

    def reconciled(self, rollout: Rollout) -> tuple[Rollout, HealthReport, float]:
        """Reconcile until it is settled; with the report and the seconds that it took after the kill."""
        began = time.monotonic()
        while True:
            rollouts, ledger = driver(self.home)
            rollouts.reconcile((SERVICE,))
            known = next(r for r in ledger.rollouts(ENVIRONMENT) if r.id == rollout.id)
            if known.state.is_final:
                break
            assert time.monotonic() - began < SETTLED_WITHIN_S
            time.sleep(0.1)
        deployment = Deployment(
            key=rollout.key,
            environment=ENVIRONMENT,
            status=DeploymentStatus.STARTED,
            rollout_id=rollout.id,
            canary=None,
            baseline=None,
            migrations=(),
            seconds=0.0,
            note="",
        )
        report = rollouts.watch(deployment, SERVICE, QUICK)
        assert rollouts.reconcile((SERVICE,)) == ()
        return known, report, time.monotonic() - began

    def assert_serves(self, n: int) -> None:
        _, ledger = driver(self.home)
        live = ledger.live(ENVIRONMENT)
        assert live is not None
        assert live.key == commit(n).key
        environments = self.home / "environments"
        running = ProcessRuntime(environments).releases(ENVIRONMENT)
        assert [release.name for release in running] == [live.name]
        assert len(find({"AGENTCI_FOLDER": str(environments)})) == 1
        router = HaproxyRouter(environments, {})
        assert router.shares(ENVIRONMENT) == {live.name: 1.0}
        with urllib.request.urlopen(router.ensure(ENVIRONMENT), timeout=5) as answer:
            assert answer.read().decode() == live.name
        assert ledger.rollouts(ENVIRONMENT, is_open=True) == ()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    bundle(tmp_path / "one")
    environments = tmp_path / "environments"
    try:
        deploy(tmp_path, tmp_path / "one", 1, QUICK)
        yield Machine(tmp_path)
    finally:
        runtime = ProcessRuntime(environments)
        for release in runtime.releases(ENVIRONMENT):
            runtime.stop(release, timedelta(0))
        HaproxyRouter(environments, {}).shutdown(ENVIRONMENT)


def test_killed_while_migrating(machine: Machine, tmp_path: Path) -> None:
    bundle(tmp_path / "two", migrations=SLOW_MIGRATION)

    settled, report, seconds = machine.reconciled(
        machine.killed_in(RolloutState.MIGRATING, tmp_path / "two")
    )

    assert settled.state is RolloutState.ROLLED_BACK
    assert (report.decision, report.cause) == ("rolled_back", "infra")
    assert seconds < SETTLED_WITHIN_S
    machine.assert_serves(1)


def test_killed_while_watching(machine: Machine, tmp_path: Path) -> None:
    bundle(tmp_path / "two")

    settled, report, seconds = machine.reconciled(
        machine.killed_in(RolloutState.STEPPING, tmp_path / "two")
    )

    assert settled.state is RolloutState.ROLLED_BACK
    assert (report.decision, report.cause) == ("rolled_back", "infra")
    assert seconds < SETTLED_WITHIN_S
    machine.assert_serves(1)


def test_killed_while_rolling_back(machine: Machine, tmp_path: Path) -> None:
    bundle(tmp_path / "two", "errors")

    settled, report, seconds = machine.reconciled(
        machine.killed_in(RolloutState.ROLLING_BACK, tmp_path / "two")
    )

    assert settled.state is RolloutState.ROLLED_BACK
    assert (report.decision, report.cause) == ("rolled_back", "health-errors")
    assert seconds < SETTLED_WITHIN_S
    machine.assert_serves(1)


def test_killed_after_the_promotion_was_committed(machine: Machine, tmp_path: Path) -> None:
    bundle(tmp_path / "two")

    settled, report, seconds = machine.reconciled(
        machine.killed_in(RolloutState.PROMOTING, tmp_path / "two", bake_s=0.2)
    )

    assert settled.state is RolloutState.PROMOTED
    assert report.decision == "promoted"
    assert seconds < SETTLED_WITHIN_S
    machine.assert_serves(2)


def test_killed_live_release_and_router_come_back(machine: Machine) -> None:
    router = HaproxyRouter(machine.home / "environments", {})
    address = router.ensure(ENVIRONMENT)
    for marker in ("AGENTCI_ROUTER", "AGENTCI_RECORDER"):
        for facts in find({marker: str(machine.home / "environments" / ENVIRONMENT / "router")}):
            os.kill(facts.identity.process_id, signal.SIGKILL)
    for facts in find({"AGENTCI_FOLDER": str(machine.home / "environments")}):
        os.kill(facts.identity.process_id, signal.SIGKILL)

    rollouts, _ = driver(machine.home)
    assert rollouts.reconcile((SERVICE,)) == ()

    assert router.ensure(ENVIRONMENT) == address
    machine.assert_serves(1)


def test_person_goes_back_cold_after_the_old_release_was_stopped(
    machine: Machine, tmp_path: Path
) -> None:
    bundle(tmp_path / "two")
    deploy(tmp_path, tmp_path / "two", 2, QUICK)
    rollouts, _ = driver(machine.home)

    rollouts.rollback(SERVICE, reason="wrong prices")

    machine.assert_serves(1)
