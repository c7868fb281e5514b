"""What the promise of the fast lane costs and keeps, and what shared full runs save; prints JSON.

Usage: python benchmarks/routing.py DATA_FOLDER

`promise`: commitguru113 in time order without merges. A scorer learns from the commits before 2015, thresholds are chosen on
the failures of 2015 by the product's own rule, and 2016-2018 shows what is kept of them. `rolling` plays 2016-2018 through
`domain/simulate.py`, as the product works: thresholds are recomputed from the failures known by then. The scorer is the
product's learner (`adapters/boosting.py`) on the table of `risk.py`.

`batches`: the commits of 2016-2018, their failures thinned to 2 % and 5 % by a fixed seed, each project a queue of its own,
runs without duration: a commit waits for the commits that arrive until its batch is full.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jit_tables
import numpy as np
import pandas as pd
import risk
from scipy.optimize import brentq

from agentci_dagster.domain.batches import BatchPolicy, Waiting, begin, learn, next_run
from agentci_dagster.domain.learning import evaluate
from agentci_dagster.domain.promise import PastScore, promise_from
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.domain.simulate import PastCommit, Replay, WhatIf, replay

SEED = 20_260_301
NO_LIMITS = RiskPolicy(guarded_from=1.0, hold_from=1.0)
"""The thresholds of `guarded` are for the prior's base rate of 10 %; this data has 20 to 27 %."""


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = read(Path(sys.argv[1]))
    chosen, later = rows[rows.year == 2015], rows[rows.year > 2015]
    found = {
        "n_threshold": len(chosen),
        "n_test": len(later),
        "auc": round(evaluate(later.p.to_numpy(), later.y.to_numpy()).auc, 4),
    }
    parts = {
        "promise": lambda: {f"{s:.0%}": promised(s, chosen, later) for s in (0.95, 0.99)},
        "batches": lambda: {f"{r:.0%}": batches(r, later) for r in (0.02, 0.05)},
        "rolling": lambda: {f"{s:.0%}": rolling(s, chosen, later) for s in (0.95, 0.99)},
    }
    for name, measure in parts.items():
        found[name] = measure()
        print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1))


def read(folder: Path) -> pd.DataFrame:
    """Commits without merges, from 2015 to 2018, with the risk that the product's learner gives them."""
    rows, columns = jit_tables.commitguru(folder)
    rows["year"] = pd.to_datetime(rows.ts, unit="s").dt.year
    train, later = rows[rows.year < 2015], rows[rows.year.between(2015, 2018)]
    p, seconds = risk.learnt(train, train.y, later, columns)
    print(json.dumps({"n_train": len(train), "train_cpu_s": seconds}), file=sys.stderr, flush=True)
    return later.assign(p=p, project=later.project.astype(str))


def promised(share: float, chosen: pd.DataFrame, later: pd.DataFrame) -> dict:
    """Thresholds of 2015, as they are kept in 2016-2018: one for all projects, and the product's."""
    policy = replace(NO_LIMITS, promise=share)
    ordered = chosen.sort_values("ts", kind="stable")
    past = [
        PastScore(project, float(p), bool(y))
        for project, p, y in zip(ordered.project, ordered.p, ordered.y, strict=True)
    ]
    promise = promise_from(past, "benchmark", policy)
    ends = later.project.map(promise.below).to_numpy(float)
    needed = np.quantile(later.p[later.y == 1], 1 - share, method="lower")
    return {
        "n_failures": promise.n_failures,
        "n_own_thresholds": len(promise.fast_below_in),
        "with_own_thresholds": kept(later, later.p.to_numpy() < ends),
        "one_threshold": kept(later, later.p.to_numpy() < promise.fast_below),
        # No threshold on this score can do better: the one that keeps the promise by hindsight.
        "fast_share_by_hindsight": round(float((later.p < needed).mean()), 4),
    }


def kept(later: pd.DataFrame, is_fast: np.ndarray) -> dict:
    failing = later.assign(caught=~is_fast)[later.y.to_numpy() == 1]
    by_project = failing.groupby("project").caught.agg(["size", "mean"])
    recalls = by_project["mean"][by_project["size"] >= 20].sort_values()
    return {
        "fast_share": round(float(is_fast.mean()), 4),
        "caught": round(float(failing.caught.mean()), 4),
        "caught_worst_tenth_of_projects": round(
            float(recalls[: math.ceil(len(recalls) / 10)].mean()), 4
        ),
        "caught_tenth_percentile_of_projects": round(float(recalls.quantile(0.1)), 4),
        "n_projects": len(recalls),
    }


def rolling(share: float, chosen: pd.DataFrame, later: pd.DataFrame) -> dict:
    """2015 fills the memory; what is told is 2016-2018. Labels become known with their first fix."""
    what_if = WhatIf(risk=replace(NO_LIMITS, promise=share), recompute_every=1_000)
    both = [*past_commits(chosen), *past_commits(later)]
    everything, before = replay(both, what_if), replay(past_commits(chosen), what_if)
    return told(everything, before)


