"""The artefact without Docker: a source tree and its environment, in a folder named by its content.

    <folder>/<repository>/<digest>/   app/  overlay/  env -> environment  bundle.json

The overlay is what installing the project would have added, as the tests have it too.

What environments cost is kept in `<folder>/<repository>/environments/`; they are made elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from agentci_dagster.adapters.environments import write_overlay
from agentci_dagster.adapters.project_files import Project
from agentci_dagster.adapters.sandbox import Limits, Sandbox
from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind, Layer, LayerKind, touched_layers
from agentci_dagster.ports import Mirrors

_LAYOUT = 2
"""Raised when the way of building changes, so that old bundles are not taken for new ones."""
_LEFT_BEHIND_S = 3600.0
_COMPILE_LIMITS = Limits(timeout_s=120)
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'")
"""What uv quotes is a requirement or an address, and so the commit's own words."""
# Phrases with a blank in them, which no name of a package has.
_UNREACHABLE = re.compile(
    r"error sending request|failed to fetch|could not connect|connection (?:refused|reset)"
    r"|dns error|network (?:is unreachable|was disabled)|timed out|did not end within"
    r"|\b5\d\d (?:internal|bad gateway|service|gateway)|no space left|read-only file system"
    r"|permission denied|peer certificate|certificate (?:verify|has expired|not valid)",
    re.IGNORECASE,
)
_MAX_NOTES = 10
_ONLY_TESTS = "Left out: what the tests need."


class PreparedEnvironment(Protocol):
    """What is asked of an environment; `environments.Environment` has it."""

    @property
    def python(self) -> Path: ...
    @property
    def digest(self) -> str: ...
    @property
    def is_reused(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    @property
    def build_seconds(self) -> float: ...
    @property
    def import_roots(self) -> tuple[str, ...]: ...
    @property
    def trouble(self) -> str: ...
    @property
    def project(self) -> Project: ...


class PreparesEnvironments(Protocol):
    """Who makes environments; `environments.Environments` does."""

    def prepare(self, checkout: Path) -> PreparedEnvironment: ...


class Blame(StrEnum):
    """Whose fault an incomplete environment is."""

    NOBODY = "nobody"
    COMMIT = "commit"
    MACHINE = "machine"


def blame(trouble: str) -> Blame:
    """Whose fault uv tells of: what is out of reach is ours, what has no solution is not."""
    if not trouble or trouble.endswith(_ONLY_TESTS):
        return Blame.NOBODY
    is_ours = _UNREACHABLE.search(_QUOTED.sub("", trouble))
    return Blame.MACHINE if is_ours else Blame.COMMIT


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a layer took when it was last made."""

    seconds: float
    size_bytes: int


class BundleBuilder:
    """Builds bundles; the same tree and environment give the same folder, made once.

    Args:
        folder: where bundles are kept.
        mirrors: where trees come from.
        environments: makes the environment of a checkout.
        is_service: whether a repository's bundle will be run; a library's may lack dependencies.
        sandbox: compiles the source tree to byte-code.
    """

    def __init__(
        self,
        folder: Path,
        mirrors: Mirrors,
        environments: PreparesEnvironments,
        is_service: Callable[[str], bool] = lambda _: True,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._mirrors = mirrors
        self._environments = environments
        self._is_service = is_service
        self._sandbox = sandbox or Sandbox()

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        began = time.monotonic()
        mirror = self._mirrors.of(key.repository)
        commit = mirror.commit(key.sha)
        home = self._folder / key.repository
        with _scratch(home, key) as beside:
            app = beside / "app"
            app.mkdir()
            mirror.export(key.sha, app)
            exported_s = time.monotonic() - began
            environment = self._environments.prepare(app)
            fault = blame(environment.trouble)
            if self._is_service(key.repository) and fault is Blame.MACHINE:
                raise InfrastructureError(
                    f"The environment of {key} could not be made: {environment.trouble}",
                    "look at the network and the disk, then run the image asset again",
                )
            if self._is_service(key.repository) and fault is Blame.COMMIT:
                return _failed(environment, time.monotonic() - began)
            return self._finish(
                _Draft(key, commit, diff, home, beside, environment, began, exported_s),
                _note(environment),
            )

    def _finish(self, draft: _Draft, note: str) -> Image:
        digest = draft.digest()
        final = draft.home / digest
        environment_layer = self._environment_layer(draft)
        if final.is_dir():
            application = _application_of(final)
            # Tells when it was last used, for whoever clears away.
            os.utime(final)
        else:
            application = self._make(draft, final, environment_layer)
        return Image(
            kind=ImageKind.BUNDLE,
            reference=str(final),
            digest=f"sha256:{digest}",
            layers=(environment_layer, application),
            seconds=time.monotonic() - draft.began,
            note=note,
        )

    def _make(self, draft: _Draft, final: Path, environment_layer: Layer) -> Layer:
        """Complete the draft and give it its name; another builder may have been faster."""
        began = time.monotonic()
        (draft.beside / "env").symlink_to(draft.environment.python.parent.parent)
        write_overlay(draft.beside / "overlay", draft.beside / "app", draft.environment.project)
        size_bytes = _size(draft.beside / "app")
        self._compile(draft.beside / "app")
        layer = Layer(
            name=LayerKind.APPLICATION.value,
            digest=draft.commit.tree,
            is_reused=False,
            why=draft.why(LayerKind.APPLICATION),
            seconds=draft.exported_s + time.monotonic() - began,
            size_bytes=size_bytes,
            last_cost_s=draft.exported_s + time.monotonic() - began,
        )
        manifest = draft.manifest() | {"layers": [asdict(environment_layer), asdict(layer)]}
        (draft.beside / "bundle.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        try:
            draft.beside.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            return _application_of(final)
        return layer

    def _environment_layer(self, draft: _Draft) -> Layer:
        """The environment as a layer: new when no earlier bundle of the repository stands on it."""
        environment = draft.environment
        place = draft.home / "environments" / f"{environment.digest}.json"
        known = _read_cost(place)
        built_s = environment.build_seconds or environment.seconds
        cost = known or _Cost(built_s, _size(environment.python.parent.parent))
        is_reused = environment.is_reused and known is not None
        if not is_reused:
            cost = _Cost(built_s, cost.size_bytes)
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_beside(place, json.dumps(asdict(cost)))
        why = draft.why(LayerKind.ENVIRONMENT)
        if environment.is_reused and not is_reused:
            why += "; built when its tests were prepared"
        return Layer(
            name=LayerKind.ENVIRONMENT.value,
            digest=environment.digest,
            is_reused=is_reused,
            why=f"same lock as before ({why})" if is_reused else why,
            seconds=0.0 if is_reused else built_s,
            size_bytes=cost.size_bytes,
            last_cost_s=cost.seconds,
        )

    def _compile(self, app: Path) -> None:
        """Compile to byte-code once, without running any of it; what is broken stays as it is."""
        interpreter = str(self._sandbox.python)
        options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(app), "-p", "app"]
        argv = [interpreter, "-I", "-S", "-m", "compileall", *options, str(app)]
        result = self._sandbox.run(argv, folder=app, limits=_COMPILE_LIMITS)
        if result.stopped_for:
            raise InfrastructureError(
                f"Compiling {app} was stopped by the limit on {result.stopped_for}.",
                "try again when the machine is less busy",
            )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A bundle that is being made."""

    key: CommitKey
    commit: Commit
    diff: CommitDiff
    home: Path
    beside: Path
    environment: PreparedEnvironment
    began: float
    exported_s: float

    def digest(self) -> str:
        parts = f"{_LAYOUT} {self.commit.tree} {self.environment.digest}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        return {
            "layout": _LAYOUT,
            "repository": self.key.repository,
            "sha": self.key.sha,
            "tree": self.commit.tree,
            "environment_digest": self.environment.digest,
            "import_roots": list(self.environment.import_roots),
            "created": self.commit.committed_at.isoformat(),
        }

    def why(self, kind: LayerKind) -> str:
        return next(touch.why for touch in touched_layers(self.diff) if touch.kind is kind)


