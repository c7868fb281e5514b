"""What a run adds to the disk, looked at while it goes on.

The kernel limits single files only; quotas need a file system that has them. What is done about
too much belongs to the sandbox.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_FILES = 1_000_000
"""More than this is not counted in one look."""
_MAX_NEW_FILES = 200_000
_LOOK_S = 0.5
_SHARE_OF_TIME = 10
"""A look may cost a tenth of the time at most; a slow one makes the next one later."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What folders take: allocated bytes, files and folders; `is_whole`: nothing was hidden."""

    n_bytes: int
    n_files: int
    is_whole: bool


class DiskWatch:
    """Compares what folders take with what they took at the start.

    Args:
        folders: all that a run may write to on the disk.
        max_bytes: what they may grow by together.

    Raises:
        OSError: a folder is not there.
    """

    def __init__(self, folders: Sequence[Path], max_bytes: int) -> None:
        self._folders = folders
        self._max_bytes = max_bytes
        self._devices = {folder.stat().st_dev for folder in folders}
        self._before = measure(folders, _MAX_FILES)
        self._free_before = _free(folders)
        self._next_look = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self._next_look

    def is_over(self, pids: Iterable[int] = ()) -> bool:
        """Whether the folders have grown too much, with files that `pids` still hold open."""
        began = time.monotonic()
        most = min(_MAX_FILES, self._before.n_files + _MAX_NEW_FILES)
        use = measure(self._folders, most)
        n_bytes = use.n_bytes + _deleted_but_open(pids, self._devices) - self._before.n_bytes
        ended = time.monotonic()
        self._next_look = ended + max(_LOOK_S, _SHARE_OF_TIME * (ended - began))
        if n_bytes > self._max_bytes or use.n_files > most:
            return True
        # A folder that we may not look into is no proof; one that goes with a fuller disk is.
        return not use.is_whole and self._free_before - _free(self._folders) > self._max_bytes


def measure(folders: Sequence[Path], max_files: int) -> DiskUse:
    """What folders take, each hard-linked file once; links are not followed. Counting ends
    after `max_files`.
    """
    n_bytes = n_files = 0
    is_whole = True
    linked: set[tuple[int, int]] = set()
    waiting = [str(folder) for folder in folders]
    while waiting and n_files <= max_files:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    n_files += 1
                    if n_files > max_files:
                        break
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(entry.path)
                    elif facts.st_nlink > 1:
                        if (facts.st_dev, facts.st_ino) in linked:
                            continue
                        linked.add((facts.st_dev, facts.st_ino))
                    n_bytes += facts.st_blocks * 512
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            is_whole = False
    return DiskUse(n_bytes, n_files, is_whole)


def _deleted_but_open(pids: Iterable[int], devices: set[int]) -> int:
    """Bytes of files without a name on these disks that processes still hold."""
    found: dict[int, int] = {}
    for pid in pids:
        try:
            with os.scandir(f"/proc/{pid}/fd") as descriptors:
                paths = [entry.path for entry in descriptors]
        except OSError:
            continue
        for path in paths:
            try:
                facts = os.stat(path)  # noqa: PTH116 - the thousands of these are no paths
            except OSError:
                continue
            if stat.S_ISREG(facts.st_mode) and not facts.st_nlink and facts.st_dev in devices:
                found[facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())


def _free(folders: Sequence[Path]) -> int:
    facts = os.statvfs(folders[0].parent)
    return facts.f_bavail * facts.f_frsize
