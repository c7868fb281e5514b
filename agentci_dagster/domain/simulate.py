"""Past commits played through a policy in virtual time: what it would have saved, and missed.

Reading histories and data sets is the adapters'; the rules of routes, promises and batches are in
their own files.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agentci_dagster.domain.batches import (
    BatchPolicy,
    Waiting,
    begin,
    learn,
    next_batch,
    next_run,
)
from agentci_dagster.domain.bounds import Share
from agentci_dagster.domain.promise import PastScore, fast_lane, promise_from
from agentci_dagster.domain.routing import RiskPolicy, Route, route_of
from agentci_dagster.domain.savings import is_audited


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A commit of a history, with the score it would have got and what became of it."""

    name: str
    repository: str
    at: datetime
    known_at: datetime
    """When it was known whether it failed."""
    has_failed: bool
    probability: float
    asks: Route = Route.FAST
    """The least care that guard rules ask for, whatever the score; SKIP where nothing ships."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The policy to play, and the machines it has. Times in seconds of virtual time."""

    risk: RiskPolicy = field(default_factory=RiskPolicy)
    batches: BatchPolicy = field(default_factory=lambda: BatchPolicy(most_commits=1))
    """With one commit a batch, every full run serves one commit."""
    recompute_every: int = 200
    """Commits between two computations of the promise from what is known by then."""
    run_s: float = 600.0
    """One full run."""
    n_runners: int = 1
    """Full runs at a time, for each repository."""
    patience_s: float = 1800.0
    """A batch that is not full starts when its first commit has waited so long."""
    told_of: int | None = None
    """So many of the latest commits are told of; from those before only the promise is learnt."""

    def __post_init__(self) -> None:
        if self.recompute_every < 1 or self.n_runners < 1:
            raise ValueError("recompute_every and n_runners are at least 1")
        if self.told_of is not None and self.told_of < 1:
            raise ValueError("told_of is at least 1")
        if self.run_s < 0 or self.patience_s < 0:
            raise ValueError("times are not negative")


@dataclass(frozen=True, slots=True)
class RepositoryReplay:
    """One repository's part."""

    repository: str
    n_commits: int
    fast: Share
    caught: Share


