"""Parsing of `git diff-tree -r -z --raw --numstat -U0 -p`: plain functions on bytes, for names and
contents that mean harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentci_dagster.domain.diff.values import FileStatus, Hunk

_STATUSES = {
    "A": FileStatus.ADDED,
    "M": FileStatus.MODIFIED,
    "D": FileStatus.DELETED,
    "R": FileStatus.RENAMED,
    "C": FileStatus.COPIED,
    "T": FileStatus.TYPE_CHANGED,
}
_RAW = re.compile(rb":(\d{6}) (\d{6}) ([0-9a-f]{40}) ([0-9a-f]{40}) ([AMDRCTUXB])\d*")
_NUMSTAT = re.compile(rb"(\d+|-)\t(\d+|-)\t")
# Lines of contents begin with +, -, space or backslash and names in headers are quoted, so neither
# can look like these.
_PATCH_LINE = re.compile(
    rb"^(?:(diff --git )|@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@)", re.MULTILINE
)
# What git itself never lets into a work tree, on any file system.
_GIT_FOLDER = re.compile(r"\.git|git~\d+", re.IGNORECASE)

_SHOWN_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")
_MAX_COMPONENT = 255
MAX_PATH = 4096
"""Bytes of a path or of a link's target, on Linux."""
SYMLINK = "120000"
SUBMODULE = "160000"
EXECUTABLE = "100755"
NO_MODE = "000000"


@dataclass(frozen=True, slots=True)
class RawChange:
    """One file of a diff as git tells it; modes are octal text, blobs are object names, lines None
    when binary.
    """

    path: str
    old_path: str | None
    status: FileStatus
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str
    lines_added: int | None = None
    lines_deleted: int | None = None

    @property
    def is_submodule(self) -> bool:
        return SUBMODULE in (self.old_mode, self.new_mode)


@dataclass(frozen=True, slots=True)
class RawDiff:
    """All files of a diff in git's order with the hunks of each; `is_truncated`: the patch was
    cut, later hunks are missing.
    """

    changes: tuple[RawChange, ...]
    hunks: tuple[tuple[Hunk, ...], ...]
    is_truncated: bool = False


def display_name(name: bytes) -> str:
    r"""A path as text that survives JSON: bytes that are not UTF-8 become `\\xNN`, everything else
    stays as it is.
    """
    return name.decode("utf-8", errors="backslashreplace")


def name_of(path: str) -> bytes:
    """The bytes that a displayed path stands for, most likely: nearly nobody writes the escapes
    themselves.
    """
    return _SHOWN_BYTE.sub(lambda found: bytes.fromhex(found[1].decode()), path.encode())


def is_safe_path(path: str) -> bool:
    """Whether writing the path below a folder stays there and touches no git folder."""
    parts = path.split("/")
    return "\0" not in path and not any(
        part in ("", ".", "..") or _GIT_FOLDER.fullmatch(part.rstrip(". ")) for part in parts
    )


def fits_a_file_system(name: bytes, n_before: int = 0) -> bool:
    """Whether a file of that name can be made at all, below a folder of `n_before` bytes."""
    parts = name.split(b"/")
    return max(map(len, parts)) <= _MAX_COMPONENT and n_before + len(name) < MAX_PATH


def parse_diff(output: bytes, *, is_truncated: bool = False) -> RawDiff:
    """Read git's output, which may have been cut off anywhere.

    Raises:
        ValueError: it is not the output of the command named at the top.
    """
    changes: list[RawChange] = []
    lines: list[tuple[int | None, int | None]] = []
    position = 0
    try:
        while position < len(output):
            if output.startswith(b"\0", position):
                position += 1
                break
            if output.startswith(b":", position):
                change, position = _raw_change(output, position)
                changes.append(change)
            else:
                counts, position = _numstat(output, position)
                lines.append(counts)
    except ValueError:
        if not is_truncated:
            raise
        position = len(output)
    lines += [(None, None)] * (len(changes) - len(lines))
    counted = tuple(
        _with_lines(change, added, deleted)
        for change, (added, deleted) in zip(changes, lines, strict=False)
    )
    return RawDiff(counted, _hunks(output[position:], counted), is_truncated)


def _raw_change(output: bytes, position: int) -> tuple[RawChange, int]:
    head, position = _field(output, position)
    found = _RAW.fullmatch(head)
    if found is None:
        raise ValueError(f"not a raw entry of git diff-tree: {head[:80]!r}")
    old_mode, new_mode, old_blob, new_blob, letter = (part.decode() for part in found.groups())
    status = _STATUSES.get(letter, FileStatus.MODIFIED)
    name, position = _field(output, position)
    old_path: str | None = None
    if status in (FileStatus.RENAMED, FileStatus.COPIED):
        old_path = display_name(name)
        name, position = _field(output, position)
    path = display_name(name)
    return RawChange(path, old_path, status, old_mode, new_mode, old_blob, new_blob), position


def _numstat(output: bytes, position: int) -> tuple[tuple[int | None, int | None], int]:
    found = _NUMSTAT.match(output, position)
    if found is None:
        raise ValueError(f"not the output of git diff-tree at byte {position}")
    name, position = _field(output, found.end())
    if not name:  # a rename: the old and the new name follow
        _, position = _field(output, position)
        _, position = _field(output, position)
    return (_count(found[1]), _count(found[2])), position


def _field(output: bytes, position: int) -> tuple[bytes, int]:
    end = output.find(b"\0", position)
    if end < 0:
        raise ValueError(f"the output of git ends in the middle of an entry at byte {position}")
    return output[position:end], end + 1


def _count(number: bytes) -> int | None:
    return None if number == b"-" else int(number)


def _with_lines(change: RawChange, added: int | None, deleted: int | None) -> RawChange:
    return RawChange(
        change.path,
        change.old_path,
        change.status,
        change.old_mode,
        change.new_mode,
        change.old_blob,
        change.new_blob,
        added,
        deleted,
    )


def _hunks(patch: bytes, changes: tuple[RawChange, ...]) -> tuple[tuple[Hunk, ...], ...]:
    """The patch has the files in the same order; a change of type is shown as two, a deletion and
    an addition.
    """
    sections = [
        index
        for index, change in enumerate(changes)
        for _ in range(2 if change.status is FileStatus.TYPE_CHANGED else 1)
    ]
    hunks: list[list[Hunk]] = [[] for _ in changes]
    for section, hunk in _patch_hunks(patch):
        if section < len(sections):
            hunks[sections[section]].append(hunk)
    return tuple(tuple(h) for h in hunks)


def _patch_hunks(patch: bytes) -> Iterator[tuple[int, Hunk]]:
    section = -1
    for found in _PATCH_LINE.finditer(patch):
        if found[1]:
            section += 1
            continue
        old_start, old_lines, new_start, new_lines = found[2], found[3], found[4], found[5]
        yield (
            section,
            Hunk(
                int(old_start),
                1 if old_lines is None else int(old_lines),
                int(new_start),
                1 if new_lines is None else int(new_lines),
            ),
        )
