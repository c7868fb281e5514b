"""How canaries are judged: simulated watches through the product's verdict code in virtual time; prints JSON.

Usage: python benchmarks/health.py [--watches N] [--look-s SECONDS] [--processes N] [--only NAME...]

Every rule sees the same answers of the same watches: 10 minutes at a constant share, judged by what people asked for (no
probes, no vitals, so the statistics alone). Beside the product: a threshold rule (checked every 60 s, five failed checks:
success below 99 % or p99 above 500 ms in the last minute), a rank test at the window's end (Mann-Whitney on one value a
minute, 98 % confidence) and Fisher's exact test on all errors so far, peeked every 10 s at 5 %.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from agentci_dagster.domain.health import (
    CanaryPolicy,
    RequestEvent,
    Verdict,
    Vitals,
    judge,
    observe,
    start_evidence,
)

WATCH_S = 600.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy()
BASE_ERRORS = 0.01
MEDIAN_MS, SPREAD = 50.0, 0.5  # lognormal answer times
BURST = 5
OUTAGE_S, OUTAGE_ERRORS = (120.0, 180.0), 0.5
COLD_TIMES, COLD_S = 4.0, 6.0  # a cold answer takes 1 + 4·exp(-t / 6 s) times as long

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class World:
    """One kind of watch: traffic, and what is wrong with the canary."""

    name: str
    requests_per_s: float
    share: float
    is_healthy: bool = True
    canary_errors: float = BASE_ERRORS
    slower: float = 1.0
    has_bursts: bool = False
    has_outage: bool = False
    is_cold: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in time order; times in seconds from the canary's first weight."""

    at: Array
    is_canary: Array
    is_bad: Array
    ms: Array


def worlds() -> list[World]:
    healthy = [
        World("healthy, independent errors", 10, 0.5),
        World("healthy, shared outage", 10, 0.5, has_outage=True),
        World("healthy, bursts of five", 10, 0.5, has_bursts=True),
        World("healthy, cold caches", 10, 0.5, is_cold=True),
    ]
    bad = [
        World(f"{name}, {rate:g}/s, {share:.0%}", rate, share, is_healthy=False, **what)  # type: ignore[arg-type]
        for name, what in (
            ("all fail", {"canary_errors": 1.0}),
            ("10 % fail", {"canary_errors": 0.1}),
            ("latency doubled", {"slower": 2.0}),
        )
        for rate in (1.0, 10.0)
        for share in (0.1, 0.5)
    ]
    return healthy + bad


def answers(world: World, random: np.random.Generator, seconds: float, share: float) -> Answers:
    n = random.poisson(world.requests_per_s * seconds)
    at = np.sort(random.random(n) * seconds)
    is_canary = random.random(n) < share
    rate = np.where(is_canary, world.canary_errors, BASE_ERRORS)
    if world.has_outage and share:
        rate = np.where((at >= OUTAGE_S[0]) & (at < OUTAGE_S[1]), OUTAGE_ERRORS, rate)
    is_bad = random.random(n) < (rate / BURST if world.has_bursts else rate)
    if world.has_bursts:
        for side in (is_canary, ~is_canary):
            own = np.flatnonzero(side)
            for first in np.flatnonzero(is_bad[own]):
                is_bad[own[first : first + BURST]] = True
    ms = MEDIAN_MS * np.exp(SPREAD * random.standard_normal(n))
    ms = np.where(is_canary, ms * world.slower, ms)
    if world.is_cold:
        ms = np.where(is_canary, ms * (1 + COLD_TIMES * np.exp(-at / COLD_S)), ms)
    return Answers(at, is_canary, is_bad, ms)


def events(seen: Answers, begin: datetime) -> list[RequestEvent]:
    return [
        RequestEvent(
            begin + timedelta(seconds=at),
            "canary" if is_canary else "baseline",
            500 if is_bad else 200,
            ms,
        )
        for at, is_canary, is_bad, ms in zip(
            seen.at.tolist(),
            seen.is_canary.tolist(),
            seen.is_bad.tolist(),
            seen.ms.tolist(),
            strict=True,
        )
    ]


def product(before: Answers, seen: Answers, look_s: float, share: float) -> float | None:
    """When the product says fail (seconds); None when it never does. A look without new answers
    changes nothing and is left out.
    """
    past = events(before, BEGAN - timedelta(seconds=POLICY.lookback_s))
    evidence = start_evidence("canary", "baseline", BEGAN, past, POLICY)
    looks = np.floor(seen.at / look_s).astype(int)
    bounds = [0, *(np.flatnonzero(np.diff(looks)) + 1).tolist(), len(looks)]
    for first, last in pairwise(bounds):
        if first == last:
            continue
        at = slice(first, last)
        batch = Answers(seen.at[at], seen.is_canary[at], seen.is_bad[at], seen.ms[at])
        evidence = observe(evidence, events(batch, BEGAN), POLICY)
        if judge(evidence, POLICY, Vitals(), share).verdict is Verdict.FAIL:
            return float((looks[first] + 1) * look_s)
    return None


