"""Connections, transactions and migrations of the ledger's database, and its errors in our words.

SQLite runs in WAL mode with `synchronous=FULL`: the journal of a rollout states the intent before
the effect, and with NORMAL a power cut may lose the last transactions, so that an effect could
stand without its intent. One sync per transaction costs milliseconds; a commit writes some twenty.
What the tables mean is not known here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from agentci_dagster.adapters.sql_ledger.tables import SCHEMA_VERSION, VERSION_TABLE, chain_head
from agentci_dagster.domain.errors import ConfigurationError, LedgerError

T = TypeVar("T")

_ADDRESSES = "set [ledger] url to sqlite:///PATH or postgresql+psycopg2://USER@HOST/NAME"

_MIGRATION_LOCK = 0x41474349
"""Number of PostgreSQL's advisory lock around migrations ("AGCI")."""


class Database:
    """One SQL database, opened at first use; usable from threads and after a fork."""

    def __init__(self, url: str, wait_s: float = 30.0) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError as error:
            raise ConfigurationError(
                "The ledger's address is not a database address.", _ADDRESSES
            ) from error
        if self._url.drivername in {"postgres", "postgresql"}:
            self._url = self._url.set(drivername="postgresql+psycopg2")
        if self._url.get_backend_name() not in {"sqlite", "postgresql"}:
            raise ConfigurationError(
                f"The ledger cannot be kept in {self._url.get_backend_name()}.", _ADDRESSES
            )
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._owner = 0
        self._is_current = False

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def read(self, ask: Callable[[Connection], T], nothing: T) -> T:
        """Ask in one snapshot; `nothing` when there is no ledger, which reading never creates."""
        file = self._file
        if file is not None and not (file.is_file() and file.stat().st_size):
            return nothing
        return self._retry(lambda engine: _within(_reading(engine), ask))

    def write(self, act: Callable[[Connection], T]) -> T:
        """Act in one transaction that excludes every other writer; all of it happens or nothing."""

        def locked(connection: Connection) -> T:
            # SQLite began with BEGIN IMMEDIATE; elsewhere the head's row is the writers' lock.
            connection.execute(select(chain_head.c.id).with_for_update()).all()
            return act(connection)

        return self._retry(lambda engine: _within(_writing(engine), locked))

    def close(self) -> None:
        """Give back all connections; the next use opens again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._owner == os.getpid())
            self._engine, self._is_current = None, False

    @property
    def _file(self) -> Path | None:
        memory = self._url.database in {None, "", ":memory:"}
        return Path(str(self._url.database)) if self.is_sqlite and not memory else None

    def _retry(self, act: Callable[[Engine], T]) -> T:
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                return act(self._open())
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                if not _is_locked(error) or time.monotonic() >= deadline:
                    raise self._explained(error) from error
                time.sleep(0.05)

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is not None and self._owner != os.getpid():
                # After a fork the connections belong to the parent; they are left alone.
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._engine, self._owner = self._make_engine(), os.getpid()
            if not self._is_current:
                self._migrate(self._engine)
                self._is_current = True
            return self._engine

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            try:
                return create_engine(self._url, pool_pre_ping=True, pool_size=3)
            except (ImportError, NoSuchModuleError) as error:
                raise ConfigurationError(
                    f"The driver for the ledger {self.name} is not installed: {error}.",
                    f"pip install 'agentci-dagster[postgres]', or {_ADDRESSES}",
                ) from error
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            self._url, connect_args={"timeout": self._wait_s, "isolation_level": None}
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _migrate(self, engine: Engine) -> None:
        version = _version(engine)
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {self.name} was written by a newer agentci-dagster (schema {version}, "
                f"this one knows {SCHEMA_VERSION}).",
                "upgrade agentci-dagster",
            )
        if self.is_sqlite:
            # The mode is kept in the file; it cannot be changed inside a transaction, so the
            # driver itself is asked, whose errors come as they are.
            with engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
        _within(_writing(engine), _upgrade)

    def _explained(self, error: Exception) -> LedgerError:
        said = str(getattr(error, "orig", None) or error).strip()
        for sign, next_step in _NEXT_STEPS:
            if sign in said.lower():
                return LedgerError(f"The ledger {self.name}: {said}.", next_step)
        return LedgerError(f"The ledger {self.name}: {said}.", "agentci doctor")


_NEXT_STEPS = (
    ("locked", "find the process that holds it (`fuser` on the file) and let it end, then repeat"),
    ("disk is full", "free space on its disk, then repeat"),
    ("no space left", "free space on its disk, then repeat"),
    ("readonly", "make the file and its folder writable for this user"),
    ("read-only", "make the file and its folder writable for this user"),
    ("permission denied", "make the file and its folder writable for this user"),
    ("unable to open", "check that the folder exists and is writable for this user"),
    ("not a database", "move the file away and restore a copy, or begin a new ledger"),
    ("malformed", "move the file away and restore a copy, or begin a new ledger"),
)


def _within(connection: Connection, act: Callable[[Connection], T]) -> T:
    with connection, connection.begin():
        return act(connection)


def _reading(engine: Engine) -> Connection:
    connection = engine.connect()
    if engine.dialect.name == "sqlite":
        return connection
    # Otherwise every statement has a snapshot of its own, and a chain may grow while it is checked.
    return connection.execution_options(isolation_level="REPEATABLE READ")


def _writing(engine: Engine) -> Connection:
    return engine.connect().execution_options(agentci_writes=True)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("agentci_writes", False)
    # A transaction that begins by reading cannot always begin to write; so a writer says it first.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, VERSION_TABLE):
            return None
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant of ours


def _upgrade(connection: Connection) -> None:
    # Alembic takes a quarter of a second to import and is needed once in a ledger's life.
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", "agentci_dagster.adapters.sql_ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_locked(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return False
    said = str(cause).lower()
    return "locked" in said or "busy" in said
