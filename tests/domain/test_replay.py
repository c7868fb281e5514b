"""Decisions made again: the same from the same inputs, and a reason where they cannot be."""

from __future__ import annotations

from dataclasses import replace

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.outcome import Ending, Known, conclude
from agentci_dagster.domain.replay import Decision, replay_outcome, replay_route
from agentci_dagster.domain.risk import Advice, Contribution, RiskScore, Scored, assess
from agentci_dagster.domain.routing import RiskPolicy, Route
from tests.builders import NOON, diff, features, file_change, key, outcome


def score(measures: CommitFeatures, repository: str = "") -> Scored:
    return Scored(0.2, (Contribution("lines_added", measures.lines_added, 0.5),))


DIFF = diff(file_change("shop/cart.py"))
RISK: RiskScore = assess(
    DIFF, features(), score(features()), Advice(), RiskPolicy(), "outcomes-1", "ends below 0.1"
)
KNOWN = Known(DIFF.key, diff=DIFF, risk=RISK)


def test_route_comes_out_the_same() -> None:
    made = replay_route(KNOWN, score)

    assert made is not None
    assert (made.decision, made.now, made.why_not) == (Decision.ROUTE, RISK, "")


def test_changed_policy_model_or_record_comes_out_differently() -> None:
    lax = replace(RISK, policy=RiskPolicy(fast_below=0.25))
    by_hand = replace(RISK, route=Route.FAST)

    for known, how in (
        (replace(KNOWN, risk=lax), score),
        (replace(KNOWN, risk=by_hand), score),
        (KNOWN, lambda *_: Scored(0.3, ())),
    ):
        made = replay_route(known, how)
        assert made is not None
        assert made.now is not None
        assert made.now != made.was


def test_route_that_cannot_be_replayed_says_why() -> None:
    tried = {
        "diff is not stored": replay_route(replace(KNOWN, diff=None), score),
        "before policies": replay_route(replace(KNOWN, risk=replace(RISK, policy=None)), score),
        "outcomes-1 is not stored": replay_route(KNOWN, None),
    }

    for words, made in tried.items():
        assert made is not None
        assert made.now is None
        assert words in made.why_not
    assert replay_route(Known(key(1)), score) is None


def test_outcome_comes_out_the_same_from_what_the_stages_left() -> None:
    held = replace(KNOWN, risk=replace(RISK, route=Route.HOLD))
    was = conclude(held, NOON)

    assert was.ending is Ending.WITHHELD
    made = replay_outcome(held, was)
    assert (made.decision, made.now) == (Decision.OUTCOME, was)
    forged = replace(was, ending=Ending.PROMOTED, label=0)
    assert replay_outcome(held, forged).now == was


def test_outcome_that_cannot_be_replayed_says_why() -> None:
    broken = outcome(1, Ending.INFRASTRUCTURE)
    pruned = outcome(1)

    assert "nobody decided" in replay_outcome(Known(broken.key), broken).why_not
    assert "not stored any more" in replay_outcome(Known(pruned.key), pruned).why_not
