"""Asks the schema that a commit's migrations make whether it can answer the commit's queries.

Migrations are applied to a SQLite database in memory and the queries only compiled, never run.
What SQLite cannot judge (another dialect, names from another engine) is no finding. Which text is
a query: `sql_literals.py`.
"""

from __future__ import annotations

import posixpath
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import islice

from agentci_dagster.adapters.sql_literals import COMMENTS, SqlLiteral, sql_literals
from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileKind, FileStatus, classify_path
from agentci_dagster.domain.image import SchemaFinding
from agentci_dagster.ports import Mirror, Mirrors

_BUDGET_S = 10.0
_MAX_FILES = 2000
_MAX_FILE_BYTES = 1 << 20
_MAX_SQL_BYTES = 100_000
_MAX_VALUE_BYTES = 1 << 20
_MAX_PAGES = 16_384
_MAX_FINDINGS = 20
_DIGITS = re.compile(r"([0-9]+)")
_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
_HARMLESS_PRAGMAS = {"quick_check"}
"""SQLite itself asks for it when a column with a CHECK is added."""
_DENIED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
_SHAPES = re.compile(COMMENTS + r"(?:CREATE|ALTER|DROP)\b", re.IGNORECASE)
_FILLS = re.compile(COMMENTS + r"(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.IGNORECASE)
_BACKWARD = re.compile(r"(^|[._-])(down|rollback|revert|undo)\.sql$", re.IGNORECASE)
_MISSING = re.compile(r"no such (?:table|column): |table \S+ has no column named ")
_BROKEN_MIGRATION = re.compile(_MISSING.pattern + r"|duplicate column name|already exists")
_OF_OTHER_ENGINES = re.compile(
    r"no such table: (?:(?:pg_|sqlite_)\w*|.*\..*)"
    # An article stands before a noun of a sentence, not before the alias of a table.
    r"|no such table: (?:the|an?|this|that|these|those|my|your|our|their|its|each|any|all)"
    r"|no such column: (?:.*\..*\..*|current_user|session_user|user|rownum|sysdate|level|default)",
    re.IGNORECASE,
)
_DOWN = re.compile(r"^[ \t]*--[ \t]*(?:migrate:|\+\w+[ \t]+)down\b", re.IGNORECASE | re.MULTILINE)
"""Where the way back begins in a file that holds both directions (dbmate, goose, sql-migrate)."""
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_NO_FUNCTIONS = {
    *("in", "as", "values", "exists", "and", "or", "not", "on", "using", "over", "filter", "when"),
    *("then", "else", "where", "having", "from", "join", "select", "by", "any", "some", "all"),
    *(
        "union",
        "except",
        "intersect",
        "set",
        "between",
        "like",
        "is",
        "case",
        "with",
        "materialized",
    ),
}


class SqliteSchemaProbe:
    """The `SchemaProbe` for services whose migrations are SQL files.

    Args:
        mirrors: where trees are read.
        migrations_folder: folder of the SQL files by repository; empty: any `migrations/*.sql`.
        budget_s: seconds for one commit; what was not looked at by then is not judged.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        migrations_folder: Callable[[str], str],
        budget_s: float = _BUDGET_S,
    ) -> None:
        self._mirrors = mirrors
        self._migrations_folder = migrations_folder
        self._budget_s = budget_s

    def findings(self, key: CommitKey, diff: CommitDiff) -> tuple[SchemaFinding, ...]:
        mirror = self._mirrors.of(key.repository)
        paths = mirror.files(key.sha)
        migrations = _migrations(paths, self._migrations_folder(key.repository))
        if not migrations:
            return ()
        asked = _to_ask(diff, paths, migrations)
        if not asked and not _touches(diff, migrations):
            return ()
        touched = {file.path for file in diff.files}
        deadline = time.monotonic() + self._budget_s
        with _Schema(deadline) as schema:
            scripts = mirror.read_all(key.sha, migrations)
            for path in migrations:
                problem = schema.migrate(_forward(_text(scripts, path)))
                if problem is not None and path not in touched:
                    # It ran before, so what it builds on is made in a way that is not seen here.
                    return ()
                if problem is not None:
                    return (SchemaFinding(path, 1, problem.query, problem.message),)
                if schema.is_unclear:
                    return ()
            return tuple(_findings(schema, mirror, key.sha, asked, paths))


@dataclass(frozen=True, slots=True)
class _Problem:
    query: str
    message: str


class _Schema:
    """A database in memory that can be migrated and asked, and touches nothing outside itself."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.is_unclear = False
        """Whether a migration could not be followed: what is missing then proves nothing."""
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(f"PRAGMA max_page_count = {_MAX_PAGES}")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MAX_SQL_BYTES)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        self._connection.set_authorizer(_authorize)
        self._connection.set_progress_handler(self._is_late, 1000)

    def __enter__(self) -> _Schema:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def migrate(self, script: str | None) -> _Problem | None:
        """Apply one file; returns what is wrong with it by the commit's own fault."""
        for statement in _statements(script, self._is_late):
            shapes = _SHAPES.match(statement)
            if not shapes and not _FILLS.match(statement):
                continue
            try:
                self._connection.execute(statement)
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                said = str(error)
                if _BROKEN_MIGRATION.search(said) and not _OF_OTHER_ENGINES.fullmatch(said):
                    return _Problem(_one_line(statement)[:300], said[:300])
                # Rows that did not get in change nothing of the schema; a table that did not, does.
                self.is_unclear = self.is_unclear or bool(shapes)
        if script is None or self._is_late():
            self.is_unclear = True
        return None

    def create(self, statement: str) -> None:
        """Add a table that the code itself makes; one that is there already stays as it is."""
        try:
            self._connection.execute(statement)
        except (sqlite3.Error, sqlite3.Warning, ValueError):
            return

    def problem(self, query: str) -> str:
        """What the schema lacks for the query; empty when nothing, or when nobody can tell."""
        if self._is_late():
            return ""
        try:
            self._connection.execute(f"EXPLAIN {query}").close()
        except sqlite3.ProgrammingError:
            return ""  # It compiled; only the parameters are missing.
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            said = str(error)
            is_missing = _MISSING.match(said) and not _OF_OTHER_ENGINES.fullmatch(said)
            return said if is_missing and not _is_of_a_call(said, query) else ""
        return ""

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _forward(script: str | None) -> str | None:
    """The part of a migration that brings the schema forward."""
    return None if script is None else _DOWN.split(script, maxsplit=1)[0]


