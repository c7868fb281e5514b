"""What is known of files, authors and the project at a moment: a past that is fed with commits,
parents first, and asked for what a commit could know.

A commit knows its ancestors and nothing else (see `ancestry.py`). The past of a path is every such
commit that touched it and, where one moved another file there, that file's past until then. What is
"last" is told by `CommitRecord.rank`. None of this depends on the order in which branches were fed.

The measures taken from it are in `features.py`.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from agentci_dagster.domain.diff import FileStatus
from agentci_dagster.domain.history.ancestry import Visible, seen_from
from agentci_dagster.domain.history.records import (
    AuthorRecord,
    CommitRecord,
    FileRecord,
    Shelf,
    Touch,
)
from agentci_dagster.domain.history.values import Change, ChangedFile

# A file that wanders back and forth between two names would double its past each time.
_MAX_CARRIED = 2_000
_SECONDS = re.compile(rb"-?\d{1,20}")
_PACE_HALF_LIFE_S = 30 * 86_400.0
_EARLIEST, _LATEST = 0, int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class FilePast:
    """What a commit knows of one file. Commits are told by their numbers; `lines` is the length
    of the file before the commit, `authors` how many changes each author made. Fixes and reverts
    may name commits that are not to be counted, which are then among `unseen`.
    """

    n_changes: int
    lines: int
    authors: Mapping[int, int]
    fixes: Set[int]
    reverts: Set[int]
    unseen: Set[int]
    last_commit: int
    last_at_s: int


@dataclass(frozen=True, slots=True)
class AuthorPast:
    """What a commit knows of its author: the moments of all changes, ascending, in seconds, and
    how many of them touched one of the commit's subsystems. `number` is -1 for a newcomer.
    """

    number: int
    moments: Sequence[int]
    n_in_subsystems: int


@dataclass(frozen=True, slots=True)
class ProjectPast:
    """How many commits a commit descends from (merges left out), how many of them mended or took
    back, the faded count of recent ones (half-life 30 days), and when its first parent was made.
    """

    n_changes: int
    n_fixes: int
    n_reverts: int
    pace: float
    parent_at_s: int | None


class History:
    """The past so far. Feeding a commit twice counts once; parents that were never fed are
    taken for missing.

    Args:
        commits: records by sha.
        numbers: the same records by number.
        files: records by path.
        authors: records by author id.
    """

    def __init__(
        self,
        commits: Shelf[str, CommitRecord] | None = None,
        numbers: Shelf[int, CommitRecord] | None = None,
        files: Shelf[str, FileRecord] | None = None,
        authors: Shelf[str, AuthorRecord] | None = None,
    ) -> None:
        self._commits: Shelf[str, CommitRecord] = {} if commits is None else commits
        self._numbers: Shelf[int, CommitRecord] = {} if numbers is None else numbers
        self._files: Shelf[str, FileRecord] = {} if files is None else files
        self._authors: Shelf[str, AuthorRecord] = {} if authors is None else authors
        self._last_view: tuple[tuple[str, ...], Visible] | None = None

    @classmethod
    def of(cls, changes: Iterable[Change]) -> History:
        """A past in memory, fed with these, parents first."""
        history = cls()
        for change in changes:
            history.add(change)
        return history

    def __len__(self) -> int:
        return len(self._commits)

    def knows(self, sha: str) -> bool:
        """Whether the commit was fed."""
        return self._commits.get(sha) is not None

    def file(self, change: Change, file: ChangedFile) -> FilePast | None:
        """What the change knows of one of its files; None when there is nothing."""
        record = self._files.get(file.path_before)
        if record is None:
            return None
        seen = self._view(_line(change))
        last, hidden = record.look(seen)
        if last is None:
            return None
        lines = _lines(record, seen, file.old_blob, last, hidden)
        if record.has_doubles:
            return _counted_one_by_one(record.touches(seen), lines)
        authors = record.authors
        if hidden:
            authors = authors.copy()
            authors.subtract(touch.author for touch in hidden)
            authors = +authors  # without those that made nothing else
        return FilePast(
            len(record) - len(hidden),
            lines,
            authors,
            record.fixes,
            record.reverts,
            frozenset(touch.commit for touch in hidden),
            last.commit,
            last.committed_s,
        )

    def author(self, change: Change, subsystems: Iterable[str]) -> AuthorPast:
        """What the change knows of its author."""
        record = self._authors.get(change.author_id)
        if record is None:
            return AuthorPast(-1, (), 0)
        hidden = record.hidden(self._view(_line(change)))
        groups = {g for name in subsystems for g in record.groups_of.get(name, ())}
        n_in_subsystems = sum(record.in_group[g] for g in groups)
        if not hidden:
            return AuthorPast(record.number, record.sorted_moments, n_in_subsystems)
        n_in_subsystems -= sum(record.groups[i] in groups for i in hidden)
        moments = record.sorted_moments[:]
        for index in hidden:
            del moments[bisect_left(moments, record.moments[index])]
        return AuthorPast(record.number, moments, n_in_subsystems)

    def project(self, change: Change) -> ProjectPast:
        """What the change knows of the project."""
        hidden = self._view(_line(change)).hidden
        seen = _Totals()
        # What is seen lies between the hidden intervals.
        for start, end in zip((0, *hidden[1::2]), hidden[0::2], strict=False):
            seen = seen.plus(self._totals(end)).minus(self._totals(start))
        first = self._commits.get(change.parents[0]) if change.parents else None
        pace = _pace_at(change.committed_s, first) if first else 0.0
        return ProjectPast(*seen, pace, first.committed_s if first else None)

    def add(self, change: Change) -> None:
        """Take in one more commit."""
        if self._commits.get(change.sha) is not None:
            return
        seen = self._view(change.parents)
        record = self._recorded(change, seen)
        if not change.is_merge:
            self._add_to_author_and_files(change, record, seen)
        self._commits[change.sha] = record
        self._numbers[record.number] = record

    def _recorded(self, change: Change, seen: Visible) -> CommitRecord:
        number = len(self._commits)
        parents = [p for sha in change.parents if (p := self._commits.get(sha)) is not None]
        corrected = max([change.committed_s, *(1 + (p.rank >> _SHA_BITS) for p in parents)])
        before = self._totals(number)
        counts = not change.is_merge
        return CommitRecord(
            number=number,
            rank=(corrected << _SHA_BITS) | int(change.sha[: _SHA_BITS // 4], 16),
            committed_s=change.committed_s,
            hidden=self._shared(seen.hidden_below(number), parents),
            pace=1.0 + (_pace_at(change.committed_s, parents[0]) if parents else 0.0),
            n_changes=before.n_changes + counts,
            n_fixes=before.n_fixes + (counts and change.is_fix),
            n_reverts=before.n_reverts + (counts and change.is_revert),
        )

    @staticmethod
    def _shared(hidden: tuple[int, ...], parents: list[CommitRecord]) -> tuple[int, ...]:
        # Along a branch the intervals stay the same; one tuple serves all its commits.
        return next((p.hidden for p in parents if p.hidden == hidden), hidden)

    def _add_to_author_and_files(self, change: Change, record: CommitRecord, seen: Visible) -> None:
        author = self._authors.get(change.author_id)
        if author is None:
            author = AuthorRecord(len(self._authors))
        subsystems = tuple(sorted({subsystem_of(f.path) for f in change.files}))
        author.add(record.number, change.committed_s, subsystems)
        self._authors[change.author_id] = author
        for file in change.files:
            before = self._files.get(file.path_before)
            lines = 0
            if before is not None:
                lines = _lines(before, seen, file.old_blob, *before.look(seen))
            there = before if file.path == file.path_before else self._files.get(file.path)
            if there is None:
                there = FileRecord()
            if before is not None and before is not there:
                _carry(before, there, record.number, seen)
            net = (file.lines_added or 0) - (file.lines_deleted or 0)
            there.add(
                Touch(
                    via=record.number,
                    commit=record.number,
                    author=author.number,
                    rank=record.rank,
                    committed_s=change.committed_s,
                    blob=file.new_blob,
                    lines=0 if file.status is FileStatus.DELETED else max(0, lines + net),
                    net=net,
                    is_fix=int(change.is_fix),
                    is_revert=int(change.is_revert),
                )
            )
            self._files[file.path] = there

    def _view(self, parents: tuple[str, ...]) -> Visible:
        if self._last_view is None or self._last_view[0] != parents:
            known = (self._commits.get(sha) for sha in parents)
            seen = seen_from((p.number, p.hidden) for p in known if p is not None)
            self._last_view = parents, seen
        return self._last_view[1]

    def _totals(self, number: int) -> _Totals:
        record = self._numbers.get(number - 1)
        if record is None:
            return _Totals()
        return _Totals(record.n_changes, record.n_fixes, record.n_reverts)


def _line(change: Change) -> tuple[str, ...]:
    # A merge is measured by all that it brings to its first parent, for which that is new.
    return change.parents[:1]


def _lines(
    record: FileRecord, seen: Visible, old_blob: int, last: Touch | None, hidden: list[Touch]
) -> int:
    """Lines of the content `old_blob`: known where an ancestor that is no merge made it, else the
    sum of what ancestors added and deleted.
    """
    if last is None or last.blob != old_blob:
        last = record.with_blob(old_blob, seen)
    if last is not None:
        return last.lines
    if record.has_doubles:
        return max(0, sum(touch.net for touch in record.touches(seen)))
    return max(0, record.net - sum(touch.net for touch in hidden))


def _counted_one_by_one(touches: list[Touch], lines: int) -> FilePast:
    last = max(touches, key=lambda touch: touch.rank)
    return FilePast(
        len(touches),
        lines,
        Counter(touch.author for touch in touches),
        {touch.commit for touch in touches if touch.is_fix},
        {touch.commit for touch in touches if touch.is_revert},
        frozenset(),
        last.commit,
        last.committed_s,
    )


class _Totals(NamedTuple):
    """Counts over all commits below a number, or over some of them."""

    n_changes: int = 0
    n_fixes: int = 0
    n_reverts: int = 0

    def plus(self, other: _Totals) -> _Totals:
        return _Totals(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: _Totals) -> _Totals:
        return _Totals(*(a - b for a, b in zip(self, other, strict=True)))


def _carry(before: FileRecord, there: FileRecord, via: int, seen: Visible) -> None:
    known = {touch.commit for touch in there.touches(seen)}
    moved = [touch for touch in before.touches(seen) if touch.commit not in known]
    moved.sort(key=lambda touch: touch.rank)
    for touch in moved[-_MAX_CARRIED:]:
        there.add(touch._replace(via=via))


def _pace_at(moment_s: int, parent: CommitRecord) -> float:
    passed = max(0.0, float(moment_s - parent.committed_s))
    return float(parent.pace * 0.5 ** (passed / _PACE_HALF_LIFE_S))


def subsystem_of(path: str) -> str:
    """The top-level folder; empty for files at the root (Mockus and Weiss, 2000)."""
    return path.partition("/")[0] if "/" in path else ""


def directory_of(path: str) -> str:
    """The folder; empty for files at the root."""
    return path.rpartition("/")[0]


def author_id_of(address: bytes) -> str:
    """A digest of the author's address: enough to count, not to name."""
    return hashlib.sha256(address.strip().lower()).hexdigest()[:16]


def seconds_of(number: int) -> int:
    """Git's seconds, kept within the calendar: hostile commits claim any number."""
    return min(max(number, _EARLIEST), _LATEST)


def stated_seconds(text: bytes) -> int:
    """Git's seconds as a number; 0, the epoch, for a commit whose date git cannot read."""
    return int(text) if _SECONDS.fullmatch(text) else 0


def moment_of(seconds: int) -> datetime:
    """The instant of git's seconds, within the calendar."""
    return datetime.fromtimestamp(seconds_of(seconds), UTC)


_SHA_BITS = 24
