"""What is measured of a canary and how it ended: events, policy, verdict, report. How they are
weighed: `evidence.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What the evidence says. INCONCLUSIVE never promotes."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One answered request as the router logged it. `is_error`: status 5xx or no answer."""

    at: datetime
    release: str
    status: int
    milliseconds: float

    @property
    def is_error(self) -> bool:
        return self.status >= 500 or self.status <= 0


@dataclass(frozen=True, slots=True)
class CanaryPolicy:
    """When to judge and how long to watch. Spans in seconds; each default's reason is beside it."""

    alpha: float = 0.005
    """Chance of a false rollback per metric under continuous peeking; two metrics give at most 1
    %.
    """
    error_tolerance: float = 0.005
    """Rise in the share of failing answers that nobody would roll back for (fraction of requests).
    """
    slow_quantiles: tuple[float, ...] = (0.5, 0.9, 0.99)
    """Quantiles of the old release's answer times, frozen before the deploy, beyond which an
    answer is slow.
    """
    slow_tolerance: float = 0.05
    """Rise in the share of slow answers that is tolerated (fraction of requests)."""
    latency_warmup_s: float = 30.0
    """Answers of a release's first seconds do not count as slow: cold caches look like a
    regression.
    """
    min_requests: int = 50
    """Least canary requests before a pass; a quiet canary is not a healthy one."""
    fast_bake_s: float = 60.0
    """`fast`: time at 50/50, enough for 50 requests at 2 requests/s."""
    step_s: float = 60.0
    """`standard` and `guarded`: time of each step before the next."""
    watch_s: float = 600.0
    """`standard` and `guarded`: time at full weight in which the old release still stands by."""
    fast_watch_s: float = 30.0
    """`fast`: the same, shorter."""
    ready_deadline_s: float = 30.0
    """Time from start to the first healthy answer."""
    drain_s: float = 5.0
    """Time that requests under way get before their release is stopped."""
    extend_s: float = 60.0
    """One extension when the evidence is inconclusive at the end of a step or of the watch."""
    poll_s: float = 0.5
    """Time between two looks; the test may be looked at as often as we like, this only bounds our
    own work.
    """
    probe_every_s: float = 1.0
    """Both releases are asked this often by ourselves, so that a quiet service has evidence too."""
    readiness_losses: int = 3
    """Probes of the health path in a row that may fail (while the baseline answers) before we roll
    back.
    """
    first_error_limit: float = 0.05
    """A first deployment has nothing beside it: failing answers beyond this fraction send it back.
    """
    outage_limit: float = 0.5
    """Share of failing answers beyond which nobody is promoted, however the baseline does: a
    release that has answered well less than every second time was never seen at work.
    """
    most_dispersion: float = 10.0
    """Bound of the discount for bursts (variance over mean of bad answers in 10 seconds). Without
    one a minute's outage before the deploy makes the test blind; at 10, bursts that belong to one
    release gave 1.7 % false rollbacks in simulation.
    """
    suspicion_alpha: float = 0.05
    """At full weight nothing serves beside the canary; evidence of this level goes back to 50/50
    to compare.
    """
    doubt_alpha: float = 0.2
    """Evidence of this level is no verdict yet, but no pass until "twice as bad" is ruled out."""
    twice_as_bad_alpha: float = 0.05
    """Chance of calling a release that is twice as bad a pass once it has raised suspicion."""
    max_step_backs: int = 2
    """How often the watch at full weight may go back to 50/50 before it stops asking."""
    lookback_s: float = 600.0
    """Events before the deploy from which the old release's quantiles and bursts are taken."""
    environment_wait_s: float = 900.0
    """How long a deployment waits for the environment while another commit is on its way."""
    migrate_deadline_s: float = 600.0
    """Time that migrations may take before they are ended and the commit withheld."""

    def __post_init__(self) -> None:
        chances = (self.alpha, self.suspicion_alpha, self.doubt_alpha, self.twice_as_bad_alpha)
        if not all(0 < chance < 1 for chance in chances):
            raise ValueError("every alpha is a chance in (0, 1)")
        shares = (self.error_tolerance, self.slow_tolerance)
        limits = (self.first_error_limit, self.outage_limit)
        if not all(0 <= share < 1 for share in shares) or not all(0 < x < 1 for x in limits):
            raise ValueError("tolerances and limits are fractions of requests in [0, 1)")
        if self.most_dispersion < 1:
            raise ValueError("most_dispersion is at least 1, which is no discount")
        if not all(0 < level < 1 for level in self.slow_quantiles):
            raise ValueError("slow_quantiles are levels in (0, 1)")
        spans = (self.poll_s, self.probe_every_s, self.ready_deadline_s)
        if min(spans) <= 0 or self.min_requests < 1:
            raise ValueError(
                "poll_s, probe_every_s, ready_deadline_s and min_requests are positive"
            )


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a rollout ended and on which evidence. Instants are UTC; None where it did not come to
    that.
    """

    verdict: Verdict
    decision: str
    """`promoted`, `rolled_back`, `not_deployed` or `held`."""
    rule: str
    """The rule that fired, in plain words."""
    cause: str
    """A cause class of `outcome.CauseClass`; empty when nothing failed."""
    canary_requests: int
    canary_errors: int
    baseline_requests: int
    baseline_errors: int
    canary_p50_ms: float | None
    canary_p90_ms: float | None
    baseline_p50_ms: float | None
    baseline_p90_ms: float | None
    first_bad_at: datetime | None
    verdict_at: datetime | None
    traffic_back_at: datetime | None
    curve: tuple[tuple[float, float, float], ...]
    """Seconds since the canary's first weight, e-value for errors, e-value for slow answers."""
    incident: str
    """Markdown; empty unless rolled back."""
    seconds: float
