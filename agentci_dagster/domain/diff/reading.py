"""From git's raw changes to `FileChange`: which files are read when there are too many, and what
is said about odd ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentci_dagster.domain.diff.parsing import (
    EXECUTABLE,
    NO_MODE,
    SUBMODULE,
    SYMLINK,
    RawChange,
    RawDiff,
    fits_a_file_system,
    is_safe_path,
    name_of,
)
from agentci_dagster.domain.diff.paths import classify_path, language_of
from agentci_dagster.domain.diff.values import (
    ChangedSymbol,
    Commit,
    FileChange,
    FileKind,
    Hunk,
)

_MAX_ODDITIES = 50


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of a diff is read, so that no commit can keep us busy. Bytes and counts."""

    max_patch_bytes: int = 20 * 1024 * 1024
    """About 400,000 changed lines; people review hundreds."""
    max_files: int = 5_000
    """More is a vendored tree or a reformatting, which is judged as capped."""
    max_source_bytes: int = 512 * 1024
    """Of one version of a source file; larger ones are generated code or data."""
    max_parsed_files: int = 300
    """Python files looked into for changed functions, about a second's work; as many files in
    other languages, about five.
    """
    max_parsed_bytes: int = 32 * 1024 * 1024
    """Of all sources in other languages; a commit that people wrote has a hundredth of it."""


def chosen_for_reading(changes: Sequence[RawChange], limits: ReadLimits) -> tuple[int, ...]:
    """Indices of the changes to keep, ascending: when there are too many, those that ask for care
    come first.
    """
    if len(changes) <= limits.max_files:
        return tuple(range(len(changes)))
    care = {kind: rank for rank, kind in enumerate(_MOST_CARE_FIRST)}
    ranked = sorted(range(len(changes)), key=lambda i: (care[kind_of(changes[i])], i))
    return tuple(sorted(ranked[: limits.max_files]))


def kind_of(change: RawChange) -> FileKind:
    """What the file is for; a submodule is a dependency, and what docs become when they turn into
    a program is not docs.
    """
    if change.is_submodule:
        return FileKind.DEPENDENCY
    kinds = [classify_path(p) for p in (change.path, change.old_path) if p is not None]
    # A rename concerns both names: moving a migration into docs/ takes it away from where it runs.
    kind = min(kinds, key=_MOST_CARE_FIRST.index)
    if kind is FileKind.DOCS and change.new_mode not in (_PLAIN, NO_MODE):
        return FileKind.OTHER
    return kind


def file_change(
    change: RawChange, hunks: tuple[Hunk, ...], symbols: tuple[ChangedSymbol, ...] = ()
) -> FileChange:
    """The value that later stages read."""
    return FileChange(
        path=change.path,
        old_path=change.old_path,
        status=change.status,
        kind=kind_of(change),
        language="submodule" if change.is_submodule else language_of(change.path),
        lines_added=change.lines_added,
        lines_deleted=change.lines_deleted,
        hunks=hunks,
        symbols=symbols,
    )


def about_reading(
    commit: Commit, raw: RawDiff, limits: ReadLimits, *, is_cut_off: bool
) -> tuple[str, ...]:
    """What a reader must know about the diff as a whole."""
    notes: list[str] = []
    if commit.is_merge:
        notes.append(f"merge of {len(commit.parents)} parents, shown against the first")
    if commit.has_odd_date:
        notes.append("odd date: the commit does not say when it was made")
    if is_cut_off:
        notes.append("the history ends here (shallow clone), so the whole tree is shown as added")
    if raw.is_truncated:
        notes.append(f"only the first {limits.max_patch_bytes >> 20} MiB of the diff were read")
    if len(raw.changes) > limits.max_files:
        notes.append(f"{len(raw.changes):,} files changed, {limits.max_files:,} of them were read")
    return tuple(notes)


def oddities(changes: Sequence[RawChange]) -> tuple[str, ...]:
    """What a reader of line counts alone would miss: modes, links, submodules, names that lead
    outside.
    """
    notes = [note for change in changes for note in _oddities_of(change)]
    more = len(notes) - _MAX_ODDITIES
    return tuple(notes[:_MAX_ODDITIES]) + ((f"and {more:,} more remarks",) if more > 0 else ())


def _oddities_of(change: RawChange) -> Iterator[str]:
    path = repr(change.path)
    if not is_safe_path(change.path):
        yield f"{path} would leave the tree or enter a git folder; it is not written on export"
    elif not fits_a_file_system(name_of(change.path)):
        yield f"{path[:100]}... is longer than a file system takes; it is not written on export"
    if change.is_submodule:
        old, new = (
            _short(change.old_mode, change.old_blob),
            _short(change.new_mode, change.new_blob),
        )
        yield f"submodule {path}: {old} -> {new}; its content is not read"
        return
    if change.new_mode == SYMLINK:
        yield f"{path} is a symbolic link"
    elif change.new_mode == EXECUTABLE and change.old_mode != EXECUTABLE:
        yield f"{path} is executable now"
    elif change.old_mode == EXECUTABLE and change.new_mode not in (EXECUTABLE, NO_MODE):
        yield f"{path} is no longer executable"


def _short(mode: str, blob: str) -> str:
    if mode == NO_MODE:
        return "nothing"
    return blob[:10] if mode == SUBMODULE else "a file"


_PLAIN = "100644"
_MOST_CARE_FIRST = (
    FileKind.MIGRATION,
    FileKind.DEPENDENCY,
    FileKind.CONTAINER,
    FileKind.CI,
    FileKind.CONFIGURATION,
    FileKind.SOURCE,
    FileKind.OTHER,
    FileKind.TEST,
    FileKind.DOCS,
)
