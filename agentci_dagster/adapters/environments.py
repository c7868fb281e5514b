"""Python environments for checkouts, made by uv and kept by the hash of what decides their content.

Only wheels are installed, so no code of a package or of the commit runs here; and once anything is
installed, the
environment's interpreter is only ever started inside the sandbox: a wheel may carry `.pth` files
that run code at start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from agentci_dagster.adapters.access import make_readable
from agentci_dagster.adapters.command import clean_environment
from agentci_dagster.adapters.project_files import Project, read_project
from agentci_dagster.adapters.sandbox import Limits, Sandbox
from agentci_dagster.domain.errors import SandboxError

_TOOLS = ("pytest", "coverage", "hypothesis")
_INSTALL_TIMEOUT_S = 600
_COMPILE_LIMITS = Limits(timeout_s=300, written_bytes=4 << 30)
_RETRY_AFTER_S = 600.0
"""How long an environment that could not be completed is used before it is tried again."""
_LAYOUT = "3"
"""Raised when the way of building changes, so that old environments are not taken for new ones."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with a checkout's dependencies; `trouble` says why they are incomplete,
    else empty.
    """

    python: Path
    digest: str
    is_reused: bool
    seconds: float
    import_roots: tuple[str, ...]
    trouble: str
    project: Project
    read_only: tuple[Path, ...]
    """What the sandbox must be able to read."""
    build_seconds: float = 0.0
    """What making it took when it was made."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One set of requirements to try, from all to nothing."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    left_out: str


