"""The repository's own tests: which of them a diff asks for, and what running them found."""

from __future__ import annotations

from agentci_dagster.domain.selection.before import (
    Before,
    Versions,
    blame_for_trouble,
    is_red,
    keep_open_findings,
    open_findings,
    set_gaps_aside,
    set_old_aside,
    suspects,
)
from agentci_dagster.domain.selection.choosing import (
    SelectionPolicy,
    all_tests,
    choose_tests,
    is_test_file,
)
from agentci_dagster.domain.selection.import_graph import dependents, module_name
from agentci_dagster.domain.selection.judging import diff_coverage, judge
from agentci_dagster.domain.selection.reuse import without_what_passed
from agentci_dagster.domain.selection.values import (
    LACKS_FIXTURE,
    LACKS_MODULE,
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
    "LACKS_FIXTURE",
    "LACKS_MODULE",
    "UNBELIEVED",
    "Before",
    "Isolation",
    "LineCoverage",
    "SelectionMode",
    "SelectionPolicy",
    "TestFailure",
    "TestPlan",
    "TestReport",
    "TestRun",
    "TestVerdict",
    "Versions",
    "all_tests",
    "blame_for_trouble",
    "choose_tests",
    "dependents",
    "diff_coverage",
    "is_red",
    "is_test_file",
    "judge",
    "keep_open_findings",
    "module_name",
    "open_findings",
    "set_gaps_aside",
    "set_old_aside",
    "suspects",
    "without_what_passed",
]
