"""Rows and labels of a whole repository, read in a mirror of ours, and the comparison of the
labels with `git blame`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from agentci_dagster.adapters.git.log import Shown, children_of, entries
from agentci_dagster.adapters.git.mirror import GitMirror
from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.domain.features import measure
from agentci_dagster.domain.history import BlamedLine, FixLabel, History, find_fixes
from agentci_dagster.domain.learning.mined import MinedCommit


@dataclass(frozen=True, slots=True)
class Checked:
    """How many fixes and lines were compared with `git blame`, and the lines that differ."""

    n_fixes: int
    n_lines: int
    differing: tuple[tuple[str, BlamedLine, str], ...]


@contextmanager
def opened(repository: Path) -> Iterator[tuple[Plumbing, str]]:
    """A throwaway mirror of ours of a repository of the user's, and the sha of its HEAD: what the
    repository configures is not read, and nothing in it is run.

    Raises:
        UsageError: there is no repository, or it has no commit.
    """
    folder = repository / ".git" if (repository / ".git").exists() else repository
    if not ((folder / "HEAD").is_file() or folder.is_file()):
        raise UsageError(f"{repository} is no git repository.", "give one with --repo PATH")
    with tempfile.TemporaryDirectory(prefix="agentci-mine-") as beside:
        mirror = GitMirror(Path(beside) / "mined.git", "mined", str(repository.resolve()), ("*",))
        mirror.refresh()
        tip = mirror.known("HEAD")
        if tip is None:
            raise UsageError(f"{repository} has no commit yet.", "commit something first")
        yield mirror.plumbing, tip


def rows(plumbing: Plumbing, tip: str) -> Iterator[MinedCommit]:
    """The measures of all commits that are no merges, parents first; no labels."""
    history = History()
    for entry in entries(plumbing, [tip]):
        change = entry.change
        if not change.is_merge:
            features = measure(change, history)
            yield MinedCommit(change.sha, change.committed_s, change.author_id, features)
        history.add(change)


def labels(plumbing: Plumbing, tip: str) -> Iterator[FixLabel]:
    """The fixes and whom they blame, parents first."""
    found = entries(plumbing, [tip], shown=Shown.ORIGINS)
    return find_fixes(found, children_of(plumbing, tip))


def check_with_blame(plumbing: Plumbing, fixes: Sequence[FixLabel], n: int, seed: int) -> Checked:
    """Compare the lines of some fixes, chosen at random, with what `git blame -w` says."""
    with_lines = [fix for fix in fixes if fix.lines]
    chosen = random.Random(seed).sample(with_lines, min(n, len(with_lines)))
    n_lines = 0
    differing: list[tuple[str, BlamedLine, str]] = []
    for fix in chosen:
        for path, group in groupby(fix.lines, key=lambda line: line.path):
            lines = list(group)
            owners = _blamed(plumbing, f"{fix.sha}^", path)
            n_lines += len(lines)
            differing += [
                (fix.sha, line, owners.get(line.line, ""))
                for line in lines
                if owners.get(line.line, "") != line.sha
            ]
    return Checked(len(chosen), n_lines, tuple(differing))


def _blamed(plumbing: Plumbing, revision: str, path: str) -> dict[int, str]:
    ask = ("blame", "-w", "--porcelain", revision, "--", path)
    done = plumbing.ask(*ask, is_failure_fine=True)
    if done.returncode:
        return {}
    owners: dict[int, str] = {}
    for line in done.stdout.split(b"\n"):
        words = line.split(b" ")
        if len(words) in (3, 4) and len(words[0]) == 40 and not line.startswith(b"\t"):
            owners[int(words[2])] = words[0].decode()
    return owners
