"""Releases as labelled containers of a Docker daemon: found again by their labels, answering at a
published loopback port.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from agentci_dagster.adapters.processes import free_port, locked, write_beside
from agentci_dagster.adapters.runtimes.asking import asked
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import MigrationRun, ServicePlan

# Apart from the ports of plain processes, below the kernel's range for outgoing connections.
_PORTS = (30_000, 32_000)
_INSIDE = 8080
_TAIL = 4000
_DAEMON_S = 30
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_APPLIED = re.compile(r"^applied (\S{1,200})\s*$", re.MULTILINE)
_ENDED = frozenset({"exited", "dead"})


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What one release may use of the machine."""

    memory_bytes: int = 1 << 30
    """1 GiB, without swap beyond it: a leaking canary must not take the live release's memory."""
    cpus: float = 1.0
    """Processors; a busy loop in the canary must not slow the baseline that it is compared with."""
    n_processes: int = 512
    """Processes and threads: enough for a threaded server, too few for a fork bomb."""
    scratch_bytes: int = 64 << 20
    """Size of /tmp, the only place that can be written (64 MiB of memory)."""


class DockerRuntime:
    """Runs images. `{port}` in the service's command is the port inside the container, which must
    be listened to on all its addresses; only loopback of the host is published.
    """

    def __init__(self, folder: Path, limits: ContainerLimits | None = None) -> None:
        self._folder = folder.absolute()
        self._limits = limits or ContainerLimits()

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        if not service.migrate_command:
            return MigrationRun((), "", 0.0)
        began = time.monotonic()
        mark = {"agentci.migration": _short(f"{self._folder}/{service.environment}")}
        with _daemon(image.reference):
            # One that a killed run left behind may not run beside this one.
            for left in self._found(mark):
                _remove(left)
            labels = self._labels(service.environment) | mark
            container = self._created(service, image, service.migrate_command, labels)
            try:
                failure = self._awaited(container, timeout)
                text = _log(container, 100_000)
            finally:
                _remove(container)
        if failure:
            failure = f"{failure}\n{text[-_TAIL:]}".strip()
        return MigrationRun(tuple(_APPLIED.findall(text)), failure, time.monotonic() - began)

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a release name: {name!r}")
        home = self._home(service.environment)
        with locked(home / "start.lock"), _daemon(image.reference):
            port = free_port(*_PORTS, seed=f"{home}/{name}")
            labels = self._labels(service.environment) | {
                "agentci.release": name,
                "agentci.key": str(key),
                "agentci.port": str(port),
                "agentci.artefact": image.reference,
                "agentci.digest": image.digest,
            }
            container = self._created(service, image, service.command, labels, port)
            try:
                container.start()
            except APIError as error:
                if error.status_code is None or error.status_code >= 500:
                    _remove(container)
                    raise
                # The commit's own fault (its command is not there): dead from the start.
                self._keep(home, labels, f"cannot start: {error.explanation}\n")
                _remove(container)
            return _release(labels, container.id)

    def is_alive(self, release: Release) -> bool:
        if release.container_id is None:
            return False
        with _daemon():
            try:
                return bool(self._client.containers.get(release.container_id).status == "running")
            except NotFound:
                return False

    def stop(self, release: Release, grace: timedelta) -> None:
        marks = {"agentci.release": release.name, "agentci.port": str(release.port)}
        with _daemon():
            for container in self._found(marks):
                with contextlib.suppress(NotFound):
                    container.stop(timeout=max(0, round(grace.total_seconds())))
                self._put_away(container)

    def log_tail(self, release: Release) -> str:
        with contextlib.suppress(NotFound), _daemon():
            if release.container_id is not None:
                return _log(self._client.containers.get(release.container_id), _TAIL)
        for path in self._folder.glob(f"*/releases/{release.name}-{release.port}.log"):
            return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
        return ""

    def ask(self, release: Release, path: str, timeout: timedelta) -> RequestEvent:
        return asked(release, path, timeout)

    def releases(self, environment: str) -> tuple[Release, ...]:
        """All whose container has not ended; one that has is put away and its log kept, so that no
        container is left over.
        """
        found = []
        with _daemon():
            for container in self._found({"agentci.environment": environment}):
                if "agentci.release" not in container.labels:
                    continue
                if container.status in _ENDED:
                    self._put_away(container)
                else:
                    found.append(_release(container.labels, container.id))
        return tuple(sorted(found, key=lambda release: release.name))

    @cached_property
    def _client(self) -> docker.DockerClient:
        return docker.from_env(timeout=_DAEMON_S)

    def _home(self, environment: str) -> Path:
        home = self._folder / environment / "releases"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return home

    def _labels(self, environment: str) -> dict[str, str]:
        # Two installations may share a daemon and have environments of one name.
        return {"agentci.environment": environment, "agentci.folder": str(self._folder)}

    def _found(self, marks: Mapping[str, str]) -> list[Container]:
        wanted = {"agentci.folder": str(self._folder), **marks}
        return self._client.containers.list(
            all=True,
            # One that vanishes between the list and the look at it is gone, not an error.
            ignore_removed=True,
            filters={"label": [f"{name}={value}" for name, value in wanted.items()]},
        )

    def _created(
        self,
        service: ServicePlan,
        image: Image,
        command: Sequence[str],
        labels: dict[str, str],
        port: int | None = None,
    ) -> Container:
        if image.kind is not ImageKind.DOCKER:
            raise InfrastructureError(
                f"The docker target runs images, not a {image.kind}.",
                "add a Dockerfile to the repository, or set deploy.target to process",
            )
        limits = self._limits
        marks = {"PORT": str(_INSIDE), "AGENTCI_RELEASE": labels.get("agentci.release", "")}
        published: dict[str, Any] = {}
        if port is not None:
            published = {f"{_INSIDE}/tcp": ("127.0.0.1", port)}
        return self._client.containers.create(
            # By content: a tag may have been moved since the image was built and judged.
            image.digest,
            _filled(command),
            labels=labels,
            environment=service.variables | marks,
            ports=published,
            mem_limit=limits.memory_bytes,
            memswap_limit=limits.memory_bytes,
            nano_cpus=round(limits.cpus * 1e9),
            pids_limit=limits.n_processes,
            read_only=True,
            tmpfs={"/tmp": f"size={limits.scratch_bytes},mode=1777"},  # noqa: S108 -- its own
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
        )

    def _awaited(self, container: Container, timeout: timedelta) -> str:
        try:
            container.start()
            status = container.wait(timeout=timeout.total_seconds())["StatusCode"]
        except requests.exceptions.RequestException as error:
            if not _is_timeout(error):
                raise
            return f"did not end within {timeout.total_seconds():g} s"
        except APIError as error:
            if error.status_code is None or error.status_code >= 500:
                raise
            return f"cannot start: {error.explanation}"
        return "" if status == 0 else f"ended with status {status}"

    def _put_away(self, container: Container) -> None:
        with contextlib.suppress(NotFound):
            container.reload()
            text = _log(container, _TAIL)
            if container.attrs["State"].get("OOMKilled"):
                text += "\nthe kernel ended it: it used more memory than its limit\n"
            home = self._home(container.labels["agentci.environment"])
            self._keep(home, container.labels, text)
        _remove(container)

    def _keep(self, home: Path, labels: Mapping[str, str], text: str) -> None:
        write_beside(home / f"{labels['agentci.release']}-{labels['agentci.port']}.log", text)


