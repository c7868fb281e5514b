"""Learning from outcomes: training rows, time-ordered evaluation, and the rule of promotion.

Storing models: `adapters/model_files.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.learning.drift import (
    Drift,
    FeatureDrift,
    Steadiness,
    calibration_steady,
    drift,
    drifted_features,
    features_steady,
    rate_steady,
)
from agentci_dagster.domain.learning.influence import Pooled, influence_weights, pool
from agentci_dagster.domain.learning.latency import latency_weights
from agentci_dagster.domain.learning.linear import linear_probabilities
from agentci_dagster.domain.learning.mined import MinedCommit, merge_rows, mined_rows
from agentci_dagster.domain.learning.prequential import Block, Prequential, prequential
from agentci_dagster.domain.learning.promotion import compare, examine
from agentci_dagster.domain.learning.quality import (
    base_rate_probabilities,
    churn_only_probabilities,
    efforts_of,
    evaluate,
)
from agentci_dagster.domain.learning.routes import RouteShare, routing_table
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
    "Block",
    "CandidateModel",
    "Drift",
    "FeatureDrift",
    "LearningPolicy",
    "Metrics",
    "MinedCommit",
    "ModelEvaluation",
    "ModelManifest",
    "Pooled",
    "Prequential",
    "Promotion",
    "RouteShare",
    "Split",
    "Steadiness",
    "TrainingRow",
    "TrainingRows",
    "base_rate_probabilities",
    "calibration_steady",
    "churn_only_probabilities",
    "compare",
    "drift",
    "drifted_features",
    "efforts_of",
    "evaluate",
    "examine",
    "features_steady",
    "influence_weights",
    "latency_weights",
    "linear_probabilities",
    "merge_rows",
    "mined_rows",
    "pool",
    "prequential",
    "rate_steady",
    "routing_table",
    "split_by_time",
    "training_obstacle",
    "training_rows",
]
