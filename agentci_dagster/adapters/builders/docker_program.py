"""Which docker program on this machine can build with BuildKit, and what a daemon is asked shortly.

Building belongs to `docker.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agentci_dagster.adapters.command import clean_environment, run
from agentci_dagster.domain.errors import InfrastructureError

ASK_TIMEOUT = timedelta(seconds=10)
_FIRST_WITHOUT_BUILDKIT = 23
"""From this version on the program builds only through the separate buildx."""


@dataclass(frozen=True, slots=True)
class DockerProgram:
    """A docker program that can build with BuildKit, or why there is none."""

    path: str
    trouble: str = ""

    def ask(self, *arguments: str) -> str:
        """What it answers; empty when it refuses."""
        done = run([self.path, *arguments], timeout=ASK_TIMEOUT)
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def find_docker(candidates: Sequence[str] | None = None) -> DockerProgram:
    """The first of the programs, by default those on PATH, that can build with BuildKit; asks each
    for its daemon.
    """
    troubles = []
    for path in _on_path() if candidates is None else candidates:
        trouble = _trouble_of(path)
        if not trouble:
            return DockerProgram(path)
        troubles.append(f"{path}: {trouble}")
    return DockerProgram("", "; ".join(troubles) or "there is no docker program on PATH")


def _trouble_of(path: str) -> str:
    try:
        versions = run(
            [path, "version", "--format", "{{.Server.Version}} {{.Client.Version}}"],
            timeout=ASK_TIMEOUT,
        )
        server, _, client = versions.stdout.decode("utf-8", "replace").strip().partition(" ")
        if versions.returncode or not server:
            said = versions.stderr.decode("utf-8", "replace").strip().splitlines()
            return said[-1][:200] if said else "no daemon answers"
        major = re.match(r"\d+", client)
        if major and int(major[0]) < _FIRST_WITHOUT_BUILDKIT:
            return ""
        buildx = run([path, "buildx", "version"], timeout=ASK_TIMEOUT)
        return "buildx is missing" if buildx.returncode else ""
    except InfrastructureError as error:
        return error.message


def _on_path() -> list[str]:
    """Every docker program on PATH, each once."""
    found: dict[str, str] = {}
    for folder in clean_environment().get("PATH", "").split(os.pathsep):
        path = Path(folder or ".") / "docker"
        if path.is_absolute() and os.access(path, os.X_OK):
            found.setdefault(str(path.resolve()), str(path))
    return list(found.values())