@dataclass(frozen=True, slots=True)
class Waits:
    """How long commits waited for their verdict of a full run; None when none did."""

    mean_commits: float | None
    """Commits of the queue that arrived in between."""
    mean_s: float | None
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What the policy would have done. Shares with exact intervals (Clopper & Pearson, 1934)."""

    n_commits: int
    n_failures: int
    n_skipped: int
    n_full_runs: int
    work_saved: float | None
    """Full runs that one per commit would have taken, less those taken; a fraction."""
    fast: Share
    """Commits in the fast lane, of all."""
    caught: Share
    """Failing commits that got the full pipeline, of all that failed."""
    n_lost: int
    """Failing commits that a shared run let pass; 0 by construction."""
    waits: Waits
    n_audited: int
    n_audited_failing: int
    fast_below: float
    """Where the fast lane ended at the end."""
    worst_tenth_caught: float | None
    """Mean share caught in the worst tenth of the repositories with 20 failures or more."""
    by_repository: tuple[RepositoryReplay, ...]


def replay(commits: Iterable[PastCommit], what_if: WhatIf) -> Replay:
    """Play the commits in the order of their times.

    The promise is recomputed from the failures known at that moment, never from later ones.
    """
    played = sorted(commits, key=lambda commit: (commit.at, commit.name))
    if len({commit.name for commit in played}) < len(played):
        raise ValueError("two commits bear the same name")
    routes, fast_below = _routes(played, what_if)
    judged = [_Judged(c, route) for c, route in zip(played, routes, strict=True)]
    judged = judged if what_if.told_of is None else judged[-what_if.told_of :]
    by_repository = _grouped(judged)
    queues = [_Queue(what_if).play(part) for part in by_repository.values()]
    n_runs = sum(queue.n_runs for queue in queues)
    fast = [j for j in judged if j.route is Route.FAST]
    audited = [j for j in fast if is_audited(j.commit.name, what_if.risk.audit_share)]
    parts = tuple(_part(name, part) for name, part in by_repository.items())
    return Replay(
        n_commits=len(judged),
        n_failures=sum(j.commit.has_failed for j in judged),
        n_skipped=sum(j.route is Route.SKIP for j in judged),
        n_full_runs=n_runs,
        work_saved=1 - n_runs / len(judged) if judged else None,
        fast=_share_fast(judged),
        caught=_share_caught(judged),
        n_lost=sum(queue.n_lost for queue in queues),
        waits=_waits([wait for queue in queues for wait in queue.waits]),
        n_audited=len(audited),
        n_audited_failing=sum(j.commit.has_failed for j in audited),
        fast_below=fast_below,
        worst_tenth_caught=_worst_tenth(parts),
        by_repository=parts,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    commit: PastCommit
    route: Route

    @property
    def is_full(self) -> bool:
        return self.route.is_stricter_than(Route.FAST)


def _routes(played: Sequence[PastCommit], what_if: WhatIf) -> tuple[list[Route], float]:
    """The route of each commit, by what was known when it arrived; and the last threshold."""
    unknown: list[tuple[datetime, int]] = []
    known: list[PastScore] = []
    promise = None
    policies: dict[str, RiskPolicy] = {}
    routes = []
    below = what_if.risk.fast_below
    for n, commit in enumerate(played):
        while unknown and unknown[0][0] <= commit.at:
            past = played[heapq.heappop(unknown)[1]]
            known.append(PastScore(past.repository, past.probability, past.has_failed))
        if what_if.risk.promise and n % what_if.recompute_every == 0:
            promise = promise_from(known, _MODEL, what_if.risk)
            policies.clear()
        name = commit.repository
        if name not in policies:
            policies[name] = fast_lane(what_if.risk, promise, _MODEL, name).policy
        policy = policies[name]
        below = policy.fast_below
        routes.append(_route(commit, policy))
        # Only failures choose the threshold.
        if commit.has_failed:
            heapq.heappush(unknown, (max(commit.known_at, commit.at), n))
    return routes, below


def _route(commit: PastCommit, policy: RiskPolicy) -> Route:
    if commit.asks is Route.SKIP:
        return Route.SKIP
    return route_of(commit.probability, policy).at_least(commit.asks)


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds: float
    n_commits: int


@dataclass(slots=True)
class _Queue:
    """The full runs of one repository: who waits, and when each runner is free."""

    what_if: WhatIf
    n_runs: int = 0
    n_lost: int = 0
    waits: list[_Wait] = field(default_factory=list)
    _waiting: list[tuple[Waiting, float, int]] = field(default_factory=list)
    _free_at: list[float] = field(default_factory=list)
    _failing: set[str] = field(default_factory=set)
    _arrivals: list[float] = field(default_factory=list)

    def play(self, judged: Sequence[_Judged]) -> _Queue:
        """All full runs of one repository's commits, oldest first."""
        self._free_at = [-math.inf] * self.what_if.n_runners
        full = [j for j in judged if j.is_full]
        self._failing = {j.commit.name for j in full if j.commit.has_failed}
        for one in full:
            now = one.commit.at.timestamp()
            self._start_until(now)
            waiting = Waiting(one.commit.name, one.commit.probability, one.route)
            self._waiting.append((waiting, now, len(self._arrivals)))
            self._arrivals.append(now)
        self._start_until(math.inf)
        return self

    def _start_until(self, now: float) -> None:
        """Start what can start before `now`; what starts later may still find more company."""
        while self._waiting:
            n, ready_at = self._ready()
            if now == math.inf:
                # Nobody else comes.
                ready_at = min(ready_at, self._arrivals[-1])
            start = max(ready_at, self._free_at[0])
            if start >= now:
                return
            self._run(n, start)

    def _ready(self) -> tuple[int, float]:
        """How many would run next, and from when on."""
        queue = [waiting for waiting, _, _ in self._waiting]
        n = len(next_batch(queue, self.what_if.batches))
        if n:
            return n, self._arrivals[-1]
        # Not full: everything that waits, when the first has waited long enough.
        return len(queue), self._waiting[0][1] + self.what_if.patience_s

    def _run(self, n: int, start: float) -> None:
        """Search the batch on the runner that is free first."""
        batch, self._waiting = self._waiting[:n], self._waiting[n:]
        arrived = {waiting.name: (at, place) for waiting, at, place in batch}
        search, at = begin([waiting for waiting, _, _ in batch]), start
        n_told = 0
        while not search.is_over:
            tested = next_run(search)
            has_passed = not any(waiting.name in self._failing for waiting in tested)
            search = learn(search, tested, has_passed=has_passed)
            at += self.what_if.run_s
            self.n_runs += 1
            for verdict in search.verdicts[n_told:]:
                since, place = arrived[verdict.name]
                self.waits.append(_Wait(at - since, batch[-1][2] - place))
                self.n_lost += verdict.has_passed and verdict.name in self._failing
            n_told = len(search.verdicts)
        heapq.heapreplace(self._free_at, at)


def _grouped(judged: Sequence[_Judged]) -> dict[str, list[_Judged]]:
    grouped: dict[str, list[_Judged]] = {}
    for one in judged:
        grouped.setdefault(one.commit.repository, []).append(one)
    return dict(sorted(grouped.items()))


def _part(repository: str, judged: Sequence[_Judged]) -> RepositoryReplay:
    return RepositoryReplay(repository, len(judged), _share_fast(judged), _share_caught(judged))


def _share_fast(judged: Sequence[_Judged]) -> Share:
    return Share.of(sum(j.route is Route.FAST for j in judged), len(judged))


def _share_caught(judged: Sequence[_Judged]) -> Share:
    failing = [j for j in judged if j.commit.has_failed]
    return Share.of(sum(j.is_full for j in failing), len(failing))


def _worst_tenth(parts: Sequence[RepositoryReplay]) -> float | None:
    caught = sorted(
        part.caught.value
        for part in parts
        if part.caught.value is not None and part.caught.n >= _LEAST_FAILURES
    )
    worst = caught[: math.ceil(len(caught) / 10)]
    return sum(worst) / len(worst) if worst else None


def _waits(waits: Sequence[_Wait]) -> Waits:
    if not waits:
        return Waits(None, None, None, None)
    seconds = sorted(wait.seconds for wait in waits)
    return Waits(
        mean_commits=sum(wait.n_commits for wait in waits) / len(waits),
        mean_s=sum(seconds) / len(seconds),
        median_s=seconds[(len(seconds) - 1) // 2],
        p90_s=seconds[math.ceil(0.9 * len(seconds)) - 1],
    )


_MODEL = "replayed"
_LEAST_FAILURES = 20
