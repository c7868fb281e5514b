"""Learning from outcomes: training rows, time-ordered evaluation, and the rule of promotion.

Storing models: `adapters/model_files.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.learning.promotion import compare, examine
from agentci_dagster.domain.learning.quality import (
    base_rate_probabilities,
    churn_only_probabilities,
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
    "Promotion",
    "Split",
    "TrainingRow",
    "TrainingRows",
    "base_rate_probabilities",
    "churn_only_probabilities",
    "compare",
    "evaluate",
    "examine",
    "split_by_time",
    "training_obstacle",
    "training_rows",
]
