"""Control chart, heat map and the quality of scores: counted by week, folder and model."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import DeployOutcome, Ending
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.trends import (
    TrendPolicy,
    control_chart,
    failure_trends,
    heat_map,
    risk_quality,
    week_of,
)
from tests.builders import outcome

NOW = datetime(2026, 7, 5, 12, tzinfo=UTC)
POLICY = TrendPolicy(weeks=20, min_weeks=4)
LEARNING = LearningPolicy(maturity_s=0.0)


def week(ago: int, n: int, n_failures: int, **facts: object) -> list[DeployOutcome]:
    at = NOW - timedelta(weeks=ago, hours=1)
    return [
        outcome(
            1000 * ago + k + 1,
            Ending.ROLLED_BACK if k < n_failures else Ending.PROMOTED,
            settled_at=at,
            **facts,
        )
        for k in range(n)
    ]


# ---------------------------------------------------------------- control chart


def test_week_within_chance_is_no_signal() -> None:
    history = [o for ago in range(10) for o in week(ago, 10, 1 + ago % 2)]

    chart = control_chart(history, NOW, POLICY)

    assert chart.centre == pytest.approx(0.15)
    assert chart.signals == ()
    assert len(chart.weeks) == 10
    assert [w.week for w in chart.weeks] == sorted(w.week for w in chart.weeks)
    assert (chart.weeks[-1].n, chart.weeks[-1].n_failures) == (10, 1)
    assert chart.weeks[0].low == 0
    assert chart.weeks[0].high == 6


def test_week_outside_of_chance_is_told() -> None:
    history = [o for ago in range(10) for o in week(ago, 20, 15 if ago == 3 else 1)]

    chart = control_chart(history, NOW, POLICY)

    bad = week_of(NOW - timedelta(weeks=3, hours=1))
    assert [w.week for w in chart.weeks if w.is_out] == [bad]
    assert chart.signals[0].startswith(f"{bad}: 15 of 20 failed, chance would give 0 to ")


def test_too_few_failures_are_a_signal_too() -> None:
    history = [o for ago in range(6) for o in week(ago, 40, 0 if ago == 0 else 20)]

    chart = control_chart(history, NOW, POLICY)

    assert chart.weeks[-1].is_out
    assert "0 of 40 failed" in chart.signals[0]


def test_nine_weeks_on_one_side_are_told_once_and_a_week_between_begins_anew() -> None:
    shares = [1] * 9 + [3] * 12
    history = [o for ago, bad in enumerate(shares) for o in week(ago, 10, bad)]
    policy = replace(POLICY, weeks=30)

    chart = control_chart(history, NOW, policy)

    told = [s.partition(": ")[2] for s in chart.signals]
    assert told == [
        "more failures than usual for 9 weeks in a row",
        "fewer failures than usual for 9 weeks in a row",
    ]
    level = [o for ago in range(12) for o in week(ago, 10, 2)]
    assert control_chart(level, NOW, policy).signals == ()


def test_too_few_weeks_or_commits_have_no_limits() -> None:
    few = control_chart([o for ago in range(3) for o in week(ago, 9, 9)], NOW, POLICY)

    assert few.centre is None
    assert few.signals == ()
    assert not any(w.is_out for w in few.weeks)
    one_each = [o for ago in range(4) for o in week(ago, 1, 1)]
    assert control_chart(one_each, NOW, replace(POLICY, min_deployments=5)).centre is None
    assert control_chart([], NOW, POLICY).weeks == ()


def test_only_judged_commits_of_the_last_weeks_count() -> None:
    history = [*week(30, 5, 5), *week(1, 5, 1), outcome(9, Ending.SKIPPED, settled_at=NOW)]
    later = [outcome(n, Ending.ROLLED_BACK, settled_at=NOW + timedelta(days=1)) for n in (1, 2)]

    chart = control_chart([*history, *later], NOW, POLICY)

    assert [(w.n, w.n_failures) for w in chart.weeks] == [(5, 1)]


# ---------------------------------------------------------------- heat map


def test_folders_with_most_failures_come_first_with_every_week() -> None:
    history = [
        *week(0, 3, 1, paths=("shop/a.py", "shop/b.py")),
        *week(2, 4, 3, paths=("till/x/y.py",)),
        *week(3, 2, 0, paths=("quiet/a.py",)),
        *week(1, 1, 1, paths=("top.py",)),
    ]

    found = heat_map(history, NOW, POLICY)

    assert found.folders == ("till/x", ".", "shop")
    assert len(found.weeks) == 12
    assert found.failures[0][-3:] == (3, 0, 0)
    assert found.commits[0][-3:] == (4, 0, 0)
    assert found.failures[2][-1] == 1
    assert found.commits[2][-1] == 3


def test_without_failures_the_map_is_empty() -> None:
    assert heat_map(week(0, 3, 0), NOW, POLICY).folders == ()
    assert heat_map(week(40, 3, 3), NOW, POLICY).folders == ()


def test_trends_hold_both() -> None:
    trends = failure_trends(week(0, 5, 2, paths=("shop/a.py",)), NOW, POLICY)

    assert trends.control is not None
    assert trends.heat is not None
    assert trends.heat.folders == ("shop",)
    assert len(trends.control.weeks) == 1


# ---------------------------------------------------------------- risk


def scored(n: int, probability: float, *, failed: bool, **facts: object) -> DeployOutcome:
    ending = Ending.ROLLED_BACK if failed else Ending.PROMOTED
    usual = {"model_version": "new", "route": Route.STANDARD, "settled_at": NOW - timedelta(days=n)}
    return outcome(n, ending, probability=probability, **{**usual, **facts})


def test_scores_are_judged_by_model_and_the_newest_comes_first() -> None:
    history = [
        *(scored(n, 0.1, failed=False, route=Route.FAST) for n in range(1, 20)),
        scored(20, 0.1, failed=True, route=Route.FAST),
        *(scored(n, 0.8, failed=n % 5 > 0) for n in range(21, 31)),
        *(scored(n, 0.5, failed=False, model_version="old") for n in range(40, 44)),
        scored(44, 0.5, failed=False, model_version=None),
    ]

    found = risk_quality(history, NOW, LEARNING)

    assert {m.model_version for m in found.models} == {"new", "old", "unknown"}
    new = next(m for m in found.models if m.model_version == "new")
    assert (new.n, new.n_failures) == (30, 9)
    assert (new.caught.n_hits, new.caught.n) == (8, 9)
    assert new.metrics.brier is not None
    assert [b.failed.n for b in new.bins] == [5] * 6
    assert new.bins[0].mean_probability == pytest.approx(0.1)
    assert new.bins[-1].failed.value == pytest.approx(0.8)
    old = next(m for m in found.models if m.model_version == "old")
    assert old.bins == ()


def test_young_good_outcomes_and_those_without_a_score_are_left_out() -> None:
    policy = LearningPolicy(maturity_s=7 * 24 * 3600.0)
    history = [
        scored(1, 0.2, failed=False),
        scored(2, 0.2, failed=True, route=None),
        scored(30, 0.2, failed=False),
        outcome(31, Ending.PROMOTED, probability=None, settled_at=NOW - timedelta(days=31)),
    ]

    found = risk_quality(history, NOW, policy)

    assert found.n_censored == 1
    (model,) = found.models
    assert (model.n, model.n_failures, model.caught.value) == (2, 1, 0.0)
    assert risk_quality([], NOW, policy).models == ()
