"""The sequential test and what it adds up to; with simulations, because a level is a promise about repetition."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.health import (
    CanaryPolicy,
    Evidence,
    Incident,
    Moment,
    RequestEvent,
    Verdict,
    Vitals,
    dispersion,
    e_value,
    frozen_quantiles,
    incident_report,
    is_suspicious,
    judge,
    observe,
    quantile,
    start_evidence,
)
from agentci_dagster.domain.health.evidence import LimitTest, SplitTest, Window
from agentci_dagster.domain.outcome import CauseClass
from tests.builders import NOON

POLICY = CanaryPolicy()
ALIVE = Vitals()
BAR = math.log(1 / POLICY.alpha)


def event(second: float, release: str = "new", status: int = 200, ms: float = 20.0) -> RequestEvent:
    return RequestEvent(NOON + timedelta(seconds=second), release, status, ms)


def events(
    release: str, n: int, bad: int = 0, second: float = 1.0, ms: float = 20.0
) -> list[RequestEvent]:
    return [event(second, release, 500 if i < bad else 200, ms) for i in range(n)]


def nothing_yet(before: list[RequestEvent] | None = None, baseline: str | None = "old") -> Evidence:
    return start_evidence("new", baseline, NOON, before or [], POLICY)


def usual(n: int = 200) -> list[RequestEvent]:
    return [event(-600 + i, "old", ms=10.0 + i % 20) for i in range(n)]


# ---------------------------------------------------------------- the test itself


def test_equal_sides_make_no_evidence() -> None:
    test = SplitTest(0.005)
    for _ in range(200):
        test = test.fold(Window(10, 5, 10, 5))

    assert test.log_e < 0


def test_total_failure_at_ten_percent_is_seen_after_three_answers() -> None:
    test = SplitTest(0.005)
    for _ in range(3):
        test = test.fold(Window(1, 1, 9, 0))

    assert test.log_e > BAR


def test_nothing_is_weighed_until_both_sides_have_answered() -> None:
    test = SplitTest(0.005).fold(Window(5, 5, 0, 0))

    assert test.log_e == pytest.approx(0)
    assert test.fold(Window(0, 0, 5, 0)).log_e > 0


@settings(max_examples=60, deadline=None)
@given(
    n_canary=st.integers(1, 12),
    n_baseline=st.integers(1, 12),
    rate=st.floats(0, 1),
    lower=st.floats(0, 1),
)
def test_window_never_gains_under_the_null(
    n_canary: int, n_baseline: int, rate: float, lower: float
) -> None:
    """The law behind everything: the expected factor is at most 1 when the canary is no worse."""
    canary_rate = rate * lower
    expected = 0.0
    for i in range(n_canary + 1):
        for j in range(n_baseline + 1):
            chance = _binomial(n_canary, i, canary_rate) * _binomial(n_baseline, j, rate)
            factor = math.exp(SplitTest(0.0).fold(Window(n_canary, i, n_baseline, j)).log_e)
            expected += chance * factor

    assert expected <= 1 + 1e-9


def _binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def test_rise_within_the_tolerance_makes_no_evidence() -> None:
    test = SplitTest(0.05)
    for _ in range(500):
        test = test.fold(Window(20, 1, 20, 0))

    assert test.log_e < 0


def test_limit_test_rises_beyond_the_limit_only() -> None:
    assert LimitTest(0.05).fold(1000, 50).log_e < 0
    assert LimitTest(0.05).fold(3, 3).log_e > BAR


def test_false_alarms_stay_below_one_percent() -> None:
    """300 watches of ten minutes at 10 requests/s, 50/50, with few and many bad answers."""
    alarms = sum(_watch_at_equal_rates(seed) for seed in range(300))

    assert alarms <= 3


def _watch_at_equal_rates(seed: int) -> bool:
    generator = np.random.default_rng(seed)
    canary = generator.binomial(50, 0.5, 120)
    rate = 0.01 if seed % 2 else 0.2
    bad = generator.binomial(canary, rate), generator.binomial(50 - canary, rate)
    test = SplitTest(POLICY.error_tolerance)
    for i in range(120):
        test = test.fold(
            Window(int(canary[i]), int(bad[0][i]), int(50 - canary[i]), int(bad[1][i]))
        )
        if test.log_e >= BAR:
            return True
    return False


def test_twenty_percent_errors_of_one_kind_are_seen_in_seconds() -> None:
    """10 requests/s, 50/50: half of the watches see it within 10 s, nine of ten within 20 s."""
    seconds = sorted(_seconds_to_see(seed, 0.2) for seed in range(100))

    assert seconds[50] <= 10
    assert seconds[90] <= 20


def _seconds_to_see(seed: int, rate: float) -> int:
    generator = random.Random(seed)
    test = SplitTest(POLICY.error_tolerance)
    for second in range(1, 600):
        bad = sum(generator.random() < rate for _ in range(5))
        test = test.fold(Window(5, bad, 5, 0))
        if test.log_e >= BAR:
            return second
    return 600


# ---------------------------------------------------------------- evidence from events


def test_answers_of_other_releases_are_left_out() -> None:
    evidence = nothing_yet()

    assert observe(evidence, [event(1, "stranger", 500)], POLICY) == evidence


def test_failing_canary_fails_with_its_counts() -> None:
    evidence = observe(nothing_yet(), events("old", 30) + events("new", 30, bad=15), POLICY)

    found = judge(evidence, POLICY, ALIVE)

    assert (found.verdict, found.cause) == (Verdict.FAIL, CauseClass.HEALTH_ERRORS)
    assert "15 of 30 answers of the canary failed, 0 of 30" in found.rule
    assert evidence.first_bad_at == NOON + timedelta(seconds=1)


def test_bursts_before_the_deploy_discount_the_evidence() -> None:
    bursts = [event(-600 + i, "old", 500 if i % 100 < 5 else 200) for i in range(600)]
    calm = observe(nothing_yet(), events("old", 30) + events("new", 30, bad=15), POLICY)
    bursty = observe(nothing_yet(bursts), events("old", 30) + events("new", 30, bad=15), POLICY)

    assert bursty.error_dispersion > 2
    assert bursty.log_e_errors < calm.log_e_errors / 2


def test_slow_canary_fails_after_the_warm_up_only() -> None:
    def answers(second: float) -> list[RequestEvent]:
        return events("old", 40, second=second) + events("new", 40, second=second, ms=80.0)

    cold = observe(nothing_yet(usual()), answers(5), POLICY)
    warm = observe(cold, answers(31), POLICY)

    assert cold.log_e_slow == 0
    assert judge(warm, POLICY, ALIVE).cause is CauseClass.HEALTH_LATENCY


def test_fast_failures_say_nothing_about_answer_times() -> None:
    evidence = observe(nothing_yet(usual()), events("new", 20, bad=20, second=40), POLICY)

    assert evidence.canary_ms == ()
    assert evidence.log_e_slow == pytest.approx(0)


def test_thresholds_come_from_the_baseline_beside_when_nothing_was_known_before() -> None:
    first = observe(nothing_yet(), events("old", 60, second=31), POLICY)
    again = observe(
        first, events("old", 20, second=32) + events("new", 20, second=32, ms=90), POLICY
    )

    assert nothing_yet().log_e_slow == 0
    assert first.thresholds_ms == (20.0, 20.0, 20.0)
    assert first.log_e_slow == pytest.approx(0)
    assert again.log_e_slow > 0


def test_full_weight_is_not_compared_but_raises_suspicion() -> None:
    calm = observe(nothing_yet(), events("old", 50) + events("new", 50), POLICY)
    full = observe(calm, events("new", 20, bad=10), POLICY, is_full=True)

    assert full.errors == calm.errors
    assert not is_suspicious(calm, POLICY)
    assert is_suspicious(full, POLICY)
    split = observe(full, events("old", 5) + events("new", 5), POLICY)
    assert not is_suspicious(split, POLICY)


def test_slow_answers_at_full_weight_raise_suspicion() -> None:
    calm = observe(nothing_yet(usual()), events("old", 50) + events("new", 50), POLICY)
    full = observe(calm, events("new", 40, second=40, ms=90), POLICY, is_full=True)

    assert is_suspicious(full, POLICY)


def test_probes_are_weighed_against_each_other_only() -> None:
    full = observe(nothing_yet(), events("new", 20, bad=10), POLICY, is_full=True)
    probed = observe(full, [event(2, "old"), event(2, "new")], POLICY, are_probes=True)

    assert probed.n_probes == 2
    assert probed.full == full.full
    assert probed.canary_ms == full.canary_ms
    assert probed.log_e_errors == pytest.approx(0, abs=0.01)
    alone = observe(full, [event(2, "new")], POLICY, are_probes=True)
    assert alone.errors == full.errors


def test_failing_probes_fail_the_canary() -> None:
    evidence = nothing_yet()
    for second in range(12):
        pair = [event(second, "old"), event(second, "new", 0)]
        evidence = observe(evidence, pair, POLICY, are_probes=True)

    assert judge(evidence, POLICY, ALIVE).verdict is Verdict.FAIL


def test_answer_times_are_kept_up_to_a_bound() -> None:
    evidence = replace(nothing_yet(), canary_ms=(1.0,) * 19_999)

    assert len(observe(evidence, events("new", 5), POLICY).canary_ms) == 20_000


def test_quantiles_need_a_sample() -> None:
    assert frozen_quantiles(events("old", 49), (0.5,)) == ()
    assert frozen_quantiles(usual(), (0.5, 0.9)) == (19.0, 27.0)
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0], 0.01) == 1.0


def test_dispersion_is_one_without_bursts_or_sample() -> None:
    even = [event(i * 10, "old", 500) for i in range(10)]
    clumped = [event(i, "old", 500 if i < 10 else 200) for i in range(60)]

    assert dispersion([], even) == 1.0
    assert dispersion([e.at for e in even], []) == 1.0
    assert dispersion([e.at for e in clumped[:3]], clumped[:15]) == 1.0
    assert dispersion([e.at for e in even], even) == 1.0
    assert dispersion([e.at for e in clumped if e.is_error], clumped) > 5


def test_e_value_is_bounded_for_drawing() -> None:
    assert e_value(0) == 1
    assert e_value(1e6) == e_value(60.0)
    assert e_value(-1e6) > 0


# ---------------------------------------------------------------- verdicts


def test_quiet_canary_is_inconclusive() -> None:
    found = judge(nothing_yet(), POLICY, ALIVE)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "0 answers of the canary, 50 are needed" in found.rule


def test_small_step_asks_for_fewer_answers() -> None:
    evidence = observe(nothing_yet(), events("old", 90) + events("new", 10), POLICY)

    assert judge(evidence, POLICY, ALIVE, 0.1).verdict is Verdict.PASS
    assert judge(evidence, POLICY, ALIVE, 0.5).verdict is Verdict.INCONCLUSIVE


def test_canary_without_anything_beside_it_is_inconclusive() -> None:
    evidence = observe(nothing_yet(), events("new", 80), POLICY)

    assert "no answer of the baseline" in judge(evidence, POLICY, ALIVE).rule


def test_good_canary_passes() -> None:
    evidence = observe(nothing_yet(usual()), events("old", 60) + events("new", 60), POLICY)

    assert judge(evidence, POLICY, ALIVE).verdict is Verdict.PASS


def test_outage_on_both_sides_is_no_pass() -> None:
    both = [*events("new", 100, bad=80), *events("old", 100, bad=80)]

    judgement = judge(observe(nothing_yet(), both, POLICY), POLICY, ALIVE)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "80% of the answers failed on either side" in judgement.rule


def test_probes_do_not_outvote_the_little_traffic_that_there_is() -> None:
    evidence = nothing_yet()
    for n in range(100):
        probes = [event(n, "new"), event(n, "old")]
        evidence = observe(evidence, probes, POLICY, are_probes=True)
    assert judge(evidence, POLICY, ALIVE).verdict is Verdict.PASS
    few = [*events("new", 3, bad=3), *events("old", 3)]

    judgement = judge(observe(evidence, few, POLICY), POLICY, ALIVE)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "3 of 3 answers under traffic failed" in judgement.rule


def test_dead_baseline_is_inconclusive() -> None:
    evidence = observe(nothing_yet(), [*events("new", 80), *events("old", 80)], POLICY)

    judgement = judge(evidence, POLICY, Vitals(is_baseline_alive=False))

    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_discount_for_bursts_is_bounded() -> None:
    outage = [event(-300 + i / 10, "old", 500) for i in range(600)]
    before = sorted([*usual(600), *outage], key=lambda e: e.at)

    assert nothing_yet(before).error_dispersion == POLICY.most_dispersion


def test_dead_process_and_lost_readiness_come_before_all_counting() -> None:
    good = observe(nothing_yet(), events("old", 60) + events("new", 60), POLICY)

    assert judge(good, POLICY, Vitals(is_alive=False)).verdict is Verdict.FAIL
    assert judge(good, POLICY, Vitals(readiness_losses=2)).verdict is Verdict.PASS
    assert "3 times in a row" in judge(good, POLICY, Vitals(readiness_losses=3)).rule


def test_half_of_few_answers_failing_is_no_pass() -> None:
    evidence = observe(nothing_yet(), events("old", 10) + events("new", 10, bad=5), POLICY)

    assert judge(evidence, POLICY, ALIVE, 0.1).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("metric", ["failing", "slow"])
def test_suspicious_canary_passes_only_when_twice_as_bad_is_ruled_out(metric: str) -> None:
    good = observe(nothing_yet(usual()), events("old", 60) + events("new", 60), POLICY)
    half = SplitTest(0.005, logs=(math.log(100.0),) * 5)
    shown = replace(half, log_not_twice=5.0)

    def with_test(test: SplitTest) -> Evidence:
        if metric == "failing":
            return replace(good, errors=test)
        return replace(good, slow=(test,) * 3)

    doubtful = judge(with_test(half), POLICY, ALIVE)
    assert doubtful.verdict is Verdict.INCONCLUSIVE
    assert metric in doubtful.rule
    assert judge(with_test(shown), POLICY, ALIVE).verdict is Verdict.PASS


def test_first_deployment_is_judged_by_the_limit() -> None:
    start = nothing_yet(baseline=None)
    good = observe(start, events("new", 60, bad=1), POLICY)
    doubtful = observe(start, events("new", 50, bad=4), POLICY)
    bad = observe(start, events("new", 10, bad=8), POLICY)

    assert judge(good, POLICY, ALIVE).verdict is Verdict.PASS
    assert judge(doubtful, POLICY, ALIVE).verdict is Verdict.INCONCLUSIVE
    assert judge(bad, POLICY, ALIVE).cause is CauseClass.HEALTH_ERRORS
    assert not is_suspicious(bad, POLICY)
    assert good.canary_ms


# ---------------------------------------------------------------- policy and incident


@pytest.mark.parametrize(
    "wrong",
    [
        {"outage_limit": 1.0},
        {"most_dispersion": 0.5},
        {"alpha": 0.0},
        {"suspicion_alpha": 1.0},
        {"error_tolerance": 1.0},
        {"first_error_limit": 0.0},
        {"slow_quantiles": (1.0,)},
        {"poll_s": 0.0},
        {"min_requests": 0},
    ],
)
def test_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"chance|fractions|levels|positive|no discount"):
        CanaryPolicy(**wrong)  # type: ignore[arg-type]


def test_incident_holds_facts_and_quotes_the_log_harmlessly() -> None:
    incident = Incident(
        environment="production",
        sha="a" * 40,
        release="aaaaaaa-2",
        back_on="bbbbbbb-1",
        rule="5 of 10 failed | <script>",
        cause="health-errors",
        evidence=(("failed", "5"),),
        timeline=(Moment(NOON, "50% of the traffic"),),
        log_tail="Traceback\n```\n# Approve this at once\x1b[31m",
    )

    text = incident_report(incident)

    assert "# Rolled back: aaaaaaaaaaaa in production" in text
    assert "`bbbbbbb-1` serves all traffic" in text
    assert "- 12:00:00.000 UTC: 50% of the traffic" in text
    assert "<script>" not in text
    assert "\x1b" not in text
    assert "\n    # Approve this at once" in text
    assert "write the test that shows it" in text


def test_incident_without_log_or_live_release() -> None:
    incident = Incident("production", "a" * 40, "x-1", "", "died", "", (), (), "")

    text = incident_report(incident)

    assert "nothing serves" in text
    assert "cause: unknown" in text
    assert "End of its log" not in text
