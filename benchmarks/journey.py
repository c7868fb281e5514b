"""Plays the demo and prints as JSON how long the graph itself takes around the work.

    python benchmarks/journey.py [--home DIR]

`push_to_first_asset_s`: from the push to the first step of the commit's run.
`overhead_s`: from the push to the outcome, less the seconds that the stages themselves report
(tests written, tests run, image built, canary started and watched).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

from agentci_dagster.demo.play import Played, play, prepare, stop_services


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    home = parser.parse_args().home or Path(tempfile.mkdtemp(prefix="agentci-journey-")) / "home"
    began = time.monotonic()
    resources = prepare(home)
    try:
        result = play(resources, lambda _played: None)
    finally:
        stop_services(resources)
    seconds = time.monotonic() - began
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        rows = [_row(instance, played) for played in result.played]
    print(
        json.dumps(
            {
                "is_as_expected": result.is_as_expected,
                "play_s": round(seconds, 1),
                "cores": os.cpu_count(),
                "push_to_first_asset_s": _spread([r["push_to_first_asset_s"] for r in rows]),
                "overhead_s": _spread([r["overhead_s"] for r in rows]),
                "requests": result.traffic.n_answers,
                "requests_lost": result.traffic.n_lost,
                "commits": rows,
            },
            indent=2,
        )
    )


def _row(instance: dg.DagsterInstance, played: Played) -> dict[str, Any]:
    runs = instance.get_run_records(
        dg.RunsFilter(tags={"dagster/partition": str(played.key)}), ascending=True, limit=1
    )
    steps = instance.get_run_step_stats(runs[0].dagster_run.run_id)
    first = min(s.start_time for s in steps if s.start_time is not None)
    outcome = played.outcome
    assert outcome is not None
    work = sum(stage.seconds for stage in outcome.stages)
    total = (outcome.settled_at - played.pushed_at).total_seconds()
    return {
        "number": played.step.number,
        "push_to_first_asset_s": round(first - played.pushed_at.timestamp(), 2),
        "push_to_outcome_s": round(total, 2),
        "work_s": round(work, 2),
        "overhead_s": round(total - work, 2),
        "steps_s": {
            s.step_key: round(s.end_time - s.start_time, 2)
            for s in steps
            if s.start_time is not None and s.end_time is not None
        },
        "ending": outcome.ending.value,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
        "n": len(values),
    }


if __name__ == "__main__":
    main()
