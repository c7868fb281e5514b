from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from agentci_dagster.domain.learning import (
    CandidateModel,
    LearningPolicy,
    Metrics,
    ModelEvaluation,
    ModelManifest,
    TrainingRow,
    base_rate_probabilities,
    churn_only_probabilities,
    compare,
    efforts_of,
    evaluate,
    examine,
    split_by_time,
    training_obstacle,
    training_rows,
)
from agentci_dagster.domain.outcome import Ending
from tests.builders import NOON, features, key, outcome, sha
from tests.fakes.learning import FixedModel

untimed = settings(deadline=None)
"""A busy machine is no failure."""

POLICY = LearningPolicy(maturity_s=3600.0)
LONG_AFTER = NOON + timedelta(days=30)


def row(n: int, label: int = 0, *, known_after_s: float = 60.0, **changes) -> TrainingRow:
    committed = NOON + timedelta(minutes=10 * n)
    return TrainingRow(
        key=key(n),
        committed_at=committed,
        known_at=committed + timedelta(seconds=known_after_s),
        label=label,
        features=features(**changes),
        probability=0.1,
    )


# ------------------------------------------------------------------ which rows, which labels


def test_a_failure_counts_at_once():
    bad = outcome(1, Ending.ROLLED_BACK)

    found = training_rows([bad], bad.settled_at, POLICY)

    assert [(r.key, r.label, r.known_at) for r in found.rows] == [(bad.key, 1, bad.settled_at)]
    assert found.n_failures == 1


def test_a_success_counts_when_it_has_been_silent_long_enough():
    good = outcome(1)
    ripe = good.settled_at + timedelta(hours=1)

    early = training_rows([good], ripe - timedelta(seconds=1), POLICY)
    late = training_rows([good], ripe, POLICY)

    assert (early.rows, early.n_censored) == ((), 1)
    assert [(r.label, r.known_at) for r in late.rows] == [(0, ripe)]


def test_without_maturity_a_success_counts_at_once():
    good = outcome(1)

    found = training_rows([good], good.settled_at, replace(POLICY, maturity_s=0.0))

    assert [r.label for r in found.rows] == [0]


def test_a_success_that_is_reverted_in_time_becomes_a_failure():
    good = outcome(1)
    revert = outcome(9, reverts=sha(1), label=None)

    found = training_rows([good, revert], revert.settled_at, POLICY)

    assert [(r.key, r.label, r.known_at) for r in found.rows] == [
        (good.key, 1, revert.settled_at),
    ]
    assert found.n_unlabelled == 1


@pytest.mark.parametrize(
    "revert",
    [
        outcome(9, reverts=sha(1), settled_at=NOON + timedelta(hours=5)),
        outcome(9, reverts=sha(1), settled_at=NOON),
        outcome(9, reverts=sha(2)),
        outcome(9, reverts=sha(9)),
        outcome(9, reverts=sha(1), key=key(9, "other")),
    ],
    ids=["too late", "before it", "of another commit", "of itself", "in another repository"],
)
def test_other_reverts_leave_a_success_alone(revert):
    found = training_rows([outcome(1), revert], LONG_AFTER, POLICY)

    assert {r.key.sha: r.label for r in found.rows}[sha(1)] == 0


def test_the_first_of_two_reverts_dates_the_failure():
    reverts = [outcome(n, reverts=sha(1)) for n in (8, 5)]

    found = training_rows([outcome(1), *reverts], LONG_AFTER, POLICY)

    assert found.rows[0].known_at == reverts[1].settled_at


def test_outcomes_that_teach_nothing_are_counted():
    teachless = [
        outcome(1, Ending.WITHHELD),
        outcome(2, Ending.INFRASTRUCTURE),
        outcome(3, Ending.ROLLED_BACK, features=None),
    ]

    found = training_rows(teachless, LONG_AFTER, POLICY)

    assert (found.rows, found.n_unlabelled, found.n_censored) == ((), 3, 0)


def test_outcomes_of_the_future_do_not_exist():
    assert training_rows([outcome(1, Ending.ROLLED_BACK)], NOON, POLICY).rows == ()


def test_rows_come_in_the_order_of_their_commits():
    mixed = [outcome(n, Ending.ROLLED_BACK) for n in (3, 1, 2)]

    found = training_rows(mixed, LONG_AFTER, POLICY)

    assert [r.key for r in found.rows] == [key(1), key(2), key(3)]


OUTCOMES = st.lists(
    st.builds(
        lambda n, bad, wait: outcome(
            n,
            Ending.ROLLED_BACK if bad else Ending.PROMOTED,
            settled_at=NOON + timedelta(minutes=n + wait),
        ),
        n=st.integers(1, 500),
        bad=st.booleans(),
        wait=st.integers(0, 300),
    ),
    max_size=25,
    unique_by=lambda o: o.key,
)


