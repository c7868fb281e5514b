"""Which commit each line of each file comes from, kept up to date as the history is read, as `git
blame` would tell it.

Every content of a file has a list with one commit number for each line. A branch goes on from the
contents that it sees; contents that no branch can go on from any more are forgotten.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from agentci_dagster.domain.history.ancestry import Visible, seen_from
from agentci_dagster.domain.history.log import CombinedFile, LogEntry
from agentci_dagster.domain.history.values import LineSpan

# Of a line whose origin is not known: its content came from what could not be read.
NOBODY = -1
_FEW = 8


@dataclass(slots=True)
class _Version:
    """One content of a file: which commit made it, where its lines come from, and which commits
    went on from it.
    """

    number: int
    blob: int
    owners: array[int]
    replaced_by: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Versions:
    """The contents of one path."""

    kept: list[_Version] = field(default_factory=list)
    n_before_sweep: int = _FEW


class Ownership:
    """The origin of every line, fed with commits, parents first.

    Args:
        n_children: how many children each commit has in the history that is fed, by sha.
    """

    def __init__(self, n_children: Mapping[str, int]) -> None:
        self._n_children = n_children
        self.shas: list[str] = []
        self._numbers: dict[str, int] = {}
        self._parents: list[tuple[int, ...]] = []
        self._hidden: list[tuple[int, ...]] = []
        self._children_to_come: dict[int, int] = {}
        self._files: dict[str, _Versions] = {}

    def number_of(self, sha: str) -> int | None:
        """The number of a commit that was fed."""
        return self._numbers.get(sha)

    def before(self, entry: LogEntry, index: int) -> Sequence[int]:
        """Where the lines of one of its files came from before the commit; empty when not known."""
        file = entry.change.files[index]
        version = self._find(file.path_before, file.old_blob, self._known(entry.change.parents))
        return version.owners if version is not None else array("i")

    def add(self, entry: LogEntry) -> None:
        """Take in one more commit."""
        change = entry.change
        number = len(self.shas)
        parents = self._known(change.parents)
        if entry.combined:
            merged = [(f.path, f.blob, self._merged(f, parents, number)) for f in entry.combined]
        else:
            merged = []
        for index, file in enumerate(change.files):
            old = self._find(file.path_before, file.old_blob, parents)
            spans = (hunk.span for hunk in entry.patches[index].hunks())
            owners = _applied(old.owners if old else (), spans, number)
            if old is not None:
                old.replaced_by.append(number)
            merged.append((file.path, file.new_blob, owners))
        self._remember(change.sha, parents)
        for path, blob, owners in merged:
            self._put(path, _Version(number, blob, owners))

    def _known(self, shas: Iterable[str]) -> tuple[int, ...]:
        return tuple(n for sha in shas if (n := self._numbers.get(sha)) is not None)

    def _view(self, parents: Iterable[int]) -> Visible:
        return seen_from((p, self._hidden[p]) for p in parents)

    def _remember(self, sha: str, parents: tuple[int, ...]) -> None:
        number = len(self.shas)
        self.shas.append(sha)
        self._numbers[sha] = number
        hidden = self._view(parents).hidden_below(number)
        shared = next((h for p in parents if (h := self._hidden[p]) == hidden), hidden)
        self._hidden.append(shared)
        self._parents.append(parents)
        for parent in parents:
            self._children_to_come[parent] -= 1
            if self._children_to_come[parent] <= 0:
                del self._children_to_come[parent]
        # A commit without children is where a branch ends, and may be asked for no more.
        if n := self._n_children.get(sha, 0):
            self._children_to_come[number] = n

    def _find(self, path: str, blob: int, parents: tuple[int, ...]) -> _Version | None:
        versions = self._files.get(path)
        if versions is None or not parents:
            return None
        seen = self._view(parents)
        same = {v.number: v for v in versions.kept if v.blob == blob and seen.shows(v.number)}
        if len(same) < 2:
            return next(iter(same.values()), None)
        return same[self._nearest(same, parents)]

    def _nearest(self, same: Mapping[int, _Version], parents: tuple[int, ...]) -> int:
        """The one that blame comes to first: it follows the first parent that has the content."""
        while True:
            have = (p for p in parents if any(self._has(p, v) for v in same.values()))
            # Content that came back by a merge counts as replaced; then an ancestor will do.
            had = (p for p in parents if p in same or any(map(self._before(p).shows, same)))
            parent = next(chain(have, had))
            if parent in same:
                return parent
            parents = self._parents[parent]

    def _has(self, number: int, version: _Version) -> bool:
        """Whether a commit still has the content: it sees it, and nothing that replaced it."""
        seen = self._view((number,))
        return seen.shows(version.number) and not any(map(seen.shows, version.replaced_by))

    def _before(self, number: int) -> Visible:
        return self._view(self._parents[number])

    def _put(self, path: str, version: _Version) -> None:
        versions = self._files.setdefault(path, _Versions())
        versions.kept.append(version)
        if len(versions.kept) > versions.n_before_sweep:
            versions.kept = [v for v in versions.kept if self._is_needed(v)]
            versions.n_before_sweep = max(_FEW, 2 * len(versions.kept))

    def _is_needed(self, version: _Version) -> bool:
        for number in self._children_to_come:
            if number < version.number:
                continue
            if self._has(number, version):
                return True
        return False

    def _merged(self, file: CombinedFile, parents: tuple[int, ...], number: int) -> array[int]:
        """A merge's own content of a file: each line from the first parent that has it."""
        found = [
            self._find(path, blob, (parent,)) if blob else None
            for (path, blob), parent in zip(file.before, parents, strict=False)
        ]
        for version in found:
            if version is not None:
                version.replaced_by.append(number)
        sides: list[Sequence[int]] = [v.owners if v is not None else () for v in found]
        after = array("i")
        at = 0
        for starts, lines in file.hunks:
            after.extend(sides[0][at : starts[0]])
            after.extend([NOBODY] * (starts[0] - max(at, len(sides[0]))))
            places = list(starts)
            for signs in lines:
                owner = number
                for side, sign in reversed(list(enumerate(signs))):
                    is_kept = sign == _SPACE and _MINUS not in signs
                    if is_kept:
                        owner = _at(sides[side], places[side])
                    # A line that was taken out is there in the parents with that sign.
                    if is_kept or sign == _MINUS:
                        places[side] += 1
                if _MINUS not in signs:
                    after.append(owner)
            at = places[0]
        after.extend(sides[0][at:])
        return after


def _at(owners: Sequence[int], place: int) -> int:
    return owners[place] if place < len(owners) else NOBODY


def _applied(owners: Sequence[int], spans: Iterable[LineSpan], number: int) -> array[int]:
    """The lines after a change: what it adds is its own."""
    after = array("i", owners)
    shift = 0
    for span in spans:
        # A hunk without old lines names the line in front of the gap.
        start = span.old_start - (1 if span.old_lines else 0) + shift
        after.extend([NOBODY] * (start - len(after)))
        after[start : start + span.old_lines] = array("i", [number]) * span.new_lines
        shift += span.new_lines - span.old_lines
    return after


_SPACE, _MINUS = b" -"
