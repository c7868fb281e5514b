"""The walk through packed trees beside scikit-learn's own, and arrays that are no trees."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from agentci_dagster.adapters.forests import (
    Forest,
    averaged_forest,
    boosted_forest,
    forest_from,
    forest_parts,
)


def table(n: int = 900, n_columns: int = 6, seed: int = 4):
    random = np.random.default_rng(seed)
    matrix = np.floor(np.exp(random.normal(1.0, 1.5, (n, n_columns))))
    matrix[random.random(matrix.shape) < 0.15] = np.nan
    known = np.nan_to_num(matrix)
    labels = random.random(n) < 1 / (1 + np.exp(2 - np.log1p(known[:, 0]) - 0.2 * known[:, 1]))
    return matrix, labels.astype(int)


@pytest.fixture(scope="module")
def boosted() -> HistGradientBoostingClassifier:
    matrix, labels = table()
    return HistGradientBoostingClassifier(max_iter=60, random_state=1).fit(matrix, labels)


def strange_rows() -> np.ndarray:
    """Rows that no training row resembles."""
    big = [np.inf, -np.inf, 1e308, -1e308, np.nan, 0.0]
    return np.array([np.roll(big, k) for k in range(6)] + [[np.nan] * 6, [np.inf] * 6])


@pytest.mark.parametrize("rows", [table()[0], table(3_000, seed=9)[0], strange_rows()])
def test_the_walk_equals_scikit_learns_to_the_last_bit(boosted, rows):
    found = boosted_forest(boosted).log_odds(rows)

    assert found.tobytes() == boosted.decision_function(rows).tobytes()


def test_a_column_whose_being_known_is_all_that_tells_is_read_alike():
    matrix, labels = table()
    matrix[:, 2] = np.where(labels == 1, np.nan, 7.0)
    model = HistGradientBoostingClassifier(max_iter=5, random_state=1).fit(matrix, labels)
    forest = boosted_forest(model)

    assert np.array_equal(forest.log_odds(matrix), model.decision_function(matrix))
    assert forest.log_odds(matrix)[labels == 1].min() > forest.log_odds(matrix)[labels == 0].max()


def test_averaged_trees_give_the_log_odds_of_scikit_learns_shares():
    matrix, labels = table()
    logs = np.where(np.isnan(matrix), -1.0, np.log1p(matrix))
    model = ExtraTreesClassifier(20, min_samples_leaf=5, random_state=1).fit(logs, labels)
    thresholds = np.concatenate([tree.tree_.threshold for tree in model.estimators_])
    raised = np.sign(thresholds) * np.expm1(np.abs(thresholds))

    found = averaged_forest(model, raised).log_odds(matrix)

    shares = np.clip(model.predict_proba(logs)[:, 1], 1e-4, 1 - 1e-4)
    assert found == pytest.approx(np.log(shares / (1 - shares)), abs=1e-9)


def test_no_row_gives_no_score(boosted):
    assert boosted_forest(boosted).log_odds(np.empty((0, 6))).shape == (0,)


def test_rows_of_other_columns_are_refused(boosted):
    with pytest.raises(ValueError, match="6 columns"):
        boosted_forest(boosted).log_odds(np.zeros((2, 5)))


def test_trees_with_categories_are_refused():
    matrix, labels = table()
    codes = np.column_stack([np.arange(len(labels)) % 5, matrix[:, 1:]])
    model = HistGradientBoostingClassifier(
        max_iter=5, categorical_features=[0], random_state=1
    ).fit(codes, (codes[:, 0] % 2).astype(int))

    with pytest.raises(ValueError, match="categories"):
        boosted_forest(model)


def test_a_forest_survives_being_stored(boosted):
    forest = boosted_forest(boosted)
    matrix, _ = table()

    again = forest_from(forest_parts(forest))

    assert np.array_equal(again.log_odds(matrix), forest.log_odds(matrix))


@pytest.mark.parametrize(
    "change",
    [
        {"left": 0},
        {"right": 0},
        {"left": 10**6},
        {"columns": 12},
        {"columns": -1},
        {"roots": 10**6},
    ],
)
def test_arrays_that_a_walk_could_not_leave_are_refused(boosted, change):
    parts = forest_parts(boosted_forest(boosted))
    ((name, value),) = change.items()
    parts[name] = parts[name].copy()
    parts[name][0] = value

    with pytest.raises(ValueError, match="no trees"):
        forest_from(parts)


def test_arrays_of_unequal_length_are_refused(boosted):
    parts = forest_parts(boosted_forest(boosted))

    with pytest.raises(ValueError, match="no trees"):
        Forest(**(parts | {"values": parts["values"][:-1]}))
