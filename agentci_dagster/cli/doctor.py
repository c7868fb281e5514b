"""`agentci doctor`: what this machine has, what is missing, and how to mend it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from agentci_dagster.cli.exits import Exit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, print_json, print_table
from agentci_dagster.domain.errors import AgentCIError

if TYPE_CHECKING:
    from agentci_dagster.resources import Resources

_FREE_GIB = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `is_needed`: AgentCI cannot work without it."""

    name: str
    is_fine: bool
    is_needed: bool
    found: str
    remedy: str


def doctor(as_json: JsonFlag = False, config: ConfigOption = "") -> None:
    """Say what is missing on this machine and how to mend it."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    findings = [look(resources) for look in _LOOKS]
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        print_table(
            "AgentCI on this machine",
            ("", "what", "found", "to mend it"),
            [(_sign(f), f.name, f.found, "" if f.is_fine else f.remedy) for f in findings],
        )
    if any(f.is_needed and not f.is_fine for f in findings):
        raise typer.Exit(Exit.INFRASTRUCTURE)


def _sign(finding: Finding) -> str:
    if finding.is_fine:
        return "ok"
    return "MISSING" if finding.is_needed else "without"


def _python(_: Resources) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), True, version, "install Python 3.11+")


def _git(_: Resources) -> Finding:
    found = _version("git", "--version")
    return Finding("git", bool(found), True, found or "none", "install git 2.30 or newer")


def _sandbox(_: Resources) -> Finding:
    from agentci_dagster.adapters.sandbox import Sandbox
    from agentci_dagster.domain.selection import Isolation

    isolation = Sandbox().isolation
    return Finding(
        "sandbox (bubblewrap)",
        isolation is Isolation.STRONG,
        False,
        f"{isolation.value} isolation",
        "install bubblewrap and allow user namespaces; until then isolation is weak",
    )


def _haproxy(_: Resources) -> Finding:
    from agentci_dagster.adapters.haproxy_router import haproxy_binary

    try:
        found = haproxy_binary()
    except AgentCIError as error:
        return Finding("HAProxy", False, True, error.message, error.next_step)
    return Finding("HAProxy", True, True, _version(found, "-v") or found, "")


def _docker(resources: Resources) -> Finding:
    program = resources.docker.program
    return Finding(
        "Docker with BuildKit",
        not program.trouble,
        False,
        program.trouble or program.path,
        "optional: bundles are built instead of images",
    )


def _ledger(resources: Resources) -> Finding:
    try:
        n_events = resources.ledger.verify()
    except AgentCIError as error:
        return Finding("ledger", False, True, error.message, error.next_step)
    return Finding("ledger", True, True, f"{n_events} events, hash chain whole", "")


def _disk(resources: Resources) -> Finding:
    folder = resources.settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    return Finding("disk", free >= _FREE_GIB, True, f"{free:.1f} GiB free", "make room")


def _repositories(resources: Resources) -> Finding:
    names = ", ".join(resources.catalogue.repositories)
    return Finding(
        "repositories", bool(names), False, names or "none configured", "write agentci.toml"
    )


def _llm(resources: Resources) -> Finding:
    llm = resources.settings.llm
    found = f"{llm.model} at {llm.base_url}" if llm else "none configured"
    return Finding("language model", llm is not None, False, found, "optional: add [llm]")


_LOOKS: tuple[Callable[[Resources], Finding], ...] = (
    _python, _git, _sandbox, _haproxy, _docker, _ledger, _disk, _repositories, _llm,
)  # fmt: skip


def _version(program: str, flag: str) -> str:
    from agentci_dagster.adapters.command import run

    if shutil.which(program) is None:
        return ""
    done = run([program, flag], timeout=timedelta(seconds=10))
    return done.stdout.decode(errors="replace").split("\n", 1)[0].strip()
