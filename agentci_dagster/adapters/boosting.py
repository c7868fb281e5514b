"""Trees on a table of numbers, boosted and, for few rows, averaged; recent rows count more.

What the columns mean, and explanations, belong to `boosted_model.py`; the walk through the trees
to `forests.py`. The benchmarks use this same module on public data. Importing it imports no
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentci_dagster.adapters.forests import (
    Forest,
    averaged_forest,
    boosted_forest,
    forest_from,
    forest_parts,
)

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

HALF_LIFE_S = 365 * 24 * 3600.0
"""After a year a row counts half: projects change. On the ISSTA'21 splits 0.001 of AUC, on 113
projects 0.007."""

_CALIBRATION_SHARE = 0.2
_LEAST_CALIBRATION_FAILURES = 5

_CALIBRATION_RIDGE = 30.0
"""Draws the calibration to none. Without it 60 rows to calibrate on made it worse than none; on
the last fifths of the ISSTA'21 training rows 0, 10, 30 and 100 lie within 0.001."""

_CALIBRATION_STEPS = 40

_MANY_ROWS = 20_000
"""From here on one boosted model of more leaves; below, small ones of two seeds are averaged."""

_AVERAGED_SHARE = 0.4
"""Of the log-odds that come from extremely randomised trees (Geurts, Ernst & Wehenkel, 2006), which
err elsewhere than boosted ones: on later parts of the ISSTA'21 training rows they add 0.001 to
0.003 of AUC, 0.010 where there are but 300 rows, and 0.002 on 113 projects."""

_MOST_LOG = 700.0
"""exp of more is infinite."""

_UNKNOWN_SHARE = 0.2
"""Rows that are learnt from as if their repository were unknown, so that a new one can be scored.
"""

_DRAWN_BY = 10.0
"""Rows' worth by which a repository's own rate is drawn to that of all."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to learn from, oldest first.

    `matrix` is `n_rows x n_columns` with NaN for unknown, `labels` 0 or 1, `moments` seconds,
    `weights` not negative; `signs` says per column whether it may only raise the risk (1), only
    lower it (-1), or as the data says (0). `repositories` names each row's, or is empty.
    """

    matrix: Floats
    labels: Floats
    moments: Floats
    weights: Floats
    signs: Sequence[int]
    repositories: Sequence[str] = ()

    def upto(self, at: int) -> Table:
        """The earliest `at` rows."""
        return Table(
            self.matrix[:at],
            self.labels[:at],
            self.moments[:at],
            self.weights[:at],
            self.signs,
            self.repositories[:at],
        )

    def every(self, step: int) -> Table:
        """Each row whose number the step divides."""
        return Table(
            self.matrix[::step],
            self.labels[::step],
            self.moments[::step],
            self.weights[::step],
            self.signs,
            self.repositories[::step],
        )

    @property
    def faded(self) -> Floats:
        """The weights, less for what is long ago."""
        import numpy as np

        ago = self.moments.max() - self.moments
        faded: Floats = self.weights * np.exp2(-ago / HALF_LIFE_S)
        return faded


@dataclass(frozen=True, slots=True)
class Boosted:
    """What was learnt: forests averaged in log-odds by their shares, their calibration, and how
    often each repository failed (log-odds), which the trees read as their last column.
    """

    forests: tuple[Forest, ...]
    shares: tuple[float, ...]
    slope: float
    intercept: float
    rates: Mapping[str, float]

    def log_odds(self, matrix: Floats, repositories: Sequence[str] = ()) -> Floats:
        """Calibrated, one per row; a repository that was not learnt from is unknown."""
        import numpy as np

        names = repositories or [""] * len(matrix)
        rates = np.array([self.rates.get(name, np.nan) for name in names], dtype=float)
        known = np.column_stack([matrix, rates])
        raw = np.zeros(len(matrix))
        for forest, share in zip(self.forests, self.shares, strict=True):
            raw += share * forest.log_odds(known)
        calibrated: Floats = self.slope * raw + self.intercept
        return calibrated

    def parts(self) -> dict[str, Any]:
        """What to store: arrays, numbers and names only."""
        return {
            "forests": [forest_parts(forest) for forest in self.forests],
            "shares": list(self.shares),
            "slope": self.slope,
            "intercept": self.intercept,
            "rates": dict(self.rates),
        }

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Boosted:
        """What was stored; ValueError or KeyError when the parts are none."""
        return cls(
            forests=tuple(forest_from(forest) for forest in parts["forests"]),
            shares=tuple(float(share) for share in parts["shares"]),
            slope=float(parts["slope"]),
            intercept=float(parts["intercept"]),
            rates={str(name): float(rate) for name, rate in parts["rates"].items()},
        )


