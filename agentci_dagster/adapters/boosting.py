"""Gradient-boosted histograms on a table of numbers: recent rows count more, calibrated.

What the columns mean, and explanations, belong to `trained_models.py`. The benchmarks use this same
module on public data. Importing it imports no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

TRUSTED_TYPES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)

HALF_LIFE_S = 365 * 24 * 3600.0
"""After a year a row counts half: projects change. On the ISSTA'21 splits 0.001 of AUC, no more."""

_CALIBRATION_SHARE = 0.2
_LEAST_CALIBRATION_FAILURES = 5

_MANY_ROWS = 20_000
"""From here on one model of more leaves; below, several seeds are averaged, which costs little."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to learn from, oldest first.

    `matrix` is `n_rows x n_columns` with NaN for unknown, `labels` 0 or 1, `moments` seconds,
    `weights` not negative; `signs` says per column whether it may only raise the risk (1), only
    lower it (-1), or as the data says (0).
    """

    matrix: Floats
    labels: Floats
    moments: Floats
    weights: Floats
    signs: Sequence[int]

    def upto(self, at: int) -> Table:
        """The earliest `at` rows."""
        return Table(
            self.matrix[:at], self.labels[:at], self.moments[:at], self.weights[:at], self.signs
        )


def fit_boosted(table: Table, seed: int) -> dict[str, Any]:
    """The parts to store: `trees` (averaged in log-odds), `slope` and `intercept`.

    The two numbers of the calibration (Platt, 1999) come from trees fitted on the earlier four
    fifths, looked at on the latest fifth; then trees are fitted anew on all rows, so that the
    latest are not lost to learning.
    """
    n = len(table.labels)
    at = n - round(_CALIBRATION_SHARE * n)
    slope, intercept = 1.0, 0.0
    with one_thread():
        if 0 < table.labels[:at].sum() < at:
            earlier = [_fit(table.upto(at), seed)]
            raw = _mean_log_odds(earlier, table.matrix[at:])
            slope, intercept = _calibrate(raw, table.labels[at:], table.weights[at:])
        seeds = range(seed, seed + (1 if n >= _MANY_ROWS else 3))
        trees = [_fit(table, s) for s in seeds]
    return {"trees": trees, "slope": slope, "intercept": intercept}


def log_odds(parts: Mapping[str, Any], matrix: Floats) -> Floats:
    """Calibrated log-odds, one per row."""
    with one_thread():
        raw = _mean_log_odds(parts["trees"], matrix)
    return float(parts["slope"]) * raw + float(parts["intercept"])


def one_thread() -> AbstractContextManager[Any]:
    """One OpenMP thread: beside other work, threads that wait for each other are far slower."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
    return limits


def _fit(table: Table, seed: int) -> Any:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    n = len(table.labels)
    is_large = n >= _MANY_ROWS
    model = HistGradientBoostingClassifier(
        learning_rate=0.1 if is_large else 0.05,
        max_iter=200 if is_large else 150,
        max_leaf_nodes=31 if is_large else 16 if n >= 2_000 else 8,
        min_samples_leaf=40 if n >= 2_000 else 20,
        l2_regularization=5.0 if n >= 2_000 else 1.0,
        max_features=0.5 if n >= 2_000 else 1.0,
        monotonic_cst=list(table.signs),
        early_stopping=False,
        random_state=seed,
    )
    recency = np.exp2((table.moments - table.moments.max()) / HALF_LIFE_S)
    return model.fit(_without_empty_columns(table.matrix), table.labels, table.weights * recency)


def _mean_log_odds(trees: Sequence[Any], matrix: Floats) -> Floats:
    import numpy as np

    found: Floats = np.mean([model.decision_function(matrix) for model in trees], axis=0)
    return found


def _calibrate(raw: Floats, labels: Floats, weights: Floats) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    n_failures = int(labels.sum())
    if min(n_failures, len(labels) - n_failures) < _LEAST_CALIBRATION_FAILURES:
        return 1.0, 0.0
    fitted = LogisticRegression(C=1.0).fit(raw.reshape(-1, 1), labels, weights)
    slope = float(fitted.coef_[0][0])
    return (slope, float(fitted.intercept_[0])) if slope > 0 else (1.0, 0.0)


def _without_empty_columns(matrix: Floats) -> Floats:
    """A column that no row knows as 0 everywhere: scikit-learn 1.9 cannot bin one of NaN."""
    import numpy as np

    return np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)
