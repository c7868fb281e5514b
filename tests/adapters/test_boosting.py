"""What the learner promises whatever it learns from: signs, seeds, weights, unknowns, calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentci_dagster.adapters.boosting import HALF_LIFE_S, Boosted, Table, fit_boosted
from agentci_dagster.domain.learning import evaluate

SEED = 11
DAY_S = 86_400.0


def table(n: int = 700, seed: int = 2, signs: tuple[int, ...] = (1, 0, 0, 0)) -> Table:
    """Four columns: the first raises the risk, the second tells when known, the others nothing."""
    random = np.random.default_rng(seed)
    matrix = np.floor(np.exp(random.normal(2.0, 1.2, (n, 4))))
    matrix[random.random(n) < 0.3, 1] = np.nan
    odds = np.log1p(matrix[:, 0]) + 1.5 * (np.nan_to_num(matrix[:, 1]) > 8) - 3
    labels = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    return Table(matrix, labels, np.arange(n) * 3_600.0, np.ones(n), signs)


def sweep(column: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rows, each once per value of that column: `n_rows x n_values x n_columns`."""
    swept = np.repeat(rows[:, None, :], len(values), axis=1)
    swept[:, :, column] = values
    return swept


def scored(learnt: Boosted, swept: np.ndarray) -> np.ndarray:
    return learnt.log_odds(swept.reshape(-1, swept.shape[-1])).reshape(swept.shape[:2])


@pytest.mark.parametrize(("sign", "n"), [(1, 700), (-1, 700), (1, 2_500)])
def test_a_sign_holds_between_and_far_beyond_the_rows_that_were_seen(sign, n):
    learnt_from = table(n, signs=(sign, 0, 0, 0))
    learnt = fit_boosted(learnt_from, SEED)

    values = np.concatenate([np.linspace(0, 60, 121), np.logspace(2, 9, 30)])
    steps = np.diff(scored(learnt, sweep(0, learnt_from.matrix[:40], values)), axis=1)

    assert np.all(steps * sign >= -1e-12)


def test_a_sign_holds_against_all_evidence():
    told = table()
    turned = replace(told, labels=(told.matrix[:, 0] < 6).astype(float))

    learnt = fit_boosted(turned, SEED)

    steps = np.diff(scored(learnt, sweep(0, told.matrix[:40], np.arange(50.0))), axis=1)
    assert np.all(steps >= -1e-12)


def test_it_ranks_later_rows():
    learnt, later = fit_boosted(table(), SEED), table(seed=3)

    probabilities = 1 / (1 + np.exp(-learnt.log_odds(later.matrix)))
    found = evaluate(probabilities, later.labels)

    assert found.auc is not None
    assert found.auc > 0.73
    assert found.calibration_error is not None
    assert found.calibration_error < 0.08


def test_a_seed_gives_the_same_model_and_another_seed_another():
    one, again, other = (fit_boosted(table(), seed) for seed in (SEED, SEED, SEED + 5))
    rows = table(seed=5).matrix

    assert one.log_odds(rows).tobytes() == again.log_odds(rows).tobytes()
    assert not np.array_equal(one.log_odds(rows), other.log_odds(rows))


def test_unknown_is_a_value_of_its_own():
    learnt = fit_boosted(table(2_500), SEED)
    high, unknown = (np.array([[6.0, x, 5.0, 5.0]]) for x in (30.0, np.nan))

    assert learnt.log_odds(high)[0] > learnt.log_odds(unknown)[0] + 0.5
    assert np.all(np.isfinite(learnt.log_odds(np.full((1, 4), np.nan))))


def test_a_column_that_no_row_knows_changes_nothing():
    empty = table()
    empty.matrix[:, 3] = np.nan

    learnt = fit_boosted(empty, SEED)

    found = scored(learnt, sweep(3, empty.matrix[:20], np.array([np.nan, 0.0, 5.0, 1e6])))
    assert np.all(found == found[:, :1])