def fit_boosted(table: Table, seed: int) -> Boosted:
    """Learn from all rows, calibrated on the latest.

    The two numbers of the calibration (Platt, 1999) come from trees fitted on the earlier four
    fifths (every third row where there are many, for the time it takes), looked at on the latest
    fifth; then trees are fitted anew on all rows, so that the latest are not lost to learning.
    """
    n = len(table.labels)
    at = n - round(_CALIBRATION_SHARE * n)
    slope, intercept = 1.0, 0.0
    with one_thread():
        if 0 < table.labels[:at].sum() < at:
            sample = 3 if n >= _MANY_ROWS else 1
            earlier = _fit(table.upto(at).every(sample), [seed])
            raw = earlier.log_odds(table.matrix[at:], table.repositories[at:])
            slope, intercept = _calibrate(raw, table.labels[at:], table.weights[at:])
        found = _fit(table, [seed] if n >= _MANY_ROWS else [seed, seed + 1])
    return replace(found, slope=slope, intercept=intercept)


def one_thread() -> AbstractContextManager[Any]:
    """One OpenMP thread: beside other work, threads that wait for each other are far slower."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
    return limits


def _fit(table: Table, seeds: Sequence[int]) -> Boosted:
    import numpy as np

    rates = _rates(table)
    column = np.array([rates[name] for name in table.repositories or [""] * len(table.labels)])
    is_hidden = np.random.default_rng(seeds[0]).random(len(column)) < _UNKNOWN_SHARE
    matrix = np.column_stack([table.matrix, np.where(is_hidden, np.nan, column)])
    matrix = _without_empty_columns(matrix)
    forests = [boosted_forest(_boosted(table, matrix, seed)) for seed in seeds]
    shares = [1.0 / len(forests)] * len(forests)
    forests.append(_averaged(table, matrix, seeds[0]))
    shares = [*((1 - _AVERAGED_SHARE) * share for share in shares), _AVERAGED_SHARE]
    return Boosted(tuple(forests), tuple(shares), 1.0, 0.0, rates)


def _averaged(table: Table, matrix: Floats, seed: int) -> Forest:
    """Extremely randomised trees; they draw thresholds evenly, hence logarithms."""
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier

    logs = np.clip(np.sign(matrix) * np.log1p(np.abs(matrix)), -_MOST_LOG, _MOST_LOG)
    least = np.nanmin(logs, axis=0) - 1.0
    is_large = len(table.labels) >= _MANY_ROWS
    model = ExtraTreesClassifier(
        n_estimators=20 if is_large else 150,
        min_samples_leaf=40 if is_large else 10,
        max_features=0.3,
        monotonic_cst=[*table.signs, 1],
        random_state=seed,
    ).fit(np.where(np.isnan(logs), least, logs), table.labels, table.faded)
    thresholds = np.concatenate([tree.tree_.threshold for tree in model.estimators_])
    return averaged_forest(model, np.sign(thresholds) * np.expm1(np.abs(thresholds)))


def _boosted(table: Table, matrix: Floats, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    n = len(table.labels)
    is_large = n >= _MANY_ROWS
    model = HistGradientBoostingClassifier(
        learning_rate=0.12 if is_large else 0.03,
        max_iter=140 if is_large else 200,
        max_leaf_nodes=24 if is_large else 16 if n >= 2_000 else 8,
        min_samples_leaf=40 if is_large else 30 if n >= 2_000 else 20,
        l2_regularization=5.0 if is_large else 10.0,
        max_features=0.3,
        monotonic_cst=[*table.signs, 1],
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(matrix, table.labels, table.faded)


def _rates(table: Table) -> dict[str, float]:
    """Log-odds of each repository's failures in its faded rows, drawn to the rate of all."""
    import numpy as np

    names = np.array(table.repositories or [""] * len(table.labels))
    found, row_of = np.unique(names, return_inverse=True)
    weights = table.faded
    n = np.bincount(row_of, weights)
    failed = np.bincount(row_of, weights * table.labels)
    overall = (failed.sum() + 1) / (n.sum() + 2)
    share = (failed + _DRAWN_BY * overall) / (n + _DRAWN_BY)
    return dict(zip(found.tolist(), np.log(share / (1 - share)).tolist(), strict=True))


def _calibrate(raw: Floats, labels: Floats, weights: Floats) -> tuple[float, float]:
    """Slope and intercept by Newton's method, drawn to 1 and 0: few rows move them little."""
    import numpy as np

    n_failures = int(labels.sum())
    if min(n_failures, len(labels) - n_failures) < _LEAST_CALIBRATION_FAILURES:
        return 1.0, 0.0
    centre = float(np.average(raw, weights=weights)) if weights.sum() else 0.0
    design = np.column_stack([raw - centre, np.ones_like(raw)])
    drawn, start = np.eye(2) * _CALIBRATION_RIDGE, np.array([1.0, 0.0])
    found = start
    for _ in range(_CALIBRATION_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found + centre, -500, 500)))
        gradient = design.T @ (weights * (p - labels)) + drawn @ (found - start)
        curvature = design.T @ (design * (weights * p * (1 - p))[:, None]) + drawn
        # Half steps: slower than Newton's own, and they cannot overshoot.
        found = found - 0.5 * np.linalg.solve(curvature, gradient)
    slope, shift = float(found[0]), float(found[1])
    return (slope, centre + shift - slope * centre) if slope > 0 else (1.0, 0.0)


def _without_empty_columns(matrix: Floats) -> Floats:
    """A column that no row knows as 0 everywhere: scikit-learn 1.9 cannot bin one of NaN."""
    import numpy as np

    return np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)
