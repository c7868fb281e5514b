"""What routing saves and what it misses: which fast commits are audited, and the counts with their
intervals.

Running an audit is `assets/generated_tests.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from agentci_dagster.domain.bounds import Share
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import DeployOutcome, Ending
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import TestVerdict


@dataclass(frozen=True, slots=True)
class Audit:
    """What all tests said of a fast commit after its delivery."""

    key: CommitKey
    verdict: TestVerdict


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was not counted itself, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Savings:
    """The scorecard of routing. Shares and estimates with exact intervals (Clopper & Pearson,
    1934).
    """

    n_commits: int
    """Settled commits that had a route and came to an end of their own."""
    n_skipped: int
    n_fast: int
    spared: Share
    """Commits that did not take the full pipeline, of all."""
    seconds_saved: float | None
    """What they would have taken beyond what they took, at the median of the full pipeline; None
    without commits to compare with."""
    n_audited: int
    n_audits_without_verdict: int
    """Audits whose tests could not be run, or that had none; they count neither way."""
    failing_audits: Share
    """Audited commits that the full tests fail, of those with a verdict."""
    missed: Estimate | None
    """Failing commits that the fast lane let pass, from the audits; None without audits."""
    n_caught: int
    """Commits that failed by their own fault on whichever route, and were found."""
    caught: Estimate | None
    """Share of failing commits that were found; fast ones that passed are counted from the audits,
    so that the interval is that of the audit sample."""


def is_audited(sha: str, share: float) -> bool:
    """Whether the commit belongs to the audit sample, by a digest of its name: the same commit is
    drawn everywhere or nowhere, and nobody's hand is in it.
    """
    drawn = int.from_bytes(hashlib.sha256(f"audit/{sha}".encode()).digest()[:8])
    return drawn < share * 2**64


def asks_for_audit(outcome: DeployOutcome, share: float) -> bool:
    """Whether the commit went through the fast lane to its end, and is in the sample."""
    has_passed = outcome.ending in {Ending.PROMOTED, Ending.DELIVERED}
    return outcome.route is Route.FAST and has_passed and is_audited(outcome.key.sha, share)


def savings(outcomes: Sequence[DeployOutcome], audits: Sequence[Audit]) -> Savings:
    """Count what routing saved and missed in these outcomes, of which some were audited."""
    counted = [o for o in outcomes if o.route is not None and o.ending not in _NO_END]
    fast = [o for o in counted if o.route is Route.FAST]
    n_skipped = sum(o.route is Route.SKIP for o in counted)
    keys = {o.key for o in fast}
    said = [a.verdict for a in audits if a.key in keys]
    told = [verdict for verdict in said if verdict in _CONCLUSIVE]
    failing = Share.of(sum(v is TestVerdict.FAILED for v in told), len(told))
    missed = _missed(failing, sum(o.label != 1 for o in fast))
    n_caught = sum(o.label == 1 for o in counted)
    return Savings(
        n_commits=len(counted),
        n_skipped=n_skipped,
        n_fast=len(fast),
        spared=Share.of(n_skipped + len(fast), len(counted)),
        seconds_saved=_seconds_saved(counted),
        n_audited=len(said),
        n_audits_without_verdict=len(said) - len(told),
        failing_audits=failing,
        missed=missed,
        n_caught=n_caught,
        caught=_caught(n_caught, missed),
    )


def _seconds_saved(counted: Sequence[DeployOutcome]) -> float | None:
    full = [_seconds(o) for o in counted if o.label == 0 and not _is_spared(o)]
    if not full:
        return None
    usual = median(full)
    return sum(max(0.0, usual - _seconds(o)) for o in counted if _is_spared(o))


def _is_spared(outcome: DeployOutcome) -> bool:
    return outcome.route in {Route.SKIP, Route.FAST}


def _seconds(outcome: DeployOutcome) -> float:
    return sum(stage.seconds for stage in outcome.stages)


def _missed(failing: Share, n_passed: int) -> Estimate | None:
    if failing.value is None or failing.low is None or failing.high is None:
        return None
    # Those found failing by an audit are certain, however small the share.
    return Estimate(
        failing.value * n_passed,
        max(float(failing.n_hits), failing.low * n_passed),
        failing.high * n_passed,
    )


def _caught(n_caught: int, missed: Estimate | None) -> Estimate | None:
    if missed is None or not n_caught:
        return None
    shares = [n_caught / (n_caught + n) for n in (missed.value, missed.high, missed.low)]
    return Estimate(*shares)


_NO_END = frozenset({Ending.INFRASTRUCTURE, Ending.SUPERSEDED})
_CONCLUSIVE = frozenset({TestVerdict.PASSED, TestVerdict.FAILED})
