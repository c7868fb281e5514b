"""The repository's own tests: which of them a diff asks for, and what running them found."""

from __future__ import annotations

from agentci_dagster.domain.selection.before import is_red, set_old_aside, suspects
from agentci_dagster.domain.selection.choosing import SelectionPolicy, choose_tests, is_test_file
from agentci_dagster.domain.selection.import_graph import dependents, module_name
from agentci_dagster.domain.selection.judging import diff_coverage, judge
from agentci_dagster.domain.selection.values import (
    UNBELIEVED,
    Isolation,
    LineCoverage,
    SelectionMode,
    TestFailure,
    TestPlan,
    TestReport,
    TestRun,
    TestVerdict,
)

__all__ = [
    "UNBELIEVED",
    "Isolation",
    "LineCoverage",
    "SelectionMode",
    "SelectionPolicy",
    "TestFailure",
    "TestPlan",
    "TestReport",
    "TestRun",
    "TestVerdict",
    "choose_tests",
    "dependents",
    "diff_coverage",
    "is_red",
    "is_test_file",
    "judge",
    "module_name",
    "set_old_aside",
    "suspects",
]