class Environments:
    """Makes environments and keeps them.

    Args:
        folder: where environments are kept, one folder per digest.
        tools_folder: where the test tools are kept, one folder per set of versions.
        sandbox: compiles what was installed.
    """

    def __init__(self, folder: Path, tools_folder: Path, sandbox: Sandbox | None = None) -> None:
        self._folder = folder
        self._tools_folder = tools_folder
        self._sandbox = sandbox or Sandbox()

    def prepare(self, checkout: Path) -> Environment:
        """The environment for a checkout, from the cache when nothing that decides it has changed.

        Raises:
            SandboxError: no environment at all could be made (disk full, no uv).
        """
        started = time.monotonic()
        project = read_project(checkout)
        tools = self.tools()
        content = self._digest(checkout, project, tools)
        with _locked(self._folder / f"{content}.lock"):
            home, following = self._generations(content)
            known = home
            if home is None or _is_due(home):
                home = self._build(checkout, project, tools, home, following)
        # Tells when it was last used, for whoever clears away.
        os.utime(home)
        trouble = (home / "trouble").read_text() if (home / "trouble").exists() else ""
        return Environment(
            python=home / "venv" / "bin" / "python",
            digest=home.name,
            is_reused=home == known,
            seconds=time.monotonic() - started,
            import_roots=project.import_roots,
            trouble=trouble,
            project=project,
            read_only=(home, tools),
            build_seconds=_read_number(home / "build_seconds", 0.0),
        )

    def tools(self) -> Path:
        """The test tools of AgentCI's own installation, copied once, for the end of an
        environment's import path.
        """
        distributions = list(_closure(_TOOLS))
        text = "\n".join(sorted(f"{d.name}=={d.version}" for d in distributions))
        digest = _sha256(_LAYOUT, _this_python(), text)
        home = self._tools_folder / digest
        if home.exists():
            return home
        with _locked(self._tools_folder / f"{digest}.lock"):
            if not home.exists():
                self._copy_tools(distributions, home)
        return home

    def _copy_tools(self, distributions: Sequence[metadata.Distribution], home: Path) -> None:
        beside = home.with_name(f".{home.name}-{uuid.uuid4().hex[:8]}")
        for distribution in distributions:
            for file in distribution.files or ():
                # Without entry points no tool of ours hooks itself into the
                # repository's pytest; Hypothesis
                # would, and importing it takes longer than most small test runs.
                is_hook = file.suffix == ".pth" or file.name == "entry_points.txt"
                if is_hook or ".." in file.parts or "__pycache__" in file.parts:
                    continue
                target = beside / Path(*file.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), target)
        self._compile(beside)
        make_readable(beside)
        beside.rename(home)

    def _digest(self, checkout: Path, project: Project, tools: Path) -> str:
        parts = [_LAYOUT, _this_python(), tools.name, *project.requirements]
        parts += ["tests", *project.test_requirements, "lock", *project.constraints]
        for option in project.options:
            parts.append(option)
            if option.startswith("--find-links ") and "://" not in option:
                place = checkout / option.removeprefix("--find-links ")
                parts += [
                    f"{p.name} {_sha256(p.read_bytes())}"
                    for p in sorted(place.iterdir())
                    if p.is_file() and not p.is_symlink()
                ]
        return _sha256("\n".join(parts))

    def _generations(self, content: str) -> tuple[Path | None, Path]:
        """The last environment that was made for a content, and the place of the next one.

        A better one gets a place and a digest of its own: bundles and runs stand on the one before,
        so none is changed or removed here.
        """
        last, following = None, self._folder / content
        generation = 0
        while following.exists():
            generation += 1
            last, following = following, self._folder / _sha256(content, str(generation))
        return last, following

    def _build(
        self, checkout: Path, project: Project, tools: Path, known: Path | None, home: Path
    ) -> Path:
        """Make the environment at `home`; where it is no better than the known one, keep that."""
        started = time.monotonic()
        beside = home.with_name(f".{home.name}-{uuid.uuid4().hex[:8]}")
        troubles: list[str] = []
        n_failed = 0
        try:
            for attempt in _attempts(project):
                failure = self._try(checkout, project, attempt, beside)
                if not failure:
                    if troubles and attempt.left_out:
                        troubles.append(attempt.left_out)
                    break
                troubles.append(failure)
                n_failed += 1
            if known is not None and n_failed >= _read_number(known / "n_failed", 0):
                shutil.rmtree(beside, ignore_errors=True)
                os.utime(known / "trouble")
                return known
            site = next((beside / "venv" / "lib").glob("python*/site-packages"))
            # The last name in the alphabet: everything that the repository asks for
            # comes before our tools.
            (site / "zzz_agentci_tools.pth").write_text(f"{tools}\n")
            self._compile(site)
            if troubles:
                (beside / "trouble").write_text(" ".join(troubles)[:4000])
            (beside / "n_failed").write_text(str(n_failed))
            (beside / "build_seconds").write_text(f"{time.monotonic() - started:.3f}")
            make_readable(beside)
            beside.rename(home)
        except OSError as e:
            shutil.rmtree(beside, ignore_errors=True)
            raise SandboxError(
                f"The environment {home.name[:12]} could not be written ({e}).",
                "look for free disk space",
            ) from e
        return home

    def _try(self, checkout: Path, project: Project, attempt: _Attempt, beside: Path) -> str:
        """Make a fresh environment with an attempt's packages; returns what failed, in words."""
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        venv = beside / "venv"
        uv = _uv()
        made = _call(
            [uv, "venv", "--relocatable", "--no-project", "--python", self._sandbox.python, venv],
            beside,
        )
        if made:
            raise SandboxError(f"uv could not make an environment: {made}", "run `agentci doctor`")
        if not attempt.requirements:
            return ""
        (beside / "requirements.txt").write_text("\n".join(attempt.requirements) + "\n")
        (beside / "constraints.txt").write_text("\n".join(attempt.constraints) + "\n")
        options = []
        for option in project.options:
            flag, _, value = option.partition(" ")
            local = flag == "--find-links" and "://" not in value
            options += [flag, *([str(checkout / value) if local else value] if value else [])]
        return _call(
            [
                *(uv, "pip", "install", "--python", venv / "bin" / "python", "--quiet"),
                *("--only-binary", ":all:", "-r", "requirements.txt", "-c", "constraints.txt"),
                *options,
            ],
            beside,
        )

    def _compile(self, folder: Path) -> None:
        """Compile to byte-code, once for all later runs, without starting the environment's
        interpreter.
        """
        argv = [str(self._sandbox.python), "-I", "-S", "-m", "compileall", "-q", str(folder)]
        result = self._sandbox.run(argv, folder=folder, limits=_COMPILE_LIMITS)
        if result.stopped_for:
            raise SandboxError(
                f"Compiling {folder} was stopped by the limit on {result.stopped_for}.",
                "try again when the machine is less busy",
            )


