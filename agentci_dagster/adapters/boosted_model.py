"""The model for many outcomes: what its columns are, and the reasons of a score.

The learner is `boosting.py`; the model for few outcomes `anchored_model.py`. Importing this module
imports no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from agentci_dagster.adapters.boosting import Boosted, Table, fit_boosted
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import TrainingRow
from agentci_dagster.domain.risk import (
    Contribution,
    LogisticPrior,
    Scored,
    probability_of,
    strongest_first,
)

if TYPE_CHECKING:
    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

    Floats = NDArray[float64]
    Ints = NDArray[intp]

MEASURES = tuple(f.name for f in fields(CommitFeatures) if f.name != "is_capped")
"""A capped diff is a guard rule of its own; its measures are lower bounds."""

_measured = attrgetter(*MEASURES)
_AT = {name: at for at, name in enumerate(MEASURES)}

USUAL = (0.1, 0.9)
"""Between these quantiles of the training rows a value is usual."""

_NEVER_LOWER = frozenset(
    {
        "lines_added",
        "lines_deleted",
        "files",
        "directories",
        "subsystems",
        "is_fix",
        "earlier_fixes",
    }
)
"""Measures that may only raise the risk: churn and spread, and the word "fix" that anybody can
write into a message.
"""


class BoostedModel:
    """Boosted and randomised trees on all measures, the prior's log-odds and how often the commit's
    repository failed, calibrated (`boosting.py`). Churn, spread and the prior's log-odds are
    monotone: they never lower the risk.

    Contributions: measures go one by one from the training median to the commit's value, once
    forwards and once backwards through the list, and each gets the mean of the two changes that it
    made. They sum exactly to the commit's log-odds less those of the usual commit of the same
    repository; with interactions other orders would share them out a little differently.
    """

    kind: ClassVar[str] = "boosted-histograms"
    trusted_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, version: str, prior: LogisticPrior, parts: Mapping[str, Any]) -> None:
        self.version = version
        self._prior = prior
        self._learnt = Boosted.of(parts)
        medians, lows, highs = (
            dict(zip(MEASURES, (float(v) for v in parts[name]), strict=True))
            for name in ("medians", "lows", "highs")
        )
        self.usual = CommitFeatures(**medians)
        self._usual_row = _matrix([self.usual], prior)[0]
        self._usual_contributions = prior.contributions(self.usual)
        self._ranges = {name: (lows[name], highs[name]) for name in MEASURES}

    @staticmethod
    def features(prior: LogisticPrior) -> tuple[str, ...]:  # noqa: ARG004  the same shape as AnchoredModel's
        return ("prior_log_odds", *MEASURES)

    @classmethod
    def fit(
        cls,
        rows: Sequence[TrainingRow],
        prior: LogisticPrior,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """The parts to store: trees, the two numbers of their calibration, the usual commit."""
        import numpy as np

        order = sorted(range(len(rows)), key=lambda i: (rows[i].committed_at, rows[i].key))
        ordered = [rows[i] for i in order]
        worth = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)[order]
        matrix = _matrix([row.features for row in ordered], prior)
        table = Table(
            matrix=matrix,
            labels=np.array([row.label for row in ordered], dtype=float),
            moments=np.array([row.committed_at.timestamp() for row in ordered]),
            weights=worth,
            signs=[1, *(int(name in _NEVER_LOWER) for name in MEASURES)],
            repositories=[row.key.repository for row in ordered],
        )
        return {
            **fit_boosted(table, seed).parts(),
            "medians": _quantiles(matrix[:, 1:], 0.5),
            "lows": _quantiles(matrix[:, 1:], USUAL[0]),
            "highs": _quantiles(matrix[:, 1:], USUAL[1]),
        }

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:
        import numpy as np

        usual, own = self._usual_row, _matrix([features], self._prior)[0]
        # A measure that is as usual changes nothing on the way.
        moved = np.flatnonzero(~_alike(usual[1:], own[1:]))
        paths = [self._path(features, own, order) for order in (moved, moved[::-1])]
        found = self._log_odds(np.vstack(paths), repository).reshape(2, -1)
        there, back = np.diff(found, axis=1) / 2
        changes = np.zeros(len(MEASURES))
        changes[moved] = there + back[::-1]
        contributions = [
            Contribution(name, getattr(features, name), change, *self._ranges[name])
            for name, change in zip(MEASURES, changes.tolist(), strict=True)
        ]
        # The last commit of a path is the one asked about.
        return Scored(probability_of(float(found[0, -1])), strongest_first(contributions))

    @property
    def median_log_odds(self) -> float:
        """Log-odds of the usual commit, from which contributions count."""
        return self.median_log_odds_in("")

    def median_log_odds_in(self, repository: str) -> float:
        """The same for a commit of that repository."""
        return float(self._log_odds(self._usual_row[None, :], repository)[0])

    def _log_odds(self, matrix: Floats, repository: str) -> Floats:
        return self._learnt.log_odds(matrix, [repository] * len(matrix))

    def _path(self, features: CommitFeatures, own: Floats, order: Ints) -> Floats:
        """From the usual commit to this one, one measure at a time: `(1 + n_moved) x n_columns`.

        The prior's part of each step is the sum of its shapes, which its contributions are.
        """
        import numpy as np

        n = len(order)
        has_moved = np.tri(n + 1, n, -1, dtype=bool)
        path = np.tile(self._usual_row, (n + 1, 1))
        path[:, 1 + order] = np.where(has_moved, own[1 + order], path[:, 1 + order])
        shifts = np.zeros(len(MEASURES))
        for ours, usual in zip(
            self._prior.contributions(features), self._usual_contributions, strict=True
        ):
            shifts[_AT[ours.feature]] = ours.log_odds - usual.log_odds
        path[:, 0] += np.concatenate([[0.0], np.cumsum(shifts[order])])
        path[-1] = own
        return path


def _matrix(commits: Sequence[CommitFeatures], prior: LogisticPrior) -> Floats:
    """`n_commits x (1 + n_measures)`: the prior's log-odds, then the measures, unknown as NaN."""
    import numpy as np

    # NumPy reads None as NaN.
    return np.array([(prior.log_odds(c), *_measured(c)) for c in commits], dtype=float)


def _alike(one: Floats, other: Floats) -> NDArray[bool_]:
    import numpy as np

    found: NDArray[bool_] = (one == other) | (np.isnan(one) & np.isnan(other))
    return found


def _quantiles(measures: Floats, share: float) -> Floats:
    """Quantiles of the known values; 0 where no row knows any."""
    import numpy as np

    known = [column[~np.isnan(column)] for column in measures.T]
    return np.array([float(np.quantile(column, share)) if column.size else 0.0 for column in known])
