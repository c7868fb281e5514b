from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.batches import BatchPolicy
from agentci_dagster.domain.routing import RiskPolicy, Route
from agentci_dagster.domain.simulate import PastCommit, WhatIf, replay
from tests.builders import NOON

untimed = settings(deadline=None)
"""A busy machine is no failure."""

FIXED = RiskPolicy(promise=0.0)


def past(n: int, probability: float = 0.05, *, has_failed: bool = False, **facts) -> PastCommit:
    at = NOON + timedelta(minutes=n)
    given_facts = {"name": f"c{n}", "repository": "shop", "at": at, "known_at": at}
    return PastCommit(has_failed=has_failed, probability=probability, **(given_facts | facts))


def history(n: int, seed: int = 5) -> list[PastCommit]:
    """Every tenth fails, and scores higher with an overlap."""
    random = np.random.default_rng(seed)
    return [
        past(
            i,
            float(random.beta(4, 4) if i % 10 == 0 else random.beta(1, 6)),
            has_failed=i % 10 == 0,
        )
        for i in range(n)
    ]


def test_nothing_played_saves_nothing():
    result = replay([], WhatIf())

    assert (result.n_commits, result.work_saved, result.fast.value) == (0, None, None)
    assert result.waits.mean_s is None
    assert result.worst_tenth_caught is None


def test_each_commit_takes_the_route_of_its_score_and_guard_rules():
    commits = [
        past(1, 0.05),
        past(2, 0.15),
        past(3, 0.05, asks=Route.GUARDED),
        past(4, 0.99, asks=Route.SKIP),
    ]

    result = replay(commits, WhatIf(risk=FIXED))

    assert (result.n_commits, result.n_skipped, result.fast.n_hits) == (4, 1, 1)
    assert result.n_full_runs == 2
    assert result.work_saved == 0.5


def test_failures_of_the_fast_lane_and_of_skipped_commits_are_missed():
    commits = [
        past(1, 0.05, has_failed=True),
        past(2, 0.5, has_failed=True),
        past(3, 0.5, has_failed=True, asks=Route.SKIP),
    ]

    result = replay(commits, WhatIf(risk=FIXED))

    assert (result.caught.n_hits, result.caught.n) == (1, 3)
    assert result.caught.low is not None
    assert result.caught.low < 1 / 3 < result.caught.high


def test_the_promise_is_made_from_what_is_known_by_then():
    commits = history(2_000)

    result = replay(commits, WhatIf(recompute_every=100))

    assert result.fast_below != RiskPolicy().fast_below
    assert result.caught.value >= 0.95
    assert result.fast.value > 0.5


def test_earlier_commits_teach_the_promise_and_are_not_told_of():
    commits = history(2_000)

    result = replay(commits, WhatIf(recompute_every=100, told_of=400))

    assert result.n_commits == 400
    assert result.n_failures == sum(c.has_failed for c in commits[-400:])
    assert result.fast_below == replay(commits, WhatIf(recompute_every=100)).fast_below
    assert replay(commits[-400:], WhatIf(recompute_every=100)).fast_below != result.fast_below
    assert result.by_repository[0].n_commits == 400


def test_failures_that_nobody_knows_yet_promise_nothing():
    never = NOON + timedelta(days=900)
    commits = [
        past(i, c.probability, has_failed=c.has_failed, known_at=never)
        for i, c in enumerate(history(1_000))
    ]

    result = replay(commits, WhatIf())

    assert result.fast_below == RiskPolicy().fast_below


def test_a_shared_run_saves_runs_and_loses_no_failing_commit():
    commits = [
        past(n, 0.2, has_failed=n % 30 == 0, at=NOON + timedelta(seconds=n)) for n in range(300)
    ]
    alone = replay(commits, WhatIf(risk=FIXED))

    shared = replay(commits, WhatIf(risk=FIXED, batches=BatchPolicy()))

    assert alone.n_full_runs == 300
    assert shared.n_full_runs < 200
    assert (alone.n_lost, shared.n_lost) == (0, 0)
    assert shared.caught == alone.caught
    assert shared.waits.mean_s < alone.waits.mean_s