def write_overlay(folder: Path, checkout: Path, project: Project) -> None:
    """What installing the project would have added: its metadata, and version files that a build
    writes.

    Args:
        folder: goes on the import path.
        checkout: the throwaway copy, which gets the version files.
        project: whose metadata is written; without a name there is none.
    """
    version = project.version or "0.0.0"
    folder.mkdir(parents=True, exist_ok=True)
    if project.name:
        stem = re.sub(r"[-_.]+", "_", project.name)
        info = folder / f"{stem}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project.name}\nVersion: {version}\n"
        )
        lines = []
        for group, points in project.entry_points.items():
            lines += [f"[{group}]", *(f"{k} = {v}" for k, v in points.items()), ""]
        (info / "entry_points.txt").write_text("\n".join(lines))
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    for name in project.version_files:
        path = checkout / name
        is_inside = path.parent.resolve().is_relative_to(checkout.resolve())
        if is_inside and path.parent.is_dir() and not os.path.lexists(path):
            path.write_text(
                f'__version__ = version = "{version}"\n'
                f"__version_tuple__ = version_tuple = {numbers}\n"
                "__commit_id__ = commit_id = None\n"
            )


def _attempts(project: Project) -> Iterator[_Attempt]:
    """Everything; then without the lock's versions; then without the test dependencies; then
    nothing.
    """
    everything = tuple(dict.fromkeys([*project.requirements, *project.test_requirements]))
    yield _Attempt(everything, project.constraints, "")
    if project.constraints and everything:
        yield _Attempt(everything, (), "Installed without the versions of the lock.")
    if project.test_requirements:
        yield _Attempt(project.requirements, project.constraints, "Left out: what the tests need.")
    if project.requirements:
        yield _Attempt((), (), "Nothing was installed; mend the requirements or the network.")


def _closure(names: Sequence[str]) -> Iterator[metadata.Distribution]:
    """Distributions of our own installation with all that they need here."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as e:
            if name in names:
                raise SandboxError(
                    f"AgentCI's own installation lacks {name}.", f"install {name}"
                ) from e
            continue
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
        yield distribution


def _is_due(home: Path) -> bool:
    """Whether an incomplete environment has been used long enough to be tried again."""
    try:
        return time.time() - (home / "trouble").stat().st_mtime >= _RETRY_AFTER_S
    except FileNotFoundError:
        return False


def _read_number(place: Path, default: float) -> float:
    try:
        return float(place.read_text())
    except (FileNotFoundError, ValueError):
        return default


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time, across processes; the lock goes with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _call(argv: Sequence[str | Path], folder: Path) -> str:
    """Run uv; returns the end of its complaint, empty when it went well."""
    try:
        done = subprocess.run(
            [str(a) for a in argv],
            cwd=folder,
            env=_variables(),
            capture_output=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"uv did not end within {_INSTALL_TIMEOUT_S} s."
    if done.returncode == 0:
        return ""
    words = done.stderr.decode("utf-8", "replace").replace(str(folder), "")
    return f"uv failed: {' '.join(words.split())[:600]}"


def _variables() -> dict[str, str]:
    """What uv inherits: nothing that tells it, or a git that it starts, what to do."""
    kept = {k: v for k, v in clean_environment().items() if not k.startswith("UV_")}
    return kept | {"UV_NO_CONFIG": "1", "UV_NO_BUILD": "1"}


def _uv() -> Path:
    from uv import find_uv_bin

    try:
        return Path(find_uv_bin())
    except FileNotFoundError as e:
        raise SandboxError("The program uv is missing.", "install the package uv") from e


def _this_python() -> str:
    return f"{sys.implementation.cache_tag} {platform.machine()} {platform.python_version()}"


def _sha256(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()
