"""The linear baseline: it learns from any measure, and says the base rate when it cannot."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from agentci_dagster.domain.learning import TrainingRow, evaluate, linear_probabilities
from tests.builders import NOON, features, key


def row(n: int, label: int, **measures: float | None) -> TrainingRow:
    at = NOON + timedelta(hours=n)
    return TrainingRow(key(n), at, at, label, features(**measures), None)


def rows(n: int, seed: int) -> list[TrainingRow]:
    """Commits of which those with dependencies fail, whatever their size."""
    random = np.random.default_rng(seed)
    found = []
    for k in range(1, n + 1):
        depends = float(random.random() < 0.4)
        label = int(random.random() < 0.1 + 0.7 * depends)
        lines = float(random.integers(0, 500))
        developers = None if k % 3 == 0 else 2.0
        found.append(
            row(k, label, lines_added=lines, dependency_files=depends, developers=developers)
        )
    return found


def test_it_learns_from_a_measure_other_than_churn():
    later = rows(120, 2)

    found = evaluate(linear_probabilities(rows(120, 1), later), [r.label for r in later])

    assert found.auc is not None
    assert found.auc > 0.8


def test_an_unknown_measure_counts_as_the_usual_one():
    train = rows(120, 1)

    unknown, usual = linear_probabilities(
        train, [row(1, 0, developers=None), row(2, 0, developers=2.0)]
    )

    assert unknown == pytest.approx(usual)


def test_a_size_that_was_never_seen_gives_a_probability():
    found = linear_probabilities(rows(60, 1), [row(1, 0, lines_added=1e12, lines_deleted=1e12)])

    assert 0 <= found[0] <= 1


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_rows_that_cannot_be_told_apart_give_the_base_rate(labels):
    train = [row(n, label) for n, label in enumerate(labels)]

    found = linear_probabilities(train, [row(9, 0), row(10, 1, lines_added=9_999.0)])

    assert found.tolist() == [(sum(labels) + 1) / (len(labels) + 2)] * 2


def test_no_later_row_gives_no_probability():
    assert linear_probabilities(rows(60, 1), []).shape == (0,)
