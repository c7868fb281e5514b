"""The gates: what stops, why, what to do; and that a doubt is said without stopping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentci_dagster.domain.gates import Approval, image_gate, risk_gate, test_gate
from agentci_dagster.domain.image import Image, ImageKind, SchemaFinding
from agentci_dagster.domain.risk import Advice, RiskBand, RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import (
    Isolation,
    SelectionMode,
    TestPlan,
    TestReport,
    TestVerdict,
)
from tests.builders import features, key

SCORE = RiskScore(
    key=key(),
    probability=0.7,
    band=RiskBand.CRITICAL,
    route=Route.HOLD,
    reasons=("many lines", "new author", "late", "far spread"),
    guard_rules=("changes a migration",),
    advice=Advice(),
    model_version="prior",
    features=features(),
    contributions=(),
)
REPORT = TestReport(
    key=key(),
    verdict=TestVerdict.PASSED,
    plan=TestPlan(SelectionMode.ALL, ("test_a.py",), (), 1),
    n_passed=1,
    n_failed=0,
    n_skipped=0,
    n_generated=0,
    failures=(),
    coverage=None,
    seconds=1.0,
    isolation=Isolation.STRONG,
    summary="1 tests passed.",
)
IMAGE = Image(ImageKind.BUNDLE, "bundles/1", "1", (), 1.0, "")
YES = Approval(is_approved=True, by="ada", reason="looked at it")
NO = Approval(is_approved=False, by="ada", reason="not on a Friday")


def test_held_commit_stops_with_its_strongest_reasons_and_the_command() -> None:
    decision = risk_gate(SCORE, None)

    assert not decision.is_open
    assert decision.reason == (
        "held for a person at risk 70%: changes a migration; many lines; new author"
    )
    assert decision.next_step == f'agentci approve {key()} --reason "…"'


def test_approval_opens_the_gate_and_names_the_person() -> None:
    decision = risk_gate(SCORE, YES)

    assert decision.is_open
    assert decision.reason == "approved by ada: looked at it"


@pytest.mark.parametrize("route", Route)
def test_rejection_stops_on_every_route(route: Route) -> None:
    decision = risk_gate(replace(SCORE, route=route), NO)

    assert not decision.is_open
    assert decision.reason == "rejected by ada: not on a Friday"


@pytest.mark.parametrize("route", [r for r in Route if r is not Route.HOLD])
@pytest.mark.parametrize("approval", [None, YES])
def test_other_routes_need_no_person(route: Route, approval: Approval | None) -> None:
    decision = risk_gate(replace(SCORE, route=route), approval)

    assert decision.is_open
    assert not decision.is_warning
    assert route.value in decision.reason


def test_failed_tests_stop() -> None:
    report = replace(REPORT, verdict=TestVerdict.FAILED, summary="Failed: test_a.")

    decision = test_gate(report)

    assert not decision.is_open
    assert decision.reason == "Failed: test_a."
    assert str(key()) in decision.next_step


def test_tests_that_exist_and_could_not_be_run_stop() -> None:
    report = replace(REPORT, verdict=TestVerdict.INCONCLUSIVE, summary="No pytest.")

    decision = test_gate(report)

    assert not decision.is_open
    assert decision.reason == "the tests could not be run: No pytest."
    assert "doctor" in decision.next_step


def test_repository_without_tests_goes_on_with_a_doubt() -> None:
    plan = TestPlan(SelectionMode.ALL, (), (), 0)

    decision = test_gate(replace(REPORT, verdict=TestVerdict.INCONCLUSIVE, plan=plan))

    assert decision.is_open
    assert decision.is_warning


@pytest.mark.parametrize("verdict", [TestVerdict.PASSED, TestVerdict.NOT_NEEDED])
def test_passed_and_not_needed_tests_go_on_without_doubt(verdict: TestVerdict) -> None:
    decision = test_gate(replace(REPORT, verdict=verdict))

    assert decision.is_open
    assert not decision.is_warning


def test_failed_build_stops() -> None:
    decision = image_gate(replace(IMAGE, failure="no such package"))

    assert not decision.is_open
    assert decision.reason == "build failed: no such package"


def test_query_that_no_migration_answers_stops_and_is_shown() -> None:
    finding = SchemaFinding("shop/db.py", 7, "SELECT age", "no column age")

    decision = image_gate(replace(IMAGE, schema_findings=(finding, finding)))

    assert not decision.is_open
    assert decision.reason == "shop/db.py:7: no column age, and no migration creates it"
    assert "migration" in decision.next_step


def test_built_artefact_goes_on() -> None:
    assert image_gate(IMAGE).reason == "bundle ready"
    assert image_gate(replace(IMAGE, note="reused")).reason == "reused"
    assert image_gate(IMAGE).is_open
