"""How much of a clean label may be silence that has not lasted long enough.

A commit counts as clean until a fix blames it, which may take years, so that the youngest rows look
cleanest. Which rows there are belongs to `rows.py` and `mined.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[float64]

SETTLED_S = 2 * 365 * 24 * 3600.0
"""Delays are learnt from rows of this age: of the defects in 113 projects 86 % were known by then.
"""

_LEAST_DELAYS = 20
"""Fewer known delays than this teach nothing about the others."""

_DRAWN_BY = 100.0
"""Delays' worth by which a repository's own delays are drawn to those of all."""


def latency_weights(
    ages_s: ArrayLike, delays_s: ArrayLike, repositories: ArrayLike | None = None
) -> Floats:
    """What each row may teach: 1 when its failure is known; when it counts as clean, the share of
    failures that would be known at its age.

    Failures that are not known yet are learnt as clean otherwise, most of all among the youngest
    (positive and unlabelled rows; Elkan & Noto, 2008). The delays are those of rows that are
    settled, their own repository's as far as there are enough.

    Args:
        ages_s: seconds since each commit was made.
        delays_s: seconds until its first failure became known, NaN where none is known.
        repositories: one name per row; left out, all are of one.
    """
    import numpy as np

    ages, delays = np.asarray(ages_s, dtype=float), np.asarray(delays_s, dtype=float)
    is_bad = ~np.isnan(delays)
    is_settled = is_bad & (ages >= SETTLED_S)
    weights = np.ones(len(ages))
    if is_settled.sum() < _LEAST_DELAYS:
        return weights
    names = np.zeros(len(ages)) if repositories is None else np.asarray(repositories)
    share = _known_by(np.sort(delays[is_settled]), ages) / is_settled.sum()
    for name in np.unique(names):
        here = names == name
        own = np.sort(delays[is_settled & here])
        drawn = _known_by(own, ages[here]) + _DRAWN_BY * share[here]
        weights[here] = drawn / (own.size + _DRAWN_BY)
    weights[is_bad] = 1.0
    return weights


def _known_by(delays: Floats, ages: Floats) -> Floats:
    import numpy as np

    return np.searchsorted(delays, ages, side="right").astype(float)
