"""Whether failures become more or fewer, or only vary as chance has it: a control chart by week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agentci_dagster.domain.bounds import at_most
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.trends.values import ControlChart, ControlWeek, TrendPolicy

_TAIL = 0.00135
"""Outside of either limit by chance: what three standard deviations leave (Shewhart, 1931)."""
_RUN = 9
"""So many weeks in a row on one side of the centre are no chance (Nelson, 1984, rule 2)."""


def control_chart(
    outcomes: Sequence[DeployOutcome], now: datetime, policy: TrendPolicy
) -> ControlChart:
    """A p-chart with exact binomial limits over the last `policy.weeks` weeks.

    A week's share is compared with what so many commits would show at the share of all weeks.
    """
    start = now - timedelta(weeks=policy.weeks)
    judged = [o for o in outcomes if o.label is not None and start < o.settled_at <= now]
    counts = Counter(week_of(o.settled_at) for o in judged)
    failures = Counter(week_of(o.settled_at) for o in judged if o.label == 1)
    names = sorted(counts)
    if len(names) < policy.min_weeks or len(judged) < policy.min_deployments:
        weeks = tuple(ControlWeek(w, counts[w], failures[w], 0, counts[w]) for w in names)
        return ControlChart(weeks, None, ())
    centre = sum(failures.values()) / len(judged)
    weeks = tuple(
        ControlWeek(w, counts[w], failures[w], *_limits(counts[w], centre)) for w in names
    )
    return ControlChart(weeks, centre, (*_outside(weeks), *_runs(weeks, centre)))


def week_of(at: datetime) -> str:
    """The ISO week of an instant, in UTC, as 2026-W09."""
    year, week, _ = at.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02d}"


def _limits(n: int, centre: float) -> tuple[int, int]:
    low = next(k for k in range(n + 1) if at_most(k, n, centre) > _TAIL)
    high = next(k for k in range(n + 1) if 1 - at_most(k, n, centre) <= _TAIL)
    return low, high


def _outside(weeks: Sequence[ControlWeek]) -> list[str]:
    return [
        f"{w.week}: {w.n_failures} of {w.n} failed, chance would give {w.low} to {w.high}"
        for w in weeks
        if w.is_out
    ]


def _runs(weeks: Sequence[ControlWeek], centre: float) -> list[str]:
    found: list[str] = []
    length, side = 0, 0
    for week in weeks:
        share = week.n_failures / week.n
        now = (share > centre) - (share < centre)
        length = length + 1 if now == side and now else abs(now)
        side = now
        if length == _RUN:
            words = "more" if side > 0 else "fewer"
            found.append(f"{week.week}: {words} failures than usual for {_RUN} weeks in a row")
    return found