def _note(environment: PreparedEnvironment) -> str:
    """What the environment lacks, and which of the commit's lines were not followed."""
    lacks = f"The environment lacks something: {environment.trouble}" if environment.trouble else ""
    return " ".join(filter(None, [lacks, *environment.project.notes[:_MAX_NOTES]]))


def _failed(environment: PreparedEnvironment, seconds: float) -> Image:
    return Image(
        kind=ImageKind.BUNDLE,
        reference="",
        digest="",
        layers=(),
        seconds=seconds,
        note="",
        failure=f"the locked dependencies cannot be installed: {environment.trouble[:1500]}",
        log_tail=environment.trouble[-4000:],
    )


@contextmanager
def _scratch(home: Path, key: CommitKey) -> Iterator[Path]:
    """A folder beside the final ones, removed unless it was renamed."""
    beside = home / f".new-{uuid.uuid4().hex}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(home)
        beside.mkdir()
        yield beside
    except OSError as error:
        raise InfrastructureError(
            f"The bundle of {key} could not be written: {error}.",
            "look for free disk space, then run the image asset again",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _remove_left_behind(home: Path) -> None:
    """Remove what a builder that was killed has left."""
    for path in home.glob(".new-*"):
        try:
            is_old = time.time() - path.stat().st_mtime > _LEFT_BEHIND_S
        except FileNotFoundError:
            continue
        if is_old:
            shutil.rmtree(path, ignore_errors=True)


def _application_of(final: Path) -> Layer:
    """The application layer of a bundle that is there already."""
    try:
        manifest = json.loads((final / "bundle.json").read_text(encoding="utf-8"))
        layer = Layer(**manifest["layers"][1])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InfrastructureError(
            f"The bundle {final} is damaged: {error}.", f"remove it: rm -r {final}"
        ) from error
    return Layer(
        name=layer.name,
        digest=layer.digest,
        is_reused=True,
        why="the same tree was bundled before",
        seconds=0.0,
        size_bytes=layer.size_bytes,
        last_cost_s=layer.last_cost_s,
    )


def _read_cost(place: Path) -> _Cost | None:
    try:
        return _Cost(**json.loads(place.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write_beside(place: Path, text: str) -> None:
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(place)


def _size(folder: Path) -> int:
    """Bytes of the regular files below a folder; links are not followed."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
