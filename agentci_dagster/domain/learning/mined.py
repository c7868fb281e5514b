"""Rows from a repository's own history, labelled by its fixes (SZZ), for the time before there are
outcomes.

How a history is read and who blames whom: `domain/history`. What such a row is worth beside an
outcome: `influence.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.history import moment_of
from agentci_dagster.domain.learning.latency import latency_weights
from agentci_dagster.domain.learning.values import LearningPolicy, TrainingRow, TrainingRows


@dataclass(frozen=True, slots=True)
class MinedCommit:
    """A past commit that is no merge, with its measures as of its own moment.

    `fixed_s` is when the first fix that blames it was made, in seconds since 1970; None when none
    does. `author` is a pseudonym.
    """

    sha: str
    committed_s: int
    author: str
    features: CommitFeatures
    fixed_s: int | None = None


def mined_rows(
    repository: str, commits: Iterable[MinedCommit], now: datetime, policy: LearningPolicy
) -> TrainingRows:
    """Rows with labels as they could be known at `now`, by the time of their commits.

    A blamed commit is bad from its first fix on. One that nobody has blamed yet counts as good when
    `policy.mined_maturity_s` have passed, and may turn bad later; it weighs what such a silence was
    worth in this history (`latency.py`).
    """
    maturity = timedelta(seconds=policy.mined_maturity_s)
    rows: list[TrainingRow] = []
    n_censored = 0
    for commit in commits:
        at = moment_of(commit.committed_s)
        fixed_at = None if commit.fixed_s is None else max(at, moment_of(commit.fixed_s))
        is_bad = fixed_at is not None and fixed_at <= now
        known_at = fixed_at if is_bad and fixed_at else at + maturity
        if known_at > now:
            n_censored += 1
            continue
        key = CommitKey(repository, commit.sha)
        label = int(is_bad)
        rows.append(
            TrainingRow(key, at, known_at, label, commit.features, None, author=commit.author)
        )
    rows.sort(key=lambda row: (row.committed_at, row.key))
    ages = [(now - row.committed_at).total_seconds() for row in rows]
    delays = [
        (row.known_at - row.committed_at).total_seconds() if row.label else math.nan for row in rows
    ]
    weighed = zip(rows, latency_weights(ages, delays).tolist(), strict=True)
    return TrainingRows(tuple(replace(row, weight=w) for row, w in weighed), n_censored, 0)


def merge_rows(parts: Iterable[TrainingRows]) -> TrainingRows:
    """The rows of several repositories in one, by the time of their commits."""
    known = tuple(parts)
    rows = sorted(
        (row for part in known for row in part.rows), key=lambda row: (row.committed_at, row.key)
    )
    n_censored = sum(part.n_censored for part in known)
    return TrainingRows(tuple(rows), n_censored, sum(part.n_unlabelled for part in known))