def _is_of_a_call(said: str, query: str) -> bool:
    """Whether the missing name is a function that gives rows, or stands inside a function that
    SQLite does not know: there it may be anything, such as the unit of a date.
    """
    name = said.partition(": ")[2]
    if said.startswith("no such table: "):
        pattern = rf"(?:\bFROM|\bJOIN|\bLATERAL|,)\s+{re.escape(name)}\s*\("
        return re.search(pattern, query, re.IGNORECASE) is not None
    if not said.startswith("no such column: "):
        return False
    wanted = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])", re.IGNORECASE)
    for call in _CALL.finditer(query):
        if call[1].lower() in _NO_FUNCTIONS | _known_functions():
            continue
        if wanted.search(query, call.end(), _closing(query, call.end())):
            return True
    return False


def _closing(query: str, start: int) -> int:
    depth = 1
    for found in re.compile(r"[()]").finditer(query, start):
        depth += 1 if found[0] == "(" else -1
        if not depth:
            return found.start()
    return len(query)


@cache
def _known_functions() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        return frozenset(
            name.lower() for (name,) in connection.execute("SELECT name FROM pragma_function_list")
        )


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA:
        is_denied = first not in _HARMLESS_PRAGMAS
    elif action == sqlite3.SQLITE_FUNCTION:
        is_denied = (second or "").lower() in _DENIED_FUNCTIONS
    else:
        is_denied = action in _DENIED
    return sqlite3.SQLITE_DENY if is_denied else sqlite3.SQLITE_OK


