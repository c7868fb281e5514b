"""The arithmetic of the embedded prior, in plain Python: a score must import nothing heavy.

How it was made: docs/prior.md.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.risk.values import Contribution, Scored


class LogisticPrior:
    """The embedded prior: an additive model of piecewise-linear shapes, scored without any library.

    The log-odds of failure are an intercept plus one shape per feature; outside its outermost knots
    a shape is flat. An unknown value counts as the training median, so it moves nothing.

    Args:
        document: `version`, `intercept` (log-odds) and `shapes`, each with `name`, `scale` (`log1p`
        or `linear`),
            `knots` (rising), `log_odds` (one per knot), `median` and, where known, `usual` (in the
            feature's own unit: what encloses four fifths of the training rows).

    Raises:
        ValueError: the document is no such model, or more churn would lower the risk.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            self._version = str(document["version"])
            self._intercept = float(document["intercept"])
            self._shapes = tuple(_Shape.read(shape) for shape in document["shapes"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a prior: {error!r}") from error
        self._median_log_odds = self._intercept + sum(s.at(s.median) for s in self._shapes)

    @property
    def version(self) -> str:
        return self._version

    @property
    def features(self) -> tuple[str, ...]:
        """The features that it reads, in the order of its shapes."""
        return tuple(shape.name for shape in self._shapes)

    @property
    def median_log_odds(self) -> float:
        """Log-odds of the commit whose every feature is the training median.

        Contributions count from here.
        """
        return self._median_log_odds

    def contributions(self, features: CommitFeatures) -> tuple[Contribution, ...]:
        """What each feature adds to the median commit's log-odds, in the order of the shapes.

        The sum is exact.
        """
        return tuple(shape.contribution(getattr(features, shape.name)) for shape in self._shapes)

    def log_odds(self, features: CommitFeatures) -> float:
        return self.median_log_odds + sum(c.log_odds for c in self.contributions(features))

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:  # noqa: ARG002
        """Probability of failure, and the contributions strongest first.

        The prior knows no repository, so that any name gives the same.
        """
        return Scored(
            probability_of(self.log_odds(features)), strongest_first(self.contributions(features))
        )


def probability_of(log_odds: float) -> float:
    """The logistic function, safe at any size."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))


def strongest_first(contributions: Iterable[Contribution]) -> tuple[Contribution, ...]:
    """By size, whatever the sign; ties by name, so that the order never wavers."""
    return tuple(sorted(contributions, key=lambda c: (-abs(c.log_odds), c.feature)))


@dataclass(frozen=True, slots=True)
class _Shape:
    """One feature's piecewise-linear part of the log-odds."""

    name: str
    is_log: bool
    knots: tuple[float, ...]
    values: tuple[float, ...]
    median: float
    usual: tuple[float | None, float | None] = (None, None)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> _Shape:
        shape = cls(
            name=str(document["name"]),
            is_log=document["scale"] == "log1p",
            knots=tuple(float(k) for k in document["knots"]),
            values=tuple(float(v) for v in document["log_odds"]),
            median=float(document["median"]),
            usual=_usual(document.get("usual")),
        )
        if shape.name not in CommitFeatures.__dataclass_fields__:
            raise ValueError(f"not a prior: no feature is named {shape.name!r}")
        if len(shape.knots) != len(shape.values) or not shape.knots:
            raise ValueError(f"not a prior: {shape.name} needs one log-odds value per knot")
        if list(shape.knots) != sorted(set(shape.knots)):
            raise ValueError(f"not a prior: the knots of {shape.name} do not rise")
        if shape.name in _NEVER_LOWERS and list(shape.values) != sorted(shape.values):
            raise ValueError(f"not a prior: more {shape.name} would lower the risk")
        return shape

    def contribution(self, value: float | None) -> Contribution:
        known = self.median if value is None else value
        return Contribution(self.name, value, self.at(known) - self.at(self.median), *self.usual)

    def at(self, value: float) -> float:
        x = math.log1p(max(value, 0.0)) if self.is_log else value
        if x <= self.knots[0]:
            return self.values[0]
        if x >= self.knots[-1]:
            return self.values[-1]
        right = bisect_right(self.knots, x)
        x0, x1 = self.knots[right - 1], self.knots[right]
        y0, y1 = self.values[right - 1], self.values[right]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _usual(span: Any) -> tuple[float | None, float | None]:
    if span is None:
        return None, None
    low, high = span
    return float(low), float(high)


# Churn, where the field agrees; and the word "fix" in a message, which anybody can write.
_NEVER_LOWERS = frozenset({"lines_added", "lines_deleted", "is_fix"})
