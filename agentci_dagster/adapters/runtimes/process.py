"""Releases as plain processes on this machine: a session of their own, found again by markers and
kernel start time.

Which release gets traffic is the router's affair; when one starts or stops is decided by
`rollouts`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from agentci_dagster.adapters.processes import (
    ProcessFacts,
    ProcessIdentity,
    end,
    find,
    free_port,
    is_running,
    locked,
    start_detached,
    wait_for,
    write_beside,
)
from agentci_dagster.adapters.runtimes.asking import asked
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import MigrationRun, ServicePlan

# Below the kernel's range for outgoing connections, so that none of them sits on a release's port.
_PORTS = (20_000, 29_999)
_LIMITS = {
    resource.RLIMIT_CORE: (0, 0),
    resource.RLIMIT_NOFILE: (4096, 4096),
    resource.RLIMIT_DATA: (4 << 30, 4 << 30),
}
_TAIL = 4000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_APPLIED = re.compile(r"^applied (\S{1,200})\s*$", re.MULTILINE)


class ProcessRuntime:
    """Runs bundles: folders with the source tree in `app/`, the interpreter at `env/bin/python`,
    the project's metadata in `overlay/` and its import roots in `bundle.json`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        if not service.migrate_command:
            return MigrationRun((), "", 0.0)
        began = time.monotonic()
        home = self._home(service.environment)
        log_file = home / f"migration-{_word(image.digest)}.log"
        log_file.unlink(missing_ok=True)
        name = f"migration-{hashlib.sha256(service.environment.encode()).hexdigest()[:8]}"
        marks = {"AGENTCI_RELEASE": name, "AGENTCI_PORT": "0"}
        try:
            identity = start_detached(
                _filled(service.migrate_command, image, 0),
                cwd=_app(image),
                env=self._variables(service, image, marks),
                log_file=log_file,
            )
        except OSError as error:
            return MigrationRun((), f"cannot start: {error}", time.monotonic() - began)
        failure = _awaited(identity, timeout)
        # Whatever it left running in its session is not wanted beside the new release.
        end(self._pids(name, 0, identity), timedelta(seconds=1))
        text = log_file.read_text(encoding="utf-8", errors="replace")
        if failure:
            failure = f"{failure}\n{text[-_TAIL:]}".strip()
        return MigrationRun(tuple(_APPLIED.findall(text)), failure, time.monotonic() - began)

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a release name: {name!r}")
        home = self._home(service.environment)
        with locked(home / "start.lock"):
            port = free_port(*_PORTS, seed=f"{home}/{name}")
            release = Release(
                name=name,
                key=key,
                artefact=image.reference,
                artefact_digest=image.digest,
                host="127.0.0.1",
                port=port,
                runtime="process",
            )
            marks = {
                "AGENTCI_RELEASE": name,
                "AGENTCI_KEY": str(key),
                "AGENTCI_PORT": str(port),
                "AGENTCI_ARTEFACT": image.reference,
                "AGENTCI_DIGEST": image.digest,
                "PORT": str(port),
            }
            log_file = home / f"{name}-{port}.log"
            try:
                identity = start_detached(
                    _filled(service.command, image, port),
                    cwd=_app(image),
                    env=self._variables(service, image, marks),
                    log_file=log_file,
                )
            except OSError as error:
                # The commit's own fault (its command is not there): a release that is dead from the
                # start.
                with log_file.open("a", encoding="utf-8") as log:
                    log.write(f"cannot start: {error}\n")
                return release
            for limit, values in _LIMITS.items():
                with contextlib.suppress(OSError, ValueError):
                    resource.prlimit(identity.process_id, limit, values)
            release = replace(
                release, process_id=identity.process_id, started_ticks=identity.started_ticks
            )
            self._remember(service.environment, release)
        return release

    def is_alive(self, release: Release) -> bool:
        identity = _identity(release)
        return identity is not None and is_running(identity)

    def stop(self, release: Release, grace: timedelta) -> None:
        pids = self._pids(release.name, release.port, _identity(release))
        if pids:
            end(pids, grace)

    def log_tail(self, release: Release) -> str:
        for path in self._folder.glob(f"*/releases/{release.name}-{release.port}.log"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as log:
                log.seek(max(0, path.stat().st_size - 4 * _TAIL))
                return log.read().decode(errors="replace")[-_TAIL:]
        return ""

    def ask(self, release: Release, path: str, timeout: timedelta) -> RequestEvent:
        return asked(release, path, timeout)

    def releases(self, environment: str) -> tuple[Release, ...]:
        known = {r.name: r for r in self._remembered(environment)}
        running = {name: r for name, r in known.items() if self.is_alive(r)}
        for facts in find(self._marks(environment)):
            release = _release(facts)
            if release is not None:
                # A child that outlived its release is no release: it is listed as what it belongs
                # to, dead, so that somebody ends it.
                running.setdefault(release.name, known.get(release.name, release))
        return tuple(running[name] for name in sorted(running))

    def _home(self, environment: str) -> Path:
        home = self._folder / environment / "releases"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return home

    def _marks(self, environment: str) -> dict[str, str]:
        return {"AGENTCI_ENVIRONMENT": environment, "AGENTCI_FOLDER": str(self._folder)}

    def _variables(
        self, service: ServicePlan, image: Image, marks: Mapping[str, str]
    ) -> dict[str, str]:
        binaries = _python(image).parent
        home = self._home(service.environment)
        clean = {
            "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": _import_path(image),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # Markers last: no setting may hide a release from us.
        return clean | service.variables | self._marks(service.environment) | dict(marks)

    def _pids(
        self, name: str, port: int, identity: ProcessIdentity | None
    ) -> list[ProcessIdentity]:
        """Everything that belongs to a release; the port tells it from its namesake elsewhere."""
        marks = {
            "AGENTCI_FOLDER": str(self._folder),
            "AGENTCI_RELEASE": name,
            "AGENTCI_PORT": str(port),
        }
        pids = {facts.identity for facts in find(marks)}
        if identity is not None and is_running(identity):
            pids.add(identity)
        return sorted(pids, key=lambda i: (i.started_ticks, i.process_id))

    def _remember(self, environment: str, release: Release) -> None:
        facts = {
            "key": str(release.key),
            "artefact": release.artefact,
            "artefact_digest": release.artefact_digest,
            "port": release.port,
            "process_id": release.process_id,
            "started_ticks": release.started_ticks,
        }
        write_beside(self._home(environment) / f"{release.name}.json", json.dumps(facts))

    def _remembered(self, environment: str) -> list[Release]:
        releases = []
        for path in sorted(self._home(environment).glob("[!.]*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                facts = json.loads(path.read_text(encoding="utf-8"))
                releases.append(
                    Release(
                        name=path.stem,
                        key=CommitKey.parse(facts["key"]),
                        artefact=facts["artefact"],
                        artefact_digest=facts["artefact_digest"],
                        host="127.0.0.1",
                        port=facts["port"],
                        runtime="process",
                        process_id=facts["process_id"],
                        started_ticks=facts["started_ticks"],
                    )
                )
        return releases


def _release(facts: ProcessFacts) -> Release | None:
    """The release that a marked process says it is; a migration and anything odd gets a name only
    for stopping it.
    """
    marks = facts.variables
    try:
        key = CommitKey.parse(marks.get("AGENTCI_KEY", f"unknown@{'0' * 40}"))
        port = int(marks.get("AGENTCI_PORT", "0"))
    except ValueError:
        key, port = CommitKey("unknown", "0" * 40), 0
    name = marks.get("AGENTCI_RELEASE", "")
    if not _NAME.fullmatch(name):
        return None
    return Release(
        name=name,
        key=key,
        artefact=marks.get("AGENTCI_ARTEFACT", ""),
        artefact_digest=marks.get("AGENTCI_DIGEST", ""),
        host="127.0.0.1",
        port=port,
        runtime="process",
        process_id=facts.identity.process_id,
        started_ticks=facts.identity.started_ticks,
    )


def _identity(release: Release) -> ProcessIdentity | None:
    if release.process_id is None or release.started_ticks is None:
        return None
    return ProcessIdentity(release.process_id, release.started_ticks)


def _awaited(identity: ProcessIdentity, timeout: timedelta) -> str:
    """Wait for the migrations; returns why they failed, empty when they went well."""
    try:
        status = wait_for(identity, timeout)
    except subprocess.TimeoutExpired:
        return f"did not end within {timeout.total_seconds():g} s"
    return "" if status == 0 else f"ended with status {status}"


def _app(image: Image) -> Path:
    if image.kind is not ImageKind.BUNDLE:
        raise InfrastructureError(
            f"The process target runs bundles, not {image.kind}.", "set deploy.target to docker"
        )
    app = Path(image.reference) / "app"
    if not app.is_dir():
        raise InfrastructureError(
            f"The artefact {image.reference} is gone or incomplete: it has no app folder.",
            "run the commit's image asset again",
        )
    return app


def _python(image: Image) -> Path:
    path = Path(image.reference) / "env" / "bin" / "python"
    # A link into a virtual environment: Python finds its packages only from the link's own target.
    while path.is_symlink() and not (path.parent.parent / "pyvenv.cfg").exists():
        path = path.parent / path.readlink()
    return path


def _import_path(image: Image) -> str:
    """What the tests had on their import path. The roots are a commit's words, so what leads out
    of its source tree is left out.
    """
    bundle = Path(image.reference)
    app = (bundle / "app").resolve()
    try:
        manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        roots = [(app / root).resolve() for root in manifest["import_roots"]]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InfrastructureError(
            f"The bundle {bundle} is damaged: {error}.", "run the commit's image asset again"
        ) from error
    places = [(bundle / "overlay").resolve(), *(r for r in roots if r.is_relative_to(app))]
    return os.pathsep.join(str(p) for p in places if p.is_dir() and os.pathsep not in str(p))


def _filled(command: Sequence[str], image: Image, port: int) -> list[str]:
    python = str(_python(image))
    return [part.replace("{python}", python).replace("{port}", str(port)) for part in command]


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())[-16:] or "none"
