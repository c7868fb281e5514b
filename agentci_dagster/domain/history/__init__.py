"""The history of a repository as values: commits as git's log tells them, what is known of files
and authors at a moment, and the labels that fixes give to earlier commits.
"""

from __future__ import annotations

from agentci_dagster.domain.history.ancestry import Visible
from agentci_dagster.domain.history.content import count_tokens
from agentci_dagster.domain.history.labels import BlamedLine, FixLabel, find_fixes
from agentci_dagster.domain.history.log import (
    LOG_FORMAT,
    LogEntry,
    LogRecord,
    parse_entry,
    split_log,
)
from agentci_dagster.domain.history.messages import blamed_commits, is_fix, is_revert
from agentci_dagster.domain.history.past import (
    AuthorPast,
    FilePast,
    History,
    ProjectPast,
    author_id_of,
    directory_of,
    moment_of,
    seconds_of,
    stated_seconds,
    subsystem_of,
)
from agentci_dagster.domain.history.records import (
    AuthorRecord,
    CommitRecord,
    FileRecord,
    Shelf,
    Touch,
)
from agentci_dagster.domain.history.values import Change, ChangedFile, LineSpan, Tokens

__all__ = [
    "LOG_FORMAT",
    "AuthorPast",
    "AuthorRecord",
    "BlamedLine",
    "Change",
    "ChangedFile",
    "CommitRecord",
    "FilePast",
    "FileRecord",
    "FixLabel",
    "History",
    "LineSpan",
    "LogEntry",
    "LogRecord",
    "ProjectPast",
    "Shelf",
    "Tokens",
    "Touch",
    "Visible",
    "author_id_of",
    "blamed_commits",
    "count_tokens",
    "directory_of",
    "find_fixes",
    "is_fix",
    "is_revert",
    "moment_of",
    "parse_entry",
    "seconds_of",
    "split_log",
    "stated_seconds",
    "subsystem_of",
]
