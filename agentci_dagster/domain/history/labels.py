"""Labels from history: the commits that brought in what fixes later took out (Śliwerski, Zimmermann
and Zeller, "When do changes induce fixes?", 2005: SZZ), for the time before there are outcomes.

Blank lines and comments are not blamed (Kim et al., "Automatic identification of bug-introducing
changes", 2006); changes of white space and renames never own a line when the history is read with
`-w -M`. A commit that a fix names itself, by `This reverts commit` or `Fixes:`, is blamed too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agentci_dagster.domain.diff import FileKind
from agentci_dagster.domain.history.log import LogEntry
from agentci_dagster.domain.history.messages import blamed_commits
from agentci_dagster.domain.history.ownership import NOBODY, Ownership

_BLAMED_KINDS = frozenset(
    (FileKind.SOURCE, FileKind.MIGRATION, FileKind.CONFIGURATION, FileKind.CONTAINER)
)
_NO_CODE = re.compile(
    rb"\s*(?:\#(?!\s*(?:if|define|include|else|end)).*|//.*|/\*.*|\*.*|--.*|;.*|)"
)


@dataclass(frozen=True, slots=True)
class BlamedLine:
    """A line that a fix took out: where it was before the fix (1-based), and who had put it
    there; None when that is not known.
    """

    path: str
    line: int
    sha: str | None


@dataclass(frozen=True, slots=True)
class FixLabel:
    """A commit that mends: the lines that it took out, and the commits that its message names."""

    sha: str
    at_s: int
    lines: tuple[BlamedLine, ...]
    named: tuple[str, ...]

    @property
    def guilty(self) -> tuple[str, ...]:
        """The commits to blame, each once."""
        owners = (line.sha for line in self.lines)
        return tuple(dict.fromkeys(sha for sha in (*self.named, *owners) if sha))


def find_fixes(entries: Iterable[LogEntry], n_children: Mapping[str, int]) -> Iterator[FixLabel]:
    """The fixes of a history and whom they blame, in its order.

    Args:
        entries: the whole history, parents first, read with white space ignored and with merges
            against all of their parents.
        n_children: how many children each commit has, by sha.
    """
    ownership = Ownership(n_children)
    for entry in entries:
        change = entry.change
        if change.is_fix and not change.is_merge:
            lines = tuple(_lines(entry, ownership))
            named = tuple(_named(entry.message, ownership.shas)) if entry.message else ()
            if lines or named:
                yield FixLabel(change.sha, change.committed_s, lines, named)
        ownership.add(entry)


def _lines(entry: LogEntry, ownership: Ownership) -> Iterator[BlamedLine]:
    for index, file in enumerate(entry.change.files):
        if file.kind not in _BLAMED_KINDS or not file.lines_deleted:
            continue
        owners = ownership.before(entry, index)
        for hunk in entry.patches[index].hunks():
            texts = [t for t in hunk.old.split(b"\n")[1:] if t.startswith(b"-")]
            for offset, text in enumerate(texts):
                if _NO_CODE.fullmatch(text[1:]):
                    continue
                line = hunk.span.old_start + offset
                owner = owners[line - 1] if line <= len(owners) else NOBODY
                sha = ownership.shas[owner] if owner != NOBODY else None
                yield BlamedLine(file.path_before, line, sha)


def _named(message: str, shas: list[str]) -> Iterator[str]:
    for start in blamed_commits(message):
        # Shortened names are looked up among the ancestors' and others' names seen so far.
        found = [sha for sha in shas if sha.startswith(start)]
        if len(found) == 1:
            yield found[0]
