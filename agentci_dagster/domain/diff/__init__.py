"""The diff of a commit: its values, what its paths are for, the parsing of git's output, and the
symbols it touches.
"""

from __future__ import annotations

from agentci_dagster.domain.diff.parsing import (
    MAX_PATH,
    RawChange,
    RawDiff,
    display_name,
    fits_a_file_system,
    is_safe_path,
    name_of,
    parse_diff,
)
from agentci_dagster.domain.diff.paths import classify_path, language_of
from agentci_dagster.domain.diff.reading import (
    ReadLimits,
    about_reading,
    chosen_for_reading,
    file_change,
    kind_of,
    oddities,
)
from agentci_dagster.domain.diff.symbols import (
    Definition,
    changed_symbols,
    python_definitions,
    symbols_between,
)
from agentci_dagster.domain.diff.values import (
    ChangedSymbol,
    Commit,
    CommitDiff,
    CommitKey,
    FileChange,
    FileKind,
    FileStatus,
    Hunk,
    SymbolStatus,
)

__all__ = [
    "MAX_PATH",
    "ChangedSymbol",
    "Commit",
    "CommitDiff",
    "CommitKey",
    "Definition",
    "FileChange",
    "FileKind",
    "FileStatus",
    "Hunk",
    "RawChange",
    "RawDiff",
    "ReadLimits",
    "SymbolStatus",
    "about_reading",
    "changed_symbols",
    "chosen_for_reading",
    "classify_path",
    "display_name",
    "file_change",
    "fits_a_file_system",
    "is_safe_path",
    "kind_of",
    "language_of",
    "name_of",
    "oddities",
    "parse_diff",
    "python_definitions",
    "symbols_between",
]
