"""The files of a folder with their digests, and what differs from such a list later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_RUNS_AS_CODE = (".py", ".pyc", ".so", ".pth")
"""Files that are not in the list may be what a service has written, unless Python imports them."""


def file_list(folder: Path) -> dict[str, str]:
    """Path below the folder to the SHA-256 of the file, or where a link leads."""
    return {path: _digest(folder / path) for path in sorted(_paths(folder))}


def difference(folder: Path, listed: Mapping[str, str]) -> str:
    """The first file that is not as it was, in words; empty when all are."""
    for path, digest in listed.items():
        try:
            found = _digest(folder / path)
        except OSError as error:
            return f"{path} cannot be read any more ({error.strerror})"
        if found != digest:
            return f"{path} has other bytes than when it was built"
    for path in _paths(folder):
        if path not in listed and path.endswith(_RUNS_AS_CODE):
            return f"{path} was not there when it was built"
    return ""


def _paths(folder: Path) -> Iterator[str]:
    for home, folders, names in os.walk(folder):
        links = [name for name in folders if Path(home, name).is_symlink()]
        for name in (*names, *links):
            yield str(Path(home, name).relative_to(folder))


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