@untimed
@given(OUTCOMES, st.integers(0, 900), st.floats(0, 7200), st.floats(0.05, 0.95))
def test_no_row_of_the_future_enters_training(outcomes, minutes, maturity_s, share):
    policy = LearningPolicy(maturity_s=maturity_s, holdout_share=share)
    now = NOON + timedelta(minutes=minutes)

    found = training_rows(outcomes, now, policy)
    split = split_by_time(found.rows, policy)

    assert all(r.known_at <= now for r in found.rows)
    assert all(
        earlier.known_at <= later.committed_at and earlier.key != later.key
        for earlier in split.train
        for later in split.holdout
    )
    assert len(split.train) + len(split.holdout) + split.n_embargoed == len(found.rows)


# ------------------------------------------------------------------ the split


def test_the_latest_share_is_held_out():
    rows = [row(n) for n in range(1, 11)]

    split = split_by_time(list(reversed(rows)), POLICY)

    assert split.train == tuple(rows[:7])
    assert split.begins_at == rows[7].committed_at
    assert split.holdout == tuple(rows[7:])
    assert split.n_embargoed == 0


def test_a_label_that_came_after_the_holdout_began_is_left_out():
    late = row(2, 1, known_after_s=90 * 60.0)

    split = split_by_time([row(1), late, *(row(n) for n in range(3, 9))], POLICY)

    assert late not in split.train
    assert split.n_embargoed == 1


def test_one_row_alone_is_training():
    assert split_by_time([row(1)], POLICY).holdout == ()
    assert split_by_time([row(1)], POLICY).begins_at is None
    assert split_by_time([], POLICY).train == ()


def test_something_is_left_to_train_on_even_with_a_greedy_share():
    split = split_by_time([row(1), row(2)], LearningPolicy(holdout_share=0.99))

    assert (len(split.train), len(split.holdout)) == (1, 1)


@pytest.mark.parametrize(
    ("labels", "why"),
    [([], "no labelled outcome"), ([0, 0], "none of 2"), ([1], "all 1"), ([0, 1], "")],
)
def test_what_keeps_a_model_from_being_trained_is_said(labels, why):
    obstacle = training_obstacle([row(n, label) for n, label in enumerate(labels, 1)])

    assert why in obstacle
    assert bool(obstacle) == bool(why)


# ------------------------------------------------------------------ quality

SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.77, 1.0]), st.integers(0, 1)),
    min_size=2,
    max_size=30,
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


@untimed
@given(SCORES)
def test_the_measures_equal_scikit_learns(pairs):
    p, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])

    metrics = evaluate(p, y)

    assert metrics.auc == pytest.approx(roc_auc_score(y, p))
    assert metrics.average_precision == pytest.approx(average_precision_score(y, p))
    assert metrics.brier == pytest.approx(brier_score_loss(y, p))


def test_the_calibration_error_weighs_bins_by_their_counts():
    metrics = evaluate([0.1, 0.1, 0.1, 0.95], [0, 0, 1, 1])

    assert metrics.calibration_error == pytest.approx((3 * abs(0.1 - 1 / 3) + 0.05) / 4)


def test_a_perfect_probability_of_one_falls_into_the_last_bin():
    assert evaluate([1.0, 0.0], [1, 0]).calibration_error == 0


@pytest.mark.parametrize(
    ("labels", "defined"),
    [
        ([], set()),
        ([0, 0], {"brier", "calibration_error"}),
        ([1, 1], {"brier", "calibration_error", "average_precision"}),
    ],
)
def test_measures_that_labels_cannot_define_are_unknown(labels, defined):
    metrics = evaluate([0.5] * len(labels), labels)

    known = {name for name in Metrics.__dataclass_fields__ if getattr(metrics, name) is not None}
    assert known == defined


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [([0.5], []), ([[0.5]], [[1]]), ([1.5], [1]), ([float("nan")], [1]), ([0.5], [2])],
)
def test_what_cannot_be_measured_is_refused(probabilities, labels):
    with pytest.raises(ValueError, match=r"one probability|lie in|0 or 1"):
        evaluate(probabilities, labels)


def test_the_base_rate_is_never_certain():
    assert base_rate_probabilities([], 2).tolist() == [0.5, 0.5]
    assert base_rate_probabilities([row(1, 1)], 1).tolist() == [pytest.approx(2 / 3)]


def test_churn_alone_learns_that_large_changes_fail():
    train = [row(n, int(n % 3 == 0), lines_added=200.0 if n % 3 == 0 else 3.0) for n in range(30)]

    small, large = churn_only_probabilities(
        train, [row(40, lines_added=1.0), row(41, lines_added=500.0)]
    )

    assert small < 0.2
    assert large > 0.8


def test_churn_alone_never_learns_that_large_changes_are_safe():
    train = [row(n, int(n % 3 == 0), lines_added=3.0 if n % 3 == 0 else 200.0) for n in range(30)]

    small, large = churn_only_probabilities(
        train, [row(40, lines_added=1.0), row(41, lines_added=500.0)]
    )

    assert small == large == pytest.approx(11 / 32)


