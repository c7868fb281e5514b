"""The past of a mirror, kept in a file beside it and brought forward by new commits, so that a
commit is measured in milliseconds whatever the size of the history.

What the past is belongs to `domain/history`; the numbers are the same as those of a whole history
read at once, because a commit sees its ancestors only, in whatever order branches were fed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from agentci_dagster.adapters.git.log import HISTORY_TIMEOUT, entries, entry_of
from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.features import CommitFeatures, measure
from agentci_dagster.domain.history import (
    AuthorRecord,
    Change,
    CommitRecord,
    FileRecord,
    History,
)

K = TypeVar("K")
V = TypeVar("V")

FILE = "history.sqlite"
# To be raised whenever records mean something else; an older file is then made again.
_VERSION = 1
_TABLES = """
create table commits (
    sha text primary key, number integer not null unique, rank integer not null,
    committed_s integer not null, hidden blob not null, pace real not null,
    n_changes integer not null, n_fixes integer not null, n_reverts integer not null
) without rowid;
create table files (path text primary key, rows blob not null);
create table authors (
    id text primary key, number integer not null, numbers blob not null, moments blob not null,
    groups blob not null, names text not null
);
create table tips (sha text primary key) without rowid;
"""
# Numbers have no gaps, and counting rows would read them all.
_N_COMMITS = "select coalesce(max(number) + 1, 0) from commits"
_N_AUTHORS = "select coalesce(max(number) + 1, 0) from authors"
_HAS_FILES = "select exists (select 1 from files)"
_COMMIT = (
    "select number, rank, committed_s, hidden, pace, n_changes, n_fixes, n_reverts from commits"
)


def measured(plumbing: Plumbing, diff: CommitDiff) -> CommitFeatures:
    """The measures of a commit from its ancestors, a merge's against its first parent."""
    change = entry_of(plumbing, diff.commit.key.sha).change
    with _opened(plumbing.folder / FILE) as database:
        past = _StoredPast(database)
        past.bring_to(plumbing, change.parents)
        row = measure(change, past.history)
        past.add(change)
        past.save()
    return replace(row, is_capped=max(row.is_capped, float(diff.is_capped)))


class _StoredPast:
    """The past in one file, changed within one transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._commits: _Table[str, CommitRecord] = _Table(
            database, _N_COMMITS, _COMMIT + " where sha = ?", _commit_from
        )
        # Filled by the other table: each commit is written once.
        self._numbers: _Table[int, CommitRecord] = _Table(
            database, _N_COMMITS, _COMMIT + " where number = ?", _commit_from
        )
        self._files: _Table[str, FileRecord] = _Table(
            database, _HAS_FILES, "select rows from files where path = ?", FileRecord
        )
        self._authors: _Table[str, AuthorRecord] = _Table(
            database,
            _N_AUTHORS,
            "select number, numbers, moments, groups, names from authors where id = ?",
            _author_from,
        )
        self._tips = {sha for (sha,) in database.execute("select sha from tips")}
        self.history = History(self._commits, self._numbers, self._files, self._authors)

    def bring_to(self, plumbing: Plumbing, shas: tuple[str, ...]) -> None:
        """Feed what these commits descend from, themselves included, as far as it is new."""
        new = [sha for sha in shas if not self.history.knows(sha)]
        if new:
            for entry in entries(plumbing, new, sorted(self._tips)):
                self.add(entry.change)

    def add(self, change: Change) -> None:
        """Feed one commit whose parents were fed."""
        if self.history.knows(change.sha):
            return
        self.history.add(change)
        self._tips.difference_update(change.parents)
        self._tips.add(change.sha)

    def save(self) -> None:
        """Write what is new."""
        run = self._database.executemany
        run(
            "insert into commits values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((sha, *_commit_row(record)) for sha, record in self._commits.new()),
        )
        run(
            "insert or replace into files values (?, ?)",
            ((path, record.tobytes()) for path, record in self._files.new()),
        )
        run(
            "insert or replace into authors values (?, ?, ?, ?, ?, ?)",
            ((author, *_author_row(record)) for author, record in self._authors.new()),
        )
        self._database.execute("delete from tips")
        run("insert into tips values (?)", ((sha,) for sha in sorted(self._tips)))


class _Table(Generic[K, V]):
    """The records of one table, read when they are asked for and written together."""

    def __init__(
        self, database: sqlite3.Connection, size: str, find: str, read: Callable[..., V]
    ) -> None:
        self._database = database
        self._find = find
        self._read = read
        (self._n_stored,) = database.execute(size).fetchone()
        self._known: dict[K, V | None] = {}
        self._new: dict[K, V] = {}
        self._n_added = 0

    def get(self, key: K, /) -> V | None:
        if key not in self._known:
            row = None
            if self._n_stored:
                row = self._database.execute(self._find, (key,)).fetchone()
            self._known[key] = self._read(*row) if row else None
        return self._known[key]

    def __setitem__(self, key: K, value: V, /) -> None:
        self._n_added += self.get(key) is None
        self._known[key] = self._new[key] = value

    def __len__(self) -> int:
        return int(self._n_stored) + self._n_added

    def new(self) -> Iterator[tuple[K, V]]:
        """What was put in since it was opened."""
        return iter(self._new.items())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the file, which is made, or made again when it cannot be used."""
    try:
        database = _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise _unusable(path, error) from error
        path.unlink(missing_ok=True)
        database = _connected(path)
    try:
        yield database
        database.execute("commit")
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        database.close()


def _connected(path: Path) -> sqlite3.Connection:
    # Whoever comes second waits until the first has read the whole history.
    timeout = HISTORY_TIMEOUT.total_seconds()
    database = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        database.execute("pragma synchronous = normal")
        database.execute("pragma journal_mode = truncate")
        database.execute("begin immediate")
        (version,) = database.execute("pragma user_version").fetchone()
        if version != _VERSION:
            for (name,) in database.execute(
                "select name from sqlite_master where type = 'table'"
            ).fetchall():
                database.execute(f"drop table {name}")
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.execute(f"pragma user_version = {_VERSION}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _unusable(path: Path, error: sqlite3.Error) -> GitError:
    return GitError(
        f"The stored past {path} cannot be used: {error}.",
        "look at the free space and the rights there; the file may be deleted at any time",
    )


def _commit_from(number: int, rank: int, at: int, hidden: bytes, *rest: float) -> CommitRecord:
    pace, *counts = rest
    n_changes, n_fixes, n_reverts = (int(n) for n in counts)
    intervals = tuple(array("q", hidden))
    return CommitRecord(number, rank, at, intervals, pace, n_changes, n_fixes, n_reverts)


def _commit_row(record: CommitRecord) -> tuple[float | bytes, ...]:
    return (
        record.number,
        record.rank,
        record.committed_s,
        array("q", record.hidden).tobytes(),
        record.pace,
        record.n_changes,
        record.n_fixes,
        record.n_reverts,
    )


def _author_from(
    number: int, numbers: bytes, moments: bytes, groups: bytes, names: str
) -> AuthorRecord:
    group_names = [tuple(group) for group in json.loads(names)]
    return AuthorRecord(
        number, array("q", numbers), array("q", moments), array("q", groups), group_names
    )


def _author_row(record: AuthorRecord) -> tuple[int | bytes | str, ...]:
    return (
        record.number,
        record.numbers.tobytes(),
        record.moments.tobytes(),
        record.groups.tobytes(),
        json.dumps(record.group_names),
    )
