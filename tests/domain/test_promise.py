from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import TrainingRow
from agentci_dagster.domain.promise import Promise, fast_lane, make_promise, threshold_for
from agentci_dagster.domain.risk import Scored
from agentci_dagster.domain.routing import RiskPolicy
from tests.builders import NOON, features, key

untimed = settings(deadline=None)
"""A busy machine is no failure."""

POLICY = RiskPolicy()


def row(n: int, probability: float, label: int, repository: str = "shop") -> TrainingRow:
    """The score travels in a feature, so that a test can say what the model will say."""
    at = NOON + timedelta(minutes=n)
    return TrainingRow(key(n, repository), at, at, label, features(entropy=probability), None)


def score(row_features: CommitFeatures, repository: str = "") -> Scored:
    return Scored(row_features.entropy, ())


def outcomes(n: int, *, failing_every: int = 10, seed: int = 3) -> list[TrainingRow]:
    """Failing commits score higher, with an overlap."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(1, n + 1):
        label = int(i % failing_every == 0)
        found.append(row(i, float(random.beta(4, 4) if label else random.beta(1, 6)), label))
    return found


def promised(**changes) -> Promise:
    facts = {
        "model_version": "m",
        "share": POLICY.promise,
        "confidence": POLICY.promise_confidence,
        "fast_below": 0.2,
        "fast_below_in": {},
        "n_commits": 1_000,
        "n_failures": 100,
        "n_missed": 2,
        "n_fast": 700,
        "n_failures_needed": 45,
    }
    return Promise(**(facts | changes))


def test_too_few_failures_give_no_threshold():
    assert threshold_for([0.5] * 44, 0.95, 0.90) is None
    assert threshold_for([], 0.95, 0.90) is None


def test_with_just_enough_failures_none_may_be_missed():
    assert threshold_for([0.5, 0.3, *[0.9] * 43], 0.95, 0.90) == 0.3


def test_with_more_failures_some_may_be_missed():
    scores = [i / 1_000 for i in range(1, 401)]

    # 14 of 400 in the whole; the later 200 alone score higher.
    assert threshold_for(scores, 0.95, 0.90) == scores[14]


def test_the_later_half_must_keep_the_promise_by_itself():
    fell = [0.8] * 200 + [0.1] * 7 + [0.8] * 193

    # Over all of them the 7 would be allowed.
    assert threshold_for(fell, 0.95, 0.90) == 0.1
    assert threshold_for(fell[::-1], 0.95, 0.90) == 0.8


def test_none_of_a_later_half_that_is_too_short_for_a_bound_is_missed():
    scores = [0.1] * 9 + [0.2] + [0.9] * 8

    assert threshold_for(scores[::-1], 0.8, 0.8) == 0.1


@untimed
@given(
    scores=st.lists(st.floats(0, 1), max_size=300),
    share=st.sampled_from([0.8, 0.9, 0.95]),
    confidence=st.sampled_from([0.8, 0.9, 0.95]),
)
def test_more_confidence_or_a_larger_share_never_widens_the_lane(scores, share, confidence):
    threshold = threshold_for(scores, share, confidence)

    surer = threshold_for(scores, share, (1 + confidence) / 2)
    larger = threshold_for(scores, (1 + share) / 2, confidence)

    for stricter in (surer, larger):
        assert stricter is None or (threshold is not None and stricter <= threshold)


def test_the_promise_is_kept_on_what_comes_in_most_samples():
    random = np.random.default_rng(11)
    n_kept = 0
    for _ in range(200):
        threshold = threshold_for(list(random.beta(4, 4, 150)), 0.95, 0.90)
        assert threshold is not None
        n_kept += float(np.mean(random.beta(4, 4, 4_000) >= threshold)) >= 0.95

    assert n_kept >= 0.87 * 200


def test_a_promise_counts_what_the_lane_would_have_taken():
    promise = make_promise(outcomes(1_000), score, "m", None, POLICY)

    assert (promise.n_commits, promise.n_failures, promise.n_failures_needed) == (1_000, 100, 45)
    assert promise.fast_below is not None
    assert promise.n_missed <= 1
    assert promise.fast_share == promise.n_fast / 1_000
    assert promise.n_fast > 500


def test_what_the_model_learnt_from_says_nothing():
    rows = outcomes(1_000)

    promise = make_promise(rows, score, "m", rows[599].committed_at, POLICY)

    assert (promise.n_commits, promise.n_failures) == (400, 40)
    assert promise.fast_below is None
    assert (promise.n_fast, promise.n_missed) == (0, 0)


def test_nothing_is_promised_when_none_is_asked():
    promise = make_promise(outcomes(1_000), score, "m", None, replace(POLICY, promise=0.0))

    assert (promise.fast_below, promise.n_failures_needed) == (None, 0)


def test_a_repository_whose_failures_look_harmless_gets_a_lane_of_its_own():
    usual = [row(n, 0.5, 1) for n in range(1, 3_001)]
    harmless = [row(n, 0.1, 1, "odd") for n in range(4_001, 4_046)]
    few = [row(n, 0.2, 1, "new") for n in range(5_001, 5_005)]

    promise = make_promise(
        [*usual[:1_500], *few, *harmless, *usual[1_500:]], score, "m", None, POLICY
    )

    assert promise.fast_below == 0.5
    assert promise.fast_below_in == {"odd": 0.1}
    assert [promise.below(name) for name in ("shop", "odd", "new")] == [0.5, 0.1, 0.5]
    # Those of the repository with too few failures of its own.
    assert promise.n_missed == 4


def test_without_outcomes_there_is_no_fast_share():
    assert make_promise([], score, "m", None, POLICY).fast_share is None


def test_a_kept_promise_ends_the_fast_lane():
    lane = fast_lane(POLICY, promised(), "m", "shop")

    assert lane.policy == replace(POLICY, fast_below=0.2)
    assert lane.why == (
        "fast below 20.0%: 95% of failing commits score higher"
        " (90% confidence from 100 own failures)"
    )


def test_a_promise_never_opens_the_lane_into_guarded():
    lane = fast_lane(POLICY, promised(fast_below=0.5), "m", "shop")

    assert lane.policy.fast_below == POLICY.guarded_from


def test_the_lane_may_end_earlier_in_one_repository():
    promise = promised(fast_below_in={"odd": 0.05})

    ends = [fast_lane(POLICY, promise, "m", name).policy.fast_below for name in ("odd", "shop")]

    assert ends == [0.05, 0.2]


def test_too_few_own_failures_leave_the_lane_as_set():
    lane = fast_lane(POLICY, promised(fast_below=None, n_failures=12), "m", "shop")

    assert lane.policy == POLICY
    assert lane.why == (
        "fast below 10.0% as set: 12 own failures of 45 that a promise of 95% needs"
    )


def test_the_safer_reading_closes_the_lane_until_it_is_proved():
    safer = replace(POLICY, fast_before_proof=False)

    lane = fast_lane(safer, None, "m", "shop")

    assert lane.policy.fast_below == 0.0
    assert lane.why == "no fast lane by score alone: no promise was made for this model yet"


@pytest.mark.parametrize(
    "other", [{"model_version": "n"}, {"share": 0.9}, {"confidence": 0.5}], ids=str
)
def test_a_promise_for_something_else_is_not_used(other):
    assert fast_lane(POLICY, promised(**other), "m", "shop").policy == POLICY


def test_no_promise_asked_for_is_said():
    lane = fast_lane(replace(POLICY, promise=0.0), promised(), "m", "shop")

    assert lane.policy.fast_below == POLICY.fast_below
    assert lane.why == "fast below 10.0% as set; no promise is made"


@pytest.mark.parametrize(
    "nonsense",
    [{"promise": 1.0}, {"promise": -0.1}, {"promise_confidence": 1.0}, {"audit_share": 1.1}],
    ids=str,
)
def test_promises_that_nobody_can_keep_are_refused(nonsense):
    with pytest.raises(ValueError, match=r"promise|audit_share"):
        RiskPolicy(**nonsense)
