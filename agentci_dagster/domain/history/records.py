"""What is remembered of commits, files and authors: rows of whole numbers, so that they are small
in memory and can be stored as they are.

How they are filled and asked: `past.py`. Where they are kept: `Shelf`.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeVar

from agentci_dagster.domain.history.ancestry import Visible

K_contra = TypeVar("K_contra", contravariant=True)
V = TypeVar("V")


class Shelf(Protocol[K_contra, V]):
    """A place for records; in memory a dict, on disk a table."""

    def get(self, key: K_contra, /) -> V | None: ...

    def __setitem__(self, key: K_contra, value: V, /) -> None: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What later commits need of an earlier one.

    `rank` orders commits by time and never puts a parent behind its child (git's corrected commit
    date, then the sha). `hidden` are the intervals of smaller numbers that are not its ancestors.
    `n_changes`, `n_fixes` and `n_reverts` count commits that are no merges up to this number.
    `pace` is the faded count of commits on the first-parent line, this one included.
    """

    number: int
    rank: int
    committed_s: int
    hidden: tuple[int, ...]
    pace: float
    n_changes: int
    n_fixes: int
    n_reverts: int


class Touch(NamedTuple):
    """A past change of a file. `via` is the commit that brought it under this path: the one that
    made it, or a later rename. `blob` names the content after it, with `lines` lines; `net` is
    what the change itself added to them. `is_fix` and `is_revert` are 0 or 1.
    """

    via: int
    commit: int
    author: int
    rank: int
    committed_s: int
    blob: int
    lines: int
    net: int
    is_fix: int
    is_revert: int


class FileRecord:
    """What happened under one path, in the order in which it was fed.

    `has_doubles`: a commit came to this path twice, over renames on two branches.
    """

    __slots__ = (
        "_commits",
        "_peaks",
        "_rows",
        "authors",
        "fixes",
        "has_doubles",
        "is_changed",
        "net",
        "reverts",
    )  # fmt: skip

    _WIDTH = len(Touch._fields)

    def __init__(self, rows: bytes = b"") -> None:
        self._rows = array("q", rows)
        width, stored = self._WIDTH, self._rows
        ranks, commits = stored[3::width], stored[1::width]
        newest: Iterator[int] = accumulate(
            range(len(ranks)), lambda a, b: int(b if ranks[b] > ranks[a] else a)
        )
        self._peaks = array("q", newest)
        self._commits = set(commits)
        self.authors: Counter[int] = Counter(stored[2::width])
        self.fixes = {c for c, is_one in zip(commits, stored[8::width], strict=True) if is_one}
        self.reverts = {c for c, is_one in zip(commits, stored[9::width], strict=True) if is_one}
        self.net = sum(stored[7::width])
        self.has_doubles = len(self._commits) < len(commits)
        self.is_changed = False

    def add(self, touch: Touch) -> None:
        """Take in one more change; `via` never falls."""
        self._add(touch)
        self.is_changed = True

    def touches(self, seen: Visible) -> list[Touch]:
        """The changes that a commit sees, each commit once."""
        n_sure = self._n_before(seen.low)
        found = [self._touch(i) for i in range(n_sure)] + self._late(n_sure, seen)[0]
        return list({touch.commit: touch for touch in found}.values())

    def look(self, seen: Visible) -> tuple[Touch | None, list[Touch]]:
        """The newest change that a commit sees, and the ones that it does not see, mostly few."""
        if self._rows[-self._WIDTH] < seen.low:
            return self._touch(self._peaks[-1]), []
        n_sure = self._n_before(seen.low)
        shown, hidden = self._late(n_sure, seen)
        if n_sure:
            shown.append(self._touch(self._peaks[n_sure - 1]))
        return max(shown, key=_rank, default=None), hidden

    def with_blob(self, blob: int, seen: Visible) -> Touch | None:
        """The newest change with that content after it."""
        blobs = self._rows[5 :: self._WIDTH]
        touches = (self._touch(i) for i in _places(blobs, blob))
        return max((t for t in touches if seen.shows(t.via)), key=_rank, default=None)

    def tobytes(self) -> bytes:
        """All rows, to be given to a new record."""
        return self._rows.tobytes()

    def __len__(self) -> int:
        return len(self._peaks)

    def _add(self, touch: Touch) -> None:
        index = len(self)
        self._rows.extend(touch)
        is_peak = not index or touch.rank > self._touch(self._peaks[-1]).rank
        self._peaks.append(index if is_peak else self._peaks[-1])
        self.has_doubles = self.has_doubles or touch.commit in self._commits
        self._commits.add(touch.commit)
        self.authors[touch.author] += 1
        self.net += touch.net
        if touch.is_fix:
            self.fixes.add(touch.commit)
        if touch.is_revert:
            self.reverts.add(touch.commit)

    def _touch(self, index: int) -> Touch:
        start = index * self._WIDTH
        return Touch._make(self._rows[start : start + self._WIDTH])

    def _late(self, n: int, seen: Visible) -> tuple[list[Touch], list[Touch]]:
        shown: list[Touch] = []
        hidden: list[Touch] = []
        for index in range(n, len(self)):
            touch = self._touch(index)
            (shown if seen.shows(touch.via) else hidden).append(touch)
        return shown, hidden

    def _n_before(self, number: int) -> int:
        return bisect_left(range(len(self)), number, key=lambda i: self._rows[i * self._WIDTH])


def _rank(touch: Touch) -> int:
    return touch.rank


def _places(values: array[int], wanted: int) -> Iterator[int]:
    start = 0
    with contextlib.suppress(ValueError):
        while True:
            start = values.index(wanted, start) + 1
            yield start - 1


@dataclass(slots=True)
class AuthorRecord:
    """What one author did: the number, the moment and the group of folders of each change.

    Folders of the first level are kept in groups, as they were changed together.
    """

    number: int
    numbers: array[int] = field(default_factory=lambda: array("q"))
    moments: array[int] = field(default_factory=lambda: array("q"))
    groups: array[int] = field(default_factory=lambda: array("q"))
    group_names: list[tuple[str, ...]] = field(default_factory=list)
    is_changed: bool = False
    sorted_moments: array[int] = field(default_factory=lambda: array("q"))
    in_group: Counter[int] = field(default_factory=Counter)
    groups_of: dict[str, list[int]] = field(default_factory=dict)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sorted_moments = array("q", sorted(self.moments))
        self.in_group = Counter(self.groups)
        for index, names in enumerate(self.group_names):
            self._learn(index, names)

    def add(self, number: int, moment: int, subsystems: tuple[str, ...]) -> None:
        """Take in one more change; numbers rise."""
        group = self._known.get(subsystems)
        if group is None:
            group = len(self.group_names)
            self.group_names.append(subsystems)
            self._learn(group, subsystems)
        self.numbers.append(number)
        self.moments.append(moment)
        self.groups.append(group)
        insort(self.sorted_moments, moment)
        self.in_group[group] += 1
        self.is_changed = True

    def hidden(self, seen: Visible) -> list[int]:
        """Indices of the changes that a commit does not see."""
        if not self.numbers or self.numbers[-1] < seen.low:
            return []
        start = bisect_left(self.numbers, seen.low)
        return [i for i in range(start, len(self.numbers)) if not seen.shows(self.numbers[i])]

    def _learn(self, group: int, names: tuple[str, ...]) -> None:
        self._known[names] = group
        for name in names:
            self.groups_of.setdefault(name, []).append(group)