def _findings(
    schema: _Schema, mirror: Mirror, sha: str, asked: list[str], paths: tuple[str, ...]
) -> list[SchemaFinding]:
    literals = _literals(mirror, sha, asked)
    if not any(True for _ in _problems(schema, literals)):
        return []
    # Code may make tables of its own, for instance the one that remembers applied migrations.
    others = _literals(mirror, sha, [path for path in _sources(paths) if path not in literals])
    for found in [*literals.values(), *others.values()]:
        for literal in found:
            if literal.is_creation:
                schema.create(literal.text)
    return list(islice(_problems(schema, literals), _MAX_FINDINGS))


def _literals(mirror: Mirror, sha: str, paths: list[str]) -> dict[str, tuple[SqlLiteral, ...]]:
    contents = mirror.read_all(sha, paths)
    return {path: sql_literals(_text(contents, path)) for path in paths}


def _problems(
    schema: _Schema, literals: Mapping[str, tuple[SqlLiteral, ...]]
) -> Iterator[SchemaFinding]:
    for path, found in literals.items():
        for literal in found:
            problem = "" if literal.is_creation else schema.problem(literal.text)
            if problem:
                query = _one_line(literal.text)[:300]
                yield SchemaFinding(path, literal.line, query, problem[:300])


def _migrations(paths: tuple[str, ...], folder: str) -> list[str]:
    """The SQL files that bring the schema forward, in the order of their names."""
    wanted = folder.strip("/")
    found = []
    for path in paths:
        parent = posixpath.dirname(path)
        is_there = parent == wanted if wanted else posixpath.basename(parent) == "migrations"
        if is_there and path.endswith(".sql") and not _BACKWARD.search(posixpath.basename(path)):
            found.append(path)
    folders = {posixpath.dirname(path) for path in found}
    # Several folders are several databases, perhaps; their order is anybody's guess.
    return sorted(found, key=_natural) if len(folders) == 1 else []


def _natural(path: str) -> list[tuple[int, str]]:
    """The order in which people number files: 2 before 10."""
    return [(int(part[:18]) if part.isdecimal() else -1, part) for part in _DIGITS.split(path)]


def _touches(diff: CommitDiff, migrations: list[str]) -> bool:
    touched = {path for file in diff.files for path in (file.path, file.old_path)}
    folder = posixpath.dirname(migrations[0])
    return any(path and posixpath.dirname(path) == folder for path in touched)


def _to_ask(diff: CommitDiff, paths: tuple[str, ...], migrations: list[str]) -> list[str]:
    """Changed Python sources; all of them when a migration has changed or the diff is capped."""
    if diff.is_capped or _touches(diff, migrations):
        return _sources(paths)
    there = set(paths)
    return [
        file.path
        for file in diff.files
        if file.status is not FileStatus.DELETED and file.path in there and _is_source(file.path)
    ][:_MAX_FILES]


def _sources(paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if _is_source(path)][:_MAX_FILES]


def _is_source(path: str) -> bool:
    return path.endswith(".py") and classify_path(path) is FileKind.SOURCE


def _text(contents: Mapping[str, bytes], path: str) -> str | None:
    """A file as text; None when it is missing, too large or not UTF-8."""
    data = contents.get(path)
    if data is None or len(data) > _MAX_FILE_BYTES:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _statements(script: str | None, is_late: Callable[[], bool]) -> Iterator[str]:
    """The statements of a script; a semicolon inside a string, comment or trigger ends none."""
    statement = ""
    for piece in re.split(r"(?<=;)", script or ""):
        statement += piece
        if is_late():
            return
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _one_line(sql: str) -> str:
    return " ".join(sql.split())
