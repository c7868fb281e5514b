"""The gates as blocking asset checks, and the verdict on a release as a check that stops nothing.
Deciding: `domain/gates.py`.
"""

import dagster as dg

from agentci_dagster.domain.gates import GateDecision, image_gate, risk_gate, test_gate
from agentci_dagster.domain.health import HealthReport, Verdict
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.selection import TestReport
from agentci_dagster.journeys import Journeys
from agentci_dagster.partitions import commits


@dg.asset_check(asset="risk_score", blocking=True, partitions_def=commits)
def risk_is_accepted(
    risk_score: RiskScore, journeys: dg.ResourceParam[Journeys]
) -> dg.AssetCheckResult:
    """A commit on route `hold` goes on only after a person has approved exactly this commit."""
    return _result(risk_gate(risk_score, journeys.approval(risk_score.key)))


@dg.asset_check(asset="test_report", blocking=True, partitions_def=commits)
def tests_allow_delivery(test_report: TestReport) -> dg.AssetCheckResult:
    """Red tests, a crash found by a generated test, or tests that could not be run withhold the
    commit.
    """
    return _result(test_gate(test_report))


@dg.asset_check(asset="image", blocking=True, partitions_def=commits)
def image_is_deployable(image: Image) -> dg.AssetCheckResult:
    """The artefact was built, and the migrated schema answers every query of the changed code."""
    return _result(image_gate(image))


@dg.asset_check(asset="health_report", partitions_def=commits)
def release_is_healthy(health_report: HealthReport) -> dg.AssetCheckResult:
    """The canary served as well as the baseline.

    After traffic has moved nothing is stopped by a check.
    """
    return dg.AssetCheckResult(
        passed=health_report.verdict is not Verdict.FAIL,
        severity=dg.AssetCheckSeverity.ERROR,
        description=clean_text(health_report.rule, 500),
    )


GATES = (risk_is_accepted, tests_allow_delivery, image_is_deployable, release_is_healthy)


def _result(decision: GateDecision) -> dg.AssetCheckResult:
    text = decision.reason + (f" Next: {decision.next_step}" if decision.next_step else "")
    return dg.AssetCheckResult(
        passed=decision.is_open and not decision.is_warning,
        severity=_severity(decision),
        description=clean_text(text, 1_000),
    )


def _severity(decision: GateDecision) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if decision.is_open else dg.AssetCheckSeverity.ERROR