@contextlib.contextmanager
def _daemon(image: str = "") -> Iterator[None]:
    """A daemon or an image that is not there is our trouble, never the commit's."""
    try:
        yield
    except ImageNotFound as error:
        raise InfrastructureError(
            f"The image {image} is gone from the Docker daemon.",
            "run the commit's image asset again",
        ) from error
    except NotFound:
        raise
    except (DockerException, requests.exceptions.RequestException) as error:
        raise InfrastructureError(
            f"The Docker daemon does not do its work: {str(error)[:300]}.",
            "see `docker info`",
        ) from error


def _release(labels: Mapping[str, str], container_id: str | None) -> Release:
    try:
        key = CommitKey.parse(labels["agentci.key"])
        port = int(labels["agentci.port"])
    except (KeyError, ValueError):
        key, port = CommitKey("unknown", "0" * 40), 0
    return Release(
        name=labels["agentci.release"],
        key=key,
        artefact=labels.get("agentci.artefact", ""),
        artefact_digest=labels.get("agentci.digest", ""),
        host="127.0.0.1",
        port=port,
        runtime="docker",
        container_id=container_id,
    )


def _remove(container: Container) -> None:
    try:
        container.remove(force=True)
    except NotFound:
        pass
    except APIError as error:
        # 409: somebody else is removing it already.
        if error.status_code != 409:
            raise


def _log(container: Container, most: int) -> str:
    text: bytes = container.logs(tail=500)
    return text.decode(errors="replace")[-most:]


def _filled(command: Sequence[str]) -> list[str]:
    return [part.replace("{python}", "python").replace("{port}", str(_INSIDE)) for part in command]


def _is_timeout(error: requests.exceptions.RequestException) -> bool:
    # A read that times out in the middle of an answer comes as a broken connection.
    return isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
