from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.learning import (
    LearningPolicy,
    Split,
    Steadiness,
    TrainingRow,
    calibration_steady,
    drift,
    drifted_features,
    features_steady,
    prequential,
    rate_steady,
    routing_table,
)
from agentci_dagster.domain.learning.drift import psi
from agentci_dagster.domain.routing import RiskPolicy
from tests.builders import NOON, features, key
from tests.fakes.learning import FixedModel

POLICY = LearningPolicy(min_rows=10)


def row(n: int, label: int = 0, probability: float | None = 0.1, **changes) -> TrainingRow:
    at = NOON + timedelta(hours=n)
    known_at = at + timedelta(hours=2)
    return TrainingRow(key(n + 1), at, known_at, label, features(**changes), probability)


def rows(begin: int, n: int, **changes) -> tuple[TrainingRow, ...]:
    return tuple(
        row(i, int(i % 10 == 0), lines_added=float(i % 50), **changes)
        for i in range(begin, begin + n)
    )


# ------------------------------------------------------------------ drift


def test_rows_alike_do_not_drift():
    found = drift(Split(rows(0, 200), rows(200, 100), 0), POLICY)

    assert drifted_features(found, POLICY) == ()
    assert found.rate_z == pytest.approx(0.0)
    assert abs(found.calibration_z) < 0.1
    assert (found.n_earlier, found.n_latest) == (200, 100)


def test_a_feature_that_moved_comes_first():
    found = drift(Split(rows(0, 200), rows(200, 100, developers=90.0), 0), POLICY)

    assert [f.feature for f in drifted_features(found, POLICY)] == ["developers"]


def test_more_failures_than_promised_are_seen():
    late = tuple(row(i, 1) for i in range(200, 240))

    found = drift(Split(rows(0, 200), late, 0), POLICY)

    assert found.latest_rate == 1.0
    assert found.rate_z > 5
    assert found.calibration_z > 5


def test_few_rows_say_nothing():
    found = drift(Split(rows(0, 3), (), 0), POLICY)

    assert drifted_features(found, POLICY) == ()
    assert (found.features, found.rate_z, found.calibration_z, found.latest_rate) == (
        (),
        None,
        None,
        None,
    )


def test_all_alike_and_never_scored_is_no_drift():
    calm = tuple(row(i, 0, None) for i in range(20))

    found = drift(Split(calm, calm, 0), POLICY)

    assert (found.rate_z, found.calibration_z) == (0.0, None)


@settings(deadline=None)
@given(
    st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=30),
    st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=30),
)
def test_the_stability_index_is_never_negative_and_nought_for_the_same(a, b):
    assert psi(a, b) >= 0
    assert psi(a, a) == 0


# ------------------------------------------------------------------ prequential


def test_models_see_only_labels_that_were_known_then():
    seen: list[list[TrainingRow]] = []

    def learn(known):
        seen.append(list(known))
        return FixedModel(0.7).score

    history = rows(0, 60)
    found = prequential(history, learn, FixedModel(0.2).score, POLICY, 3)

    assert [b.n_scored for b in found.blocks] == [20, 20, 20]
    assert [b.n_known for b in found.blocks] == [0, 19, 39]
    for known, block in zip(seen, found.blocks[1:], strict=True):
        assert all(r.known_at <= block.begins_at for r in known)
    assert found.metrics.brier is not None


def test_without_anything_to_tell_apart_the_start_scores():
    def learn(known):
        raise AssertionError("nothing to learn")

    calm = [row(i) for i in range(40)]

    assert prequential(calm, learn, FixedModel(0.2).score, POLICY, 2).metrics.auc is None
    assert prequential([], learn, FixedModel(0.2).score, POLICY, 2).blocks == ()


def test_no_blocks_are_refused():
    with pytest.raises(ValueError, match="block"):
        prequential([], lambda known: FixedModel().score, FixedModel().score, POLICY, 0)


# ------------------------------------------------------------------ in words


def test_steady_rows_are_called_steady():
    found = drift(Split(rows(0, 200), rows(200, 100), 0), POLICY)

    told = [say(found, POLICY) for say in (features_steady, rate_steady, calibration_steady)]

    assert all(t.is_steady for t in told)
    assert "look as before" in told[0].in_words
    assert "10.0% of the latest 100 failed" in told[1].in_words
    assert "standard deviations" in told[2].in_words


def test_what_moved_is_named():
    names = ("developers", "files", "directories", "subsystems", "experience", "age_days")
    late = rows(200, 100, **dict.fromkeys(names, 900.0))
    found = drift(Split(rows(0, 200), late, 0), POLICY)

    told = features_steady(found, POLICY)

    assert not told.is_steady
    assert "developers (PSI" in told.in_words or "age_days (PSI" in told.in_words
    assert told.in_words.endswith("and 1 more")


def test_one_feature_that_moved_is_named_alone():
    found = drift(Split(rows(0, 200), rows(200, 100, developers=90.0), 0), POLICY)

    assert ": developers (PSI" in features_steady(found, POLICY).in_words


def test_too_few_rows_are_no_alarm():
    found = drift(Split(rows(0, 3), (), 0), POLICY)

    for say in (features_steady, rate_steady, calibration_steady):
        assert say(found, POLICY) == Steadiness(
            True, "too few outcomes to tell: 3 earlier, 0 latest"
        )


# ------------------------------------------------------------------ routes


def test_the_routing_table_shares_out_commits_and_failures():
    table = routing_table([0.01, 0.2, 0.2, 0.9], [0, 0, 1, 1], RiskPolicy())

    found = {t.route.value: (t.n_commits, t.share_of_commits, t.share_of_failures) for t in table}
    assert found == {
        "fast": (1, 0.25, 0.0),
        "standard": (2, 0.5, 0.5),
        "guarded": (0, 0.0, 0.0),
        "hold": (1, 0.25, 0.5),
    }


def test_a_routing_table_without_failures_or_commits_says_unknown():
    assert routing_table([], [], RiskPolicy()) == ()
    assert routing_table([0.1], [0], RiskPolicy())[0].share_of_failures is None
