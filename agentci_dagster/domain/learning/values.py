"""The values of learning: policy, rows, metrics, manifest, promotion.

No thinking here; that is in the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures


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
    mined_weight: float = 0.2
    """What a row labelled from history counts against an outcome: most of such labels are no failed
    deployments."""
    mined_maturity_s: float = 90 * 24 * 3600.0
    """Time after which a past commit that no fix blames counts as good: half of the faults in 113
    public projects are fixed by then (commitguru113, ICSE 2021)."""
    mined_until: int = 2_000
    """Outcomes from which on histories are not read any more: real ones teach enough."""
    mined_worth: float = 200.0
    """Outcomes that all mined rows together may count for; more real ones outweigh them."""
    most_influence: float = 0.05
    """Share of all training weight that one day or one author may have."""
    free_influence: float = 20.0
    """Outcomes that a day or an author may always count for, however few rows there are."""
    most_psi: float = 0.25
    """Population stability index from which a feature counts as drifted: the usual bound for a
    major shift (Siddiqi, 2006)."""
    most_z: float = 3.0
    """Standard errors by which label rate or calibration may move before it is said."""

    def __post_init__(self) -> None:
        if not 0 < self.holdout_share < 1:
            raise ValueError("holdout_share is a fraction between 0 and 1")
        if self.maturity_s < 0 or self.margin < 0:
            raise ValueError("maturity_s and margin are not negative")
        if min(self.retrain_every, self.min_rows, self.min_failures) < 1:
            raise ValueError("retrain_every, min_rows and min_failures are at least 1")
        if not 0 < self.most_influence <= 1:
            raise ValueError("most_influence is a fraction above 0")
        if min(self.mined_weight, self.mined_worth, self.mined_maturity_s) < 0:
            raise ValueError("mined weights and mined_maturity_s are not negative")
        if self.mined_until < 0 or self.free_influence <= 0:
            raise ValueError("mined_until is not negative, free_influence is above 0")


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One mature outcome as learning sees it."""

    key: CommitKey
    committed_at: datetime
    known_at: datetime
    """When the label became known."""
    label: int
    features: CommitFeatures
    probability: float | None
    """What the model of that day said."""
    weight: float = 1.0
    """What it counts against an outcome; rows labelled from history count less."""
    author: str = ""
    """A pseudonym, for the cap on one author's influence only; empty when unknown."""

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError("a weight is not negative")


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What may be learnt from, oldest commit first, and how much may not."""

    rows: tuple[TrainingRow, ...]
    n_censored: int
    """Good outcomes still too young to count."""
    n_unlabelled: int
    """Outcomes that may not be learnt from (withheld, skipped, superseded, infrastructure)."""

    @property
    def n_failures(self) -> int:
        return sum(row.label for row in self.rows)


@dataclass(frozen=True, slots=True)
class Split:
    """Training rows whose labels were known when the first commit of the later holdout was made."""

    train: tuple[TrainingRow, ...]
    holdout: tuple[TrainingRow, ...]
    n_embargoed: int
    """Earlier rows left out because their label became known only after the holdout began."""

    @property
    def begins_at(self) -> datetime | None:
        """When the first commit of the holdout was made; None without one."""
        return self.holdout[0].committed_at if self.holdout else None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality on the holdout, None where it cannot be computed.

    Brier: mean squared error of probabilities, lower is better.
    """

    brier: float | None
    average_precision: float | None
    auc: float | None
    calibration_error: float | None
    recall_at_20_effort: float | None = None
    """Share of failures in the riskiest fifth of all changed lines."""
    p_opt: float | None = None
    """Nearness to the best ranking by effort, in [0, 1]."""


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
    """Candidate, champion and three baselines on the same later holdout."""

    candidate: Metrics | None
    champion: Metrics | None
    base_rate: Metrics | None
    churn_only: Metrics | None
    champion_version: str
    n_holdout: int
    n_holdout_failures: int
    note: str
    linear: Metrics | None = None
    """Logistic regression on all measures; None also in evaluations stored before there was one."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the candidate became champion, and why."""

    is_promoted: bool
    champion_version: str
    candidate_version: str | None
    reason: str
