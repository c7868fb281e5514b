"""What a commit changes: one process for the diff; the functions in it are read beside."""

from __future__ import annotations

from collections.abc import Sequence

from agentci_dagster.adapters.git.plumbing import (
    BIG_FILE_BYTES,
    EMPTY_TREE,
    Plumbing,
    cut_off_commits,
)
from agentci_dagster.adapters.git.symbols import read_symbols
from agentci_dagster.domain.diff import (
    Commit,
    CommitDiff,
    RawChange,
    RawDiff,
    ReadLimits,
    about_reading,
    chosen_for_reading,
    file_change,
    oddities,
    parse_diff,
)
from agentci_dagster.domain.errors import GitError

_MAX_NOTES = 50
_MAX_HEADS = 20
_READ_OF_HEAD = 8_000  # as git does to tell binary from text
_NO_BLOB = "0" * 40
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
    symbols = read_symbols(plumbing, raw, chosen, limits)
    is_cut_off = commit.key.sha in cut_off_commits(plumbing)
    uncounted = _uncounted(plumbing, raw.changes)
    large = (
        f"{path!r} is larger than {BIG_FILE_BYTES >> 20} MiB; its lines were not counted"
        for path in uncounted
    )
    notes = (*symbols.notes, *large)
    is_capped = raw.is_truncated or len(chosen) < len(raw.changes) or is_cut_off or bool(uncounted)
    files = tuple(
        file_change(raw.changes[i], raw.hunks[i], symbols.by_index.get(i, ())) for i in chosen
    )
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
