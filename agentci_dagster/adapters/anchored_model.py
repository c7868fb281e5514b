"""The model for few outcomes: the prior, corrected by what the rows show.

The one for many is `boosted_model.py`. Importing this module imports no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

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
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

# Kinds of files that the prior's data does not know, so that only evidence of the repository's own
# can say what they are worth.
_EXTRAS = (
    "test_files",
    "dependency_files",
    "migration_files",
    "configuration_files",
    "ci_files",
    "container_files",
    "earlier_fixes",
)


class AnchoredModel:
    """Logistic regression on the prior's log-odds and a few measures that the prior does not know.

    It starts from the prior: each row is also seen as a pair of pseudo-outcomes weighted by the
    prior's own probability, worth ten outcomes in all (a catalytic prior after Huang, Stein,
    Rubin & Kou, 2020), so that few rows move it little and many rows move it freely. Contributions
    are exact: the prior's, times the learnt slope, and one per extra measure.
    """

    kind: ClassVar[str] = "anchored-logistic"
    trusted_types: ClassVar[tuple[str, ...]] = ()

    # The ridge falls on the extra measures, hardly on the prior's slope.
    _PRIOR_SCALE: ClassVar[float] = 4.0
    _PSEUDO_OUTCOMES: ClassVar[float] = 10.0

    def __init__(self, version: str, prior: LogisticPrior, parts: Mapping[str, Any]) -> None:
        regression = parts["regression"]
        weights = [float(w) for w in regression.coef_[0]]
        self.version = version
        self._prior = prior
        self._slope = weights[0] * self._PRIOR_SCALE
        self._intercept = float(regression.intercept_[0])
        self._weights = dict(zip(_EXTRAS, weights[1:], strict=True))
        self._medians = dict(zip(_EXTRAS, (float(m) for m in parts["medians"]), strict=True))

    @staticmethod
    def features(prior: LogisticPrior) -> tuple[str, ...]:
        return (*prior.features, *_EXTRAS)

    @classmethod
    def fit(
        cls,
        rows: Sequence[TrainingRow],
        prior: LogisticPrior,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """The parts to store: a fitted regression and the medians of the extra measures."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        anchors = np.array([prior.log_odds(row.features) for row in rows])
        extras = np.array([[_log(row.features, name) for name in _EXTRAS] for row in rows])
        design = np.column_stack([anchors * cls._PRIOR_SCALE, extras])
        labels = np.array([row.label for row in rows])
        believed = np.array([probability_of(z) for z in anchors])
        worth = cls._PSEUDO_OUTCOMES / len(rows)
        own = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)

        def fit(columns: Floats) -> Any:
            return LogisticRegression(C=1.0, max_iter=1000, random_state=seed).fit(
                np.vstack([columns, columns, columns]),
                np.concatenate([labels, np.ones_like(labels), np.zeros_like(labels)]),
                np.concatenate([own, believed * worth, (1 - believed) * worth]),
            )

        regression = fit(design)
        if regression.coef_[0][0] < 0:
            # Evidence against the prior may silence it, never turn it: more churn lowers nothing.
            regression = fit(design * np.array([0.0] + [1.0] * len(_EXTRAS)))
        return {"regression": regression, "medians": np.median(extras, axis=0)}

    @property
    def median_log_odds(self) -> float:
        """Log-odds of the usual commit, from which contributions count."""
        return (
            self._intercept
            + self._slope * self._prior.median_log_odds
            + sum(self._weights[name] * self._medians[name] for name in _EXTRAS)
        )

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:  # noqa: ARG002  the same shape as BoostedModel's
        contributions = [
            replace(c, log_odds=c.log_odds * self._slope)
            for c in self._prior.contributions(features)
        ]
        contributions += [
            Contribution(
                name,
                getattr(features, name),
                self._weights[name] * (_log(features, name) - self._medians[name]),
            )
            for name in _EXTRAS
        ]
        total = self.median_log_odds + sum(c.log_odds for c in contributions)
        return Scored(probability_of(total), strongest_first(contributions))


def _log(features: CommitFeatures, name: str) -> float:
    import math

    return math.log1p(max(0.0, float(getattr(features, name))))
