from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.batches import (
    BatchPolicy,
    Search,
    Verdict,
    Waiting,
    begin,
    expected_runs,
    learn,
    next_batch,
    next_run,
)
from agentci_dagster.domain.routing import Route

untimed = settings(deadline=None)
"""A busy machine is no failure."""

RISKS = st.lists(st.floats(0, 1), max_size=12)


def waiting(*risks: float, route: Route = Route.STANDARD) -> tuple[Waiting, ...]:
    return tuple(Waiting(f"c{n}", risk, route) for n, risk in enumerate(risks))


def searched(batch: tuple[Waiting, ...], guilty: set[str]) -> tuple[Search, int]:
    """Search to the end, with runs that fail exactly when a guilty commit is among the tested."""
    search, n_runs = begin(batch), 0
    while not search.is_over:
        tested = next_run(search)
        search = learn(search, tested, has_passed=not guilty & {c.name for c in tested})
        n_runs += 1
    return search, n_runs


def names(batch: tuple[Waiting, ...]) -> list[str]:
    return [commit.name for commit in batch]


# ------------------------------------------------------------------ where a batch ends


def test_an_empty_queue_has_no_batch():
    assert next_batch((), BatchPolicy()) == ()


def test_harmless_commits_wait_for_more():
    assert next_batch(waiting(*[0.01] * 9), BatchPolicy()) == ()


def test_a_batch_is_full_by_count():
    assert len(next_batch(waiting(*[0.01] * 12), BatchPolicy())) == 10


def test_a_batch_ends_where_its_risk_is_reached():
    policy = BatchPolicy(most_risk=0.5)

    assert names(next_batch(waiting(0.2, 0.3, 0.1), policy)) == ["c0", "c1"]
    assert names(next_batch(waiting(0.2, 0.2, 0.2), policy)) == ["c0", "c1"]
    assert names(next_batch(waiting(0.9, 0.2), policy)) == ["c0"]


def test_guarded_commits_have_runs_of_their_own():
    queue = (*waiting(0.01, 0.01), Waiting("g", 0.01, Route.GUARDED), Waiting("h", 0.0, Route.HOLD))

    assert names(next_batch(queue, BatchPolicy())) == ["c0", "c1"]
    assert names(next_batch(queue[2:], BatchPolicy())) == ["g"]
    assert names(next_batch(queue[3:], BatchPolicy())) == ["h"]


@untimed
@given(
    risks=st.lists(st.floats(0, 1), max_size=40),
    routes=st.lists(st.sampled_from(Route), min_size=40, max_size=40),
    most_risk=st.floats(0, 3),
    most_commits=st.integers(1, 20),
)
def test_a_batch_is_the_head_of_the_queue_and_never_mixes(risks, routes, most_risk, most_commits):
    queue = tuple(Waiting(f"c{n}", p, routes[n]) for n, p in enumerate(risks))

    batch = next_batch(queue, BatchPolicy(most_risk, most_commits))

    assert batch == queue[: len(batch)]
    assert len(batch) <= most_commits
    assert len(batch) <= 1 or not any(commit.is_alone for commit in batch)
    assert len(batch) <= 1 or sum(commit.risk for commit in batch) <= most_risk
    begin(batch)


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [({"most_risk": -1}, "most_risk"), ({"most_commits": 0}, "between 1 and 64")],
)
def test_limits_that_make_no_batch_are_refused(nonsense, words):
    with pytest.raises(ValueError, match=words):
        BatchPolicy(**nonsense)


# ------------------------------------------------------------------ every commit its own verdict


@untimed
@given(risks=RISKS, data=st.data())
def test_every_commit_gets_its_own_true_verdict(risks, data):
    batch = waiting(*risks)
    guilty = (
        set(data.draw(st.lists(st.sampled_from(names(batch)), unique=True))) if batch else set()
    )

    search, n_runs = searched(batch, guilty)

    assert sorted(v.name for v in search.verdicts) == sorted(names(batch))
    assert {v.name for v in search.verdicts if not v.has_passed} == guilty
    # A failed run leaves fewer suspects, a passed one gives verdicts.
    assert n_runs <= len(batch) * (1 + len(guilty))


def test_a_batch_of_the_innocent_takes_one_run():
    search, n_runs = searched(waiting(*[0.01] * 8), set())

    assert n_runs == 1
    assert search.verdicts == tuple(Verdict(f"c{n}", True) for n in range(8))


def test_a_failed_batch_is_split_by_risk():
    search = begin(waiting(0.3, 0.01, 0.01, 0.01, 0.01))

    search = learn(search, next_run(search), has_passed=False)

    assert names(next_run(search)) == ["c0"]


def test_the_last_suspect_needs_no_run():
    search = begin(waiting(0.1, 0.1))
    search = learn(search, next_run(search), has_passed=False)

    search = learn(search, next_run(search), has_passed=True)

    assert search.verdicts == (Verdict("c0", True), Verdict("c1", False))
    assert search.is_over
    assert next_run(search) == ()


def test_commits_that_likely_fail_are_tested_by_themselves():
    assert names(next_run(begin(waiting(0.9, 0.9, 0.9)))) == ["c0"]


@untimed
@given(risks=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6))
def test_all_cases_weighed_take_no_more_runs_than_expected(risks):
    batch = waiting(*risks)
    expected = 0.0
    for case in product((False, True), repeat=len(batch)):
        chance = 1.0
        for commit, is_guilty in zip(batch, case, strict=True):
            chance *= commit.risk if is_guilty else 1 - commit.risk
        guilty = {c.name for c, is_guilty in zip(batch, case, strict=True) if is_guilty}
        expected += chance * searched(batch, guilty)[1]

    # Fewer when two parts of which nothing is known are searched as one.
    assert expected <= expected_runs(batch) + 1e-9
    assert expected_runs(batch) <= len(batch) + 1e-9


def test_nothing_takes_no_run():
    assert expected_runs(()) == 0.0
    assert begin(()).is_over


def test_certain_risks_divide_by_nothing():
    assert expected_runs(waiting(0.0, 0.0, 0.0)) == pytest.approx(1.0, abs=1e-4)
    assert expected_runs(waiting(1.0, 1.0)) == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("wrong", [(), waiting(0.1, 0.2), waiting(0.5)])
def test_a_run_of_something_else_is_refused(wrong):
    with pytest.raises(ValueError, match="something else"):
        learn(begin(waiting(0.9, 0.2)), wrong, has_passed=True)


def test_guarded_commits_are_never_searched_together():
    with pytest.raises(ValueError, match="never share"):
        begin((*waiting(0.1), Waiting("g", 0.1, Route.GUARDED)))


def test_a_commit_is_in_a_batch_once():
    with pytest.raises(ValueError, match="twice"):
        begin(waiting(0.1) * 2)
