"""Whether risk scores kept their word: what each model said, beside what happened.

Measures are `domain/learning/quality.py`'s; which outcomes may be learnt from, `rows.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from agentci_dagster.domain.bounds import Share
from agentci_dagster.domain.learning import LearningPolicy, Metrics, evaluate, training_rows
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.routing import Route

_MOST_BINS = 10
_LEAST_PER_BIN = 5
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Commits of about the same score: its mean, and the share of them that failed."""

    mean_probability: float
    failed: Share


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """One model's scores of mature outcomes.

    `caught` is the share of failing commits that the route gave more than the fast lane; `bins`
    are of equal size, by rising score, and empty with too few outcomes.
    """

    model_version: str
    n: int
    n_failures: int
    metrics: Metrics
    caught: Share
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class RiskQuality:
    """The models by their last score, the newest first; good outcomes still too young are left out
    and counted.
    """

    models: tuple[ModelQuality, ...]
    n_censored: int


def risk_quality(
    outcomes: Sequence[DeployOutcome], now: datetime, policy: LearningPolicy
) -> RiskQuality:
    """Every scored outcome whose label is known at `now`, by the model that scored it."""
    known = training_rows(outcomes, now, policy)
    by_key = {o.key: o for o in outcomes}
    scored: dict[str, list[_Scored]] = {}
    for row in known.rows:
        if row.probability is None:
            continue
        outcome = by_key[row.key]
        is_full = outcome.route is not None and outcome.route.is_stricter_than(Route.FAST)
        version = outcome.model_version or _UNKNOWN
        scored.setdefault(version, []).append(_Scored(row.probability, row.label, is_full))
    newest_first = list(scored)[::-1]
    return RiskQuality(tuple(_of(v, scored[v]) for v in newest_first), known.n_censored)


@dataclass(frozen=True, slots=True)
class _Scored:
    probability: float
    label: int
    is_full: bool


def _of(version: str, scored: Sequence[_Scored]) -> ModelQuality:
    failing = [s for s in scored if s.label]
    return ModelQuality(
        model_version=version,
        n=len(scored),
        n_failures=len(failing),
        metrics=evaluate([s.probability for s in scored], [s.label for s in scored]),
        caught=Share.of(sum(s.is_full for s in failing), len(failing)),
        bins=_bins(scored),
    )


def _bins(scored: Sequence[_Scored]) -> tuple[ReliabilityBin, ...]:
    n_bins = min(_MOST_BINS, len(scored) // _LEAST_PER_BIN)
    ordered = sorted(scored, key=lambda s: s.probability)
    edges = [len(ordered) * k // n_bins for k in range(n_bins + 1)] if n_bins else []
    parts = [ordered[low:high] for low, high in pairwise(edges)]
    return tuple(
        ReliabilityBin(
            sum(s.probability for s in part) / len(part),
            Share.of(sum(s.label for s in part), len(part)),
        )
        for part in parts
    )
