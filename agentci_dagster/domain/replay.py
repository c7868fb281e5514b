"""Decisions made again from their stored inputs, and compared with what was recorded.

Routes and outcomes are pure functions of values: the same inputs and the same policy give the same
bytes, or something was changed. Reading the values is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.outcome import DeployOutcome, Ending, Known, conclude
from agentci_dagster.domain.risk import RiskScore, Scored, assess

Score = Callable[[CommitFeatures, str], Scored]


class Decision(StrEnum):
    """What was decided."""

    ROUTE = "route"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision made again. `why_not` says why it could not be; then `now` is None."""

    key: CommitKey
    decision: Decision
    was: RiskScore | DeployOutcome
    now: RiskScore | DeployOutcome | None
    why_not: str = ""


def replay_route(known: Known, score: Score | None) -> Replayed | None:
    """Score and route once more; None for a commit that was never scored.

    Args:
        known: what the stages left.
        score: the model of that time, None when it is not stored any more.
    """
    was = known.risk
    if was is None:
        return None
    if known.diff is None:
        return Replayed(known.key, Decision.ROUTE, was, None, "its diff is not stored any more")
    if was.policy is None:
        why_not = "it was made before policies were stored with scores"
        return Replayed(known.key, Decision.ROUTE, was, None, why_not)
    if score is None:
        why_not = f"the model {was.model_version} is not stored any more"
        return Replayed(known.key, Decision.ROUTE, was, None, why_not)
    now = assess(
        known.diff,
        was.features,
        score(was.features, known.key.repository),
        was.advice,
        was.policy,
        was.model_version,
        was.fast_lane,
    )
    return Replayed(known.key, Decision.ROUTE, was, now)


def replay_outcome(known: Known, was: DeployOutcome) -> Replayed:
    """Gates, rollout and label once more, from what the stages left.

    What broke a run is nobody's decision, and its words are not stored.
    """
    if was.ending is Ending.INFRASTRUCTURE:
        why_not = "infrastructure broke it, which nobody decided"
        return Replayed(known.key, Decision.OUTCOME, was, None, why_not)
    if was.stage and known.diff is None:
        why_not = "its values are not stored any more"
        return Replayed(known.key, Decision.OUTCOME, was, None, why_not)
    return Replayed(known.key, Decision.OUTCOME, was, conclude(known, was.settled_at))
