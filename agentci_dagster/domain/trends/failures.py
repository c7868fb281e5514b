"""Where and why commits fail, over one window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.trends.control import control_chart
from agentci_dagster.domain.trends.figures import duration, rate
from agentci_dagster.domain.trends.heat import heat_map
from agentci_dagster.domain.trends.values import (
    CauseCount,
    FailureTrends,
    PathFailures,
    StageDuration,
    TrendPolicy,
)


def failure_trends(
    outcomes: Sequence[DeployOutcome], now: datetime, policy: TrendPolicy
) -> FailureTrends:
    """Failures among the commits settled in the window that ends at `now`; control chart and heat
    map look further back.

    A failure is one by the commit's own fault (label 1). `by_cause` counts every commit with a
    cause, also those that infrastructure or a person stopped. `by_path` counts labelled commits
    only: a folder's denominator is the commits that touched it and could be judged.
    """
    start = now - timedelta(days=policy.window_days)
    settled = [o for o in outcomes if start < o.settled_at <= now]
    return FailureTrends(
        window_start=start,
        window_end=now,
        n_commits=len(settled),
        n_failures=sum(o.label == 1 for o in settled),
        by_cause=_counts(o.cause.value for o in settled if o.cause),
        by_path=_by_path(settled, policy),
        by_day=_by_day(settled),
        by_ending=_counts(o.ending.value for o in settled),
        by_route=_counts(o.route.value for o in settled if o.route),
        stages=_stages(settled),
        seconds_saved=sum(o.seconds_saved for o in settled),
        control=control_chart(outcomes, now, policy),
        heat=heat_map(outcomes, now, policy),
    )


def _counts(names: Iterable[str]) -> tuple[CauseCount, ...]:
    counted = Counter(names)
    return tuple(
        CauseCount(name, n) for name, n in sorted(counted.items(), key=lambda c: (-c[1], c[0]))
    )


def _by_path(outcomes: Sequence[DeployOutcome], policy: TrendPolicy) -> tuple[PathFailures, ...]:
    touched: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.label is None:
            continue
        folders = {_folder(path) for path in outcome.paths}
        touched.update(folders)
        failed.update(folders if outcome.label == 1 else ())
    ordered = sorted(touched, key=lambda path: (-failed[path], touched[path], path))
    least, confidence = policy.min_deployments, policy.confidence
    return tuple(
        PathFailures(path, rate(failed[path], touched[path], least, confidence))
        for path in ordered[: policy.most_paths]
    )


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _by_day(outcomes: Sequence[DeployOutcome]) -> tuple[tuple[str, int, int], ...]:
    days = [(o.settled_at.astimezone(UTC).date().isoformat(), o.label == 1) for o in outcomes]
    settled = Counter(day for day, _ in days)
    failed = Counter(day for day, is_failure in days if is_failure)
    return tuple((day, settled[day], failed[day]) for day in sorted(settled))


def _stages(outcomes: Sequence[DeployOutcome]) -> tuple[StageDuration, ...]:
    seconds: dict[str, list[float]] = {}
    for outcome in outcomes:
        for stage in outcome.stages:
            seconds.setdefault(stage.stage, []).append(stage.seconds)
    return tuple(StageDuration(stage, duration(taken, 1)) for stage, taken in seconds.items())
