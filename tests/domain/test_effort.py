from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.learning import evaluate
from agentci_dagster.domain.learning.effort import p_opt, recall_at_effort

COMMITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 500)), min_size=2, max_size=30
).filter(lambda rows: len({label for _, label, _ in rows}) == 2)


def test_recall_counts_the_failures_that_fit_into_the_effort():
    risks, labels, efforts = [0.9, 0.8, 0.1, 0.1], [1, 1, 0, 0], [10, 70, 10, 10]

    assert recall_at_effort(risks, labels, efforts) == 0.5
    assert recall_at_effort(risks, labels, efforts, share=1.0) == 1.0


def test_a_commit_without_lines_costs_one():
    assert recall_at_effort([0.9, 0.1], [1, 0], [0, 9]) == 1.0


def test_the_best_ranking_reaches_one_and_the_worst_nought():
    labels, efforts = [1, 1, 0, 0], [5, 50, 5, 50]

    # Risk per line is what is ranked by, so the perfect risk is the density itself.
    assert p_opt(labels, labels, efforts) == pytest.approx(1.0)
    assert p_opt([0.0, 0.0, 1.0, 1.0], labels, [1, 1, 1, 1]) == pytest.approx(0.0)


@settings(deadline=None)
@given(COMMITS)
def test_effort_measures_are_shares(rows):
    risks, labels, efforts = (list(column) for column in zip(*rows, strict=True))

    found = evaluate(risks, labels, efforts)

    assert 0 <= found.recall_at_20_effort <= 1
    assert -1e-9 <= found.p_opt <= 1 + 1e-9


def test_what_labels_cannot_define_is_unknown():
    assert recall_at_effort([0.5], [0], [3]) is None
    assert p_opt([0.5, 0.5], [1, 1], [3, 3]) is None
    assert evaluate([0.5], [1]).p_opt is None


@pytest.mark.parametrize("efforts", [[1], [-1, 1]])
def test_efforts_that_fit_no_commit_are_refused(efforts):
    with pytest.raises(ValueError, match="effort"):
        recall_at_effort([0.5, 0.5], [1, 0], efforts)
