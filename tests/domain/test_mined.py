"""Rows from history: labelled by fixes, as they could be known at a moment."""

from __future__ import annotations

from datetime import timedelta

from agentci_dagster.domain.learning import (
    LearningPolicy,
    MinedCommit,
    TrainingRows,
    merge_rows,
    mined_rows,
)
from tests.builders import NOON, features, sha

POLICY = LearningPolicy(mined_maturity_s=10 * 24 * 3600.0)
DAY = 24 * 3600
BEGIN = int((NOON - timedelta(days=100)).timestamp())


def commit(n: int, day: int, fixed_day: int | None = None) -> MinedCommit:
    fixed_s = None if fixed_day is None else BEGIN + fixed_day * DAY
    return MinedCommit(sha(n), BEGIN + day * DAY, "ada", features(), fixed_s)


def labels(found: TrainingRows) -> list[tuple[str, int]]:
    return [(row.key.sha, row.label) for row in found.rows]


def test_blamed_commit_is_bad_from_its_first_fix_on() -> None:
    found = mined_rows("shop", [commit(1, 0, fixed_day=3)], NOON, POLICY)

    assert labels(found) == [(sha(1), 1)]
    assert found.rows[0].known_at - found.rows[0].committed_at == timedelta(days=3)
    assert found.rows[0].author == "ada"
    assert found.rows[0].probability is None


def test_commit_that_nobody_blames_is_good_when_it_is_old_enough() -> None:
    found = mined_rows("shop", [commit(2, 95), commit(1, 0)], NOON, POLICY)

    assert labels(found) == [(sha(1), 0)]
    assert found.n_censored == 1


def test_fix_that_was_not_made_yet_is_not_known() -> None:
    then = NOON - timedelta(days=50)

    found = mined_rows("shop", [commit(1, 0, 80), commit(2, 45, 80)], then, POLICY)

    assert labels(found) == [(sha(1), 0)]
    assert found.n_censored == 1


def test_fix_with_a_clock_that_is_wrong_is_not_before_its_cause() -> None:
    found = mined_rows("shop", [commit(1, 5, fixed_day=2)], NOON, POLICY)

    assert found.rows[0].known_at == found.rows[0].committed_at


def test_silence_weighs_what_it_was_worth_in_this_history() -> None:
    """Of forty old failures half were found within ten days, the others within a hundred."""
    begin = -1_000
    old = [commit(n, begin, begin + (10 if n % 2 else 100)) for n in range(40)]
    young, ripe = commit(41, 80), commit(42, begin)

    found = mined_rows("shop", [*old, young, ripe], NOON, POLICY)

    weights = {row.key.sha: row.weight for row in found.rows}
    assert weights[sha(41)] == 0.5
    assert {weights[sha(n)] for n in range(40)} == {weights[sha(42)]} == {1.0}


def test_rows_of_repositories_are_merged_by_time() -> None:
    first = mined_rows("shop", [commit(1, 0), commit(3, 20), commit(4, 99)], NOON, POLICY)
    second = mined_rows("till", [commit(2, 10)], NOON, POLICY)

    found = merge_rows([first, second])

    assert [name for name, _ in labels(found)] == [sha(1), sha(2), sha(3)]
    assert found.n_censored == 1
