"""Learning from outcomes: training rows, time-ordered evaluation, and the rule of promotion.

Storing models: `adapters/model_files.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.learning.influence import Pooled, influence_weights, pool
from agentci_dagster.domain.learning.promotion import compare, examine
from agentci_dagster.domain.learning.quality import (
    base_rate_probabilities,
    churn_only_probabilities,
    efforts_of,
    evaluate,
)
from agentci_dagster.domain.learning.rows import split_by_time, training_obstacle, training_rows
from agentci_dagster.domain.learning.values import (
    CandidateModel,
    LearningPolicy,
    Metrics,
    ModelEvaluation,
    ModelManifest,
    Promotion,
    Split,
    TrainingRow,
    TrainingRows,
)

__all__ = [
    "CandidateModel",
    "LearningPolicy",
    "Metrics",
    "ModelEvaluation",
    "ModelManifest",
    "Pooled",
    "Promotion",
    "Split",
    "TrainingRow",
    "TrainingRows",
    "base_rate_probabilities",
    "churn_only_probabilities",
    "compare",
    "efforts_of",
    "evaluate",
    "examine",
    "influence_weights",
    "pool",
    "split_by_time",
    "training_obstacle",
    "training_rows",
]
