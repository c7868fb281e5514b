"""Times quick commands as whole processes and prints JSON: median of several runs after a warm-up.

    python benchmarks/commands.py [--home DIR] [--runs N]

Beside each stands a bare start of the same interpreter in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "agentci --help": [sys.executable, "-m", "agentci_dagster", "--help"],
    "agentci status": [sys.executable, "-m", "agentci_dagster", "status"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="agentci-commands-"))
    environment = {**os.environ, "AGENTCI_HOME": str(home)}
    medians = {}
    for name, command in COMMANDS.items():
        times = [_time(command, environment) for _ in range(arguments.runs + 1)][1:]
        medians[name] = round(statistics.median(times), 3)
    bare = medians["python -c pass"]
    ratios = {name: round(seconds / bare, 1) for name, seconds in medians.items()}
    print(json.dumps({"median_s": medians, "times_bare_python": ratios}, indent=2))


def _time(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
