"""Values of writing tests: candidates, findings and what was kept of them."""

from __future__ import annotations

from dataclasses import dataclass

from agentci_dagster.domain.selection.values import Isolation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed test: a complete pytest module that tests one function."""

    name: str
    target: str
    """`path::qualified_name` of the function under test."""
    source: str
    writer: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A crash on ordinary input, with a ready failing test."""

    target: str
    example: str
    """The call as an expression, for instance `average([])`."""
    exception: str
    message: str
    test_source: str


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many candidates were left after each question of the judge, in this order."""

    n_proposed: int = 0
    n_parsed: int = 0
    n_passed: int = 0
    n_stable: int = 0
    n_kept: int = 0


@dataclass(frozen=True, slots=True)
class GeneratedTests:
    """The tests kept for a commit and the crashes found; `note` says why when there are none."""

    kept: tuple[Candidate, ...]
    findings: tuple[Finding, ...]
    funnel: Funnel
    targets: tuple[str, ...]
    isolation: Isolation
    seconds: float
    note: str
