"""Results that stand because they were found on the very same tree. What a commit asks for belongs
to `choosing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agentci_dagster.domain.selection.values import (
    SelectionMode,
    TestPlan,
    TestReport,
    TestVerdict,
)


def without_what_passed(plan: TestPlan, reports: Iterable[TestReport]) -> TestPlan:
    """The plan without its tests where another commit of the same tree passed all of them.

    Only a plain pass counts: no flaky tests, none that failed before, and no weaker plan. What is
    generated for the commit is run all the same.

    Args:
        plan: what the commit asks for.
        reports: of other commits whose tree has the same name, which is a digest of its content.
    """
    if plan.mode is SelectionMode.NONE:
        return plan
    for report in reports:
        if _covers(report, plan):
            why = (
                f"No tests: the same tree passed them as {report.key.sha[:12]}, which saves "
                f"{report.seconds:.1f} s."
            )
            return replace(plan, mode=SelectionMode.NONE, test_files=(), reasons=(why,))
    return plan


def _covers(report: TestReport, plan: TestPlan) -> bool:
    is_plain = not report.flaky and not report.preexisting
    if report.verdict is not TestVerdict.PASSED or not is_plain:
        return False
    if report.plan.mode is SelectionMode.ALL:
        return True
    is_selected = plan.mode is report.plan.mode is SelectionMode.SELECTED
    return is_selected and set(plan.test_files) <= set(report.plan.test_files)
