from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from agentci_dagster.domain.bounds import (
    at_most,
    least_sample,
    lower_bound,
    most_misses,
    share_bounds,
    upper_bound,
)

untimed = settings(deadline=None)
"""A busy machine is no failure."""


@untimed
@given(n=st.integers(1, 1_000), hits=st.integers(0, 1_000), share=st.floats(0.001, 0.999))
def test_the_tail_is_scipys(n, hits, share):
    assert at_most(hits, n, share) == pytest.approx(binom.cdf(hits, n, share), abs=1e-9)


@untimed
@given(n=st.integers(1, 300), data=st.data(), confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_bounds_are_those_of_clopper_and_pearson(n, data, confidence):
    hits = data.draw(st.integers(0, n))

    upper = beta.ppf(confidence, hits + 1, n - hits) if hits < n else 1.0
    lower = beta.ppf(1 - confidence, hits, n - hits + 1) if hits else 0.0

    assert upper_bound(hits, n, confidence) == pytest.approx(upper, abs=1e-9)
    assert lower_bound(hits, n, confidence) == pytest.approx(lower, abs=1e-9)


def test_the_interval_holds_both_tails():
    assert share_bounds(3, 100, 0.95) == pytest.approx((0.00623, 0.08518), abs=1e-5)
    assert share_bounds(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_certain_draws_have_no_tail(share):
    assert at_most(-1, 5, share) == 0.0
    assert at_most(2, 5, share) == (1.0 if share == 0 else 0.0)
    assert at_most(5, 5, share) == 1.0


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3)])
def test_more_hits_than_draws_are_refused(hits, n):
    with pytest.raises(ValueError, match="n_hits"):
        upper_bound(hits, n, 0.9)


def test_a_confidence_of_one_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        upper_bound(0, 3, 1.0)


def test_45_failures_without_a_miss_carry_95_percent():
    assert least_sample(0.95, 0.90) == 45
    assert most_misses(44, 0.95, 0.90) is None
    assert most_misses(45, 0.95, 0.90) == 0
    assert least_sample(0.99, 0.90) == 230
    assert least_sample(0.95, 0.95) == 59


@untimed
@given(
    n=st.integers(1, 300),
    share=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
    confidence=st.sampled_from([0.8, 0.9, 0.95]),
)
def test_one_more_miss_would_break_the_bound(n, share, confidence):
    misses = most_misses(n, share, confidence)

    if misses is None:
        assert n < least_sample(share, confidence)
        return
    assert lower_bound(n - misses, n, confidence) >= share - 1e-9
    assert lower_bound(n - misses - 1, n, confidence) < share


def test_the_chosen_threshold_keeps_its_promise_as_often_as_it_says():
    # The share of all failures below the (k+1)-th smallest of n scores is Beta(k + 1, n - k).
    n, share, confidence = 400, 0.95, 0.90
    misses = most_misses(n, share, confidence)
    assert misses is not None

    kept = beta.cdf(1 - share, misses + 1, n - misses)
    would_be = beta.cdf(1 - share, misses + 2, n - misses - 1)

    assert kept >= confidence > would_be
    assert math.isclose(kept, 1 - at_most(misses, n, 1 - share), abs_tol=1e-9)
