"""What is known of files and authors at a moment: a state that is fed with past commits, and the
parser of git's log that feeds it.

The measures taken from it are in `features.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agentci_dagster.domain.diff import FileStatus, display_name

# With -z and --raw, which tells names from everything else; the first byte begins a commit.
LOG_FORMAT = "%x01%H%x00%ct%x00%ae%x00%B%x00"

_EARLIEST, _LATEST = 0, int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_FIX = re.compile(
    r"\b(fix(e[sd]|ing|up|ups)?|bug(s|gy|fix|fixes)?|defects?|hot-?fix(es)?|revert(s|ed|ing)?|regressions?|faults?"
    r"|crash(es|ed|ing)?|broken|repair(s|ed)?|mend(s|ed)?|patch(es|ed)?|workaround|mistakes?|incorrect(ly)?|wrong(ly)?)\b",
    re.IGNORECASE,
)
_SECONDS = re.compile(rb"-?\d{1,20}")
_READ_OF_MESSAGE = 10_000
_RAW = re.compile(rb"\n?:\d{6} \d{6} [0-9a-f]+ [0-9a-f]+ ([A-Z])\d*")
_NUMSTAT = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file as a past commit touched it; lines are None for a binary file or when they were not
    asked for.
    """

    path: str
    old_path: str | None = None
    status: FileStatus = FileStatus.MODIFIED
    lines_added: int | None = None
    lines_deleted: int | None = None


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A past commit, as far as later ones are measured by it."""

    sha: str
    author_id: str
    at: datetime
    is_fix: bool
    files: tuple[PastFile, ...]


@dataclass(slots=True)
class FilePast:
    """What happened to one file so far."""

    last_sha: str
    last_at: datetime
    n_changes: int = 0
    lines: int = 0
    author_ids: set[str] = field(default_factory=set)
    fixes: set[str] = field(default_factory=set)


@dataclass(slots=True)
class AuthorPast:
    """What one author did so far: the moments of all changes, and how many touched each
    subsystem.
    """

    moments: list[datetime] = field(default_factory=list)
    subsystems: dict[str, set[str]] = field(default_factory=dict)


class History:
    """The state of files and authors after the commits it was fed with, oldest first. Feeding a
    commit twice counts once.
    """

    def __init__(self, commits: Iterable[PastCommit] = ()) -> None:
        self._files: dict[str, FilePast] = {}
        self._authors: dict[str, AuthorPast] = {}
        self._shas: set[str] = set()
        for commit in commits:
            self.add(commit)

    def __len__(self) -> int:
        return len(self._shas)

    def file(self, path: str) -> FilePast | None:
        """What is known of a file; None when it never was."""
        return self._files.get(path)

    def author(self, author_id: str) -> AuthorPast:
        """What is known of an author; an empty past for a newcomer."""
        return self._authors.get(author_id) or AuthorPast()

    def add(self, commit: PastCommit) -> None:
        """Take in one more commit."""
        if commit.sha in self._shas:
            return
        self._shas.add(commit.sha)
        author = self._authors.setdefault(commit.author_id, AuthorPast())
        author.moments.append(commit.at)
        for file in commit.files:
            author.subsystems.setdefault(subsystem_of(file.path), set()).add(commit.sha)
            self._add_to_file(commit, file)

    def _add_to_file(self, commit: PastCommit, file: PastFile) -> None:
        if file.status is FileStatus.RENAMED and file.old_path in self._files:
            self._files[file.path] = self._files.pop(file.old_path)
        past = self._files.setdefault(file.path, FilePast(commit.sha, commit.at))
        past.last_sha, past.last_at = commit.sha, commit.at
        past.n_changes += 1
        past.lines = max(0, past.lines + (file.lines_added or 0) - (file.lines_deleted or 0))
        past.author_ids.add(commit.author_id)
        if commit.is_fix:
            past.fixes.add(commit.sha)
        if file.status is FileStatus.DELETED:
            past.lines = 0


def subsystem_of(path: str) -> str:
    """The top-level folder; empty for files at the root (Mockus and Weiss, 2000)."""
    return path.partition("/")[0] if "/" in path else ""


def directory_of(path: str) -> str:
    """The folder; empty for files at the root."""
    return path.rpartition("/")[0]


def is_fix(message: str) -> bool:
    """Whether the message says that something is mended: words after Mockus and Votta (2000), and
    reverts.
    """
    return _FIX.search(message[:_READ_OF_MESSAGE]) is not None


def author_id_of(address: bytes) -> str:
    """A digest of the author's address: enough to count, not to name."""
    return hashlib.sha256(address.strip().lower()).hexdigest()[:16]


def moment_of(seconds: int) -> datetime:
    """An instant from git's seconds; hostile commits claim any number, so it is kept within the
    calendar.
    """
    return datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), UTC)


def seconds_of(text: bytes) -> int:
    """Git's seconds as a number; 0, the epoch, for a commit whose date git cannot read."""
    return int(text) if _SECONDS.fullmatch(text) else 0


def parse_log(output: bytes) -> Iterator[PastCommit]:
    """Read `git log -z --format=LOG_FORMAT` with --raw, and --numstat where lines are wanted, in
    its order.

    Raises:
        ValueError: it is not the output of that command.
    """
    fields = iter(output.split(b"\0"))
    head = next(fields, b"")
    while head:
        if not head.startswith(b"\x01"):
            raise ValueError(f"not the beginning of a commit in git log: {head[:60]!r}")
        seconds, address, message = (next(fields, b"") for _ in range(3))
        files, following = _files(fields)
        yield PastCommit(
            head[1:].decode(),
            author_id_of(address),
            moment_of(seconds_of(seconds)),
            is_fix(message.decode(errors="replace")),
            files,
        )
        head = following


def _files(fields: Iterator[bytes]) -> tuple[tuple[PastFile, ...], bytes]:
    """The files of one commit, and the field that begins the next one (empty at the end)."""
    found: dict[str, PastFile] = {}
    for text in fields:
        if text.startswith(b"\x01"):
            return tuple(found.values()), text
        if raw := _RAW.fullmatch(text):
            _add_raw(found, raw[1].decode(), fields)
        elif counts := _NUMSTAT.fullmatch(text):
            _add_counts(found, counts, fields)
        elif text.strip(b"\n"):
            raise ValueError(f"not a file entry of git log: {text[:60]!r}")
    return tuple(found.values()), b""


def _add_raw(found: dict[str, PastFile], letter: str, fields: Iterator[bytes]) -> None:
    first = display_name(next(fields, b""))
    if letter in "RC":
        path = display_name(next(fields, b""))
        status = FileStatus.RENAMED if letter == "R" else FileStatus.COPIED
        found[path] = PastFile(path, first, status)
        return
    status = {"A": FileStatus.ADDED, "D": FileStatus.DELETED}.get(letter, FileStatus.MODIFIED)
    found[first] = PastFile(first, None, status)


def _add_counts(
    found: dict[str, PastFile], counts: re.Match[bytes], fields: Iterator[bytes]
) -> None:
    name = counts[3]
    if not name:  # a rename: the old and the new name follow
        next(fields, b"")
        name = next(fields, b"")
    path = display_name(name)
    known = found.get(path, PastFile(path))
    added, deleted = (None if n == b"-" else int(n) for n in (counts[1], counts[2]))
    found[path] = PastFile(known.path, known.old_path, known.status, added, deleted)
