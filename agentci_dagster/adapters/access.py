"""Who may read and write the places that a sandbox is given, whatever our umask and user are.

Code of a commit may be at work in them already and put a link where a file was, so rights are only
changed through an open descriptor that followed none.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hand_over(folder: Path, uid: int) -> None:
    """Give a throwaway folder to the user that runs inside. What was put into it since it was
    handed over stays ours and is made readable.
    """
    if not uid:
        return
    if folder.lstat().st_uid == uid:
        for path in folder.iterdir():
            try:
                is_ours = path.lstat().st_uid != uid
            except FileNotFoundError:
                continue
            if is_ours:
                make_readable(path)
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid, follow_symlinks=False)


def make_readable(place: Path) -> None:
    """Let everybody read a place, all of it; what vanishes meanwhile is passed over."""
    _open_to_all(str(place))
    try:
        top = os.open(place, _NO_LINK | os.O_DIRECTORY)
    except OSError:
        return
    try:
        for _, folders, files, descriptor in os.fwalk(".", dir_fd=top):
            for name in (*folders, *files):
                _open_to_all(name, descriptor)
    finally:
        os.close(top)


def let_read(place: Path, uid: int) -> None:
    """Let the user inside read a place; folders in it that are open already are taken to be so
    throughout, because an environment has too many files to look at before every run.
    """
    if not uid:
        return
    _open_to_all(str(place))
    if not place.is_dir():
        return
    for path in place.iterdir():
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode) or mode & 0o005 != 0o005:
            make_readable(path)


def _open_to_all(name: str, folder: int | None = None) -> None:
    try:
        descriptor = os.open(name, _NO_LINK, dir_fd=folder)
    except OSError:
        return
    try:
        mode = os.fstat(descriptor).st_mode
        wanted = 0o055 if stat.S_ISDIR(mode) or mode & 0o100 else 0o044
        if mode & wanted != wanted:
            os.fchmod(descriptor, stat.S_IMODE(mode) | wanted)
    finally:
        os.close(descriptor)
