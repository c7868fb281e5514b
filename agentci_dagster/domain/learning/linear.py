"""The linear baseline: what a plain logistic regression on all measures would have said.

A model of many trees that does not beat it is not worth its trees. The other baselines are in
`quality.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning.quality import base_rate_probabilities
from agentci_dagster.domain.learning.values import TrainingRow

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

_MEASURES = tuple(field.name for field in fields(CommitFeatures))

_INVERSE_RIDGE = 0.1
"""scikit-learn's C on scaled measures: light, as in the linear baseline of benchmarks/risk.py."""


def linear_probabilities(train: Sequence[TrainingRow], later: Sequence[TrainingRow]) -> Floats:
    """Logistic regression on log(1 + measure), each scaled by the training rows, unknown as usual.

    The base rate where the training rows cannot be told apart.
    """
    import numpy as np

    labels = np.array([row.label for row in train])
    if not 0 < labels.sum() < labels.size or not later:
        return base_rate_probabilities(train, len(later))
    from sklearn.linear_model import LogisticRegression

    known = _logs(train)
    usual = np.array([np.median(c[~np.isnan(c)]) if not np.isnan(c).all() else 0 for c in known.T])
    spread = np.nanstd(np.where(np.isnan(known), usual, known), axis=0)

    def scaled(logs: Floats) -> Floats:
        found: Floats = (np.where(np.isnan(logs), usual, logs) - usual) / np.maximum(spread, 1e-9)
        return found

    model = LogisticRegression(C=_INVERSE_RIDGE, max_iter=1_000).fit(scaled(known), labels)
    found: Floats = model.predict_proba(scaled(_logs(later)))[:, 1]
    return found


def _logs(rows: Sequence[TrainingRow]) -> Floats:
    """`n_rows x n_measures`, NaN for unknown."""
    import numpy as np

    values = [
        [np.nan if (x := getattr(row.features, m)) is None else float(x) for m in _MEASURES]
        for row in rows
    ]
    found: Floats = np.log1p(np.maximum(np.array(values, dtype=float), 0.0))
    return found
