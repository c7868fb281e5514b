"""The values of risk: contributions, scores, advice, the frozen judgement.

No thinking here; that is in the files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.routing import RiskPolicy, Route


class RiskBand(StrEnum):
    """The risk in one word."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Contribution:
    """How much one feature moved the score, in log-odds; positive is riskier.

    `usual_low` and `usual_high` enclose four fifths of the rows that the model was trained on; None
    where the model does not know them.
    """

    feature: str
    value: float | None
    log_odds: float
    usual_low: float | None = None
    usual_high: float | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says about one row: a probability in [0, 1] and its additive reasons, strongest
    first.
    """

    probability: float
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a language model would like.

    It can only ask for more care. Empty when none was asked.
    """

    route: Route = Route.SKIP
    reasons: tuple[str, ...] = ()
    source: str = "none"


@dataclass(frozen=True, slots=True)
class RiskScore:
    """The frozen judgement of one commit: probability that its deployment fails, and the care it
    gets.
    """

    key: CommitKey
    probability: float
    band: RiskBand
    route: Route
    reasons: tuple[str, ...]
    """Top reasons in plain words, strongest first."""
    guard_rules: tuple[str, ...]
    """Rules that made the route stricter, in plain words."""
    advice: Advice
    model_version: str
    features: CommitFeatures
    contributions: tuple[Contribution, ...]
    fast_lane: str = ""
    """Where the fast lane ended for this commit, and why there."""
    policy: RiskPolicy | None = None
    """The numbers that decided, so that it can be decided again; None in scores of before."""
