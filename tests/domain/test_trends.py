from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.outcome import CauseClass, DeployOutcome, Ending, StageTime
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.trends import (
    CauseCount,
    Duration,
    Rate,
    TrendPolicy,
    delivery_metrics,
    delivery_rows,
    duration,
    failure_trends,
    rate,
    wilson_interval,
)
from tests.builders import NOON, features, key, outcome, sha

POLICY = TrendPolicy(window_days=10, min_deployments=2)
NOW = NOON + timedelta(days=1)
MINUTE = timedelta(minutes=1)


def promoted(n: int, lead: timedelta = MINUTE, **changes) -> DeployOutcome:
    return outcome(n, deployed_at=NOON + n * MINUTE + lead, **changes)


def rolled_back(n: int, **changes) -> DeployOutcome:
    facts = {
        "cause": CauseClass.HEALTH_ERRORS,
        "stage": "health_report",
        "failed_at": NOON + (n + 1) * MINUTE,
        "restored_at": NOON + (n + 1) * MINUTE + timedelta(seconds=20),
    }
    return outcome(n, Ending.ROLLED_BACK, **(facts | changes))


def test_wilson_interval_agrees_with_published_figures():
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, method 3.
    assert wilson_interval(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29, 0.95) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share_and_widens_with_confidence(n, data):
    k = data.draw(st.integers(0, n))

    low, high = wilson_interval(k, n, 0.95)
    lower, higher = wilson_interval(k, n, 0.99)

    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1
    assert lower <= low <= high <= higher


def test_too_few_observations_give_counts_and_no_number():
    assert rate(1, 4, 5, 0.95) == Rate(1, 4, None, None, None)
    assert rate(0, 0, 0, 0.95) == Rate(0, 0, None, None, None)
    assert duration([], 0) == Duration(0, None, None)
    assert duration([1.0, 2.0], 3) == Duration(2, None, None)


def test_quantiles_are_interpolated():
    assert duration([4.0, 1.0, 3.0, 2.0], 1) == Duration(4, 2.5, pytest.approx(3.7))
    assert duration([7.0], 1) == Duration(1, 7.0, 7.0)


def test_the_five_metrics_of_a_small_history():
    history = [
        promoted(1, 1 * MINUTE),
        promoted(2, 3 * MINUTE),
        rolled_back(3),
        promoted(30, 2 * MINUTE, reverts=sha(3)),
        outcome(5, Ending.WITHHELD, cause=CauseClass.TEST, label=1),
    ]

    metrics = delivery_metrics(history, NOW, POLICY)

    assert metrics.n_deployments == 4
    assert metrics.deployments_per_day == 0.4
    assert metrics.lead_time == Duration(3, 120.0, pytest.approx(168.0))
    assert (metrics.change_fail_rate.numerator, metrics.change_fail_rate.value) == (1, 0.25)
    assert metrics.recovery_time == Duration(1, 20.0, 20.0)
    assert (metrics.rework_rate.numerator, metrics.rework_rate.denominator) == (1, 4)
    assert (metrics.window_start, metrics.window_end) == (NOW - timedelta(days=10), NOW)
    assert metrics.by_day == tuple(sorted(metrics.by_day))
    assert [sum(counts) for counts in list(zip(*metrics.by_day, strict=True))[1:]] == [4, 1]


def test_a_clock_ahead_of_ours_gives_no_negative_lead_time():
    metrics = delivery_metrics([promoted(1, -60 * MINUTE), promoted(2)], NOW, POLICY)

    assert metrics.lead_time.median_s is not None
    assert metrics.lead_time.median_s >= 0


def test_a_release_that_never_had_traffic_is_no_deployment():
    crashed = rolled_back(1, stage="deployment", failed_at=None, restored_at=None)
    metrics = delivery_metrics([crashed, promoted(2), promoted(3)], NOW, POLICY)

    assert (metrics.n_deployments, metrics.change_fail_rate.numerator) == (2, 0)


def test_a_rollback_by_infrastructure_is_a_deployment_but_no_failure_of_the_change():
    history = [rolled_back(1, cause=CauseClass.INFRA, label=None), promoted(2)]
    metrics = delivery_metrics(history, NOW, POLICY)

    assert (metrics.n_deployments, metrics.change_fail_rate.numerator) == (2, 0)
    assert metrics.recovery_time.n == 0


def test_a_promoted_change_that_was_reverted_failed_and_recovered_with_its_revert():
    history = [promoted(1), promoted(9, reverts=sha(1))]
    metrics = delivery_metrics(history, NOW, POLICY)

    assert metrics.change_fail_rate.numerator == 1
    assert metrics.recovery_time == Duration(1, 480.0, 480.0)


@pytest.mark.parametrize(
    "other",
    [
        promoted(9, reverts=sha(1), key=key(9, "bank")),
        outcome(9, Ending.WITHHELD, reverts=sha(1)),
        rolled_back(9, reverts=sha(1), cause=CauseClass.INFRA),
        replace(promoted(9, reverts=sha(1)), deployed_at=NOON),
    ],
)
def test_only_a_later_deployed_revert_in_the_same_repository_counts(other):
    metrics = delivery_metrics([promoted(1), other, promoted(2)], NOW, POLICY)

    assert metrics.change_fail_rate.numerator == 0


