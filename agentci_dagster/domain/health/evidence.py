"""Always-valid evidence that a canary is worse than the baseline beside it.

**The test.** Each request falls on the canary with probability s (its share of the requests in the
same window), whatever happens to it. If the canary is no worse than the baseline, a bad answer
falls on the canary with probability at most s too. Against the alternative that its bad answers are
r times as frequent, a bad answer falls on the canary with probability q = s·r / (s·r + 1 - s).
Multiplying q/s for each bad answer of the canary and (1-q)/(1-s) for each of the baseline gives a
non-negative supermartingale with start 1 (an e-process), whatever the base rate is and however it
moves: a shared outage makes no evidence. By Ville's inequality it ever reaches 1/alpha with
probability at most alpha, so it may be looked at as often as we like. An average of e-processes is
one, so several ratios (and several quantiles) are averaged.

**Tolerance t.** Think of each good answer of the baseline as bad with probability t, and take the
expectation over that coin: a factor 1 - t·(1 - (1-q)/(1-s)). The product is then an e-process for
"rate of canary <= rate of baseline + t·(1 - that rate)".

**Windows.** s is the share that was really seen. A window closes when both sides have answered,
which looks at no outcome. The number of bad answers on the canary is then hypergeometric, and the
factor, convex in it, has expectation at most that under the binomial (Hoeffding, 1963, theorem 4),
which is 1.

**Dispersion D.** Bursts make bad answers come in clumps. E^(1/D) with D >= 1 is still an e-process
(Jensen).

Sources: Ville (1939); Shafer, "Testing by betting" (2021); Ramdas, Grünwald, Vovk and Shafer,
"Game-theoretic statistics and safe anytime-valid inference" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentci_dagster.domain.health.values import CanaryPolicy, RequestEvent

# How many times as frequent bad answers may be, and the prior weight of each. Most weight is on
# "far worse": that is what must be seen within seconds.
RATIOS = (1.25, 1.6, 2.5, 5.0, 100.0)
RATIO_WEIGHTS = (0.10, 0.15, 0.20, 0.20, 0.35)
_LIMIT_MULTIPLES = (2.0, 4.0, 10.0, 20.0)
_LEAST_QUANTILE_SAMPLE = 50
_MOST_LOG = 60.0


@dataclass(frozen=True, slots=True)
class Window:
    """Answers of one stretch of time on both sides, and how many of them were bad."""

    canary: int = 0
    canary_bad: int = 0
    baseline: int = 0
    baseline_bad: int = 0

    def __add__(self, other: Window) -> Window:
        return Window(
            self.canary + other.canary,
            self.canary_bad + other.canary_bad,
            self.baseline + other.baseline,
            self.baseline_bad + other.baseline_bad,
        )


@dataclass(frozen=True, slots=True)
class SplitTest:
    """The event-split e-process of one metric: one log for each ratio, and one against "twice as
    bad".
    """

    tolerance: float
    logs: tuple[float, ...] = (0.0,) * len(RATIOS)
    log_not_twice: float = 0.0
    waiting: Window = Window()
    """Answers that wait for the other side to answer."""

    @property
    def log_e(self) -> float:
        """Log of the averaged e-value."""
        return _log_mean(self.logs, RATIO_WEIGHTS)

    def fold(self, window: Window) -> SplitTest:
        """Take in a window of answers; nothing is weighed until both sides have answered."""
        seen = self.waiting + window
        if not (seen.canary and seen.baseline):
            return replace(self, waiting=seen)
        return replace(self.weigh(seen), waiting=Window())

    def weigh(self, seen: Window) -> SplitTest:
        """Weigh a window in which both sides have answered, apart from answers that still wait."""
        share = seen.canary / (seen.canary + seen.baseline)
        return replace(
            self,
            logs=tuple(
                log + _log_factor(seen, share, ratio, self.tolerance)
                for log, ratio in zip(self.logs, RATIOS, strict=True)
            ),
            log_not_twice=self.log_not_twice + _log_factor_not_twice(seen, share, self.tolerance),
        )


@dataclass(frozen=True, slots=True)
class LimitTest:
    """An e-process for "the rate of bad answers is at most `limit`", by likelihood ratios to
    multiples of the limit.
    """

    limit: float
    logs: tuple[float, ...] = (0.0,) * len(_LIMIT_MULTIPLES)

    @property
    def log_e(self) -> float:
        """Log of the averaged e-value."""
        return _log_mean(self.logs, (1 / len(self.logs),) * len(self.logs))

    def fold(self, n: int, bad: int) -> LimitTest:
        """Take in `n` answers of which `bad` were bad."""
        rates = (min(0.99, self.limit * multiple) for multiple in _LIMIT_MULTIPLES)
        logs = tuple(
            log
            + bad * math.log(rate / self.limit)
            + (n - bad) * math.log((1 - rate) / (1 - self.limit))
            for log, rate in zip(self.logs, rates, strict=True)
        )
        return replace(self, logs=logs)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything seen since the canary's first weight. Slow answers are judged once
    `thresholds_ms` are known.
    """

    canary: str
    baseline: str | None
    began_at: datetime
    errors: SplitTest
    slow: tuple[SplitTest, ...]
    thresholds_ms: tuple[float, ...]
    error_dispersion: float
    slow_dispersion: float
    limit: LimitTest
    """One sample: for a first deployment, against the policy's limit."""
    total: Window = Window()
    traffic: Window = Window()
    """The part of `total` that people asked for, without our own probes."""
    full: Window = Window()
    """Answers at full weight since the last comparison, by which suspicion is raised."""
    full_slow: Window = Window()
    """The same for slow answers (of the median threshold)."""
    n_probes: int = 0
    canary_ms: tuple[float, ...] = ()
    """At most the first 20,000 answer times of each side."""
    baseline_ms: tuple[float, ...] = ()
    first_bad_at: datetime | None = None

    @property
    def log_e_errors(self) -> float:
        return self.errors.log_e / self.error_dispersion

    @property
    def log_e_slow(self) -> float:
        """Averaged over the quantiles; 0 (an e-value of 1) while no threshold is known."""
        if not self.slow:
            return 0.0
        logs = [test.log_e / self.slow_dispersion for test in self.slow]
        return _log_mean(logs, (1 / len(logs),) * len(logs))


