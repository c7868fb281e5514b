"""The gates as blocking asset checks; the verdict on a release, and drift, as checks that stop
nothing. Deciding: `domain/gates.py`, `domain/learning/drift.py`.
"""

import dagster as dg

from agentci_dagster.domain.gates import GateDecision, image_gate, risk_gate, test_gate
from agentci_dagster.domain.health import HealthReport, Verdict
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.learning import (
    LearningPolicy,
    Steadiness,
    TrainingRows,
    calibration_steady,
    drift,
    features_steady,
    rate_steady,
    split_by_time,
)
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


@dg.asset_check(asset="training_set")
def commits_look_as_before(
    training_set: TrainingRows, learning_policy: dg.ResourceParam[LearningPolicy]
) -> dg.AssetCheckResult:
    """The latest commits have features like those of the commits before them (PSI)."""
    found = drift(split_by_time(training_set.rows, learning_policy), learning_policy)
    return _told(features_steady(found, learning_policy))


@dg.asset_check(asset="training_set")
def failures_are_as_frequent(
    training_set: TrainingRows, learning_policy: dg.ResourceParam[LearningPolicy]
) -> dg.AssetCheckResult:
    """The latest commits fail about as often as the commits before them."""
    found = drift(split_by_time(training_set.rows, learning_policy), learning_policy)
    return _told(rate_steady(found, learning_policy))


@dg.asset_check(asset="training_set")
def scores_keep_their_word(
    training_set: TrainingRows, learning_policy: dg.ResourceParam[LearningPolicy]
) -> dg.AssetCheckResult:
    """About as many of the latest commits failed as their scores promised when they arrived."""
    found = drift(split_by_time(training_set.rows, learning_policy), learning_policy)
    return _told(calibration_steady(found, learning_policy))


GATES = (
    risk_is_accepted,
    tests_allow_delivery,
    image_is_deployable,
    release_is_healthy,
    commits_look_as_before,
    failures_are_as_frequent,
    scores_keep_their_word,
)


def _told(found: Steadiness) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=found.is_steady,
        severity=dg.AssetCheckSeverity.WARN,
        description=clean_text(found.in_words, 500),
    )


def _result(decision: GateDecision) -> dg.AssetCheckResult:
    text = decision.reason + (f" Next: {decision.next_step}" if decision.next_step else "")
    return dg.AssetCheckResult(
        passed=decision.is_open and not decision.is_warning,
        severity=_severity(decision),
        description=clean_text(text, 1_000),
    )


def _severity(decision: GateDecision) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if decision.is_open else dg.AssetCheckSeverity.ERROR