def test_infinite_values_are_learnt_from_and_scored():
    odd = table()
    odd.matrix[::50, 2] = np.inf

    learnt = fit_boosted(odd, SEED)

    assert np.all(np.isfinite(learnt.log_odds(odd.matrix)))


def test_rows_of_weight_nothing_teach_nothing():
    honest = table()
    n = len(honest.labels)
    lies = replace(honest, labels=1 - honest.labels, weights=np.zeros(n))
    both = Table(
        np.vstack([honest.matrix, lies.matrix]),
        np.concatenate([honest.labels, lies.labels]),
        np.concatenate([honest.moments, lies.moments]),
        np.concatenate([honest.weights, lies.weights]),
        honest.signs,
    )
    order = np.argsort(both.moments, kind="stable")
    mixed = Table(*(a[order] for a in (both.matrix, both.labels, both.moments, both.weights)),
                  honest.signs)  # fmt: skip

    learnt, later = fit_boosted(mixed, SEED), table(seed=3)

    found = evaluate(1 / (1 + np.exp(-learnt.log_odds(later.matrix))), later.labels)
    assert found.auc is not None
    assert found.auc > 0.73


def test_recent_rows_count_more():
    told = table(1_200)
    long_ago = np.arange(1_200) < 600
    labels = np.where(long_ago, told.matrix[:, 2] > 8, told.matrix[:, 2] <= 8).astype(float)
    moments = np.where(long_ago, 0.0, 4 * HALF_LIFE_S) + told.moments
    learnt = fit_boosted(replace(told, labels=labels, moments=moments), SEED)

    low, high = (learnt.log_odds(np.array([[5.0, 5.0, x, 5.0]]))[0] for x in (2.0, 30.0))

    assert low > high


def test_without_failures_of_both_kinds_in_the_latest_fifth_it_is_not_calibrated():
    told = table()
    quiet = replace(told, labels=np.where(np.arange(700) >= 550, 0.0, told.labels))
    late = replace(told, labels=(np.arange(700) > 690).astype(float))

    for learnt in (fit_boosted(quiet, SEED), fit_boosted(late, SEED)):
        assert (learnt.slope, learnt.intercept) == (1.0, 0.0)
        assert np.all(np.isfinite(learnt.log_odds(told.matrix)))


def test_the_calibration_lowers_what_fails_less_of_late():
    told = table(4_000)
    random = np.random.default_rng(1)
    is_late = np.arange(4_000) >= 3_200
    kept = np.where(is_late & (random.random(4_000) < 0.6), 0.0, told.labels)

    learnt = fit_boosted(replace(told, labels=kept), SEED)

    centre = np.median(learnt.log_odds(told.matrix))
    plain = replace(learnt, slope=1.0, intercept=0.0)
    assert centre < np.median(plain.log_odds(told.matrix)) - 0.2


def test_a_repository_that_fails_more_is_told_apart_and_a_new_one_lies_between():
    told = table(3_000)
    names = ["calm" if k % 2 else "wild" for k in range(3_000)]
    odds = np.where(np.arange(3_000) % 2, 0.05, 0.6)
    labels = (np.random.default_rng(7).random(3_000) < odds).astype(float)

    learnt = fit_boosted(replace(told, labels=labels, repositories=names), SEED)

    rows = table(200, seed=8).matrix
    calm, new, wild = (
        np.mean(learnt.log_odds(rows, [name] * 200)) for name in ("calm", "never seen", "wild")
    )
    assert calm + 1 < new < wild - 0.5
    assert np.array_equal(learnt.log_odds(rows), learnt.log_odds(rows, ["never seen"] * 200))


def test_what_was_learnt_survives_being_stored():
    learnt, rows = fit_boosted(table(), SEED), table(seed=3).matrix

    again = Boosted.of(learnt.parts())

    assert again.log_odds(rows).tobytes() == learnt.log_odds(rows).tobytes()
