"""The past of a commit's files and author: at most three processes, whatever the size of the
history.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

from agentci_dagster.adapters.git.plumbing import EMPTY_TREE, Plumbing
from agentci_dagster.domain.diff import MAX_PATH, CommitDiff, name_of
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.features import CommitFeatures, measure, touched_before
from agentci_dagster.domain.history import LOG_FORMAT, History, PastCommit, parse_log

# The newest of each are kept. Of an author fewer, because all files of these commits are read; more
# experience than this makes no difference to anybody.
_MAX_COMMITS = 5_000
_MAX_OF_AUTHOR = 2_000
# Of their log, the newest again; only sweeps through tens of thousands of files ever fill it.
_MAX_BYTES = 32 * 1024 * 1024
# A change of more files is a sweep; its measures are dominated by its width, not by one file's
# past.
_MAX_PATHS = 200
_LOG = (
    "log", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-merges", "--no-color",
    "--no-ext-diff", "--no-textconv", "--encoding=UTF-8",
    f"--format={LOG_FORMAT}",
)  # fmt: skip


def measured(plumbing: Plumbing, diff: CommitDiff) -> CommitFeatures:
    """The measures of a commit from the history before its first parent, that one included."""
    if not diff.commit.parents:
        return measure(diff, History())
    parent = diff.commit.parents[0]
    names = (name for path in touched_before(diff) for name in _names_of(path))
    paths = tuple(itertools.islice(names, _MAX_PATHS))
    options = ("--topo-order", "--full-history", f"--max-count={_MAX_COMMITS}")
    of_files = _log(plumbing, parent, *options, paths=paths) if paths else ()
    of_author = _by_author(plumbing, parent, diff.commit.author_id, diff.commit.key.sha)
    # The author's commits name all files they touched, so they stand for themselves where both
    # have them.
    whole = {commit.sha: commit for commit in of_author}
    history = History(whole.pop(commit.sha, commit) for commit in of_files)
    for commit in whole.values():
        history.add(commit)
    return measure(diff, history, _lines_before(plumbing, parent, paths))


def _names_of(path: str) -> Iterator[str]:
    r"""What git may call a displayed path: the same, or with bytes where it shows `\xNN`."""
    raw = os.fsdecode(name_of(path))
    if len(path) < MAX_PATH:
        yield from dict.fromkeys((path, raw))


def _by_author(plumbing: Plumbing, parent: str, author_id: str, sha: str) -> tuple[PastCommit, ...]:
    ask = ("log", "--no-walk", "--max-count=1", "-s", "--format=%ae", "--end-of-options", sha)
    address = plumbing.ask(*ask).stdout.split(b"\n")[0]
    if not address.strip():
        return ()
    who = ("--fixed-strings", "--regexp-ignore-case", f"--author=<{os.fsdecode(address)}>")
    # Not in order of ancestry, so that git may stop at the limit instead of walking everything.
    found = _log(plumbing, parent, *who, f"--max-count={_MAX_OF_AUTHOR}")
    # Git looks for the text anywhere in the author's line.
    return tuple(commit for commit in found if commit.author_id == author_id)


def _log(
    plumbing: Plumbing, start: str, *options: str, paths: Sequence[str] = ()
) -> tuple[PastCommit, ...]:
    """Commits before a moment, oldest first."""
    ask = (*_LOG, *options, "--end-of-options", start, "--", *paths)
    with plumbing.stream(*ask) as output:
        log = output.read(_MAX_BYTES)
        is_whole = len(log) < _MAX_BYTES
    # Git's own order is newest first, so that what is cut off is the oldest.
    log = log if is_whole else log[: log.rfind(b"\0\x01") + 1]
    try:
        return tuple(parse_log(log))[::-1]
    except ValueError as error:
        raise GitError(f"The history before {start} could not be read: {error}.") from error


def _lines_before(plumbing: Plumbing, parent: str, paths: Sequence[str]) -> dict[str, int]:
    """Lines of each file in the parent's tree: what git would add to get there from nothing."""
    if not paths:
        return {}
    output = plumbing.ask(
        "diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--end-of-options", EMPTY_TREE, parent, "--", *paths,
    ).stdout  # fmt: skip
    fields = (line.split(b"\t", 2) for line in output.split(b"\0") if line)
    return {name.decode("utf-8", "backslashreplace"): int(n) for n, _, name in fields if n != b"-"}