def test_one_runner_makes_commits_wait_for_each_other():
    commits = [past(n, 0.5, at=NOON + timedelta(seconds=n)) for n in range(3)]

    one = replay(commits, WhatIf(risk=FIXED, run_s=100.0))
    three = replay(commits, WhatIf(risk=FIXED, run_s=100.0, n_runners=3))

    assert one.waits.mean_s == pytest.approx((100 + 199 + 298) / 3)
    assert (one.waits.median_s, one.waits.p90_s) == (199, 298)
    assert three.waits.mean_s == 100.0


def test_a_batch_that_is_not_full_starts_when_its_first_commit_has_waited_enough():
    commits = [past(0, 0.2), past(10, 0.2), past(500, 0.2)]
    what_if = WhatIf(risk=FIXED, batches=BatchPolicy(), run_s=60.0, patience_s=1_200.0)

    result = replay(commits, what_if)

    assert result.n_full_runs == 2
    # The last one has nobody to wait for.
    assert result.waits.mean_s == pytest.approx((1_260 + 660 + 60) / 3)
    assert result.waits.mean_commits == pytest.approx(1 / 3)


def test_endless_patience_fills_every_batch():
    commits = [past(n * 1_000, 0.11) for n in range(20)]
    what_if = WhatIf(risk=FIXED, batches=BatchPolicy(most_commits=5), patience_s=math.inf)

    result = replay(commits, what_if)

    assert result.n_full_runs == 4
    assert result.waits.mean_commits == 2.0


def test_repositories_queue_by_themselves():
    commits = [past(n, 0.11, repository=f"r{n % 2}") for n in range(20)]
    fives = BatchPolicy(most_commits=5)

    result = replay(commits, WhatIf(risk=FIXED, batches=fives, patience_s=math.inf))

    assert result.n_full_runs == 4
    assert [(p.repository, p.n_commits) for p in result.by_repository] == [("r0", 10), ("r1", 10)]


def test_the_worst_tenth_are_repositories_with_failures_enough():
    commits = [
        past(100 * r + n, 0.05 if n < r else 0.5, has_failed=True, repository=f"r{r}")
        for r in range(12)
        for n in range(20 if r < 11 else 3)
    ]

    result = replay(commits, WhatIf(risk=FIXED))

    # Of eleven with 20 failures two are the worst tenth: those that missed 10 and 9.
    assert result.worst_tenth_caught == pytest.approx((0.5 + 0.55) / 2)


def test_the_audit_sample_is_drawn_from_the_fast_lane():
    commits = [past(n, 0.05, has_failed=n % 50 == 0) for n in range(2_000)]

    result = replay(commits, WhatIf(risk=FIXED))

    assert 60 < result.n_audited < 140
    assert 0 < result.n_audited_failing < 10


def test_the_order_of_the_rows_does_not_matter():
    commits = history(300)

    assert replay(commits, WhatIf()) == replay(commits[::-1], WhatIf())


def test_a_commit_is_played_once():
    with pytest.raises(ValueError, match="same name"):
        replay([past(1), past(1)], WhatIf())


@pytest.mark.parametrize(
    "nonsense",
    [{"n_runners": 0}, {"recompute_every": 0}, {"told_of": 0}, {"run_s": -1}, {"patience_s": -1}],
    ids=str,
)
def test_machines_that_cannot_be_are_refused(nonsense):
    with pytest.raises(ValueError, match=r"at least 1|not negative"):
        WhatIf(**nonsense)


@untimed
@given(
    scores=st.lists(st.floats(0, 1), max_size=60),
    gaps=st.lists(st.integers(0, 3_000), min_size=60, max_size=60),
    guilty=st.lists(st.booleans(), min_size=60, max_size=60),
    asks=st.lists(st.sampled_from(Route), min_size=60, max_size=60),
    n_runners=st.integers(1, 3),
)
def test_no_commit_is_lost_and_no_verdict_comes_before_its_run(
    scores, gaps, guilty, asks, n_runners
):
    at, commits = NOON, []
    for n, score in enumerate(scores):
        at += timedelta(seconds=gaps[n])
        facts = {"at": at, "known_at": at, "asks": asks[n]}
        commits.append(past(n, score, has_failed=guilty[n], **facts))

    result = replay(commits, WhatIf(batches=BatchPolicy(), n_runners=n_runners))

    n_full = result.n_commits - result.n_skipped - result.fast.n_hits
    assert result.n_lost == 0
    assert (result.n_full_runs == 0) == (n_full == 0)
    assert result.waits.mean_s is None or result.waits.mean_s >= 600.0
