"""Writes the report of many made-up outcomes and prints as JSON what it takes.

python benchmarks/report.py [--commits N] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import DeployOutcome, Ending, StageTime
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.trends import TrendPolicy
from agentci_dagster.report.page import page

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
FOLDERS = [f"shop/part{n}" for n in range(30)]
CAUSES = [
    CauseClass.TEST,
    CauseClass.HEALTH_ERRORS,
    CauseClass.MIGRATION,
    CauseClass.CRASH_AT_START,
]
NOTHING = CommitFeatures(**dict.fromkeys(CommitFeatures.__dataclass_fields__, 0.0))
SEED = 20_130_601


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    outcomes = made_up(arguments.commits)
    began = time.monotonic()
    html = page(outcomes, NOW, TrendPolicy(window_days=200.0), LearningPolicy())
    seconds = time.monotonic() - began
    if arguments.out:
        arguments.out.write_text(html, encoding="utf-8")
    told = {
        "commits": len(outcomes),
        "seconds": round(seconds, 2),
        "bytes": len(html.encode()),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told, indent=1))


def made_up(n: int) -> list[DeployOutcome]:
    """Half a year of commits; one week goes wrong, and the second model is better."""
    random = np.random.default_rng(SEED)
    found = []
    for i in range(n):
        at = NOW - timedelta(days=180 * (1 - i / n))
        is_bad_week = 60 <= (NOW - at).days < 67
        risk = float(random.beta(1, 9))
        has_failed = random.random() < min(0.9, risk * (4 if is_bad_week else 1))
        said = risk if i > n / 2 else min(0.95, 0.3 + risk / 2)
        folder = FOLDERS[int(random.integers(30) * random.random())]
        found.append(
            DeployOutcome(
                key=CommitKey("shop", f"{i:040x}"),
                ending=Ending.ROLLED_BACK if has_failed else Ending.PROMOTED,
                cause=CAUSES[int(random.integers(4))] if has_failed else None,
                label=int(has_failed),
                stage="health_report",
                evidence="made up",
                next_step="",
                route=Route.FAST if said < 0.1 else Route.STANDARD,
                probability=said,
                model_version="outcomes-2" if i > n / 2 else "prior-1",
                features=NOTHING,
                subject=f"Change number {i}",
                branch="main",
                paths=(f"{folder}/code.py",),
                committed_at=at,
                settled_at=at + timedelta(minutes=3),
                deployed_at=at + timedelta(minutes=2),
                failed_at=at + timedelta(minutes=2, seconds=30) if has_failed else None,
                restored_at=at + timedelta(minutes=2, seconds=31) if has_failed else None,
                stages=(StageTime("image", 0.5), StageTime("test_report", 20.0)),
            )
        )
    return found


if __name__ == "__main__":
    main()