def start_evidence(
    canary: str,
    baseline: str | None,
    began_at: datetime,
    before: Sequence[RequestEvent],
    policy: CanaryPolicy,
) -> Evidence:
    """No evidence yet; thresholds and dispersion come from the old release's events `before` the
    deploy.
    """
    own = [event for event in before if event.release == baseline]
    thresholds = frozen_quantiles(own, policy.slow_quantiles)
    last = thresholds[-1] if thresholds else math.inf
    most = policy.most_dispersion
    return Evidence(
        canary=canary,
        baseline=baseline,
        began_at=began_at,
        errors=SplitTest(policy.error_tolerance),
        slow=tuple(SplitTest(policy.slow_tolerance) for _ in thresholds),
        thresholds_ms=thresholds,
        error_dispersion=min(most, dispersion([e.at for e in own if e.is_error], own)),
        slow_dispersion=min(most, dispersion([e.at for e in own if e.milliseconds > last], own)),
        limit=LimitTest(policy.first_error_limit),
    )


def observe(
    evidence: Evidence,
    events: Iterable[RequestEvent],
    policy: CanaryPolicy,
    *,
    is_full: bool = False,
    are_probes: bool = False,
) -> Evidence:
    """Take in a batch of events in time order.

    Args:
        evidence: what is known so far.
        events: answers since the last look; those of other releases are left out.
        policy: tolerances and the latency warm-up.
        is_full: the canary has all traffic, so that no comparison is possible.
        are_probes: our own questions; they say nothing about answer times under traffic.
    """
    batch = [e for e in events if e.release in {evidence.canary, evidence.baseline}]
    if not batch:
        return evidence
    errors = _window(evidence, batch, [e.is_error for e in batch])
    evidence = replace(
        evidence,
        limit=evidence.limit.fold(errors.canary, errors.canary_bad),
        total=evidence.total + errors,
        first_bad_at=evidence.first_bad_at or _first_bad(evidence.canary, batch),
    )
    if are_probes:
        return _observe_probes(evidence, errors)
    evidence = replace(evidence, traffic=evidence.traffic + errors)
    if evidence.baseline is None:
        return _with_times(evidence, batch)
    if is_full:
        evidence = replace(evidence, full=evidence.full + errors)
    else:
        evidence = replace(
            evidence, errors=evidence.errors.fold(errors), full=Window(), full_slow=Window()
        )
    return _observe_times(evidence, batch, policy, is_full=is_full)


def _observe_probes(evidence: Evidence, window: Window) -> Evidence:
    # Probes are a world of their own: weighed against each other only, never against traffic.
    errors = evidence.errors
    if window.canary and window.baseline:
        errors = errors.weigh(window)
    n_probes = evidence.n_probes + window.canary + window.baseline
    return replace(evidence, errors=errors, n_probes=n_probes)


