"""One environment as it stands: which release is live, and bringing everything back to just that
one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentci_dagster.domain.errors import InfrastructureError, LeaseLostError
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import (
    Clock,
    EventLog,
    Leases,
    MetricSource,
    RolloutJournal,
    Router,
    Runtime,
    ServicePlan,
)

_GRACE = timedelta(seconds=2)
_ASK = timedelta(seconds=1)
_LOOK_S = 0.05
_READY = range(200, 400)

Wait = Callable[[float], None]
"""Wait some seconds while holding on to the lease."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a driver asks of the outside."""

    runtime: Runtime
    router: Router
    metrics: MetricSource
    clock: Clock
    journal: RolloutJournal
    leases: Leases
    log: EventLog


@dataclass(frozen=True, slots=True)
class Restored:
    """The environment on its one live release; `traffic_at` is when all traffic was on it.

    `trouble` says why a live release that had died could not be started again; `live` is then None.
    """

    live: Release | None
    traffic_at: datetime
    trouble: str = ""


class Site:
    """The environment of one service."""

    def __init__(self, ports: Ports, service: ServicePlan) -> None:
        self.ports = ports
        self.service = service
        self.environment = service.environment

    def live(self) -> Release | None:
        """Last known good, as it runs now: a live release that was started again has another
        process, not another name.
        """
        live = self.ports.journal.live(self.environment)
        if live is None:
            return None
        running = self.ports.runtime.releases(self.environment)
        return next((release for release in running if release.name == live.name), live)

    def is_as_it_should_be(self) -> bool:
        """Whether exactly the live release runs and has all traffic (or nothing was ever live and
        nothing runs).
        """
        live = self.live()
        running = self.ports.runtime.releases(self.environment)
        if live is None:
            return not running
        if not self.ports.runtime.is_alive(live) or [r.name for r in running] != [live.name]:
            return False
        return self.ports.router.shares(self.environment) == {live.name: 1.0}

    def wait_ready(self, release: Release, deadline_s: float, wait: Wait) -> str:
        """Wait for the first healthy answer; returns why there was none, empty when there was."""
        clock = self.ports.clock
        until = clock.monotonic() + deadline_s
        answer = "no answer"
        while True:
            if not self.ports.runtime.is_alive(release):
                return "its process ended before the first healthy answer"
            if self.is_ready(release):
                return ""
            if clock.monotonic() >= until:
                path = self.service.health_path
                return f"no healthy answer at {path} within {deadline_s:g} s ({answer})"
            wait(_LOOK_S)
            status = self.ports.runtime.ask(release, self.service.health_path, _ASK).status
            answer = f"status {status}" if status else "no answer"

    def is_ready(self, release: Release) -> bool:
        return self.ports.runtime.ask(release, self.service.health_path, _ASK).status in _READY

    def restore(self, wait: Wait, *, drain_s: float, ready_deadline_s: float) -> Restored:
        """All traffic to last known good, then end everything else. May be repeated at any time.

        Traffic moves first, releases stop later, and leaving one never depends on its health. A
        live release that has died is started again from its artefact; when that is gone, the rest
        is done all the same, so that a new release can take its place.
        """
        router, runtime = self.ports.router, self.ports.runtime
        router.ensure(self.environment)
        live, trouble = self.live(), ""
        if live is not None and not runtime.is_alive(live):
            # Children may have outlived it; they would hold its files and its name.
            runtime.stop(live, _GRACE)
            try:
                live = runtime.start(self.service, artefact_of(live), live.name, live.key)
                self.wait_ready(live, ready_deadline_s, wait)
            except LeaseLostError:
                raise
            except InfrastructureError as error:
                trouble = f"{live.name} is dead and cannot be started again: {error.message}"
                live = None
        if live is not None:
            router.add(self.environment, live, self.service.health_path)
            router.weights(self.environment, {live.name: 1.0})
        else:
            router.weights(self.environment, {})
        restored = Restored(live, self.ports.clock.now(), trouble)
        keep = live.name if live else None
        others = [r for r in runtime.releases(self.environment) if r.name != keep]
        if others and drain_s:
            wait(drain_s)
        for release in others:
            runtime.stop(release, _GRACE)
        for name in router.shares(self.environment):
            if name != keep:
                router.remove(self.environment, name)
        return restored


def artefact_of(release: Release) -> Image:
    """The image that a release was started from."""
    kind = ImageKind.DOCKER if release.runtime == "docker" else ImageKind.BUNDLE
    return Image(
        kind=kind,
        reference=release.artefact,
        digest=release.artefact_digest,
        layers=(),
        seconds=0.0,
        note="started again from its artefact",
    )
