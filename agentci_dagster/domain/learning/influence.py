"""How much each row may teach: caps on one author and one day, and the worth of mined rows.

What a row is belongs to `rows.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentci_dagster.domain.learning.values import LearningPolicy, TrainingRow


@dataclass(frozen=True, slots=True)
class Pooled:
    """Outcomes and mined rows in one training set, oldest first, with the weights to show."""

    rows: tuple[TrainingRow, ...]
    n_outcomes: int
    n_mined: int
    mined_weight: float
    """What one mined row counts against one outcome."""

    @property
    def in_words(self) -> str:
        if not self.n_mined:
            return f"{self.n_outcomes} outcomes of weight 1, pooled with the embedded prior"
        return (
            f"{self.n_outcomes} outcomes of weight 1 and {self.n_mined} rows mined from history of "
            f"weight {self.mined_weight:.3f} ({self.n_mined * self.mined_weight:.0f} outcomes' "
            "worth), pooled with the embedded prior"
        )


def pool(
    outcomes: Sequence[TrainingRow],
    mined: Sequence[TrainingRow],
    policy: LearningPolicy,
    known_by: datetime | None = None,
) -> Pooled:
    """Outcomes with rows labelled from history (SZZ), which count less, and together no more than
    `policy.mined_worth` outcomes.

    A commit that has an outcome is not taken from history as well, nor one whose label became known
    after `known_by`, when a later holdout begins.
    """
    settled = {row.key for row in outcomes}
    others = [
        row
        for row in mined
        if row.key not in settled and (known_by is None or row.known_at <= known_by)
    ]
    weight = min(policy.mined_weight, policy.mined_worth / max(1, len(others)))
    rows = [*outcomes, *(replace(row, weight=weight * row.weight) for row in others)]
    rows.sort(key=lambda row: (row.committed_at, row.key))
    return Pooled(tuple(rows), len(outcomes), len(others), weight if others else 0.0)


def influence_weights(rows: Sequence[TrainingRow], policy: LearningPolicy) -> list[float]:
    """The weights to train with: each row's own, lowered where one day or one author has too much.

    Nobody can teach the model by many commits in a night: a day, and an author where known, has at
    most `policy.most_influence` of all weight, or `policy.free_influence` outcomes' worth if that
    is more. The author's id is used here only; it is never a feature.
    """
    weights = [row.weight for row in rows]
    days = [row.committed_at.date().isoformat() for row in rows]
    authors = [row.author for row in rows]
    for groups in (days, authors):
        weights = _capped(weights, groups, policy)
    return weights


def _capped(weights: Sequence[float], groups: Iterable[str], policy: LearningPolicy) -> list[float]:
    named = list(groups)
    sums: dict[str, float] = defaultdict(float)
    for weight, group in zip(weights, named, strict=True):
        sums[group] += weight
    most = max(policy.free_influence, policy.most_influence * sum(weights))
    shrink = {group: min(1.0, most / total) if total else 1.0 for group, total in sums.items()}
    shrink[""] = 1.0
    return [weight * shrink[group] for weight, group in zip(weights, named, strict=True)]
