from __future__ import annotations

import pytest

from agentci_dagster.domain.outcome import Ending, StageTime
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.savings import Audit, asks_for_audit, is_audited, savings
from agentci_dagster.domain.selection import TestVerdict
from tests.builders import key, outcome, sha


def test_the_sample_has_its_share_and_is_always_the_same():
    drawn = [sha(n) for n in range(4_000) if is_audited(sha(n), 0.05)]

    assert 150 < len(drawn) < 250
    assert drawn == [sha(n) for n in range(4_000) if is_audited(sha(n), 0.05)]


def test_a_larger_sample_holds_the_smaller():
    small = {n for n in range(500) if is_audited(sha(n), 0.05)}

    assert small < {n for n in range(500) if is_audited(sha(n), 0.5)}


def test_none_and_all_can_be_asked_for():
    assert not any(is_audited(sha(n), 0.0) for n in range(100))
    assert all(is_audited(sha(n), 1.0) for n in range(100))


def test_only_fast_commits_that_came_through_are_audited():
    assert asks_for_audit(outcome(route=Route.FAST), 1.0)
    assert asks_for_audit(outcome(1, Ending.DELIVERED, route=Route.FAST), 1.0)
    assert not asks_for_audit(outcome(route=Route.STANDARD), 1.0)
    assert not asks_for_audit(outcome(1, Ending.ROLLED_BACK, route=Route.FAST), 1.0)
    assert not asks_for_audit(outcome(route=Route.FAST), 0.0)


def took(n: int, route: Route, seconds: float, ending: Ending = Ending.PROMOTED, **facts):
    stages = (StageTime("test_report", seconds),)
    return outcome(n, ending, route=route, stages=stages, **facts)


def test_an_empty_ledger_has_a_scorecard_without_numbers():
    found = savings((), ())

    assert (found.n_commits, found.spared.value, found.seconds_saved) == (0, None, None)
    assert (found.missed, found.caught) == (None, None)


def test_spared_work_is_counted_against_the_usual_full_pipeline():
    outcomes = [
        took(1, Route.STANDARD, 100.0),
        took(2, Route.GUARDED, 300.0),
        took(3, Route.STANDARD, 200.0),
        took(4, Route.FAST, 50.0),
        took(5, Route.SKIP, 0.0, Ending.SKIPPED),
        took(6, Route.FAST, 900.0),
        took(7, Route.FAST, 1.0, Ending.INFRASTRUCTURE),
        took(8, Route.STANDARD, 1.0, Ending.SUPERSEDED),
    ]

    found = savings(outcomes, ())

    assert (found.n_commits, found.n_skipped, found.n_fast) == (6, 1, 2)
    assert found.spared.value == 0.5
    assert found.seconds_saved == 150.0 + 200.0


def test_what_the_audits_fail_stands_for_the_whole_fast_lane():
    fast = [took(n, Route.FAST, 1.0) for n in range(1, 101)]
    bad = [outcome(n, Ending.ROLLED_BACK, route=Route.STANDARD) for n in range(101, 107)]
    late = [outcome(n, Ending.ROLLED_BACK, route=Route.FAST) for n in range(107, 109)]
    audits = [
        Audit(key(n), TestVerdict.FAILED if n == 1 else TestVerdict.PASSED) for n in range(1, 51)
    ]
    unclear = [Audit(key(60), TestVerdict.INCONCLUSIVE), Audit(key(61), TestVerdict.NOT_NEEDED)]
    elsewhere = [Audit(key(999), TestVerdict.FAILED)]

    found = savings([*fast, *bad, *late], [*audits, *unclear, *elsewhere])

    assert (found.n_audited, found.n_audits_without_verdict) == (52, 2)
    assert (found.failing_audits.n_hits, found.failing_audits.n) == (1, 50)
    assert found.missed is not None
    assert found.missed.value == pytest.approx(2.0)
    assert (found.missed.low, found.missed.high) == pytest.approx((1.0, 10.65), abs=0.01)
    assert found.n_caught == 8
    assert found.caught is not None
    assert found.caught.value == pytest.approx(0.8)
    assert found.caught.low < 0.8 < found.caught.high <= 8 / 9


def test_without_failures_no_share_of_them_was_found():
    found = savings([took(1, Route.FAST, 1.0)], [Audit(key(1), TestVerdict.PASSED)])

    assert found.caught is None
    assert found.missed is not None
    assert found.missed.value == 0.0
