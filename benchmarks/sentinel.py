"""The product's learner beside sentinel-risk 0.1.3 on the same commits with the same labels; prints JSON.

Usage: python benchmarks/sentinel.py SENTINEL_PYTHON REPOSITORY...

SENTINEL_PYTHON is the interpreter of an environment of its own with `sentinel-risk==0.1.3`; it clones nothing and asks no
network. It reads its usual window (1,500 commits) with its own measures. Labels are the product's (SZZ over the whole
history, hindsight for both) and, beside them, its own. Both learn from the earlier 70 % of the commits that both know and
rank the later 30 %. CPU seconds of training from scratch: reading the history, labelling it, learning.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agentci_dagster.adapters.git import mining
from agentci_dagster.adapters.model_files import ModelFiles
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.learning import LearningPolicy, TrainingRow, evaluate

TRAIN_SHARE = 0.7

_MINE = """
import json, sys
from git import Repo
from sentinel.config import BugfixDetection, TrainingSettings
from sentinel.history_mining import mine
found = mine(Repo(sys.argv[1]), BugfixDetection(), TrainingSettings())
print(json.dumps([[r.sha, r.when.timestamp(), r.features, r.label] for r in found.rows]))
"""

_LEARN = """
import json, sys
from sentinel.config import TrainingSettings
from sentinel.model import predict, train_with_early_stopping
train, labels, later = json.load(sys.stdin)
model, _ = train_with_early_stopping(train, labels, TrainingSettings())
print(json.dumps(predict(model, later)))
"""


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    python, *repositories = sys.argv[1:]
    found = [{"repository": r, **compared(python, Path(r))} for r in repositories]
    print(json.dumps(found, indent=1))


def compared(python: str, repository: Path) -> dict[str, Any]:
    begin = cpu_s()
    with tempfile.TemporaryDirectory() as clone:
        # Its blame wants a work tree.
        subprocess.run(["git", "clone", "-q", "--shared", str(repository), clone], check=True)
        theirs = {sha: rest for sha, *rest in asked(python, _MINE, clone)}
    their_mining = cpu_s() - begin
    begin = cpu_s()
    with mining.opened(repository) as (plumbing, tip):
        ours = {row.sha: row for row in mining.rows(plumbing, tip)}
        guilty = {sha for fix in mining.labels(plumbing, tip) for sha in fix.guilty}
    our_mining = cpu_s() - begin

    shas = sorted(ours.keys() & theirs.keys(), key=lambda sha: (theirs[sha][0], sha))
    at = int(TRAIN_SHARE * len(shas))
    found: dict[str, Any] = {"n_train": at, "n_later": len(shas) - at}
    labels = {
        "product": {sha: int(sha in guilty) for sha in shas},
        "sentinel": {sha: theirs[sha][2] for sha in shas},
    }
    for whose, label in labels.items():
        y = [label[sha] for sha in shas]
        begin = cpu_s()
        p_theirs = asked(
            python, _LEARN, text=json.dumps(
                [[theirs[s][1] for s in shas[:at]], y[:at], [theirs[s][1] for s in shas[at:]]]
            ),
        )  # fmt: skip
        middle = cpu_s()
        p_ours = learnt([(ours[s], theirs[s][0], label[s]) for s in shas], at)
        end = cpu_s()
        lines = np.array([ours[s].features.lines_added for s in shas[at:]])
        found[f"labels_of_{whose}"] = {
            "share_failing_later": round(float(np.mean(y[at:])), 3),
            "auc": {
                "product": rounded(p_ours, y[at:]),
                "sentinel": rounded(p_theirs, y[at:]),
                "lines_added": rounded(lines / (1 + lines), y[at:]),
            },
            "from_scratch_cpu_s": {
                "product": round(our_mining + end - middle, 1),
                "sentinel": round(their_mining + middle - begin, 1),
            },
        }
    return found | {"our_commits_read": len(ours), "their_commits_read": len(theirs)}


def learnt(rows: list[tuple[Any, float, int]], at: int) -> list[float]:
    known = []
    for row, seconds, label in rows:
        moment = datetime.fromtimestamp(seconds, UTC)
        key = CommitKey("repository", row.sha)
        known.append(TrainingRow(key, moment, moment, label, row.features, None))
    with tempfile.TemporaryDirectory() as folder:
        store = ModelFiles(Path(folder))
        model = store.load(store.train(known[:at], LearningPolicy()).version)
        return [model.score(row.features, "repository").probability for row in known[at:]]


def asked(python: str, program: str, *arguments: str, text: str | None = None) -> Any:
    done = subprocess.run(
        [python, "-c", program, *arguments], input=text, capture_output=True, check=False, text=True
    )
    if done.returncode:
        sys.exit(f"sentinel-risk failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rounded(probabilities: Any, labels: list[int]) -> float | None:
    auc = evaluate(probabilities, labels).auc
    return None if auc is None else round(auc, 4)


def cpu_s() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
