"""From a model's score to the judgement of one commit: band, route, reasons.

The rules of the route are in `domain/routing.py`.
"""

from __future__ import annotations

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.risk.values import Advice, RiskBand, RiskScore, Scored
from agentci_dagster.domain.risk.words import reasons_in_words
from agentci_dagster.domain.routing import RiskPolicy, Route, decide_route, route_of


def band_of(probability: float, policy: RiskPolicy) -> RiskBand:
    """The risk in one word: the bands meet where the routes do."""
    return _BAND_OF_ROUTE[route_of(probability, policy)]


def assess(
    diff: CommitDiff,
    features: CommitFeatures,
    scored: Scored,
    advice: Advice,
    policy: RiskPolicy,
    model_version: str,
    fast_lane: str = "",
) -> RiskScore:
    """The frozen judgement of a commit from what its model, the guard rules and the advice say."""
    decision = decide_route(scored.probability, diff, advice, policy)
    return RiskScore(
        key=diff.key,
        probability=scored.probability,
        band=band_of(scored.probability, policy),
        route=decision.route,
        reasons=reasons_in_words(scored.contributions, features),
        guard_rules=decision.guard_rules,
        advice=advice,
        model_version=model_version,
        features=features,
        contributions=scored.contributions,
        fast_lane=fast_lane,
        policy=policy,
    )


_BAND_OF_ROUTE = {
    Route.FAST: RiskBand.LOW,
    Route.STANDARD: RiskBand.MEDIUM,
    Route.GUARDED: RiskBand.HIGH,
    Route.HOLD: RiskBand.CRITICAL,
}
