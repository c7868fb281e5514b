"""A commit as git's log tells it: the one input of the measures, of the past that they are taken
from, and of the labels. How it is parsed: `log.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentci_dagster.domain.diff import FileKind, FileStatus


@dataclass(frozen=True, slots=True)
class LineSpan:
    """One hunk of a diff without context: where it is (1-based) and how many lines, before and
    after. Where it has no lines, `start` is the line in front of the gap.
    """

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a change. Lines are None for a binary file; a blob is the beginning of its
    object's name as a number, 0 where the file is not there.
    """

    path: str
    old_path: str | None = None
    status: FileStatus = FileStatus.MODIFIED
    kind: FileKind = FileKind.OTHER
    lines_added: int | None = None
    lines_deleted: int | None = None
    old_blob: int = 0
    new_blob: int = 0
    n_hunks: int = 0

    @property
    def churn(self) -> int:
        return (self.lines_added or 0) + (self.lines_deleted or 0)

    @property
    def path_before(self) -> str:
        """The name under which its past is found; a copy is a new file without a past."""
        is_moved = self.status is FileStatus.RENAMED and self.old_path is not None
        return self.old_path if is_moved and self.old_path is not None else self.path


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of what a piece of code is made of; see `content.py`."""

    words: int = 0
    controls: int = 0
    calls: int = 0
    literals: int = 0
    operators: int = 0
    handlers: int = 0
    comments: int = 0
    depth: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A commit with what it changes against its first parent.

    `committed_s` are seconds since 1970, within the calendar. A merge that only carries history on
    has `files` only where they were asked for; it is never part of the past of files and authors.
    """

    sha: str
    parents: tuple[str, ...]
    author_id: str
    committed_s: int
    is_fix: bool = False
    is_revert: bool = False
    files: tuple[ChangedFile, ...] = ()
    added: Tokens = field(default_factory=Tokens)
    removed: Tokens = field(default_factory=Tokens)
    is_capped: bool = False

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1
