"""Learning from outcomes: training rows, time-ordered evaluation, and the rule of promotion. Storing models: `adapters/model_files.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LearningPolicy:
    """When to learn and when to believe a candidate. Counts unless a unit is in the name."""

    retrain_every: int = 20
    """Newly mature outcomes per retraining: below that a model moves by noise."""
    maturity_s: float = 7 * 24 * 3600.0
    """Time after which the silence of a good deployment counts as success."""
    holdout_share: float = 0.3
    """The latest share of rows, by time, on which candidate and champion are compared."""
    min_rows: int = 30
    """Fewer labelled rows than this: no candidate is promoted."""
    min_failures: int = 5
    """Failures needed on either side of the split before a comparison means anything."""
    margin: float = 0.0
    """Brier score by which the candidate must beat the champion on the same later holdout."""
    seed: int = 20_130_601


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality on the holdout, None where it cannot be computed. Brier: mean squared error of probabilities, lower is better."""

    brier: float | None
    average_precision: float | None
    auc: float | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """What a stored model is: enough to refuse it when anything does not fit."""

    version: str
    digest: str
    """SHA-256 of the model file."""
    kind: str
    features: tuple[str, ...]
    trained_from: datetime | None
    trained_to: datetime | None
    n_rows: int
    n_failures: int
    metrics: Metrics | None
    libraries: dict[str, str]
    policy: LearningPolicy
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CandidateModel:
    """A trained model in the store that does not score yet, or why there is none."""

    manifest: ModelManifest | None
    n_rows: int
    n_failures: int
    n_censored: int
    """Good outcomes still too young to count."""
    n_unlabelled: int
    """Outcomes that may not be learnt from (withheld, skipped, superseded, infrastructure)."""
    note: str


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """Candidate, champion and two baselines on the same later holdout."""

    candidate: Metrics | None
    champion: Metrics | None
    base_rate: Metrics | None
    churn_only: Metrics | None
    champion_version: str
    n_holdout: int
    n_holdout_failures: int
    note: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the candidate became champion, and why."""

    is_promoted: bool
    champion_version: str
    candidate_version: str | None
    reason: str
