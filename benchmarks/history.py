"""Reading whole histories beside bare git and beside PyDriller, and one new commit from the stored
past; prints JSON with ratios taken in one run.

    python benchmarks/history.py REPOSITORY... [--pydriller PYTHON] [--check N]

REPOSITORY: bare or plain git folders, read only. PYTHON: an interpreter with PyDriller in it.
CPU seconds are those of this process and of its children.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_PYDRILLER = """
import sys
from pydriller import Repository
n = 0
for commit in Repository(sys.argv[1], include_refs=False).traverse_commits():
    n += 1
    try:
        [(f.filename, f.added_lines, f.deleted_lines) for f in commit.modified_files]
    except Exception as error:
        print(commit.hash, error, file=sys.stderr)
print(n)
"""
_BARE = ("-c", "core.bigFileThreshold=16m", "log", "-p", "-U0", "-M", "HEAD")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--pydriller", type=Path, default=None)
    parser.add_argument("--check", type=int, default=0, help="fixes to compare with git blame")
    parser.add_argument("--online", type=int, default=20, help="commits measured one by one")
    arguments = parser.parse_args()
    print(json.dumps({str(r): _one(r, arguments) for r in arguments.repositories}, indent=2))


def _one(repository: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    bare = _in_child(_bare, repository)
    ours = _in_child(_features, repository)
    labels = _in_child(_labels, repository, arguments.check)
    result = {
        "bare_git": bare,
        "features": ours,
        "features_over_bare_git": round(ours["cpu_s"] / bare["cpu_s"], 2),
        "labels": labels,
        "labels_over_features": round(labels["cpu_s"] / ours["cpu_s"], 2),
        "online": _in_child(_online, repository, arguments.online),
    }
    if arguments.pydriller:
        peer = _in_child(_pydriller, repository, arguments.pydriller)
        result["pydriller"] = peer
        result["pydriller_over_features"] = round(peer["cpu_s"] / ours["cpu_s"], 2)
    return result


def _in_child(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Each in a process of its own, so that memory and CPU are its own."""
    context = get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (work, *arguments))


def _measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    before = _cpu_s()
    found = work(*arguments)
    cpu = _cpu_s() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"cpu_s": round(cpu, 2), "peak_mib": peak, **found}


def _cpu_s() -> float:
    both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _bare(repository: Path) -> dict[str, Any]:
    done = subprocess.run(
        ["git", "-C", str(repository), *_BARE], stdout=subprocess.DEVNULL, check=False
    )
    return {"ended_well": done.returncode == 0}


def _features(repository: Path) -> dict[str, Any]:
    from agentci_dagster.adapters.git import mining

    with mining.opened(repository) as (plumbing, tip):
        rows = n_capped = 0
        for row in mining.rows(plumbing, tip):
            rows += 1
            n_capped += int(row.features.is_capped)
    return {"rows": rows, "capped": n_capped}


def _labels(repository: Path, check: int) -> dict[str, Any]:
    from agentci_dagster.adapters.git import mining

    with mining.opened(repository) as (plumbing, tip):
        before = _cpu_s()
        fixes = list(mining.labels(plumbing, tip))
        cpu = round(_cpu_s() - before, 2)
        found: dict[str, Any] = {
            "fixes": len(fixes),
            "guilty": len({sha for fix in fixes for sha in fix.guilty}),
        }
        if check:
            checked = mining.check_with_blame(plumbing, fixes, check, seed=0)
            found |= {"checked_lines": checked.n_lines, "differing": len(checked.differing)}
    return {**found, "cpu_s": cpu}


def _online(repository: Path, n: int) -> dict[str, Any]:
    """The newest commits one after the other, as they would arrive."""
    from agentci_dagster.adapters.git.mirror import GitMirror

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mirror.git"
        subprocess.run(
            ["git", "clone", "-q", "--bare", "--shared", str(repository), str(place)], check=True
        )
        mirror = GitMirror(place, "mirror", str(repository))
        names = ["git", "-C", str(place), "rev-list", "--topo-order", f"-n{n + 1}", "HEAD"]
        shas = subprocess.run(names, capture_output=True, check=True, text=True).stdout.split()
        diffs = [mirror.diff(sha) for sha in reversed(shas)]
        began = time.perf_counter()
        mirror.features(diffs[0])
        first = time.perf_counter() - began
        times = []
        for diff in diffs[1:]:
            began = time.perf_counter()
            mirror.features(diff)
            times.append(1000 * (time.perf_counter() - began))
        size = sum(f.stat().st_size for f in place.glob("history.sqlite*")) >> 20
        shutil.rmtree(place)
    return {
        "first_s": round(first, 1),
        "median_ms": round(statistics.median(times), 1),
        "worst_ms": round(max(times), 1),
        "state_mib": size,
    }


def _pydriller(repository: Path, python: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        # It does not take bare repositories.
        clone = ["git", "clone", "-q", "--shared", "--no-checkout", str(repository), folder]
        subprocess.run(clone, check=True)
        done = subprocess.run(
            [str(python), "-c", _PYDRILLER, folder], capture_output=True, check=False, text=True
        )
    if done.returncode:
        raise SystemExit(f"PyDriller failed: {done.stderr[-500:]}")
    return {"commits": int(done.stdout), "complaints": len(done.stderr.splitlines())}


if __name__ == "__main__":
    main()
