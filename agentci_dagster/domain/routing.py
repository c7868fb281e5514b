"""The route of a commit: how much care it gets, from its risk, the guard rules and advice. Scoring belongs to `risk.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """How much care a commit gets, from least to most."""

    SKIP = "skip"
    FAST = "fast"
    STANDARD = "standard"
    GUARDED = "guarded"
    HOLD = "hold"

    @property
    def strictness(self) -> int:
        return list(Route).index(self)

    def at_least(self, other: Route) -> Route:
        """The stricter of the two."""
        return max(self, other, key=lambda route: route.strictness)


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """Where the routes begin, as probabilities of failure.

    Defaults: a third of commits of the public training data score below `fast_below`, a tenth above `guarded_from`;
    `hold_from` is where more than half of the deployments failed.
    """

    fast_below: float = 0.15
    guarded_from: float = 0.45
    hold_from: float = 0.85
    advice_may_hold: bool = True
    """Whether advice of a language model may ask for a person; it can never relax a route."""

    def __post_init__(self) -> None:
        if not 0 <= self.fast_below <= self.guarded_from <= self.hold_from <= 1:
            raise ValueError("need 0 <= fast_below <= guarded_from <= hold_from <= 1")
