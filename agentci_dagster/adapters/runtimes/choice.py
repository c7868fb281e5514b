"""Which runtime an environment has, and which one a release was started by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import MigrationRun, Runtime, ServicePlan


class Runtimes:
    """The `Runtime` of an installation.

    Args:
        by_target: runtimes by their name, which is that of their releases too.
        targets: target by environment; what no setting names any more is a process's.
    """

    def __init__(self, by_target: Mapping[str, Runtime], targets: Mapping[str, str]) -> None:
        self._by_target = by_target
        self._targets = targets

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        return self._at(service.environment).migrate(service, image, timeout)

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        return self._at(service.environment).start(service, image, name, key)

    def is_alive(self, release: Release) -> bool:
        return self._of(release).is_alive(release)

    def stop(self, release: Release, grace: timedelta) -> None:
        self._of(release).stop(release, grace)

    def log_tail(self, release: Release) -> str:
        return self._of(release).log_tail(release)

    def ask(self, release: Release, path: str, timeout: timedelta) -> RequestEvent:
        return self._of(release).ask(release, path, timeout)

    def releases(self, environment: str) -> tuple[Release, ...]:
        """Those of every runtime in use: after a change of target the old one's are still live."""
        found = [r for runtime in self._in_use() for r in runtime.releases(environment)]
        return tuple(sorted(found, key=lambda release: release.name))

    def _in_use(self) -> list[Runtime]:
        # No daemon is asked where nobody deploys to Docker.
        used = {"process", *self._targets.values()}
        return [runtime for name, runtime in self._by_target.items() if name in used]

    def _at(self, environment: str) -> Runtime:
        return self._by_target[self._targets.get(environment, "process")]

    def _of(self, release: Release) -> Runtime:
        return self._by_target[release.runtime]
