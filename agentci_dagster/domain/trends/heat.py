"""Where failures gather, and when: folders by weeks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.trends.control import week_of
from agentci_dagster.domain.trends.values import HeatMap, TrendPolicy

_MOST_FOLDERS = 12
_WEEKS = 12


def heat_map(outcomes: Sequence[DeployOutcome], now: datetime, policy: TrendPolicy) -> HeatMap:
    """The last twelve weeks, also those without a commit; empty when nothing has failed in them."""
    moments = [now - timedelta(weeks=n) for n in range(min(_WEEKS, policy.weeks))]
    weeks = tuple(week_of(moment) for moment in reversed(moments))
    touched: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        week = week_of(outcome.settled_at)
        if outcome.label is None or outcome.settled_at > now or week not in weeks:
            continue
        for folder in {path.rpartition("/")[0] or "." for path in outcome.paths}:
            touched[folder, week] += 1
            failed[folder, week] += outcome.label
    totals: Counter[str] = Counter()
    for (folder, _), n in failed.items():
        totals[folder] += n
    ordered = sorted((f for f in totals if totals[f]), key=lambda f: (-totals[f], f))
    folders = tuple(ordered[:_MOST_FOLDERS])
    return HeatMap(folders, weeks, _table(failed, folders, weeks), _table(touched, folders, weeks))


def _table(
    counts: Counter[tuple[str, str]], folders: Sequence[str], weeks: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(counts[folder, week] for week in weeks) for folder in folders)
