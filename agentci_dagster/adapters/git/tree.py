"""The files of one commit: listing, reading and exporting them without filters, attributes or a
work tree.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.domain.diff import (
    MAX_PATH,
    display_name,
    fits_a_file_system,
    is_safe_path,
)
from agentci_dagster.domain.errors import GitError

MAX_READ_BYTES = 4 * 1024 * 1024
MAX_EXPORT_BYTES = 4 * 1024 * 1024 * 1024
_CHUNK = 1024 * 1024
_SYMLINK, _SUBMODULE, _EXECUTABLE = "120000", "160000", "100755"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a tree, with its name as git has it; the mode is octal text."""

    mode: str
    blob: str
    name: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """The content of an object, cut at the reader's limit; `size` is what it is in whole."""

    name: str
    size: int
    content: bytes


def tree_of(plumbing: Plumbing, sha: str) -> dict[str, TreeEntry]:
    """All entries of a commit's tree by displayed path, in git's order, submodules included."""
    entries: dict[str, TreeEntry] = {}
    for entry in _entries(plumbing, sha):
        entries.setdefault(display_name(entry.name), entry)
    return entries


def _entries(plumbing: Plumbing, sha: str) -> Iterator[TreeEntry]:
    output = plumbing.ask("ls-tree", "-rz", "--full-tree", "--end-of-options", sha).stdout
    for line in output.split(b"\0"):
        head, tab, name = line.partition(b"\t")
        if tab:
            mode, _, blob = head.decode().split(" ")
            yield TreeEntry(mode, blob, name)


def is_file(entry: TreeEntry) -> bool:
    """Whether the entry has a content of its own; a submodule is only a pointer."""
    return entry.mode != _SUBMODULE


def blobs_of(plumbing: Plumbing, names: Sequence[str], max_bytes: int) -> Iterator[Blob | None]:
    """Contents of objects in the order asked for, from one process; None for a missing one."""
    with _asking_for(names) as asked, plumbing.stream("cat-file", "--batch", stdin=asked) as output:
        for name in names:
            size = _size_of_next(output)
            if size is None:
                yield None
                continue
            kept = output.read(min(size, max_bytes))
            _skip(output, size - len(kept))
            output.read(1)
            yield Blob(name, size, kept)


def export(plumbing: Plumbing, sha: str, folder: Path) -> None:
    """See `Mirror.export`. What is refused is logged; links come last, so that no file is ever
    written through one.
    """
    root = os.fsencode(folder)
    # By the name that git has: two that are displayed alike are two files.
    entries = list({entry.name: entry for entry in _entries(plumbing, sha)}.values())
    inside = [e for e in entries if is_safe_path(display_name(e.name))]
    safe = [e for e in inside if fits_a_file_system(e.name, len(root) + 1)]
    for n, why in (
        (len(entries) - len(inside), "lead outside"),
        (len(inside) - len(safe), "are longer than a file system takes"),
    ):
        if n:
            _log.warning("%s: %d paths %s and were not written", sha, n, why)
    made: set[bytes] = set()
    files = [e for e in safe if e.mode not in (_SYMLINK, _SUBMODULE)]
    links = [e for e in safe if e.mode == _SYMLINK]
    try:
        for entry in safe:
            is_folder = entry.mode == _SUBMODULE
            _make_folder(root, entry.name if is_folder else entry.name.rpartition(b"/")[0], made)
        _write_files(plumbing, files, root)
        _write_links(plumbing, links, root)
    except OSError as error:
        raise GitError(
            f"The tree of {sha} could not be written to {folder}: {error.strerror or error}.",
            "look at the free space and the rights of that folder",
        ) from error


def _make_folder(root: bytes, name: bytes, made: set[bytes]) -> None:
    if name not in made:
        Path(os.fsdecode(root + b"/" + name)).mkdir(parents=True, exist_ok=True)
        made.add(name)


def _write_files(plumbing: Plumbing, files: Sequence[TreeEntry], root: bytes) -> None:
    left = MAX_EXPORT_BYTES
    names = [entry.blob for entry in files]
    with _asking_for(names) as asked, plumbing.stream("cat-file", "--batch", stdin=asked) as output:
        for entry in files:
            size = _size_of_next(output)
            if size is None:
                _log.warning("%s is not in the mirror; %r was not written", entry.blob, entry.name)
                continue
            left -= size
            if left < 0:
                raise GitError(
                    f"The tree is larger than {MAX_EXPORT_BYTES >> 30} GiB.",
                    "take large files out of the repository",
                )
            _write_file(output, size, root + b"/" + entry.name, entry.mode == _EXECUTABLE)
            output.read(1)


def _write_file(output: IO[bytes], size: int, path: bytes, is_executable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o755 if is_executable else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        while size:
            chunk = output.read(min(size, _CHUNK))
            if not chunk:
                raise GitError("git stopped in the middle of a file.")
            file.write(chunk)
            size -= len(chunk)


def _write_links(plumbing: Plumbing, links: Sequence[TreeEntry], root: bytes) -> None:
    targets = blobs_of(plumbing, [e.blob for e in links], MAX_PATH)
    for entry, blob in zip(links, targets, strict=True):
        target = blob.content if blob is not None else b""
        if len(target) >= MAX_PATH:
            _log.warning("the target of the link %r is too long; it was not made", entry.name)
        elif stays_inside(entry.name, target):
            Path(os.fsdecode(root + b"/" + entry.name)).symlink_to(os.fsdecode(target))
        else:
            _log.warning("the link %r leads outside and was not made", entry.name)


def stays_inside(link: bytes, target: bytes) -> bool:
    """Whether a link keeps to its tree, whatever other such links it passes.

    `..` may only lead, not follow a name: after a name that is itself a link, it would start from
    somewhere else.
    """
    if not target or target.startswith(b"/") or b"\0" in target:
        return False
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((i for i, part in enumerate(parts) if part != b".."), len(parts))
    rest = parts[ups:]
    if b".." in rest or not is_safe_path(display_name(b"/".join(rest)) or "x"):
        return False
    return ups <= link.count(b"/")


@contextlib.contextmanager
def _asking_for(names: Sequence[str]) -> Iterator[IO[bytes]]:
    """The request as a file, so that nothing waits for anything while the answer is read."""
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{name}\n" for name in names).encode())
        asked.seek(0)
        yield asked


def _size_of_next(output: IO[bytes]) -> int | None:
    line = output.readline()
    if not line.endswith(b"\n"):
        raise GitError("git stopped in the middle of a list of files.")
    words = line.split()
    return int(words[2]) if len(words) == 3 else None


def _skip(output: IO[bytes], size: int) -> None:
    while size > 0:
        chunk = output.read(min(size, _CHUNK))
        if not chunk:
            return
        size -= len(chunk)


def find(entries: Mapping[str, TreeEntry], path: str) -> TreeEntry | None:
    """The entry of a path that has a content."""
    entry = entries.get(path)
    return entry if entry is not None and is_file(entry) else None
