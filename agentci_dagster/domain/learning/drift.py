"""Whether the latest commits still look like those that were learnt from. Says so; stops nothing.

Comparing models belongs to `promotion.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning.values import LearningPolicy, Split, TrainingRow

_N_BINS = 10
_LEAST_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How far one feature's distribution moved: its population stability index."""

    feature: str
    psi: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What moved between the earlier and the latest rows; None where too little is known."""

    features: tuple[FeatureDrift, ...]
    """Most moved first; empty with too few rows."""
    earlier_rate: float | None
    """Share of failures among the earlier rows."""
    latest_rate: float | None
    rate_z: float | None
    """Difference of the two shares in standard errors."""
    calibration_z: float | None
    """Failures among the latest rows less those that the scores of their day promised, in standard
    deviations; above 0 more failed."""
    n_earlier: int
    n_latest: int


def drift(split: Split, policy: LearningPolicy) -> Drift:
    """Compare the holdout with the rows before it.

    The population stability index (Siddiqi, 2006) is taken over ten bins with equal shares of the
    earlier rows and one for "unknown". Calibration is that of the frozen scores, so it judges
    the model that really scored those commits.
    """
    earlier, latest = split.train, split.holdout
    is_enough = min(len(earlier), len(latest)) >= policy.min_rows
    return Drift(
        features=_features(earlier, latest) if is_enough else (),
        earlier_rate=_rate(earlier),
        latest_rate=_rate(latest),
        rate_z=_rate_z(earlier, latest) if is_enough else None,
        calibration_z=_calibration_z(latest, policy),
        n_earlier=len(earlier),
        n_latest=len(latest),
    )


def drifted_features(found: Drift, policy: LearningPolicy) -> tuple[FeatureDrift, ...]:
    """The features beyond `policy.most_psi`, and beyond what chance does with so few rows."""
    if not found.features:
        return ()
    # With equal distributions PSI is about chi-square over n, with as many bins as there are.
    noise = (2 * _N_BINS + 3 * math.sqrt(4 * _N_BINS)) * (1 / found.n_earlier + 1 / found.n_latest)
    most = max(policy.most_psi, noise)
    return tuple(feature for feature in found.features if feature.psi > most)


def psi(earlier: Sequence[float | None], latest: Sequence[float | None]) -> float:
    """Population stability index of two samples; 0 when they are alike, at least 0 always."""
    known = sorted(value for value in earlier if value is not None)
    edges = sorted({known[len(known) * k // _N_BINS] for k in range(1, _N_BINS)}) if known else []
    a, b = _shares(earlier, edges), _shares(latest, edges)
    return sum((q - p) * math.log(q / p) for p, q in zip(a, b, strict=True))


def _shares(values: Sequence[float | None], edges: Sequence[float]) -> list[float]:
    # An edge is a bin of its own: most counts have few values, and many rows lie on an edge.
    counts = [0.0] * (2 * len(edges) + 2)
    for value in values:
        place = -1 if value is None else bisect_left(edges, value) + bisect_right(edges, value)
        counts[place] += 1
    return [max(count / len(values), _LEAST_SHARE) for count in counts]


def _features(
    earlier: Sequence[TrainingRow], latest: Sequence[TrainingRow]
) -> tuple[FeatureDrift, ...]:
    found = [
        FeatureDrift(
            field.name,
            psi(
                [getattr(row.features, field.name) for row in earlier],
                [getattr(row.features, field.name) for row in latest],
            ),
        )
        for field in fields(CommitFeatures)
    ]
    return tuple(sorted(found, key=lambda feature: (-feature.psi, feature.feature)))


def _rate(rows: Sequence[TrainingRow]) -> float | None:
    return sum(row.label for row in rows) / len(rows) if rows else None


def _rate_z(earlier: Sequence[TrainingRow], latest: Sequence[TrainingRow]) -> float | None:
    n, m = len(earlier), len(latest)
    a, b = sum(row.label for row in earlier), sum(row.label for row in latest)
    share = (a + b) / (n + m)
    if share in (0.0, 1.0):
        return 0.0
    return (b / m - a / n) / math.sqrt(share * (1 - share) * (1 / n + 1 / m))


def _calibration_z(latest: Sequence[TrainingRow], policy: LearningPolicy) -> float | None:
    """Spiegelhalter's idea (1986) for the sum: under calibration its variance is known."""
    scored = [(row.label, row.probability) for row in latest if row.probability is not None]
    variance = sum(p * (1 - p) for _, p in scored)
    if len(scored) < policy.min_rows or variance <= 0:
        return None
    return sum(label - p for label, p in scored) / math.sqrt(variance)


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Whether one thing stayed as it was, and the numbers in a sentence."""

    is_steady: bool
    in_words: str


def features_steady(found: Drift, policy: LearningPolicy) -> Steadiness:
    """Whether commits still look alike."""
    if not found.features:
        return Steadiness(True, _too_few(found))
    moved = drifted_features(found, policy)
    if not moved:
        top = found.features[0]
        return Steadiness(
            True, f"commits look as before; most moved: {top.feature} (PSI {top.psi:.2f})"
        )
    named = ", ".join(f"{f.feature} (PSI {f.psi:.2f})" for f in moved[:5])
    more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
    return Steadiness(False, f"commits look different from those learnt from: {named}{more}")


def rate_steady(found: Drift, policy: LearningPolicy) -> Steadiness:
    """Whether commits fail as often as before."""
    if found.rate_z is None or found.earlier_rate is None or found.latest_rate is None:
        return Steadiness(True, _too_few(found))
    words = (
        f"{found.latest_rate:.1%} of the latest {found.n_latest} failed, {found.earlier_rate:.1%} "
        f"of {found.n_earlier} before ({found.rate_z:+.1f} standard errors)"
    )
    return Steadiness(abs(found.rate_z) <= policy.most_z, words)


def calibration_steady(found: Drift, policy: LearningPolicy) -> Steadiness:
    """Whether as many failed as the scores of their day promised."""
    if found.calibration_z is None:
        return Steadiness(True, _too_few(found))
    words = (
        "failures among the latest outcomes against what their scores promised: "
        f"{found.calibration_z:+.1f} standard deviations"
    )
    return Steadiness(abs(found.calibration_z) <= policy.most_z, words)


def _too_few(found: Drift) -> str:
    return f"too few outcomes to tell: {found.n_earlier} earlier, {found.n_latest} latest"
