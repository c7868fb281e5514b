"""The functions that a commit touches: fetches both versions of its source files in one process and
has their definitions read, Python's here and those of other languages apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.adapters.git.tree import Blob, blobs_of
from agentci_dagster.adapters.syntax.apart import Reading, Text, read_apart
from agentci_dagster.adapters.syntax.languages import grammars_for
from agentci_dagster.domain.diff import (
    ChangedSymbol,
    Hunk,
    RawChange,
    RawDiff,
    ReadLimits,
    language_of,
    python_definitions,
    symbols_between,
)

_NO_BLOB = "0" * 40
_NO_SOURCE = ("000000", "120000", "160000")

ReadTexts = Callable[[Sequence[Text]], Sequence[Reading]]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Changed symbols by position in the diff; the notes say which files could not be read."""

    by_index: dict[int, tuple[ChangedSymbol, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text that is read apart; `trouble`: why Python's own parser refuses it."""

    text: Text
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Versions:
    """A changed file before and after; None where it was not there."""

    index: int
    old: Reading | _Asked | None
    new: Reading | _Asked | None

    @property
    def asked(self) -> tuple[_Asked, ...]:
        return tuple(v for v in (self.old, self.new) if isinstance(v, _Asked))


def read_symbols(
    plumbing: Plumbing,
    raw: RawDiff,
    chosen: Sequence[int],
    limits: ReadLimits,
    read_texts: ReadTexts = read_apart,
) -> Symbols:
    """What can be told of the chosen changes within the limits; a file that cannot be read is a
    note.
    """
    wanted, left_out = _wanted(raw.changes, chosen, limits)
    found: dict[int, tuple[ChangedSymbol, ...]] = {}
    troubles: dict[int, str] = {}
    files: list[_Versions] = []
    n_bytes = 0
    for index, old, new in _sources(plumbing, raw.changes, wanted, limits):
        if any(blob is not None and blob.size > limits.max_source_bytes for blob in (old, new)):
            troubles[index] = f"it is larger than {limits.max_source_bytes >> 10} KiB"
            continue
        change = raw.changes[index]
        versions = _Versions(index, _version(old, change), _version(new, change))
        n_bytes += sum(len(asked.text.content) for asked in versions.asked)
        if n_bytes > limits.max_parsed_bytes and versions.asked:
            troubles[index] = "the commit has more source than is read"
        else:
            files.append(versions)
    for versions in _answered(files, read_texts):
        try:
            found[versions.index] = _symbols(versions, raw.hunks[versions.index])
        except ValueError as error:
            troubles[versions.index] = str(error)
    said = [f"{raw.changes[i].path!r}: no functions known, {troubles[i]}" for i in sorted(troubles)]
    return Symbols(found, (*said, *left_out))


def _wanted(
    changes: Sequence[RawChange], chosen: Sequence[int], limits: ReadLimits
) -> tuple[list[int], list[str]]:
    """Which are looked into, and words about the rest; many files of other languages leave no
    Python file out, because tests are written for those.
    """
    sources = [i for i in chosen if _has_source(changes[i])]
    python = [i for i in sources if _is_python(changes[i])]
    others = [i for i in sources if not _is_python(changes[i])]
    most = limits.max_parsed_files
    left_out = [
        f"no functions known of {len(group) - most:,} more {what}"
        for group, what in ((python, "Python files"), (others, "files in other languages"))
        if len(group) > most
    ]
    return python[:most] + others[:most], left_out


def _version(blob: Blob | None, change: RawChange) -> Reading | _Asked | None:
    if blob is None:
        return None
    if not _is_python(change):
        return _Asked(Text(blob.content, _grammars(change)))
    try:
        return Reading(python_definitions(blob.content))
    except ValueError as error:
        # Perhaps it is written for another Python than ours.
        return _Asked(Text(blob.content, _grammars(change), must_be_whole=True), str(error))


def _answered(files: Sequence[_Versions], read_texts: ReadTexts) -> Iterator[_Versions]:
    """The files with readings in place of all that was asked."""
    asked = [text for versions in files for text in versions.asked]
    readings = iter(read_texts([a.text for a in asked]) if asked else ())

    def answer(version: Reading | _Asked | None) -> Reading | None:
        if not isinstance(version, _Asked):
            return version
        reading = next(readings)
        return Reading(trouble=version.trouble) if reading.trouble and version.trouble else reading

    for versions in files:
        old = answer(versions.old)
        yield _Versions(versions.index, old, answer(versions.new))


def _symbols(versions: _Versions, hunks: Sequence[Hunk]) -> tuple[ChangedSymbol, ...]:
    old, new = versions.old or Reading(), versions.new or Reading()
    assert isinstance(old, Reading)
    assert isinstance(new, Reading)
    # An old version that cannot be read is what this commit mends: then all of the new one counts.
    trouble = new.trouble or (old.trouble if versions.new is None else "")
    if trouble:
        raise ValueError(trouble)
    return symbols_between(old.definitions, new.definitions, hunks)


def _is_python(change: RawChange) -> bool:
    return language_of(change.path) == "python"


def _has_source(change: RawChange) -> bool:
    modes = (change.old_mode, change.new_mode)
    is_text = change.lines_added is not None and any(m not in _NO_SOURCE for m in modes)
    return is_text and not change.is_submodule and bool(_grammars(change))


def _grammars(change: RawChange) -> tuple[str, ...]:
    return grammars_for(language_of(change.path), change.path)


def _sources(
    plumbing: Plumbing, changes: Sequence[RawChange], indices: Sequence[int], limits: ReadLimits
) -> Iterator[tuple[int, Blob | None, Blob | None]]:
    """Old and new content of each file, in one process; a content is None where the file was not
    there.
    """
    names = [n for i in indices for n in (changes[i].old_blob, changes[i].new_blob)]
    there = [name for name in names if name != _NO_BLOB]
    if not there:
        return
    blobs = blobs_of(plumbing, there, limits.max_source_bytes)
    for index in indices:
        change = changes[index]
        old = next(blobs) if change.old_blob != _NO_BLOB else None
        new = next(blobs) if change.new_blob != _NO_BLOB else None
        is_link = change.new_mode in _NO_SOURCE
        yield index, None if change.old_mode in _NO_SOURCE else old, None if is_link else new
    next(blobs, None)  # lets the process end in order
