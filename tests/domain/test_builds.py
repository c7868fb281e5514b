"""What reuse saves, month by month."""

from __future__ import annotations

from datetime import UTC, datetime

from agentci_dagster.domain.outcome import DeployOutcome, StageTime
from agentci_dagster.domain.trends import BuildMonth, build_savings
from tests.builders import outcome


def built(n: int, month: int, seconds: float, saved: float) -> DeployOutcome:
    stages = (StageTime("test_report", 9.0), StageTime("image", seconds))
    at = datetime(2026, month, 5, 12, tzinfo=UTC)
    return outcome(n, stages=stages, seconds_saved=saved, settled_at=at)


def test_months_are_told_apart_in_order() -> None:
    found = build_savings([built(1, 4, 1.0, 30.0), built(2, 3, 5.0, 0.0), built(3, 3, 1.0, 10.0)])

    assert found.months == (
        BuildMonth("2026-03", 2, 1, 6.0, 3.0, 10.0),
        BuildMonth("2026-04", 1, 1, 1.0, 1.0, 30.0),
    )
    assert (found.n_builds, found.seconds_built, found.seconds_saved) == (3, 7.0, 40.0)


def test_commit_that_built_nothing_is_no_build() -> None:
    skipped, refused = built(1, 3, 0.0, 0.0), outcome(2, stages=())

    assert build_savings([skipped, refused]).months == ()
