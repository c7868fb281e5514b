"""How good probabilities are, and the two baselines that any model must stand beside.

Deciding on a model belongs to `promotion.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentci_dagster.domain.learning.effort import p_opt, recall_at_effort
from agentci_dagster.domain.learning.values import Metrics, TrainingRow

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[float64]

_N_BINS = 10
_RIDGE = 1.0
_N_STEPS = 50


def evaluate(
    probabilities: ArrayLike, labels: ArrayLike, efforts: ArrayLike | None = None
) -> Metrics:
    """Quality of probabilities against 0/1 labels; a measure that the labels cannot define is None.

    Brier score (Brier, 1950); average precision as the step-wise area under precision and recall;
    AUC as the chance that a failure ranks above a success, ties counting half (Hanley & McNeil,
    1982); calibration error as the mean gap between probability and frequency in ten bins of equal
    width, weighted by their counts (Naeini, Cooper & Hauskrecht, 2015). The two measures of effort
    (`effort.py`) need one effort per label and are None without.
    """
    import numpy as np

    p, y = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=float)
    if p.shape != y.shape or p.ndim != 1:
        raise ValueError("need one probability per label")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("probabilities lie in [0, 1]")
    if not np.all((y == 0) | (y == 1)):
        raise ValueError("labels are 0 or 1")
    if p.size == 0:
        return Metrics(None, None, None, None)
    n_failures = int(y.sum())
    return Metrics(
        brier=float(np.mean((p - y) ** 2)),
        average_precision=_average_precision(p, y) if n_failures else None,
        auc=_auc(p, y) if 0 < n_failures < y.size else None,
        calibration_error=_calibration_error(p, y),
        recall_at_20_effort=None if efforts is None else recall_at_effort(p, y, efforts),
        p_opt=None if efforts is None else p_opt(p, y, efforts),
    )


def efforts_of(rows: Sequence[TrainingRow]) -> list[float]:
    """What looking at each commit costs: its lines added and deleted."""
    return [row.features.lines_added + row.features.lines_deleted for row in rows]


def base_rate_probabilities(train: Sequence[TrainingRow], n: int) -> Floats:
    """The same probability for every commit: the share of failures so far (rule of succession, so
    never 0 or 1).
    """
    import numpy as np

    rate = (sum(row.label for row in train) + 1) / (len(train) + 2)
    return np.full(n, rate)


def churn_only_probabilities(train: Sequence[TrainingRow], later: Sequence[TrainingRow]) -> Floats:
    """Logistic regression on log(1 + lines added + deleted) alone, lightly penalised, its slope
    never negative.
    """
    import numpy as np

    if not train:
        return np.full(len(later), 0.5)
    x, y = _log_churn(train), np.array([row.label for row in train], dtype=float)
    centre = float(x.mean())
    slope, intercept = _fit_line(x - centre, y)
    return _sigmoid(intercept + slope * (_log_churn(later) - centre))


def _average_precision(p: Floats, y: Floats) -> float:
    import numpy as np

    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    last_of_tie = np.append(np.diff(p[order]) != 0, True)
    hits, seen = hits[last_of_tie], np.flatnonzero(last_of_tie) + 1
    gained = np.diff(hits, prepend=0.0)
    return float(np.sum(gained * hits / seen) / y.sum())


def _auc(p: Floats, y: Floats) -> float:
    import numpy as np

    _, index, counts = np.unique(p, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    n_bad = y.sum()
    rank_sum = mid_ranks[index][y == 1].sum()
    return float((rank_sum - n_bad * (n_bad + 1) / 2) / (n_bad * (y.size - n_bad)))


def _calibration_error(p: Floats, y: Floats) -> float:
    import numpy as np

    bins = np.minimum((p * _N_BINS).astype(int), _N_BINS - 1)
    gaps = np.bincount(bins, weights=p - y, minlength=_N_BINS)
    return float(np.abs(gaps).sum() / p.size)


def _log_churn(rows: Sequence[TrainingRow]) -> Floats:
    import numpy as np

    return np.log1p(efforts_of(rows))


def _fit_line(x: Floats, y: Floats) -> tuple[float, float]:
    """Penalised logistic regression in one variable by Newton's method; returns slope and
    intercept.

    The rule of succession's pseudo-counts keep the intercept finite when all labels are alike.
    """
    import numpy as np

    design = np.column_stack([x, np.ones_like(x)])
    design = np.vstack([design, [[0.0, 1.0], [0.0, 1.0]]])
    target = np.append(y, [0.0, 1.0])
    penalty = np.diag([_RIDGE, 0.0])
    w = np.zeros(2)
    for _ in range(_N_STEPS):
        p = _sigmoid(design @ w)
        gradient = design.T @ (p - target) + penalty @ w
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + penalty
        # Half steps: slower than Newton's own, and they cannot overshoot into a singular curvature.
        w = w - 0.5 * np.linalg.solve(curvature, gradient)
    if w[0] < 0:
        rate = float(target.mean())
        return 0.0, float(np.log(rate / (1 - rate)))
    return float(w[0]), float(w[1])


def _sigmoid(z: Floats) -> Floats:
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))
