"""The history of a mirror as git's log tells it, in one process, parents first."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import IO

from agentci_dagster.adapters.git.plumbing import Plumbing, cut_off_commits
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.history import (
    LOG_FORMAT,
    Change,
    LogEntry,
    LogRecord,
    parse_entry,
    split_log,
)

# Half a million commits of a large project; a minute is usual.
HISTORY_TIMEOUT = timedelta(hours=2)
# In a sound repository there is none; a partial clone may lack its largest files.
_MAX_UNREADABLE = 200
_CHUNK = 1024 * 1024
_LOG = (
    "log", "-z", "--no-abbrev", "--full-index",
    "--topo-order", "--reverse", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative",
    "--no-show-signature", "--no-notes", "--no-mailmap", "--encoding=UTF-8", "--submodule=short",
    "--ignore-submodules=none", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_PATCHES = ("--raw", "-p", "-U0", "-M", "-l1000")
# White space is ignored, as in `git blame -w`, and merges are shown against all parents.
_ORIGINS = (
    *_PATCHES,
    "-w",
    "--no-indent-heuristic",
    "--diff-merges=combined",
    "--combined-all-paths",
)
_NAMES = ("--raw", "--no-renames", "--no-walk=unsorted")


class Shown(StrEnum):
    """What is asked of each commit: what it changes (merges: nothing, or what they bring to their
    first parent), or where its lines come from.
    """

    CHANGES = "changes"
    CHANGES_AND_MERGES = "changes-and-merges"
    ORIGINS = "origins"


_OPTIONS = {
    Shown.CHANGES: (*_PATCHES, "--diff-merges=off"),
    Shown.CHANGES_AND_MERGES: (*_PATCHES, "--diff-merges=first-parent"),
    Shown.ORIGINS: _ORIGINS,
}


def entries(
    plumbing: Plumbing,
    wanted: Sequence[str],
    known: Sequence[str] = (),
    shown: Shown = Shown.CHANGES,
) -> Iterator[LogEntry]:
    """The commits that `wanted` descend from and `known` do not, parents first, each with its
    patch. One whose patch git cannot make, because an object is missing, comes without lines, as
    capped.

    Args:
        plumbing: the mirror.
        wanted: full shas.
        known: full shas; those that are gone are ignored.
        shown: what of each commit.

    Raises:
        GitError: git failed, or said what it should not.
    """
    for _ in range(_MAX_UNREADABLE):
        tips = _Tips(known)
        try:
            for entry in _read(plumbing, wanted, known, _OPTIONS[shown]):
                tips.add(entry.change)
                yield entry
            return
        except GitError:
            # Git has stopped at the first commit that needs what is missing.
            known = tips.shas()
            sha = _next(plumbing, wanted, known)
            yield _without_lines(plumbing, sha)
            known = [*known, sha]
    raise GitError(
        f"More than {_MAX_UNREADABLE} commits of {plumbing.folder.name} cannot be read.",
        f"look at the mirror with: git --git-dir {plumbing.folder} fsck",
    )


def entry_of(plumbing: Plumbing, sha: str) -> LogEntry:
    """One commit with its patch, a merge's against its first parent; see `entries`."""
    shown = (*_PATCHES, "--no-walk=unsorted", "--diff-merges=first-parent")
    try:
        (entry,) = _read(plumbing, [sha], (), shown)
    except GitError:
        return _without_lines(plumbing, sha)
    return entry


class _Tips:
    """The commits read so far that no other one descends from."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known
        self._tips: dict[str, None] = {}

    def add(self, change: Change) -> None:
        for parent in change.parents:
            self._tips.pop(parent, None)
        self._tips[change.sha] = None

    def shas(self) -> list[str]:
        return [*self._known, *self._tips]


def children_of(plumbing: Plumbing, tip: str) -> Counter[str]:
    """How many children each ancestor of a commit has among them."""
    output = plumbing.ask("rev-list", "--parents", "--end-of-options", tip).stdout.decode()
    return Counter(parent for line in output.splitlines() for parent in line.split(" ")[1:])


def _next(plumbing: Plumbing, wanted: Sequence[str], known: Sequence[str]) -> str:
    asked = "".join(f"{line}\n" for line in (*wanted, *(f"^{k}" for k in known))).encode()
    order = ("rev-list", "--topo-order", "--reverse", "--ignore-missing", "--stdin")
    shas = plumbing.ask(*order, input=asked).stdout.split()
    if not shas:
        raise GitError(f"The history of {plumbing.folder.name} cannot be read.")
    return shas[0].decode()


def _without_lines(plumbing: Plumbing, sha: str) -> LogEntry:
    """A commit told by its trees alone."""
    (entry,) = _read(plumbing, [sha], (), (*_NAMES, "--diff-merges=first-parent"))
    files = tuple(replace(f, lines_added=None, lines_deleted=None) for f in entry.change.files)
    return replace(entry, change=replace(entry.change, files=files, is_capped=True))


def _read(
    plumbing: Plumbing, wanted: Sequence[str], known: Sequence[str], shown: Sequence[str]
) -> Iterator[LogEntry]:
    """What one process of git tells. Its last commit is held back until it has ended well."""
    mark = secrets.token_hex(16)
    cut_off = cut_off_commits(plumbing)
    last: LogRecord | None = None
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{sha}\n" for sha in (*wanted, *(f"^{k}" for k in known))).encode())
        asked.seek(0)
        command = (*_LOG, *shown, f"--format={mark}{LOG_FORMAT}", "--ignore-missing", "--stdin")
        with plumbing.stream(*command, stdin=asked, timeout=HISTORY_TIMEOUT) as output:
            try:
                for record in split_log(_chunks(output), mark.encode()):
                    if last is not None:
                        yield _entry(last, cut_off)
                    last = record
            except ValueError as error:
                raise GitError(f"The history could not be read: {error}.") from error
    if last is not None:
        yield _entry(last, cut_off)


def _entry(record: LogRecord, cut_off: Collection[str]) -> LogEntry:
    entry = parse_entry(record)
    if entry.change.sha not in cut_off:
        return entry
    # Its parents are not here, so all that it has looks new.
    return replace(entry, change=replace(entry.change, is_capped=True))


def _chunks(output: IO[bytes]) -> Iterator[bytes]:
    while chunk := output.read1(_CHUNK):  # type: ignore[attr-defined]  # pipes are buffered
        yield chunk