def told(everything: Replay, before: Replay) -> dict:
    n = everything.n_commits - before.n_commits
    failing = everything.caught.n - before.caught.n
    return {
        "fast_share": round((everything.fast.n_hits - before.fast.n_hits) / n, 4),
        "caught": round((everything.caught.n_hits - before.caught.n_hits) / failing, 4),
        "caught_worst_tenth_of_projects_with_2015": round(everything.worst_tenth_caught, 4),
        "last_threshold": round(everything.fast_below, 4),
    }


def past_commits(rows: pd.DataFrame) -> list[PastCommit]:
    def moment(seconds: float) -> datetime:
        return datetime.fromtimestamp(int(seconds), UTC)

    return [
        PastCommit(f"{project}@{n}", project, moment(ts), moment(fixed or ts), bool(y), float(p))
        for n, project, ts, fixed, y, p in zip(
            rows.index,
            rows.project,
            rows.ts,
            rows.first_fix_ts.fillna(0),
            rows.y,
            rows.p,
            strict=True,
        )
    ]


def batches(rate: float, later: pd.DataFrame) -> dict:
    """Full runs avoided and the mean wait in commits, by the risk and by count alone."""
    thin = thinned(rate, later)
    alike = thin.assign(p=thin.y.mean())
    return {
        "n_commits": len(thin),
        "n_failures": int(thin.y.sum()),
        "by_risk": {str(n): shared(thin, BatchPolicy(most_commits=n)) for n in (10, 11)},
        "fixed_size_no_risk": {
            str(n): shared(alike, BatchPolicy(most_risk=99, most_commits=n)) for n in (10, 11)
        },
        "fixed_size_halving": {str(n): shared(thin, n) for n in (8, 10, 16)},
    }


def thinned(rate: float, later: pd.DataFrame) -> pd.DataFrame:
    """Failing commits left out by lot until they are this share; scores shifted to the same rate."""
    n_good, n_bad = int((later.y == 0).sum()), int((later.y == 1).sum())
    share = rate / (1 - rate) * n_good / n_bad
    drawn = np.random.default_rng(SEED).random(len(later)) < share
    thin = later[(later.y == 0) | drawn]
    log_odds = np.log(thin.p / (1 - thin.p)).to_numpy()

    def shifted(by: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(log_odds + by)))

    # The base rate is told to the policy, as its calibration would tell it; the ranking is the model's.
    by = brentq(lambda b: shifted(b).mean() - rate, -20, 20)
    return thin.assign(p=shifted(by))


def shared(thin: pd.DataFrame, policy: BatchPolicy | int) -> dict:
    """One queue per project; a batch runs at once when it is full, and what is left at the end."""
    n_runs, waits, n_lost = 0, [], 0
    for _, part in thin.groupby("project", sort=False):
        risks, failing = part.p.to_numpy(), part.y.to_numpy() == 1
        for first, last in stretches(risks, policy):
            found, runs = (
                halved(failing[first:last])
                if isinstance(policy, int)
                else searched(risks[first:last], failing[first:last])
            )
            n_runs += runs
            n_lost += int((failing[first:last] & ~found).sum())
            waits += range(last - first)
    return {
        "avoided": round(1 - n_runs / len(thin), 4),
        "mean_wait_commits": round(float(np.mean(waits)), 2),
        "failing_commits_lost": n_lost,
    }


def stretches(risks: np.ndarray, policy: BatchPolicy | int) -> list[tuple[int, int]]:
    from agentci_dagster.domain.batches import next_batch

    if isinstance(policy, int):
        return [(n, min(n + policy, len(risks))) for n in range(0, len(risks), policy)]
    found, first = [], 0
    queue = [Waiting(str(n), float(risk)) for n, risk in enumerate(risks)]
    while first < len(queue):
        n = (
            len(next_batch(queue[first : first + policy.most_commits], policy))
            or len(queue) - first
        )
        found.append((first, first + n))
        first += n
    return found


def searched(risks: np.ndarray, failing: np.ndarray) -> tuple[np.ndarray, int]:
    search = begin([Waiting(str(n), float(risk)) for n, risk in enumerate(risks)])
    n_runs = 0
    while not search.is_over:
        tested = next_run(search)
        search = learn(search, tested, has_passed=not any(failing[int(c.name)] for c in tested))
        n_runs += 1
    found = np.zeros(len(risks), bool)
    found[[int(v.name) for v in search.verdicts if not v.has_passed]] = True
    return found, n_runs


def halved(failing: np.ndarray) -> tuple[np.ndarray, int]:
    """The usual way: both halves of a failed batch are run, again and again."""
    if not failing.any() or len(failing) == 1:
        return failing.copy(), 1
    middle = len(failing) // 2
    (left, n_left), (right, n_right) = halved(failing[:middle]), halved(failing[middle:])
    return np.concatenate([left, right]), 1 + n_left + n_right


if __name__ == "__main__":
    main()
