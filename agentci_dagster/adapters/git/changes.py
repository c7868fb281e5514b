"""What a commit changes: one process for the diff and one for the sources of changed Python
files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentci_dagster.adapters.git.plumbing import BIG_FILE_BYTES, EMPTY_TREE, Plumbing
from agentci_dagster.adapters.git.tree import Blob, blobs_of
from agentci_dagster.domain.diff import (
    ChangedSymbol,
    Commit,
    CommitDiff,
    Hunk,
    RawChange,
    RawDiff,
    ReadLimits,
    about_reading,
    changed_symbols,
    chosen_for_reading,
    file_change,
    language_of,
    oddities,
    parse_diff,
)
from agentci_dagster.domain.errors import GitError

_MAX_NOTES = 50
_MAX_HEADS = 20
_READ_OF_HEAD = 8_000  # as git does to tell binary from text
_NO_BLOB = "0" * 40
_NO_SOURCE = ("000000", "120000", "160000")
_DIFF = (
    "diff-tree", "-r", "-z", "--raw", "--numstat", "-U0", "-p", "--no-abbrev", "--full-index",
    "-M", "-l1000",
    "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--submodule=short",
    "--ignore-submodules=none", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/",
    "--end-of-options",
)  # fmt: skip


def read_diff(plumbing: Plumbing, commit: Commit, limits: ReadLimits) -> CommitDiff:
    """The diff of a commit against its first parent, or against nothing."""
    raw = _raw_diff(plumbing, commit, limits)
    chosen = chosen_for_reading(raw.changes, limits)
    with_source = [i for i in chosen if _has_source(raw.changes[i])]
    notes: list[str] = []
    symbols: dict[int, tuple[ChangedSymbol, ...]] = {}
    for index, old, new in _sources(plumbing, raw.changes, with_source, limits):
        try:
            symbols[index] = _symbols(old, new, raw.hunks[index], limits)
        except ValueError as error:
            notes.append(f"{raw.changes[index].path!r}: no functions known, {error}")
    if len(with_source) > limits.max_parsed_files:
        n_left = len(with_source) - limits.max_parsed_files
        notes.append(f"no functions known of {n_left:,} more Python files")
    is_cut_off = commit.key.sha in _cut_off_commits(plumbing)
    uncounted = _uncounted(plumbing, raw.changes)
    notes += [
        f"{path!r} is larger than {BIG_FILE_BYTES >> 20} MiB; its lines were not counted"
        for path in uncounted
    ]
    is_capped = raw.is_truncated or len(chosen) < len(raw.changes) or is_cut_off or bool(uncounted)
    files = tuple(file_change(raw.changes[i], raw.hunks[i], symbols.get(i, ())) for i in chosen)
    said = about_reading(commit, raw, limits, is_cut_off=is_cut_off)
    return CommitDiff(
        commit, files, is_capped, (*said, *notes[:_MAX_NOTES], *oddities(raw.changes))
    )


def _raw_diff(plumbing: Plumbing, commit: Commit, limits: ReadLimits) -> RawDiff:
    before = commit.parents[0] if commit.parents else EMPTY_TREE
    with plumbing.stream(*_DIFF, before, commit.key.sha) as output:
        text = output.read(limits.max_patch_bytes + 1)
    is_truncated = len(text) > limits.max_patch_bytes
    try:
        return parse_diff(text, is_truncated=is_truncated)
    except ValueError as error:
        raise GitError(f"The diff of {commit.key} could not be read: {error}.") from error


def _uncounted(plumbing: Plumbing, changes: Sequence[RawChange]) -> tuple[str, ...]:
    """Paths of text that has no line counts only because it is large."""
    binary = [c for c in changes if c.lines_added is None and not c.is_submodule]
    sides = [(c.path, b) for c in binary for b in (c.old_blob, c.new_blob) if b != _NO_BLOB]
    if not sides:
        return ()
    names = "".join(f"{blob}\n" for _, blob in sides).encode()
    ask = ("cat-file", "--batch-check=%(objectsize)")
    sizes = plumbing.ask(*ask, input=names).stdout.split(b"\n")
    large = [
        side
        for side, size in zip(sides, sizes, strict=False)
        if size.isdigit() and int(size) > BIG_FILE_BYTES
    ]
    # Beyond a few, nobody looks: they count as text, which is the careful answer.
    return tuple(
        dict.fromkeys(
            path
            for n, (path, blob) in enumerate(large)
            if n >= _MAX_HEADS or _is_text(plumbing, blob)
        )
    )


def _is_text(plumbing: Plumbing, blob: str) -> bool:
    with plumbing.stream("cat-file", "blob", "--end-of-options", blob) as output:
        return b"\0" not in output.read(_READ_OF_HEAD)


def _has_source(change: RawChange) -> bool:
    modes = (change.old_mode, change.new_mode)
    is_python = language_of(change.path) == "python" and not change.is_submodule
    return is_python and change.lines_added is not None and any(m not in _NO_SOURCE for m in modes)


def _sources(
    plumbing: Plumbing, changes: Sequence[RawChange], wanted: Sequence[int], limits: ReadLimits
) -> Iterator[tuple[int, Blob | None, Blob | None]]:
    """Old and new content of each file, in one process; a content is None where the file was not
    there.
    """
    indices = wanted[: limits.max_parsed_files]
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


def _symbols(
    old: Blob | None, new: Blob | None, hunks: Sequence[Hunk], limits: ReadLimits
) -> tuple[ChangedSymbol, ...]:
    if any(blob is not None and blob.size > limits.max_source_bytes for blob in (old, new)):
        raise ValueError(f"it is larger than {limits.max_source_bytes >> 10} KiB")
    try:
        before = old.content if old is not None else None
        return changed_symbols(before, new.content if new is not None else None, hunks)
    except ValueError:
        # What is wrong may be the old version, which this commit mends: then all of the new one
        # counts.
        if old is None or new is None:
            raise
        return changed_symbols(None, new.content, hunks)


def _cut_off_commits(plumbing: Plumbing) -> frozenset[str]:
    """Commits whose parents are missing because the watched repository is a shallow clone."""
    try:
        return frozenset((plumbing.folder / "shallow").read_text().split())
    except FileNotFoundError:
        return frozenset()
