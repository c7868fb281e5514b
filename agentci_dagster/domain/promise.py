"""The promise of the fast lane: where it may end so that a stated share of failing commits still
gets the full pipeline.

Thresholds are chosen here from past scores; which route a commit then takes is `routing.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentci_dagster.domain.bounds import least_sample, most_misses
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import TrainingRow
from agentci_dagster.domain.risk import Scored
from agentci_dagster.domain.routing import RiskPolicy

Score = Callable[[CommitFeatures, str], Scored]


@dataclass(frozen=True, slots=True)
class PastScore:
    """What a model said of a commit that it had not learnt from, and what became of it."""

    repository: str
    probability: float
    has_failed: bool


@dataclass(frozen=True, slots=True)
class Promise:
    """Where one model's fast lane ends, with the past commits that speak for it.

    It holds for commits like those: `confidence` is that of the sample, not of the future. What
    drifts is found by the audit sample.
    """

    model_version: str
    share: float
    """Promised share of failing commits that get the full pipeline."""
    confidence: float
    """One-sided: the chance that a sample like this one does not flatter the threshold."""
    fast_below: float | None
    """Over all repositories; None: too few failures to promise anything."""
    fast_below_in: Mapping[str, float]
    """Lower ends in repositories whose own failures ask for them: a promise that holds over all is
    no comfort where it is broken."""
    n_commits: int
    n_failures: int
    n_missed: int
    """Failing commits among them that the fast lane would have taken."""
    n_fast: int
    """Commits among them that the fast lane would have taken."""
    n_failures_needed: int
    """Failures without which no threshold can carry the promise."""

    @property
    def fast_share(self) -> float | None:
        return self.n_fast / self.n_commits if self.n_commits else None

    def below(self, repository: str) -> float | None:
        """Where the fast lane ends in that repository."""
        return self.fast_below_in.get(repository, self.fast_below)


@dataclass(frozen=True, slots=True)
class FastLane:
    """The policy that routes a commit, with the fast lane ending where it may, and why there."""

    policy: RiskPolicy
    why: str


def threshold_for(scores: Sequence[float], share: float, confidence: float) -> float | None:
    """The highest threshold that still catches the share of failing commits.

    Args:
        scores: what the model said of past failing commits that it had not learnt from, oldest
            first.
        share: of all failing commits to come, that must score at or above the threshold.
        confidence: one-sided, see `most_misses`.

    Returns:
        None when there are too few. The later half must keep the promise by itself too: what held
        three years ago is no proof for next week. While it is too short for a bound of its own,
        none of it may be missed.
    """
    over_all = _threshold(scores, share, confidence)
    if over_all is None:
        return None
    later = scores[len(scores) // 2 :]
    of_later = _threshold(later, share, confidence)
    return min(over_all, min(later) if of_later is None else of_later)


def make_promise(
    rows: Sequence[TrainingRow],
    score: Score,
    model_version: str,
    trained_to: datetime | None,
    policy: RiskPolicy,
) -> Promise:
    """Choose the end of the fast lane from outcomes that the model did not learn from.

    Args:
        rows: mature outcomes, oldest first.
        score: of that model, from measures and the repository's name.
        model_version: whose promise it is.
        trained_to: time of the last commit that the model learnt from; None when it learnt from
            none of these rows.
        policy: the share to promise and how sure to be of it.
    """
    later = [row for row in rows if trained_to is None or row.committed_at > trained_to]
    scores = [
        PastScore(
            row.key.repository, score(row.features, row.key.repository).probability, bool(row.label)
        )
        for row in later
    ]
    return promise_from(scores, model_version, policy)


def promise_from(scores: Sequence[PastScore], model_version: str, policy: RiskPolicy) -> Promise:
    """The promise that past scores carry, oldest first."""
    failing = [past for past in scores if past.has_failed]
    below: float | None = None
    below_in: dict[str, float] = {}
    needed = 0
    if policy.promise:
        below, below_in = _ends(failing, policy.promise, policy.promise_confidence)
        needed = least_sample(policy.promise, policy.promise_confidence)
    promise = Promise(
        model_version=model_version,
        share=policy.promise,
        confidence=policy.promise_confidence,
        fast_below=below,
        fast_below_in=below_in,
        n_commits=len(scores),
        n_failures=len(failing),
        n_missed=0,
        n_fast=0,
        n_failures_needed=needed,
    )
    return replace(
        promise,
        n_missed=sum(_is_fast(past, promise) for past in failing),
        n_fast=sum(_is_fast(past, promise) for past in scores),
    )


def fast_lane(
    policy: RiskPolicy, promise: Promise | None, model_version: str, repository: str
) -> FastLane:
    """Where the fast lane ends for commits of a repository that this model scores.

    A promise counts for its own model and its own numbers only. It may open the lane wider than
    `fast_below`, but never beyond `guarded_from`.
    """
    if not policy.promise:
        return FastLane(policy, f"fast below {policy.fast_below:.1%} as set; no promise is made")
    asked = (model_version, policy.promise, policy.promise_confidence)
    made = promise and (promise.model_version, promise.share, promise.confidence)
    if promise is None or made != asked:
        return _without_proof(policy, "no promise was made for this model yet")
    promised = promise.below(repository)
    if promised is None:
        return _without_proof(
            policy,
            f"{promise.n_failures} own failures of {promise.n_failures_needed} that a promise of"
            f" {policy.promise:.0%} needs",
        )
    below = min(promised, policy.guarded_from)
    return FastLane(
        replace(policy, fast_below=below),
        f"fast below {below:.1%}: {policy.promise:.0%} of failing commits score higher"
        f" ({policy.promise_confidence:.0%} confidence from {promise.n_failures} own failures)",
    )


def _ends(
    failing: Sequence[PastScore], share: float, confidence: float
) -> tuple[float | None, dict[str, float]]:
    """Over all, and lower where a repository has failures enough of its own to ask for it."""
    over_all = threshold_for([past.probability for past in failing], share, confidence)
    own: dict[str, list[float]] = {}
    for past in failing:
        own.setdefault(past.repository, []).append(past.probability)
    found = {name: threshold_for(scores, share, confidence) for name, scores in own.items()}
    lower = {
        name: below
        for name, below in sorted(found.items())
        if below is not None and over_all is not None and below < over_all
    }
    return over_all, lower


def _is_fast(past: PastScore, promise: Promise) -> bool:
    below = promise.below(past.repository)
    return below is not None and past.probability < below


def _threshold(scores: Sequence[float], share: float, confidence: float) -> float | None:
    misses = most_misses(len(scores), share, confidence)
    return None if misses is None else sorted(scores)[misses]


def _without_proof(policy: RiskPolicy, why: str) -> FastLane:
    if policy.fast_before_proof:
        return FastLane(policy, f"fast below {policy.fast_below:.1%} as set: {why}")
    return FastLane(replace(policy, fast_below=0.0), f"no fast lane by score alone: {why}")
