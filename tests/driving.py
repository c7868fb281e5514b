"""A driver of rollouts in a process of its own, so that tests can kill it: `python -m tests.driving HOME BUNDLE N`."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.adapters.haproxy_router import HaproxyRouter
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.adapters.sql_ledger import SqlLedger
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import ServicePlan
from agentci_dagster.rollouts import Rollouts
from tests.builders import commit
from tests.serving import COMMAND

SERVICE = ServicePlan(
    repository="shop",
    environment="production",
    command=COMMAND,
    health_path="/healthz",
    migrate_command=("{python}", "migrate.py"),
    variables={},
    probe_paths=("/",),
)
QUICK = CanaryPolicy(
    min_requests=2,
    fast_bake_s=0.2,
    fast_watch_s=0.2,
    poll_s=0.05,
    probe_every_s=0.05,
    drain_s=0.1,
)


def driver(home: Path) -> tuple[Rollouts, SqlLedger]:
    clock = SystemClock()
    ledger = SqlLedger(f"sqlite:///{home / 'ledger.db'}", clock)
    router = HaproxyRouter(home / "environments", {})
    rollouts = Rollouts(
        runtime=ProcessRuntime(home / "environments"),
        router=router,
        metrics=router,
        clock=clock,
        journal=ledger,
        leases=ledger,
        log=ledger,
        lease_ttl=timedelta(seconds=1),
    )
    return rollouts, ledger


def image_of(folder: Path) -> Image:
    return Image(ImageKind.BUNDLE, str(folder), f"sha256:{folder.name}", (), 0.0, "")


def deploy(home: Path, folder: Path, n: int, policy: CanaryPolicy) -> None:
    rollouts, _ = driver(home)
    deployment = rollouts.begin(SERVICE, image_of(folder), commit(n), Route.FAST, policy)
    rollouts.watch(deployment, SERVICE, policy)


if __name__ == "__main__":
    slow = CanaryPolicy(
        min_requests=2,
        fast_bake_s=float(sys.argv[4]),
        fast_watch_s=0.2,
        poll_s=0.05,
        probe_every_s=0.05,
        drain_s=20.0,
    )
    deploy(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), slow)