def test_a_failure_not_yet_restored_has_no_recovery_time():
    history = [rolled_back(1, restored_at=None), promoted(2)]
    metrics = delivery_metrics(history, NOW, POLICY)

    assert metrics.change_fail_rate.numerator == 1
    assert metrics.recovery_time == Duration(0, None, None)


@pytest.mark.parametrize(
    ("changes", "n_rework"),
    [
        ({}, 1),
        ({"features": features(is_fix=0.0)}, 0),
        ({"features": None}, 0),
        ({"paths": ("other.py",)}, 0),
        ({"key": key(9, "bank")}, 0),
        ({"deployed_at": NOON}, 0),
    ],
)
def test_a_fix_of_what_failed_before_is_rework(changes, n_rework):
    fix = replace(promoted(9, features=features(is_fix=1.0)), **changes)
    metrics = delivery_metrics([promoted(2), rolled_back(1), fix], NOW, POLICY)

    assert metrics.rework_rate.numerator == n_rework


def test_deployments_outside_the_window_do_not_count():
    later = [promoted(n, settled_at=NOW) for n in (1, 2)]
    metrics = delivery_metrics(later, NOW + timedelta(days=30), POLICY)
    before = delivery_metrics(later, NOON, POLICY)

    assert metrics.n_deployments == before.n_deployments == 0
    assert metrics.deployments_per_day is None


def test_a_promotion_without_its_instant_counts_from_its_settling():
    history = [replace(promoted(n), deployed_at=None) for n in (1, 2)]

    assert delivery_metrics(history, NOW, POLICY).lead_time.median_s == 90.0


def test_rows_for_people_state_value_counts_and_interval():
    history = [promoted(1, timedelta(hours=5)), promoted(2, timedelta(days=3)), rolled_back(3)]
    rows = {
        r["metric"]: r
        for r in delivery_rows(delivery_metrics(history, NOW + 4 * (NOW - NOON), POLICY))
    }

    assert rows["change lead time"]["value"] == "38.5 h (median)"
    assert rows["change lead time"]["interval"] == "90 % within 2.7 d"
    assert rows["deployment frequency"]["value"] == "0.30 per day"
    assert rows["failed deployment recovery time"]["value"] == "20.0 s (median)"
    assert rows["change fail rate"] == {
        "metric": "change fail rate",
        "value": "33.3%",
        "counts": "1 of 3 deployments in 10 days",
        "interval": "6.1% to 79.2%",
    }
    assert rows["deployment rework rate"]["value"] == "0.0%"


def test_rows_without_data_say_so():
    rows = delivery_rows(delivery_metrics([], NOW, POLICY))

    assert {row["value"] for row in rows} == {"not enough data"}
    assert rows[-1]["counts"] == "0 of 0 deployments in 10 days"


def test_failure_trends_count_by_cause_path_day_ending_and_route():
    history = [
        promoted(1, route=Route.FAST, paths=("shop/a.py", "shop/b.py"), seconds_saved=2.0),
        rolled_back(2, route=Route.FAST, paths=("shop/a.py", "README.md")),
        outcome(3, Ending.WITHHELD, cause=CauseClass.TEST, label=1, paths=("shop/a.py",)),
        outcome(4, Ending.INFRASTRUCTURE, cause=CauseClass.INFRA, paths=("infra/x",)),
        replace(outcome(5), settled_at=NOON + timedelta(days=1, minutes=-1), paths=("docs/x",)),
        replace(outcome(6), settled_at=NOW + MINUTE),
        replace(outcome(7), settled_at=NOW - timedelta(days=10)),
    ]

    trends = failure_trends(history, NOW, POLICY)

    assert (trends.n_commits, trends.n_failures, trends.seconds_saved) == (5, 2, 2.0)
    assert trends.by_cause == (
        CauseCount("health-errors", 1),
        CauseCount("infra", 1),
        CauseCount("test", 1),
    )
    assert trends.by_day == (("2026-03-02", 4, 2), ("2026-03-03", 1, 0))
    assert trends.by_ending[0] == CauseCount("promoted", 2)
    assert trends.by_route == (CauseCount("fast", 2),)
    assert [(p.path, p.rate.numerator, p.rate.denominator) for p in trends.by_path] == [
        ("shop", 2, 3),
        (".", 1, 1),
        ("docs", 0, 1),
    ]
    assert trends.by_path[0].rate.value == pytest.approx(2 / 3)
    assert trends.by_path[1].rate.value is None


def test_folders_are_cut_at_the_policy():
    history = [outcome(n, paths=(f"f{n}/x",)) for n in range(1, 6)]

    trends = failure_trends(history, NOW, replace(POLICY, most_paths=2))

    assert [p.path for p in trends.by_path] == ["f1", "f2"]


def test_stages_have_durations_and_nothing_gives_nothing():
    history = [
        outcome(n, stages=(StageTime("image", float(n)), StageTime("tests", 1.0))) for n in (1, 3)
    ]

    assert [
        (s.stage, s.duration.median_s) for s in failure_trends(history, NOW, POLICY).stages
    ] == [
        ("image", 2.0),
        ("tests", 1.0),
    ]
    assert failure_trends([], NOW, POLICY).stages == ()
