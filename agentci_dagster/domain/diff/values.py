"""What a commit is and what it changes, as values. How they are found: the modules beside; reading
from git: `adapters/git`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_SHA = re.compile(r"[0-9a-f]{40}")
_ODD_YEARS = (1970, 9999)
"""What the reader of git's dates gives for none, and for those out of the calendar."""
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9_-]*")


class FileStatus(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"
    TYPE_CHANGED = "type_changed"


class FileKind(StrEnum):
    """What a file is for; exactly one kind per path."""

    SOURCE = "source"
    TEST = "test"
    DOCS = "docs"
    DEPENDENCY = "dependency"
    MIGRATION = "migration"
    CONFIGURATION = "configuration"
    CI = "ci"
    CONTAINER = "container"
    OTHER = "other"


class SymbolStatus(StrEnum):
    """What happened to a function or class."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, order=True)
class CommitKey:
    """The identity of a delivered commit; `str(key)` is its partition key `<repository>@<sha>`."""

    repository: str
    sha: str

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"not a repository name ([a-z0-9][a-z0-9_-]*): {self.repository!r}")
        if not _SHA.fullmatch(self.sha):
            raise ValueError(f"not a full commit sha (40 hex digits): {self.sha!r}")

    @classmethod
    def parse(cls, partition_key: str) -> CommitKey:
        """Read a partition key; raises ValueError when it is none."""
        repository, at, sha = partition_key.partition("@")
        if not at:
            raise ValueError(f"not a commit key (<repository>@<sha>): {partition_key!r}")
        return cls(repository, sha)

    def __str__(self) -> str:
        return f"{self.repository}@{self.sha}"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as git records it. Everything textual in it is untrusted.

    `author_id` is a digest of the author's address: enough to count experience, not to name a
    person.
    """

    key: CommitKey
    parents: tuple[str, ...]
    tree: str
    author_id: str
    author_name: str
    authored_at: datetime
    committed_at: datetime
    message: str

    @property
    def subject(self) -> str:
        return self.message.split("\n", 1)[0]

    @property
    def has_odd_date(self) -> bool:
        """Whether git could not read one of its dates, or read one before git or beyond the
        calendar.
        """
        return any(at.year in _ODD_YEARS for at in (self.authored_at, self.committed_at))

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1


@dataclass(frozen=True, slots=True)
class Hunk:
    """One changed region; starts are 1-based, lengths are lines, without context lines."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int


@dataclass(frozen=True, slots=True)
class ChangedSymbol:
    """A function or class touched by the diff; lines are 1-based and inclusive, in the new file
    unless removed.

    `hunks` are positions in the file's hunks, ascending; none for one that moved under another
    name with its surroundings.
    """

    qualified_name: str
    is_class: bool
    status: SymbolStatus
    first_line: int
    last_line: int
    hunks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a diff; line counts are None for a binary file."""

    path: str
    old_path: str | None
    status: FileStatus
    kind: FileKind
    language: str
    lines_added: int | None
    lines_deleted: int | None
    hunks: tuple[Hunk, ...] = ()
    symbols: tuple[ChangedSymbol, ...] = ()

    @property
    def is_binary(self) -> bool:
        return self.lines_added is None

    @property
    def churn(self) -> int:
        return (self.lines_added or 0) + (self.lines_deleted or 0)

    @property
    def added_line_numbers(self) -> tuple[int, ...]:
        """Lines of the new file that the commit added or changed, ascending."""
        return tuple(
            line for h in self.hunks for line in range(h.new_start, h.new_start + h.new_lines)
        )


@dataclass(frozen=True, slots=True)
class CommitDiff:
    """What a commit changes against its first parent (against nothing for a root commit).

    `notes` say in plain words what was capped or odd; `is_capped` means that the diff is larger
    than was read,
    which must never lower the risk.
    """

    commit: Commit
    files: tuple[FileChange, ...]
    is_capped: bool = False
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> CommitKey:
        return self.commit.key

    @property
    def lines_added(self) -> int:
        return sum(f.lines_added or 0 for f in self.files)

    @property
    def lines_deleted(self) -> int:
        return sum(f.lines_deleted or 0 for f in self.files)

    def of_kind(self, *kinds: FileKind) -> tuple[FileChange, ...]:
        return tuple(f for f in self.files if f.kind in kinds)