def _observe_times(
    evidence: Evidence, batch: Sequence[RequestEvent], policy: CanaryPolicy, *, is_full: bool
) -> Evidence:
    evidence = _with_times(evidence, batch)
    if not evidence.thresholds_ms:
        known = frozen_times(evidence.baseline_ms, policy.slow_quantiles)
        tests = tuple(SplitTest(policy.slow_tolerance) for _ in known)
        # The answers that set the thresholds are not judged by them.
        return replace(evidence, thresholds_ms=known, slow=tests)
    warm_from = evidence.began_at + timedelta(seconds=policy.latency_warmup_s)
    warm = [e for e in batch if not e.is_error and e.at >= warm_from]
    windows = [
        _window(evidence, warm, [e.milliseconds > limit for e in warm])
        for limit in evidence.thresholds_ms
    ]
    if is_full:
        return replace(evidence, full_slow=evidence.full_slow + windows[0])
    slow = tuple(test.fold(window) for test, window in zip(evidence.slow, windows, strict=True))
    return replace(evidence, slow=slow)


def _with_times(evidence: Evidence, batch: Sequence[RequestEvent]) -> Evidence:
    answered = [e for e in batch if not e.is_error]
    return replace(
        evidence,
        canary_ms=_grown(evidence.canary_ms, answered, evidence.canary),
        baseline_ms=_grown(evidence.baseline_ms, answered, evidence.baseline),
    )


def frozen_quantiles(events: Sequence[RequestEvent], levels: Sequence[float]) -> tuple[float, ...]:
    """Quantiles of the answer times (ms) of good answers; empty when there are too few to tell."""
    return frozen_times([e.milliseconds for e in events if not e.is_error], levels)


def frozen_times(times: Sequence[float], levels: Sequence[float]) -> tuple[float, ...]:
    """Quantiles of times; empty below 50 of them."""
    if len(times) < _LEAST_QUANTILE_SAMPLE:
        return ()
    return tuple(value for level in levels if (value := quantile(times, level)) is not None)


def quantile(times: Sequence[float], level: float) -> float | None:
    """The smallest time that at least a fraction `level` of the times does not exceed; None
    without times.
    """
    if not times:
        return None
    ordered = sorted(times)
    return ordered[max(0, math.ceil(level * len(ordered)) - 1)]


def dispersion(bad_at: Sequence[datetime], seen: Sequence[RequestEvent]) -> float:
    """Variance over mean of bad answers per 10 seconds while events were seen; at least 1, 1 when
    there is too little.
    """
    if len(bad_at) < 2 or not seen:
        return 1.0
    begin = seen[0].at
    n_bins = int((seen[-1].at - begin).total_seconds() // 10) + 1
    if n_bins < 3:
        return 1.0
    counts = [0] * n_bins
    for at in bad_at:
        counts[int((at - begin).total_seconds() // 10)] += 1
    mean = len(bad_at) / n_bins
    variance = sum((count - mean) ** 2 for count in counts) / (n_bins - 1)
    return max(1.0, variance / mean)


def e_value(log_e: float) -> float:
    """The e-value of a log, bounded so that it can be drawn and stored."""
    return math.exp(max(-_MOST_LOG, min(_MOST_LOG, log_e)))


def _window(evidence: Evidence, batch: Sequence[RequestEvent], is_bad: Sequence[bool]) -> Window:
    canary = [bad for e, bad in zip(batch, is_bad, strict=True) if e.release == evidence.canary]
    n_canary_bad = sum(canary)
    return Window(len(canary), n_canary_bad, len(batch) - len(canary), sum(is_bad) - n_canary_bad)


def _first_bad(canary: str, batch: Iterable[RequestEvent]) -> datetime | None:
    return next((e.at for e in batch if e.release == canary and e.is_error), None)


def _grown(
    times: tuple[float, ...], batch: Sequence[RequestEvent], release: str | None
) -> tuple[float, ...]:
    new = tuple(e.milliseconds for e in batch if e.release == release)
    return times + new[: max(0, 20_000 - len(times))] if new else times


def _log_factor(seen: Window, share: float, ratio: float, tolerance: float) -> float:
    down = 1 / (share * ratio + 1 - share)
    good = seen.baseline - seen.baseline_bad
    return (
        seen.canary_bad * math.log(ratio * down)
        + seen.baseline_bad * math.log(down)
        + good * math.log1p(-tolerance * (1 - down))
    )


def _log_factor_not_twice(seen: Window, share: float, tolerance: float) -> float:
    # The same bet with the roles turned: the null is "twice as bad", the alternative "equally bad".
    good = seen.baseline - seen.baseline_bad
    return (
        seen.canary_bad * math.log((1 + share) / 2)
        + seen.baseline_bad * math.log1p(share)
        + good * math.log1p(tolerance * share)
    )


def _log_mean(logs: Sequence[float], weights: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(
        sum(w * math.exp(log - top) for log, w in zip(logs, weights, strict=True))
    )