def threshold(seen: Answers) -> float | None:
    n_failed = 0
    for end in np.arange(60.0, WATCH_S + 1, 60.0):
        own = (seen.at >= end - 60) & (seen.at < end) & seen.is_canary
        if not own.any():
            continue
        success = 1 - seen.is_bad[own].mean()
        n_failed += bool(success < 0.99 or np.quantile(seen.ms[own], 0.99) > 500)
        if n_failed >= 5:
            return float(end)
    return None


def rank_test(seen: Answers) -> float | None:
    minute = np.floor(seen.at / 60).astype(int)
    for values in (seen.is_bad.astype(float), seen.ms):
        sides = [
            [
                float(values[(minute == m) & side].mean())
                for m in range(10)
                if ((minute == m) & side).any()
            ]
            for side in (seen.is_canary, ~seen.is_canary)
        ]
        if not all(sides) or len({*sides[0], *sides[1]}) < 2:
            continue
        if stats.mannwhitneyu(*sides, alternative="greater").pvalue < 0.01:
            return WATCH_S
    return None


def fisher(seen: Answers) -> float | None:
    ends = np.arange(10.0, WATCH_S + 1, 10.0)
    upto = np.searchsorted(seen.at, ends)

    def count(flags: Array) -> Array:
        return np.concatenate([[0], np.cumsum(flags)])[upto]

    bad, canary = count(seen.is_bad), count(seen.is_canary)
    canary_bad = count(seen.is_bad & seen.is_canary)
    p = stats.hypergeom.sf(canary_bad - 1, upto, bad, canary)
    hits = np.flatnonzero((p < 0.05) & (bad > 0))
    return float(ends[hits[0]]) if hits.size else None


def watched(task: tuple[World, int, float]) -> dict[str, Any]:
    """What every rule says of one watch; times from the canary's first weight."""
    world, seed, look_s = task
    random = np.random.default_rng([seed, *world.name.encode()])
    before = answers(world, random, POLICY.lookback_s, 0.0)
    seen = answers(world, random, WATCH_S, world.share)
    canary_bad = seen.at[seen.is_canary & seen.is_bad]
    return {
        "first_bad_s": float(canary_bad[0]) if canary_bad.size else None,
        "product": product(before, seen, look_s, world.share),
        "threshold": threshold(seen),
        "rank test": rank_test(seen),
        "fisher peeked": fisher(seen),
    }


def figures(world: World, found: list[dict[str, Any]]) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for rule in ("product", "threshold", "rank test", "fisher peeked"):
        at = [f[rule] if f[rule] is not None else math.inf for f in found]
        share = sum(t < math.inf for t in at) / len(at)
        if world.is_healthy:
            rules[rule] = {"false_rollbacks": share}
            continue
        rules[rule] = {"found": share, **spread(at)}
        if world.canary_errors == 1.0:
            since = [t - (f["first_bad_s"] or 0.0) for t, f in zip(at, found, strict=True)]
            rules[rule]["since_first_bad_answer"] = spread(since)
    return {"watches": len(found), "rules": rules}


def spread(times: list[float]) -> dict[str, float | None]:
    """Median and p95 over all watches; None where so many never ended."""
    ordered = sorted(times)
    median, p95 = (ordered[math.ceil(level * len(ordered)) - 1] for level in (0.5, 0.95))
    return {
        "median_s": round(median, 1) if median < math.inf else None,
        "p95_s": round(p95, 1) if p95 < math.inf else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watches", type=int, default=1000)
    parser.add_argument("--look-s", type=float, default=POLICY.poll_s)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    wanted: Callable[[World], bool] = lambda w: (  # noqa: E731
        not options.only or any(w.name.startswith(name) for name in options.only)
    )
    began = time.monotonic()
    result: dict[str, Any] = {"look_s": options.look_s, "worlds": {}}
    with ProcessPoolExecutor(options.processes) as pool:
        for world in filter(wanted, worlds()):
            tasks = [(world, seed, options.look_s) for seed in range(options.watches)]
            found = list(pool.map(watched, tasks, chunksize=20))
            result["worlds"][world.name] = figures(world, found)
            # A long run that is broken off has still shown what it had.
            told = {world.name: result["worlds"][world.name]}
            print(json.dumps(told), file=sys.stderr, flush=True)
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
