"""Quality of a ranking when looking at a commit costs what its size is: the effort-aware measures.

Probabilities as such are measured in `quality.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64, intp
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[float64]

EFFORT_SHARE = 0.2
"""The share of all changed lines that is looked at (Kamei et al., 2013)."""


def recall_at_effort(
    probabilities: ArrayLike, labels: ArrayLike, efforts: ArrayLike, share: float = EFFORT_SHARE
) -> float | None:
    """Share of the failures found in the first `share` of all effort, riskiest per line first.

    Kamei et al., "A large-scale empirical study of just-in-time quality assurance" (2013). A commit
    counts as found when all of it fits into the effort. None without a failure.

    An effort is what looking at a commit costs: its lines added and deleted, at least one.
    """
    import numpy as np

    p, y, effort = _checked(probabilities, labels, efforts)
    if not y.sum():
        return None
    order = _order(p / effort, effort, y)
    spent = np.cumsum(effort[order])
    return float(y[order][spent <= share * spent[-1] * (1 + 1e-12)].sum() / y.sum())


def p_opt(probabilities: ArrayLike, labels: ArrayLike, efforts: ArrayLike) -> float | None:
    """How near the ranking by risk per line comes to the best possible one, in [0, 1].

    The area between its curve of failures found over effort spent and the worst ranking's, divided
    by that between the best and the worst (Mende & Koschke, 2010, normalised as by Yang et al.,
    2016). None when best and worst are the same.
    """
    p, y, effort = _checked(probabilities, labels, efforts)
    if not 0 < y.sum() < y.size:
        return None
    best = _area(y / effort, effort, y)
    worst = _area(-y / effort, effort, y)
    return (_area(p / effort, effort, y) - worst) / (best - worst)


def _checked(
    probabilities: ArrayLike, labels: ArrayLike, efforts: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    import numpy as np

    p, y, effort = (np.asarray(a, dtype=float) for a in (probabilities, labels, efforts))
    if not p.shape == y.shape == effort.shape:
        raise ValueError("need one probability and one effort per label")
    if not np.all(effort >= 0):
        raise ValueError("an effort is not negative")
    return p, y, np.maximum(effort, 1.0)


def _order(density: Floats, effort: Floats, y: Floats) -> NDArray[intp]:
    """Densest first; among equals the larger commit, then the clean one: luck helps nobody."""
    import numpy as np

    found: NDArray[intp] = np.lexsort((y, -effort, -density))
    return found


def _area(density: Floats, effort: Floats, y: Floats) -> float:
    """Area under the share of failures found over the share of effort spent, by trapezoids."""
    import numpy as np

    order = _order(density, effort, y)
    spent = np.concatenate([[0.0], np.cumsum(effort[order])]) / effort.sum()
    found = np.concatenate([[0.0], np.cumsum(y[order])]) / y.sum()
    return float(np.sum(np.diff(spent) * (found[1:] + found[:-1]) / 2))
