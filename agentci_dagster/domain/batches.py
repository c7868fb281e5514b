"""One full run for several consecutive commits: where a batch ends, and how a failed one is
searched until every commit has a verdict of its own.

Pure thinking; running the tests and leaving guilty commits out of the tree is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from agentci_dagster.domain.routing import Route


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Where a batch ends. Defaults measured by benchmarks/routing.py on public histories."""

    most_risk: float = 1.0
    """Summed probability of failure at which a batch is full: one failure is then to be expected,
    and a larger batch saves little more."""
    most_commits: int = 10
    """Commits in a batch, however harmless: the first of them waits for the last. Ten keep the mean
    wait below five."""

    def __post_init__(self) -> None:
        if self.most_risk < 0:
            raise ValueError("most_risk is not negative")
        if not 1 <= self.most_commits <= _MOST_COMMITS:
            raise ValueError(f"most_commits lies between 1 and {_MOST_COMMITS}")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A commit that waits for a full run."""

    name: str
    """Its key, unique in the queue."""
    risk: float
    """Probability of failure, in [0, 1]."""
    route: Route = Route.STANDARD

    @property
    def is_alone(self) -> bool:
        """Whether it never shares a run."""
        return not Route.GUARDED.is_stricter_than(self.route)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the runs say of one commit."""

    name: str
    has_passed: bool


@dataclass(frozen=True, slots=True)
class Search:
    """A batch on its way to one verdict per commit.

    Among the `suspects` at least one is guilty; of the `unknown` nothing is known. Both are in the
    order of the history.
    """

    suspects: tuple[Waiting, ...]
    unknown: tuple[Waiting, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_over(self) -> bool:
        return not self.suspects and not self.unknown


def next_batch(queue: Sequence[Waiting], policy: BatchPolicy) -> tuple[Waiting, ...]:
    """The first commits of the queue that are ready for one run; empty while it pays to wait.

    A batch is ready when it is full by count, when one more commit would bring its summed risk
    beyond the limit or has reached it, or when the next commit must have a run of its own.
    """
    if queue and queue[0].is_alone:
        return tuple(queue[:1])
    risk = 0.0
    for n, commit in enumerate(queue):
        risk += commit.risk
        if n and (commit.is_alone or risk > policy.most_risk):
            return tuple(queue[:n])
        if n + 1 >= policy.most_commits or risk >= policy.most_risk:
            return tuple(queue[: n + 1])
    return ()


def begin(batch: Sequence[Waiting]) -> Search:
    """The search of a batch of which nothing is known yet.

    Raises ValueError when a commit that must be alone would share the run.
    """
    if len(batch) > 1 and any(commit.is_alone for commit in batch):
        raise ValueError("commits of guarded and above never share a run")
    if len({commit.name for commit in batch}) < len(batch):
        raise ValueError("a commit is in the batch twice")
    return Search((), tuple(batch))


def next_run(search: Search) -> tuple[Waiting, ...]:
    """The commits that the next full run tests together; empty when every one has its verdict.

    The tree to test is that of the last of them without those found guilty before. The number is
    the one with the fewest runs to be expected until all is known (nested group testing: Sobel &
    Groll, "Group testing to eliminate efficiently all defectives in a binomial sample", 1959; for
    unequal risks by dynamic programming).
    """
    if search.suspects:
        return search.suspects[: _Plan([c.risk for c in search.suspects]).of_suspects()]
    if search.unknown:
        return search.unknown[: _Plan([c.risk for c in search.unknown]).of_unknown()]
    return ()


def learn(search: Search, tested: Sequence[Waiting], *, has_passed: bool) -> Search:
    """The search after a run of `next_run`: the verdicts that follow, and what is left to know."""
    n = len(tested)
    pool = search.suspects or search.unknown
    if not n or tuple(tested) != pool[:n]:
        raise ValueError("the run tested something else than was asked for")
    rest = pool[n:]
    if has_passed:
        passed = tuple(Verdict(commit.name, True) for commit in tested)
        unknown = search.unknown if search.suspects else rest
        left = rest if search.suspects else ()
        return _concluded(Search(left, unknown, search.verdicts + passed))
    # Whoever stands behind a failed part may be innocent again: nothing is known of it.
    unknown = (*rest, *search.unknown) if search.suspects else rest
    return _concluded(replace(search, suspects=tuple(tested), unknown=unknown))


def expected_runs(batch: Sequence[Waiting]) -> float:
    """Full runs to be expected, at most, until every commit of the batch has its verdict."""
    return _Plan([commit.risk for commit in batch]).runs_of_unknown() if batch else 0.0


def _concluded(search: Search) -> Search:
    """A single suspect needs no run: one of them is guilty, so it is."""
    if len(search.suspects) != 1:
        return search
    guilty = Verdict(search.suspects[0].name, False)
    return Search((), search.unknown, (*search.verdicts, guilty))


_MOST_COMMITS = 64
"""The plan takes time by the cube of it: 64 commits about 0.2 s."""

_LEAST_RISK, _MOST_RISK = 1e-6, 1 - 1e-6


class _Plan:
    """Least expected runs for every stretch i..j of a batch, unknown and suspect."""

    def __init__(self, risks: Sequence[float]) -> None:
        self._n = n = len(risks)
        # No model is ever certain; certainty would divide by zero.
        clean = [1 - min(max(risk, _LEAST_RISK), _MOST_RISK) for risk in risks]
        self._unknown = [[0.0] * (n + 1) for _ in range(n + 1)]
        self._suspects = [[0.0] * (n + 1) for _ in range(n + 1)]
        self._first_of_unknown = [1] * (n + 1)
        self._first_of_suspects = [1] * (n + 1)
        for i in range(n - 1, -1, -1):
            self._solve_from(i, [1.0, *accumulate(clean[i:], lambda a, b: a * b)])

    def of_unknown(self) -> int:
        return self._first_of_unknown[self._n]

    def of_suspects(self) -> int:
        return self._first_of_suspects[self._n]

    def runs_of_unknown(self) -> float:
        return self._unknown[0][self._n]

    def _solve_from(self, i: int, all_clean: Sequence[float]) -> None:
        """Fill in every stretch that begins at `i`; those that begin later are known.

        `all_clean[k]` is the probability that the first k commits from `i` on are innocent.
        """
        n, suspects, unknown = self._n, self._suspects, self._unknown
        for j in range(i + 2, n + 1):
            is_guilty = 1 - all_clean[j - i]
            options = []
            for k in range(i + 1, j):
                passes = (all_clean[k - i] - all_clean[j - i]) / is_guilty
                fails = suspects[i][k] + unknown[k][j]
                options.append((1 + passes * suspects[k][j] + (1 - passes) * fails, k - i))
            suspects[i][j], self._first_of_suspects[j] = min(options)
        # The unknown need the suspects of the same beginning; shorter stretches first.
        for j in range(i + 1, n + 1):
            options = []
            for k in range(i + 1, j + 1):
                passes = all_clean[k - i]
                options.append((1 + (1 - passes) * suspects[i][k] + unknown[k][j], k - i))
            unknown[i][j], self._first_of_unknown[j] = min(options)
