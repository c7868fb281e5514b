"""A pass on the very same tree stands; anything less does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentci_dagster.domain.selection import (
    SelectionMode,
    TestPlan,
    TestReport,
    TestVerdict,
    without_what_passed,
)
from tests.domain.test_gates import REPORT

ALL = TestPlan(SelectionMode.ALL, ("a", "b"), ("all",), 2)
ONE = TestPlan(SelectionMode.SELECTED, ("a",), ("one",), 2)
NONE = TestPlan(SelectionMode.NONE, (), ("none",), 2)
PASSED: TestReport = replace(REPORT, verdict=TestVerdict.PASSED, plan=ALL, seconds=12.5)


@pytest.mark.parametrize(
    ("asked", "had"),
    [(ALL, ALL), (ONE, ALL), (ONE, ONE), (ONE, replace(ONE, test_files=("b", "a")))],
)
def test_tests_that_passed_on_the_same_tree_are_not_run_again(asked, had):
    plan = without_what_passed(asked, [replace(PASSED, plan=had)])

    assert (plan.mode, plan.test_files) == (SelectionMode.NONE, ())
    assert plan.reasons[0].endswith("which saves 12.5 s.")
    assert plan.n_known == 2


@pytest.mark.parametrize(
    "report",
    [
        replace(PASSED, verdict=TestVerdict.FAILED),
        replace(PASSED, verdict=TestVerdict.NOT_NEEDED),
        replace(PASSED, flaky=("t",)),
        replace(PASSED, preexisting=("t",)),
        replace(PASSED, plan=replace(ONE, test_files=("b",))),
        replace(PASSED, plan=NONE),
    ],
)
def test_anything_less_than_a_plain_pass_of_all_of_them_is_no_reason(report):
    assert without_what_passed(ONE, [report]) is ONE


def test_selected_tests_do_not_stand_for_all_and_any_commit_may_help():
    selected = replace(PASSED, plan=replace(ONE, test_files=("a", "b")))

    assert without_what_passed(ALL, [selected]) is ALL
    assert without_what_passed(ALL, [selected, PASSED]).mode is SelectionMode.NONE
    assert without_what_passed(ALL, []) is ALL


def test_plan_without_tests_stays_as_it_is():
    assert without_what_passed(NONE, [PASSED]) is NONE
