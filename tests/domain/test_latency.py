"""A young clean label is worth less, by how late failures became known before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.learning import latency_weights

untimed = settings(deadline=None)
DAY = 86_400.0
OLD = 1_000 * DAY


def test_a_clean_row_counts_by_the_share_of_failures_known_at_its_age():
    delays = [10 * DAY * k for k in range(1, 41)]

    found = latency_weights([OLD] * 40 + [0.0, 100 * DAY, 5 * OLD], [*delays, *[np.nan] * 3])

    assert found[:40].tolist() == [1.0] * 40
    assert found[40:].tolist() == [0.0, pytest.approx(0.25), 1.0]


def test_failures_of_young_rows_say_nothing_of_delays():
    """What is known of them became known early; the late ones are not known yet."""
    delays = [10 * DAY * k for k in range(1, 41)]
    young = [DAY] * 500

    found = latency_weights([OLD] * 40 + [30 * DAY] * 500 + [100 * DAY], [*delays, *young, np.nan])

    assert found[-1] == pytest.approx(0.25)


def test_few_known_delays_leave_every_row_as_it_is():
    found = latency_weights([OLD] * 19 + [DAY], [50 * DAY] * 19 + [np.nan])

    assert found.tolist() == [1.0] * 20


def test_a_repository_has_its_own_delays_as_far_as_it_has_enough():
    n = 400
    ages = [OLD] * 2 * n + [50 * DAY] * 3
    delays = [10 * DAY] * n + [100 * DAY] * n + [np.nan] * 3
    names = ["swift"] * n + ["slow"] * n + ["swift", "slow", "new"]

    swift, slow, new = latency_weights(ages, delays, names)[-3:]

    assert swift == pytest.approx((n + 50) / (n + 100))
    assert slow == pytest.approx(50 / (n + 100))
    assert new == pytest.approx(0.5)


def test_no_rows_have_no_weights():
    assert latency_weights([], []).shape == (0,)


@untimed
@given(st.lists(st.tuples(st.floats(0, 1e9), st.one_of(st.none(), st.floats(0, 1e9)))))
def test_weights_are_shares_and_older_clean_rows_weigh_more(pairs):
    ages = np.array([age for age, _ in pairs])
    delays = np.array([np.nan if delay is None else delay for _, delay in pairs])

    found = latency_weights(ages, delays)

    clean = np.isnan(delays)
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(found[~clean] == 1)
    assert np.all(np.diff(found[clean][np.argsort(ages[clean])]) >= 0)
