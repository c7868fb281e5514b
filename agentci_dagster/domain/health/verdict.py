"""What the evidence adds up to: pass, fail or inconclusive. Hard facts (a dead process) come
first, statistics after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.health.evidence import Evidence, LimitTest, Window, e_value
from agentci_dagster.domain.health.values import CanaryPolicy, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the rule that fired, in plain words, and the cause class when it failed."""

    verdict: Verdict
    rule: str
    cause: CauseClass | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """Hard facts about the canary's process as the runtime and the probes see them."""

    is_alive: bool = True
    readiness_losses: int = 0
    """Failed health probes in a row while the baseline answered."""
    is_baseline_alive: bool = True


def judge(
    evidence: Evidence, policy: CanaryPolicy, vitals: Vitals, share: float = 1.0
) -> Judgement:
    """Judge the canary on everything seen so far.

    Args:
        evidence: the tests' state.
        policy: levels and least counts.
        vitals: whether the process lives and answers.
        share: canary's share of traffic at this step; a 10 % step asks for a fifth of the least
            requests.
    """
    failure = _hard_failure(policy, vitals) or _measured_failure(evidence, policy)
    if failure:
        return failure
    needed = math.ceil(policy.min_requests * min(1.0, share / 0.5))
    if evidence.total.canary < needed:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{evidence.total.canary} answers of the canary, {needed} are needed for a pass",
        )
    if evidence.baseline is None:
        return _judge_first(evidence, policy)
    if evidence.total.baseline == 0:
        return Judgement(Verdict.INCONCLUSIVE, "no answer of the baseline to compare with")
    if not vitals.is_baseline_alive:
        return Judgement(Verdict.INCONCLUSIVE, "the baseline's process has ended")
    return _not_for_a_pass(evidence, policy, needed) or _judge_calm(evidence, policy)


def is_suspicious(evidence: Evidence, policy: CanaryPolicy) -> bool:
    """Whether the canary at full weight does worse than the old release did, so that comparing
    again is worth while.

    It decides nothing: a shared outage raises it too, and the comparison then finds no difference.
    """
    if evidence.baseline is None:
        return False
    bar = math.log(1 / policy.suspicion_alpha)
    # What people met at the old release; our own probes, which mostly go well, would flatter it.
    served = evidence.traffic if evidence.traffic.baseline else evidence.total
    usual = _rate(served.baseline, served.baseline_bad)
    errors = _limit(usual + 2 * policy.error_tolerance, evidence.full)
    slow = _limit(1 - policy.slow_quantiles[0] + 2 * policy.slow_tolerance, evidence.full_slow)
    return (
        errors.log_e / evidence.error_dispersion >= bar
        or slow.log_e / evidence.slow_dispersion >= bar
    )


def _hard_failure(policy: CanaryPolicy, vitals: Vitals) -> Judgement | None:
    if not vitals.is_alive:
        return Judgement(Verdict.FAIL, "the canary's process has ended", CauseClass.HEALTH_ERRORS)
    if vitals.readiness_losses >= policy.readiness_losses:
        return Judgement(
            Verdict.FAIL,
            f"the health path failed {vitals.readiness_losses} times in a row",
            CauseClass.HEALTH_ERRORS,
        )
    return None


def _measured_failure(evidence: Evidence, policy: CanaryPolicy) -> Judgement | None:
    bar = math.log(1 / policy.alpha)
    seen = evidence.total
    counts = f"{seen.canary_bad} of {seen.canary} answers of the canary failed"
    if evidence.baseline is None:
        if evidence.limit.log_e < bar:
            return None
        return Judgement(
            Verdict.FAIL,
            f"{counts}: more than {policy.first_error_limit:.1%}, the limit of a first deployment",
            CauseClass.HEALTH_ERRORS,
        )
    if evidence.log_e_errors >= bar:
        return Judgement(
            Verdict.FAIL,
            f"{counts}, {seen.baseline_bad} of {seen.baseline} of the baseline beside it "
            f"(e-value {e_value(evidence.log_e_errors):.0f}, limit {1 / policy.alpha:.0f})",
            CauseClass.HEALTH_ERRORS,
        )
    if evidence.log_e_slow >= bar:
        return Judgement(
            Verdict.FAIL,
            "answers are slower than those of the baseline beside it "
            f"(e-value {e_value(evidence.log_e_slow):.0f}, limit {1 / policy.alpha:.0f})",
            CauseClass.HEALTH_LATENCY,
        )
    return None


def _judge_first(evidence: Evidence, policy: CanaryPolicy) -> Judgement:
    seen = evidence.total
    rate = _rate(seen.canary, seen.canary_bad)
    if rate > policy.first_error_limit:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{rate:.1%} of the answers failed, above the limit of {policy.first_error_limit:.1%}",
        )
    return Judgement(
        Verdict.PASS, f"first deployment: {seen.canary_bad} of {seen.canary} answers failed"
    )


def _not_for_a_pass(evidence: Evidence, policy: CanaryPolicy, needed: int) -> Judgement | None:
    """What is no failure of the canary and still no ground to promote it."""
    seen, traffic = evidence.total, evidence.traffic
    rate = _rate(seen.canary, seen.canary_bad)
    if rate > policy.outage_limit:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{rate:.0%} of the answers failed on either side: an outage shows no release at work",
        )
    # Probes may stand in for traffic where there is none, not outvote the little there is.
    excess = _rate(traffic.canary, traffic.canary_bad) - _rate(
        traffic.baseline, traffic.baseline_bad
    )
    if traffic.canary < needed and excess > policy.error_tolerance:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{traffic.canary_bad} of {traffic.canary} answers under traffic failed, and they are "
            "too few to judge by",
        )
    return None


def _judge_calm(evidence: Evidence, policy: CanaryPolicy) -> Judgement:
    bar = math.log(1 / policy.doubt_alpha)
    needed = math.log(1 / policy.twice_as_bad_alpha)
    metrics = (
        (
            "failing",
            evidence.log_e_errors,
            evidence.errors.log_not_twice / evidence.error_dispersion,
        ),
        (
            "slow",
            evidence.log_e_slow,
            min((t.log_not_twice for t in evidence.slow), default=0.0) / evidence.slow_dispersion,
        ),
    )
    for name, against, not_twice in metrics:
        if against >= bar and not_twice < needed:
            return Judgement(
                Verdict.INCONCLUSIVE,
                f"{name} answers are in doubt (e-value {e_value(against):.0f}) and "
                "'twice as bad' is not ruled out",
            )
    seen = evidence.total
    return Judgement(
        Verdict.PASS,
        f"{seen.canary_bad} of {seen.canary} answers of the canary failed, "
        f"{seen.baseline_bad} of {seen.baseline} of the baseline",
    )


def _limit(limit: float, window: Window) -> LimitTest:
    return LimitTest(min(0.5, limit)).fold(window.canary, window.canary_bad)


def _rate(n: int, bad: int) -> float:
    return bad / n if n else 0.0
