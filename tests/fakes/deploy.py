"""The deploy ports in memory: a clock that jumps, releases that behave as told, a router, and traffic through it."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, RouterError
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import MigrationRun, ServicePlan
from tests.builders import NOON


class FakeClock:
    """Sleeping moves time at once and lets others (traffic) live through it."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self.on_sleep: list[Callable[[float], None]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        for live_through in self.on_sleep:
            live_through(seconds)
        self._elapsed_s += seconds


@dataclass
class Behaviour:
    """How a commit's release behaves."""

    error_rate: float = 0.0
    milliseconds: float = 20.0
    dies_at_start: bool = False
    dies_after_s: float | None = None
    is_ready: bool = True
    migration_failure: str = ""
    migrations: tuple[str, ...] = ()


@dataclass
class FakeRuntime:
    """Releases by environment; `behaviours` by sha say how they do."""

    clock: FakeClock
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    running: dict[str, dict[str, Release]] = field(default_factory=dict)
    started_at: dict[int, float] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    is_target_missing: bool = False
    n_started: int = 0

    def behaviour(self, release: Release) -> Behaviour:
        return self.behaviours.get(release.key.sha, Behaviour())

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        sha = image.reference
        told = self.behaviours.get(sha, Behaviour())
        return MigrationRun(told.migrations, told.migration_failure, 0.1)

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        if self.is_target_missing:
            raise InfrastructureError(f"The artefact {image.reference} is gone.")
        self.n_started += 1
        release = Release(
            name=name,
            key=key,
            artefact=image.reference,
            artefact_digest=image.digest,
            host="127.0.0.1",
            port=20_000 + self.n_started,
            runtime="process",
            process_id=self.n_started,
            started_ticks=1,
        )
        self.running.setdefault(service.environment, {})[name] = release
        self.started_at[self.n_started] = self.clock.monotonic()
        return release

    def is_alive(self, release: Release) -> bool:
        is_there = any(release == r for group in self.running.values() for r in group.values())
        told = self.behaviour(release)
        if not is_there or told.dies_at_start:
            return False
        age = self.clock.monotonic() - self.started_at[release.process_id or 0]
        return told.dies_after_s is None or age < told.dies_after_s

    def stop(self, release: Release, grace: timedelta) -> None:
        for group in self.running.values():
            known = group.get(release.name)
            if known is not None and known.port == release.port:
                del group[release.name]
                self.stopped.append(release.name)

    def kill(self, release: Release) -> None:
        """It dies without anybody asking."""
        for group in self.running.values():
            group.pop(release.name, None)

    def log_tail(self, release: Release) -> str:
        return f"the log of {release.name}"

    def ask(self, release: Release, path: str, timeout: timedelta) -> RequestEvent:
        told = self.behaviour(release)
        if not self.is_alive(release):
            return RequestEvent(self.clock.now(), release.name, 0, 1.0)
        status = 200 if told.is_ready else 503
        return RequestEvent(self.clock.now(), release.name, status, told.milliseconds)

    def releases(self, environment: str) -> tuple[Release, ...]:
        group = self.running.get(environment, {})
        return tuple(group[name] for name in sorted(group) if self.is_alive(group[name]))


@dataclass
class FakeRouter:
    """Shares by environment, and every change of them."""

    table: dict[str, dict[str, float]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    is_broken: bool = False

    def ensure(self, environment: str) -> str:
        if self.is_broken:
            raise RouterError("The router does not start.")
        self.table.setdefault(environment, {})
        return "http://127.0.0.1:18000"

    def add(self, environment: str, release: Release, health_path: str) -> None:
        self.ensure(environment)
        self.table[environment].setdefault(release.name, 0.0)
        self.addresses[release.name] = release.port

    def weights(self, environment: str, shares: dict[str, float]) -> None:
        self.ensure(environment)
        unknown = set(shares) - set(self.table[environment])
        if unknown:
            raise RouterError(f"The router of {environment} does not know {min(unknown)}.")
        if shares and not 0.99 <= sum(shares.values()) <= 1.01:
            raise RouterError(f"Shares of traffic must sum to 1, not {shares}.")
        self.table[environment] = {name: shares.get(name, 0.0) for name in self.table[environment]}
        self.history.append(dict(shares))

    def remove(self, environment: str, release: str) -> None:
        self.ensure(environment)
        self.table[environment].pop(release, None)

    def shares(self, environment: str) -> dict[str, float]:
        self.ensure(environment)
        return dict(self.table[environment])


class FakeMetricSource:
    """Traffic at a steady rate, shared as the router says, answered as the runtime's behaviours say."""

    def __init__(
        self,
        clock: FakeClock,
        router: FakeRouter,
        runtime: FakeRuntime,
        requests_per_s: float = 10.0,
        seed: int = 7,
    ) -> None:
        self._clock = clock
        self._router = router
        self._runtime = runtime
        self.requests_per_s = requests_per_s
        self.is_silent = False
        self.is_broken = False
        self.outage_rate = 0.0
        """Share of requests that fail whoever answers: a shared outage."""
        self._random = random.Random(seed)
        self._owed = 0.0
        self._recorded: dict[str, list[RequestEvent]] = {}
        clock.on_sleep.append(self._live_through)

    def events(
        self, environment: str, since: datetime, until: datetime | None = None
    ) -> tuple[RequestEvent, ...]:
        if self.is_broken:
            raise InfrastructureError("The metric source does not answer.")
        recorded = self._recorded.get(environment, [])
        first = bisect_left(recorded, since, key=lambda e: e.at)
        return tuple(e for e in recorded[first:] if until is None or e.at <= until)

    def n_lost(self, environment: str) -> int:
        if self.is_broken:
            raise InfrastructureError("The metric source does not answer.")
        return 0

    def add(self, environment: str, event: RequestEvent) -> None:
        """Record one answer as the router would."""
        self._recorded.setdefault(environment, []).append(event)

    def _live_through(self, seconds: float) -> None:
        if self.is_silent:
            return
        self._owed += seconds * self.requests_per_s
        n, self._owed = int(self._owed), self._owed % 1
        for environment in self._router.table:
            for i in range(n):
                at = self._clock.now() + timedelta(seconds=seconds * (i + 1) / n)
                self._answer(environment, at)

    def _answer(self, environment: str, at: datetime) -> None:
        shares = self._router.table[environment]
        names = sorted(name for name, share in shares.items() if share > 0)
        if not names:
            return
        name = self._random.choices(names, [shares[n] for n in names])[0]
        group = self._runtime.running.get(environment, {})
        release = group.get(name)
        told = self._runtime.behaviour(release) if release else Behaviour(error_rate=1.0)
        is_down = release is None or not self._runtime.is_alive(release)
        is_bad = is_down or self._random.random() < max(told.error_rate, self.outage_rate)
        taken_ms = told.milliseconds * self._random.lognormvariate(0.0, 0.3)
        self.add(environment, RequestEvent(at, name, 500 if is_bad else 200, taken_ms))
