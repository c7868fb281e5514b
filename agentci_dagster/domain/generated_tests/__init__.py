"""Tests written for what a diff adds: where to aim, how a test reads, what is kept."""

from __future__ import annotations

from agentci_dagster.domain.generated_tests.handover import as_files, as_patch
from agentci_dagster.domain.generated_tests.rendering import (
    Case,
    Crash,
    Outcome,
    render_finding,
    render_module,
)
from agentci_dagster.domain.generated_tests.targets import Shape, Target, Targets, choose_targets
from agentci_dagster.domain.generated_tests.values import (
    Candidate,
    Finding,
    Funnel,
    GeneratedTests,
)

__all__ = [
    "Candidate",
    "Case",
    "Crash",
    "Finding",
    "Funnel",
    "GeneratedTests",
    "Outcome",
    "Shape",
    "Target",
    "Targets",
    "as_files",
    "as_patch",
    "choose_targets",
    "render_finding",
    "render_module",
]
