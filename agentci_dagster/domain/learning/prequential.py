"""A learner judged as it would have lived: trained again and again, on labels known by then only.

One split of the past is `rows.py`; measures are `quality.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning.quality import efforts_of, evaluate
from agentci_dagster.domain.learning.rows import training_obstacle
from agentci_dagster.domain.learning.values import LearningPolicy, Metrics, TrainingRow
from agentci_dagster.domain.risk.values import Scored

Score = Callable[[CommitFeatures, str], Scored]
Learn = Callable[[Sequence[TrainingRow]], Score]


@dataclass(frozen=True, slots=True)
class Block:
    """Commits that were scored by one and the same model."""

    begins_at: datetime
    n_known: int
    """Rows whose label was known then: what the model was trained on."""
    n_scored: int
    n_failures: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Prequential:
    """Every row scored by the model of its day, together and block by block."""

    metrics: Metrics
    blocks: tuple[Block, ...]


def prequential(
    rows: Sequence[TrainingRow], learn: Learn, start: Score, policy: LearningPolicy, n_blocks: int
) -> Prequential:
    """Score each block with a model trained on what was known when the block began (Dawid, 1984).

    A label counts from `known_at` on, so late failures are missing from early models as they were
    in life (verification latency: Cabral et al., 2019). Before `policy.min_rows` labels, or while
    they cannot be told apart, `start` scores.
    """
    if n_blocks < 1:
        raise ValueError("need at least one block")
    ordered = sorted(rows, key=lambda row: (row.committed_at, row.key))
    edges = sorted({len(ordered) * k // n_blocks for k in range(n_blocks + 1)})
    blocks: list[Block] = []
    every: list[float] = []
    for low, high in pairwise(edges):
        part = ordered[low:high]
        begins_at = part[0].committed_at
        known = [row for row in ordered[:low] if row.known_at <= begins_at]
        is_ready = len(known) >= policy.min_rows and not training_obstacle(known)
        score = learn(known) if is_ready else start
        risks = [score(row.features, row.key.repository).probability for row in part]
        labels = [row.label for row in part]
        metrics = evaluate(risks, labels, efforts_of(part))
        blocks.append(Block(begins_at, len(known), len(part), sum(labels), metrics))
        every += risks
    labels = [row.label for row in ordered]
    return Prequential(evaluate(every, labels, efforts_of(ordered)), tuple(blocks))
