from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agentci_dagster.domain.learning import LearningPolicy, TrainingRow, influence_weights, pool
from tests.builders import NOON, features, key

POLICY = LearningPolicy(most_influence=0.1, free_influence=5.0)


def row(n: int, day: int, author: str = "") -> TrainingRow:
    at = NOON + timedelta(days=day)
    return TrainingRow(key(n), at, at, 0, features(), None, author=author)


def test_one_days_many_commits_count_no_more_than_its_share():
    crowd = [row(n, 0) for n in range(1, 101)]
    others = [row(n, n) for n in range(101, 201)]

    weights = influence_weights([*crowd, *others], POLICY)

    assert sum(weights[:100]) == pytest.approx(20.0)
    assert weights[100:] == [1.0] * 100


def test_one_author_counts_no_more_than_the_share_and_unknown_authors_are_not_one():
    rows = [row(n, n, "somebody") for n in range(1, 101)] + [row(n, n) for n in range(101, 201)]

    weights = influence_weights(rows, POLICY)

    assert sum(weights[:100]) == pytest.approx(20.0)
    assert weights[100:] == [1.0] * 100


def test_few_rows_of_one_day_are_all_believed():
    assert influence_weights([row(n, 0) for n in range(1, 6)], POLICY) == [1.0] * 5
    assert influence_weights([], POLICY) == []


def test_rows_without_weight_stay_without():
    assert influence_weights([replace(row(1, 0), weight=0.0)], POLICY) == [0.0]


def test_mined_rows_count_less_and_together_no_more_than_their_worth():
    policy = replace(POLICY, mined_weight=0.5, mined_worth=10.0)
    outcomes, mined = [row(1, 3)], [row(n, 1) for n in range(1, 42)]

    found = pool(outcomes, mined, policy)

    assert (found.n_outcomes, found.n_mined, found.mined_weight) == (1, 40, 0.25)
    assert [r.weight for r in found.rows] == [0.25] * 40 + [1.0]
    assert "40 rows mined" in found.in_words


def test_mined_row_that_was_known_too_late_is_left_out():
    mined = [row(n, n) for n in range(1, 6)]

    found = pool([], mined, POLICY, known_by=mined[2].known_at)

    assert [r.key for r in found.rows] == [r.key for r in mined[:3]]


def test_without_mined_rows_outcomes_stand_alone():
    found = pool([row(1, 0)], [], POLICY)

    assert (found.n_mined, found.mined_weight) == (0, 0.0)
    assert found.in_words.startswith("1 outcomes of weight 1,")


@pytest.mark.parametrize(
    "wrong",
    [{"most_influence": 0.0}, {"mined_weight": -1.0}, {"mined_until": -1}, {"free_influence": 0.0}],
)
def test_policies_of_influence_are_checked(wrong):
    with pytest.raises(ValueError, match=r"influence|mined"):
        LearningPolicy(**wrong)


def test_a_weight_is_not_negative():
    with pytest.raises(ValueError, match="weight"):
        replace(row(1, 0), weight=-1.0)
