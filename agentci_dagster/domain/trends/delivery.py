"""The five DORA metrics of software delivery (dora.dev/guides/dora-metrics, read for 2025).

A *deployment* is a release that reached production traffic: promoted, or rolled back after it had
traffic. Throughput: change lead time, deployment frequency, failed deployment recovery time.
Instability: change fail rate, deployment rework rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agentci_dagster.domain.outcome import CauseClass, DeployOutcome, Ending
from agentci_dagster.domain.trends.figures import duration, rate
from agentci_dagster.domain.trends.values import DeliveryMetrics, Duration, Rate, TrendPolicy

NOT_ENOUGH = "not enough data"


def delivery_metrics(
    outcomes: Sequence[DeployOutcome], now: datetime, policy: TrendPolicy
) -> DeliveryMetrics:
    """The five metrics over the window that ends at `now`.

    - change lead time: from commit to running in production for all traffic, promoted ones only;
    - deployment frequency: deployments per day of the window;
    - change fail rate: deployments that needed remedy (rolled back, or reverted by a later
      deployment) / all deployments; those broken by infrastructure are not the change's failure.
      A young deployment that nobody has reverted yet counts as good;
    - failed deployment recovery time: from the first bad sign (a reverted one: from its deployment)
      to all traffic back on a good release, or else to the deployment of its revert;
    - deployment rework rate: deployments made to repair (reverts, and fixes that touch a path of a
      deployment which had failed before) / all deployments.
    """
    start = now - timedelta(days=policy.window_days)
    every = sorted((o for o in outcomes if reached_traffic(o) and _at(o) <= now), key=_at)
    inside = [o for o in every if start < _at(o)]
    least, n = policy.min_deployments, len(inside)
    failed = [o for o in inside if _is_failed(o, every)]
    rework = [o for o in inside if _is_rework(o, every)]
    lead_times = [
        # A clock ahead of ours is no delivery before the commit.
        max(0.0, (_at(o) - o.committed_at).total_seconds())
        for o in inside
        if o.ending is Ending.PROMOTED
    ]
    recoveries = [s for o in failed if (s := _recovery_s(o, every)) is not None]
    return DeliveryMetrics(
        window_start=start,
        window_end=now,
        n_deployments=n,
        deployments_per_day=n / policy.window_days if n >= least else None,
        lead_time=duration(lead_times, least),
        change_fail_rate=rate(len(failed), n, least, policy.confidence),
        recovery_time=duration(recoveries, policy.min_recoveries),
        rework_rate=rate(len(rework), n, least, policy.confidence),
        by_day=_by_day(inside, failed),
    )


def delivery_rows(metrics: DeliveryMetrics) -> tuple[dict[str, str], ...]:
    """The metrics as a table for people: metric, value, counts, interval."""
    days = (metrics.window_end - metrics.window_start).total_seconds() / 86_400
    window = f"{days:g} days"
    per_day = metrics.deployments_per_day
    frequency = NOT_ENOUGH if per_day is None else f"{per_day:.2f} per day"
    counted = f"{metrics.n_deployments} deployments in {window}"
    return (
        _duration_row("change lead time", metrics.lead_time, f"promoted in {window}"),
        _row("deployment frequency", frequency, counted, ""),
        _duration_row("failed deployment recovery time", metrics.recovery_time, f"in {window}"),
        _rate_row("change fail rate", metrics.change_fail_rate, window),
        _rate_row("deployment rework rate", metrics.rework_rate, window),
    )


def reached_traffic(outcome: DeployOutcome) -> bool:
    """Whether the release got production traffic; one that died at start never did."""
    was_watched = outcome.ending is Ending.ROLLED_BACK and outcome.stage != "deployment"
    return outcome.ending is Ending.PROMOTED or was_watched


def _by_day(
    inside: Sequence[DeployOutcome], failed: Sequence[DeployOutcome]
) -> tuple[tuple[str, int, int], ...]:
    every, bad = (Counter(_day_of(o) for o in outcomes) for outcomes in (inside, failed))
    return tuple((day, every[day], bad[day]) for day in sorted(every))


def _day_of(outcome: DeployOutcome) -> str:
    return _at(outcome).astimezone(UTC).date().isoformat()


def _at(outcome: DeployOutcome) -> datetime:
    return outcome.deployed_at or outcome.failed_at or outcome.settled_at


def _is_failed(outcome: DeployOutcome, deployments: Sequence[DeployOutcome]) -> bool:
    was_taken_back = outcome.ending is Ending.ROLLED_BACK and outcome.cause is not CauseClass.INFRA
    return was_taken_back or _revert(outcome, deployments) is not None


def _revert(outcome: DeployOutcome, deployments: Sequence[DeployOutcome]) -> DeployOutcome | None:
    """The first promoted deployment that reverts this one."""
    return next(
        (
            o
            for o in deployments
            if o.reverts == outcome.key.sha
            and o.key.repository == outcome.key.repository
            and o.ending is Ending.PROMOTED
            and _at(o) >= _at(outcome)
        ),
        None,
    )


def _recovery_s(outcome: DeployOutcome, deployments: Sequence[DeployOutcome]) -> float | None:
    revert = _revert(outcome, deployments)
    restored = outcome.restored_at or (_at(revert) if revert else None)
    return None if restored is None else max(0.0, (restored - _at(outcome)).total_seconds())


def _is_rework(outcome: DeployOutcome, deployments: Sequence[DeployOutcome]) -> bool:
    if outcome.reverts is not None:
        return True
    if outcome.features is None or not outcome.features.is_fix:
        return False
    return any(
        _at(o) < _at(outcome)
        and o.key.repository == outcome.key.repository
        and not set(o.paths).isdisjoint(outcome.paths)
        and _is_failed(o, deployments)
        for o in deployments
    )


def _duration_row(metric: str, value: Duration, counted: str) -> dict[str, str]:
    if value.median_s is None or value.p90_s is None:
        return _row(metric, NOT_ENOUGH, f"{value.n} {counted}", "")
    ninety = f"90 % within {_spoken(value.p90_s)}"
    return _row(metric, f"{_spoken(value.median_s)} (median)", f"{value.n} {counted}", ninety)


def _rate_row(metric: str, value: Rate, window: str) -> dict[str, str]:
    counts = f"{value.numerator} of {value.denominator} deployments in {window}"
    if value.value is None or value.low is None or value.high is None:
        return _row(metric, NOT_ENOUGH, counts, "")
    return _row(metric, f"{value.value:.1%}", counts, f"{value.low:.1%} to {value.high:.1%}")


def _row(metric: str, value: str, counts: str, interval: str) -> dict[str, str]:
    return {"metric": metric, "value": value, "counts": counts, "interval": interval}


def _spoken(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