def test_churn_alone_is_undecided_without_evidence():
    assert churn_only_probabilities([], [row(1)]).tolist() == [0.5]
    assert churn_only_probabilities([row(1), row(2)], [row(3)])[0] == pytest.approx(1 / 4, abs=0.01)


@untimed
@given(st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 1)), min_size=1, max_size=15))
def test_churn_alone_always_gives_probabilities(pairs):
    rows = [row(n, label, lines_added=churn) for n, (churn, label) in enumerate(pairs, 1)]

    found = churn_only_probabilities(rows, rows)

    assert np.all((found >= 0) & (found <= 1))


# ------------------------------------------------------------------ evaluation and promotion


def test_candidate_champion_and_baselines_are_measured_on_the_same_later_rows():
    rows = [row(n, int(n % 4 == 0), lines_added=float(n % 4 == 0) * 100) for n in range(1, 21)]
    split = split_by_time(rows, POLICY)

    found = examine(split, FixedModel(0.2).score, FixedModel(0.9).score, "champion-1")

    labels = [r.label for r in split.holdout]
    efforts = efforts_of(split.holdout)
    assert found.candidate == evaluate([0.2] * 6, labels, efforts)
    assert found.champion == evaluate([0.9] * 6, labels, efforts)
    assert found.base_rate == evaluate([(3 + 1) / (14 + 2)] * 6, labels, efforts)
    assert found.churn_only is not None
    assert found.churn_only.auc == 1.0
    assert found.linear is not None
    assert found.linear.auc == 1.0
    assert (found.n_holdout, found.n_holdout_failures) == (6, 2)
    assert found.champion_version == "champion-1"
    assert "14 earlier outcomes" in found.note


def test_without_a_candidate_the_champion_is_still_measured():
    found = examine(split_by_time([row(1), row(2, 1)], POLICY), None, FixedModel().score, "prior")

    assert found.candidate is None
    assert found.champion is not None


def manifest(n_failures: int = 9) -> ModelManifest:
    return ModelManifest(
        "outcomes-1", "0" * 64, "k", (), NOON, NOON, 40, n_failures, None, {}, POLICY, NOON
    )


def candidate(n_rows: int = 60, **changes) -> CandidateModel:
    made = CandidateModel(manifest(), n_rows, 12, 0, 0, "")
    return replace(made, **changes)


def brier(value: float | None) -> Metrics:
    return Metrics(value, None, None, None)


def evaluation(ours: float | None = 0.10, theirs: float | None = 0.20, failures: int = 7):
    return ModelEvaluation(brier(ours), brier(theirs), None, None, "prior-1", 20, failures, "note")


def test_a_better_candidate_is_promoted_with_its_reason():
    promotion = compare(candidate(), evaluation(), POLICY)

    assert promotion.is_promoted
    assert promotion.champion_version == promotion.candidate_version == "outcomes-1"
    assert promotion.reason == (
        "promoted: Brier score 0.1000 against 0.2000 of prior-1 on the same 20 later outcomes "
        "(lower is better)"
    )


@pytest.mark.parametrize(
    ("made", "measured", "policy", "why"),
    [
        (candidate(9), evaluation(), POLICY, "9 labelled outcomes, 30 needed"),
        (candidate(manifest=None, note="not trained: x"), evaluation(), POLICY, "not trained: x"),
        (candidate(manifest=None), evaluation(), POLICY, "no candidate was trained"),
        (candidate(manifest=manifest(2)), evaluation(), POLICY, "2 failures to train on, 5 needed"),
        (candidate(), evaluation(failures=1), POLICY, "1 failures in the 20 latest outcomes, 5"),
        (candidate(), evaluation(0.2, 0.2), POLICY, "Brier score 0.2000 against 0.2000"),
        (candidate(), evaluation(), replace(POLICY, margin=0.11), "0.1100 better needed"),
        (candidate(), evaluation(ours=None), POLICY, "nothing to compare"),
        (candidate(), evaluation(theirs=None), POLICY, "nothing to compare"),
        (candidate(), replace(evaluation(), candidate=None), POLICY, "nothing to compare"),
        (candidate(), replace(evaluation(), champion=None), POLICY, "nothing to compare"),
    ],
)
def test_any_doubt_keeps_the_champion_and_says_why(made, measured, policy, why):
    promotion = compare(made, measured, policy)

    assert not promotion.is_promoted
    assert promotion.champion_version == "prior-1"
    assert promotion.reason.startswith("not promoted: ")
    assert why in promotion.reason
    assert promotion.reason.count("not ") <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"holdout_share": 0.0},
        {"holdout_share": 1.0},
        {"maturity_s": -1.0},
        {"margin": -0.1},
        {"min_rows": 0},
    ],
)
def test_a_learning_policy_without_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"holdout_share|not negative|at least 1"):
        LearningPolicy(**wrong)
