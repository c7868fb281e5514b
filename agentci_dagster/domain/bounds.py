"""Exact bounds on shares from counts, good at any sample size and without any library.

Approximate intervals for reports are in `trends/figures.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its counts and exact 95 % interval; all None where nothing was seen."""

    n_hits: int
    n: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, n_hits: int, n: int) -> Share:
        """The share of `n_hits` among `n`."""
        if not n:
            return cls(n_hits, n, None, None, None)
        low, high = share_bounds(n_hits, n, _CONFIDENCE)
        return cls(n_hits, n, n_hits / n, low, high)


def share_bounds(n_hits: int, n: int, confidence: float) -> tuple[float, float]:
    """The two-sided interval of a share (Clopper & Pearson, "The use of confidence or fiducial
    limits illustrated in the case of the binomial", 1934); fractions in [0, 1].

    Nothing seen says nothing: (0, 1).
    """
    tail = (1 - confidence) / 2
    return lower_bound(n_hits, n, 1 - tail), upper_bound(n_hits, n, 1 - tail)


def upper_bound(n_hits: int, n: int, confidence: float) -> float:
    """The largest share that would still give so few hits with probability 1 - confidence."""
    if not 0 <= n_hits <= n:
        raise ValueError(f"need 0 <= n_hits <= n, got {n_hits} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1: {confidence!r}")
    if n_hits == n:
        return 1.0
    low, high = n_hits / n, 1.0
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        is_plausible = at_most(n_hits, n, middle) > 1 - confidence
        low, high = (middle, high) if is_plausible else (low, middle)
    return high


def lower_bound(n_hits: int, n: int, confidence: float) -> float:
    """The smallest share that would still give so many hits with probability 1 - confidence."""
    return 1 - upper_bound(n - n_hits, n, confidence)


def at_most(n_hits: int, n: int, share: float) -> float:
    """Probability of at most so many hits in `n` independent draws that hit with this share."""
    if n_hits < 0:
        return 0.0
    if n_hits >= n or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    likeliest = min(n_hits, int((n + 1) * share))
    odds = share / (1 - share)
    first = math.exp(_log_probability(likeliest, n, share))
    total = term = first
    for k in range(likeliest, 0, -1):
        term *= k / ((n - k + 1) * odds)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    term = first
    for k in range(likeliest + 1, n_hits + 1):
        term *= (n - k + 1) * odds / k
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return min(1.0, total)


def most_misses(n: int, share: float, confidence: float) -> int | None:
    """How many of `n` may be missed while at least `share` of all that ever come are caught, with
    this confidence.

    The threshold may be chosen on the same `n`: the share beyond the k-th smallest of `n` draws
    follows a beta distribution whatever they are drawn from (Wilks, "Determination of sample sizes
    for setting tolerance limits", 1941), so no choice among thresholds has to be paid for. None
    when `n` is too small even for no miss.
    """
    if at_most(0, n, 1 - share) > 1 - confidence:
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        is_kept = at_most(middle, n, 1 - share) <= 1 - confidence
        low, high = (middle, high) if is_kept else (low, middle)
    return low


def least_sample(share: float, confidence: float) -> int:
    """The smallest sample in which no miss at all proves the share with this confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(share))


def _log_probability(k: int, n: int, share: float) -> float:
    choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choices + k * math.log(share) + (n - k) * math.log1p(-share)


_N_HALVINGS = 60
_NEGLIGIBLE = 1e-17
_CONFIDENCE = 0.95
