"""Rates with intervals and durations with quantiles; "not enough data" instead of a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from agentci_dagster.domain.trends.values import Duration, Rate


def rate(numerator: int, denominator: int, least: int, confidence: float) -> Rate:
    """The share with its interval; all None below `least` (and at least one) observations."""
    if denominator < max(least, 1):
        return Rate(numerator, denominator, None, None, None)
    low, high = wilson_interval(numerator, denominator, confidence)
    return Rate(numerator, denominator, numerator / denominator, low, high)


def wilson_interval(numerator: int, denominator: int, confidence: float) -> tuple[float, float]:
    """The score interval of a share (Wilson, "Probable inference", 1927); fractions in [0, 1]."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, shrink = numerator / denominator, 1 + z * z / denominator
    middle = (share + z * z / (2 * denominator)) / shrink
    spread = share * (1 - share) / denominator + z * z / (4 * denominator * denominator)
    half = z * math.sqrt(spread) / shrink
    # At the ends the formula gives 0 and 1 up to rounding.
    low = middle - half if numerator else 0.0
    high = middle + half if numerator < denominator else 1.0
    return low, high


def duration(seconds: Sequence[float], least: int) -> Duration:
    """Median and 90th percentile, interpolated (Hyndman and Fan, 1996, type 7)."""
    if len(seconds) < max(least, 1):
        return Duration(len(seconds), None, None)
    ordered = sorted(seconds)
    return Duration(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.9))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
