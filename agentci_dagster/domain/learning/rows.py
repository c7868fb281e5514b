"""Which outcomes may be learnt from, with which label, and how they are split by time.

Measuring models belongs to `quality.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.learning.values import (
    LearningPolicy,
    Split,
    TrainingRow,
    TrainingRows,
)

if TYPE_CHECKING:
    from agentci_dagster.domain.outcome import DeployOutcome


def training_rows(
    outcomes: Iterable[DeployOutcome], now: datetime, policy: LearningPolicy
) -> TrainingRows:
    """Rows with labels as they are known at `now`, by the time of their commits.

    A bad outcome counts at once. A good one counts when it has been silent for the maturity window;
    when another commit reverted it within that window it is bad from then on. Outcomes settled
    after `now` do not exist yet.
    """
    known = [o for o in outcomes if o.settled_at <= now]
    reverted_at = _first_reverts(known)
    maturity = timedelta(seconds=policy.maturity_s)
    rows: list[TrainingRow] = []
    n_censored = n_unlabelled = 0
    for outcome in known:
        if outcome.label is None or outcome.features is None:
            n_unlabelled += 1
            continue
        label, known_at = outcome.label, outcome.settled_at
        if label == 0:
            revert = reverted_at.get(outcome.key)
            ripe_at = outcome.settled_at + maturity
            is_reverted = revert is not None and outcome.settled_at <= revert < ripe_at
            label, known_at = (1, revert) if revert and is_reverted else (0, ripe_at)
        if known_at > now:
            n_censored += 1
            continue
        rows.append(
            TrainingRow(
                key=outcome.key,
                committed_at=outcome.committed_at,
                known_at=known_at,
                label=label,
                features=outcome.features,
                probability=outcome.probability,
            )
        )
    rows.sort(key=_moment)
    return TrainingRows(tuple(rows), n_censored, n_unlabelled)


def split_by_time(rows: Sequence[TrainingRow], policy: LearningPolicy) -> Split:
    """The latest share of the rows as holdout; before it, the rows whose label was known when the
    holdout began.

    One row is holdout to nothing: with fewer than two rows everything is training.
    """
    ordered = sorted(rows, key=_moment)
    if len(ordered) < 2:
        return Split(tuple(ordered), (), 0)
    n_holdout = min(len(ordered) - 1, math.ceil(policy.holdout_share * len(ordered)))
    earlier, holdout = ordered[:-n_holdout], ordered[-n_holdout:]
    begins_at = holdout[0].committed_at
    train = tuple(row for row in earlier if row.known_at <= begins_at)
    return Split(train, tuple(holdout), len(earlier) - len(train))


def training_obstacle(rows: Sequence[TrainingRow]) -> str:
    """Why no model can be trained on these rows, in plain words; empty when one can."""
    n_failures = sum(row.label for row in rows)
    if not rows:
        return "not trained: no labelled outcome before the holdout"
    if n_failures == 0:
        return f"not trained: none of {len(rows)} earlier outcomes failed; nothing to tell apart"
    if n_failures == len(rows):
        return f"not trained: all {len(rows)} earlier outcomes failed; nothing to tell apart"
    return ""


def _first_reverts(outcomes: Iterable[DeployOutcome]) -> dict[CommitKey, datetime]:
    """When each reverted commit was first reverted by another commit of its repository."""
    found: dict[CommitKey, datetime] = {}
    for outcome in outcomes:
        if outcome.reverts is None or outcome.reverts == outcome.key.sha:
            continue
        key = CommitKey(outcome.key.repository, outcome.reverts)
        found[key] = min(found.get(key, outcome.settled_at), outcome.settled_at)
    return found


def _moment(row: TrainingRow) -> tuple[datetime, CommitKey]:
    return row.committed_at, row.key
