"""Parsing of `git log --raw -p -U0 -z`, commit by commit, as bytes: names and contents may mean
harm, and no commit may make us keep more of it than `MAX_RECORD_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from agentci_dagster.domain.diff import FileKind, FileStatus, RawChange, display_name, kind_of
from agentci_dagster.domain.history.content import MAX_READ_BYTES, count_tokens
from agentci_dagster.domain.history.messages import is_fix, is_revert
from agentci_dagster.domain.history.past import author_id_of, seconds_of, stated_seconds
from agentci_dagster.domain.history.values import Change, ChangedFile, LineSpan, Tokens

# After the mark that begins a commit. The mark is a secret of the run, so that no message or
# content can look like it.
LOG_FORMAT = "%H%x00%P%x00%ct%x00%ae%x00%B%x00"
MAX_RECORD_BYTES = 20 * 1024 * 1024
MAX_FILES = 5_000

_STATUSES = {
    "A": FileStatus.ADDED,
    "D": FileStatus.DELETED,
    "R": FileStatus.RENAMED,
    "C": FileStatus.COPIED,
    "T": FileStatus.TYPE_CHANGED,
}
_CODE = (FileKind.SOURCE, FileKind.TEST, FileKind.MIGRATION)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """The bytes of one commit after its mark. What did not fit was only counted: lines added and
    deleted.
    """

    text: bytes
    is_cut: bool = False
    more_added: int = 0
    more_deleted: int = 0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Where lines are replaced, and the lines taken out and put in, each after a line break and
    with its sign.
    """

    span: LineSpan
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class FilePatch:
    """The patch of one file, read as far as it is asked for; a change of type has two parts, a
    deletion and an addition.
    """

    parts: tuple[bytes, ...] = ()

    @property
    def is_binary(self) -> bool:
        """Whether git shows no lines."""
        return any(_BINARY in p and _HUNK not in p for p in self.parts)

    def counts(self) -> tuple[int, int, int]:
        """Hunks, lines added, lines deleted."""
        n_hunks = n_added = n_deleted = 0
        for part in self.parts:
            n = part.count(_HUNK)
            if n:
                # Every line has a sign, and so have the two names before the first hunk.
                n_hunks += n
                n_added += part.count(_ADDED) - 1
                n_deleted += part.count(_DELETED) - 1
        return n_hunks, n_added, n_deleted

    def bodies(self, max_bytes: int) -> Iterator[tuple[bytes, bytes]]:
        """The lines taken out and put in, hunk by hunk, from about the first so many bytes."""
        for part in self.parts:
            for hunk in part[: part.find(_HUNK) + max_bytes].split(_HUNK)[1:]:
                yield _body(hunk)

    def hunks(self) -> Iterator[Hunk]:
        """The hunks in the order of the file."""
        for part in self.parts:
            for hunk in part.split(_HUNK)[1:]:
                old, _, new = hunk[: hunk.find(b" @@")].partition(b" +")
                yield Hunk(LineSpan(*_range(old), *_range(new)), *_body(hunk))


@dataclass(frozen=True, slots=True)
class CombinedFile:
    """A file of a merge whose content is none of the parents'.

    `before` are its name and content in each parent, 0 where it is not there. Each hunk has the
    place where it begins in each parent (0-based), and the signs of its lines: one for each parent,
    `-` in that parent only, `+` not in that parent, a space elsewhere.
    """

    path: str
    blob: int
    before: tuple[tuple[str, int], ...]
    hunks: tuple[tuple[tuple[int, ...], tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit of the log with its message and its patches, one for each of its files; for a merge
    that was read against all of its parents, what is `combined` there.
    """

    change: Change
    message: str
    patches: tuple[FilePatch, ...]
    combined: tuple[CombinedFile, ...] = ()


def split_log(
    chunks: Iterable[bytes], mark: bytes, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[LogRecord]:
    """Cut the output of git log into commits, as it comes.

    Args:
        chunks: the output, cut anywhere.
        mark: what begins each commit; it must not occur within one.
        max_bytes: kept of one commit.

    Raises:
        ValueError: the output does not begin with a mark.
    """
    pending = bytearray()
    search_from = 0
    more: _Surplus | None = None
    has_begun = False
    for chunk in chunks:
        pending += chunk
        if not has_begun and len(pending) >= len(mark):
            if not pending.startswith(mark):
                raise ValueError(f"not the beginning of a git log: {bytes(pending[:60])!r}")
            del pending[: len(mark)]
            has_begun = True
        start = 0
        while (end := pending.find(mark, max(start, search_from))) >= 0:
            yield _record(bytes(pending[start:end]), more, max_bytes)
            more, start = None, end + len(mark)
        del pending[:start]
        search_from = max(0, len(pending) - len(mark))
        if len(pending) > max_bytes + _SLACK:
            more = more or _Surplus(bytes(pending[:max_bytes]))
            keep = len(mark) + 2  # a mark, or a sign at the beginning of a line, may be cut in two
            more.count(pending[max_bytes if more.is_new else 0 : -keep])
            del pending[:-keep]
            search_from = 0
    if has_begun:
        yield _record(bytes(pending), more, max_bytes)


class _Surplus:
    """What a commit has beyond the limit."""

    def __init__(self, kept: bytes) -> None:
        self.kept = kept
        self.is_new = True
        self.added = self.deleted = 0

    def count(self, text: bytes | bytearray) -> None:
        self.is_new = False
        self.added += text.count(b"\n+") - text.count(b"\n+++ b/")
        self.deleted += text.count(b"\n-") - text.count(b"\n--- a/")


def _record(text: bytes, more: _Surplus | None, max_bytes: int) -> LogRecord:
    if more is None and len(text) <= max_bytes:
        return LogRecord(text)
    if more is None:
        more = _Surplus(text[:max_bytes])
        text = text[max_bytes:]
    more.count(text)
    return LogRecord(more.kept, True, max(0, more.added), max(0, more.deleted))


def parse_entry(record: LogRecord) -> LogEntry:
    """Read one commit.

    Raises:
        ValueError: it is not the output of git log with `LOG_FORMAT`, --raw and -p.
    """
    head = record.text.split(b"\0", 5)
    if len(head) < 6:
        raise ValueError(f"not a commit of git log: {record.text[:60]!r}")
    sha, parents, seconds, address, message, rest = head
    is_combined = rest.lstrip(b"\n\0").startswith(b"::")
    combined = tuple(_combined(rest)) if is_combined else ()
    raws, patch = ([], b"") if is_combined else _raws(rest, is_cut=record.is_cut)
    patches = _patches(patch, raws)
    text = message[:_READ_OF_MESSAGE].decode(errors="replace")
    files = [_file(raw, patch) for raw, patch in zip(raws, patches, strict=True)]
    if record.is_cut and files:
        files[-1] = _with_more(files[-1], record)
    added, removed = _contents(files, patches)
    change = Change(
        sha=sha.decode(),
        parents=tuple(parents.decode().split()),
        author_id=_author_id(address),
        committed_s=seconds_of(stated_seconds(seconds)),
        is_fix=is_fix(text),
        is_revert=is_revert(text),
        files=tuple(files),
        added=added,
        removed=removed,
        is_capped=record.is_cut or len(files) > MAX_FILES,
    )
    return LogEntry(change, text, tuple(patches), combined)


@dataclass(frozen=True, slots=True)
class _Raw:
    path: str
    old_path: str | None
    letter: str
    old_mode: str
    new_mode: str
    old_blob: int
    new_blob: int


def _raws(rest: bytes, *, is_cut: bool) -> tuple[list[_Raw], bytes]:
    """The files in git's order, and the patch behind them."""
    raws: list[_Raw] = []
    position = rest.find(b":")
    if position < 0 or rest[:position].strip(b"\n\0"):
        return raws, b""
    while rest.startswith(b":", position):
        fields = rest[position : position + _LONGEST_ENTRY].split(b"\0", 3)
        if len(fields) < 4:
            fields = rest[position:].split(b"\0", 3)
        words = fields[0].split(b" ")
        if len(words) != 5 or len(fields) < 3:
            if is_cut:
                break
            raise ValueError(f"not a file entry of git log: {fields[0][:60]!r}")
        letter = words[4][:1].decode()
        old_path, name = None, fields[1]
        position += len(fields[0]) + len(fields[1]) + 2
        if letter in "RC":
            old_path, name = display_name(name), fields[2]
            position += len(name) + 1
        old_blob, new_blob = (int(word[:_BLOB_DIGITS], 16) for word in words[2:4])
        modes = words[0][1:].decode(), words[1].decode()
        raws.append(_Raw(display_name(name), old_path, letter, *modes, old_blob, new_blob))
    return raws, rest[position + 1 :]


def _combined(rest: bytes) -> Iterator[CombinedFile]:
    """Files of a merge: `::modes blobs letters`, the name in each parent, the name in the merge."""
    lists, _, patch = rest.lstrip(b"\n\0").partition(b"\0\0")
    fields = lists.split(b"\0")
    sections = (b"\n" + patch).split(b"\ndiff --combined ")[1:]
    position = 0
    while position < len(fields) and fields[position].startswith(b"::"):
        n_parents = len(fields[position]) - len(fields[position].lstrip(b":"))
        words = fields[position][n_parents:].split(b" ")
        blobs = [int(w[:_BLOB_DIGITS], 16) for w in words[n_parents + 1 : 2 * n_parents + 2]]
        names = [display_name(n) for n in fields[position + 1 : position + n_parents + 2]]
        index = b"\nindex " + b",".join(words[n_parents + 1 : 2 * n_parents + 1]) + b".."
        is_shown = bool(sections) and index in sections[0]
        section = sections.pop(0) if is_shown else b""
        hunks = tuple(_combined_hunks(section, n_parents))
        before = tuple(zip(names[:-1], blobs[:-1], strict=False))
        yield CombinedFile(names[-1], blobs[-1], before, hunks)
        position += n_parents + 2


def _combined_hunks(
    section: bytes, n_parents: int
) -> Iterator[tuple[tuple[int, ...], tuple[bytes, ...]]]:
    mark = b"@" * (n_parents + 1)
    for hunk in section.split(b"\n" + mark + b" ")[1:]:
        head, _, body = hunk.partition(b"\n")
        olds = head[: head.find(b" " + mark)].split(b" ")[:n_parents]
        # Other than in a plain diff, a hunk without old lines names the line behind the gap.
        starts = tuple(max(0, _range(old[1:])[0] - 1) for old in olds)
        lines = tuple(x[:n_parents] for x in body.split(b"\n") if x and not x.startswith(b"\\"))
        yield starts, lines


def _patches(patch: bytes, raws: list[_Raw]) -> list[FilePatch]:
    """One for each file."""
    # Lines of contents begin with a sign, so neither a file nor a hunk can be feigned.
    sections = (b"\n" + patch).split(b"\ndiff --git ")[1:]
    found: list[FilePatch] = []
    position = 0
    for raw in raws:
        following = position + (2 if raw.letter == "T" else 1)
        if not _is_shown(raw, sections[position:following]):
            following = position
        found.append(FilePatch(tuple(sections[position:following])))
        position = following
    return found


def _is_shown(raw: _Raw, sections: list[bytes]) -> bool:
    """Whether the patch is this file's: one that changes white space only may have none."""
    if len(sections) != 1 or raw.old_blob == raw.new_blob:
        return True
    _, index, names = sections[0].partition(b"\nindex ")
    old, _, new = names.partition(b"..")
    is_same = (old[:_BLOB_DIGITS], new[:_BLOB_DIGITS]) == (_hex(raw.old_blob), _hex(raw.new_blob))
    return is_same if index and len(old) >= _BLOB_DIGITS else True


def _hex(blob: int) -> bytes:
    return b"%0*x" % (_BLOB_DIGITS, blob)


def _body(hunk: bytes) -> tuple[bytes, bytes]:
    start = hunk.find(b"\n")
    start = len(hunk) if start < 0 else start
    # Without context, what is taken out comes before what is put in.
    turn = hunk.find(_ADDED, start)
    turn = len(hunk) if turn < 0 else turn
    return hunk[start:turn], hunk[turn:]


def _range(text: bytes) -> tuple[int, int]:
    start, comma, n = text.partition(b",")
    return int(start), int(n) if comma else 1


def _file(raw: _Raw, patch: FilePatch) -> ChangedFile:
    n_hunks, n_added, n_deleted = patch.counts()
    is_binary = not n_hunks and patch.is_binary
    return ChangedFile(
        raw.path,
        raw.old_path,
        _STATUSES.get(raw.letter, FileStatus.MODIFIED),
        _kind(raw.path, raw.old_path, raw.old_mode, raw.new_mode),
        None if is_binary else n_added,
        None if is_binary else n_deleted,
        raw.old_blob,
        raw.new_blob,
        n_hunks,
    )


def _with_more(file: ChangedFile, record: LogRecord) -> ChangedFile:
    from dataclasses import replace

    return replace(
        file,
        lines_added=(file.lines_added or 0) + record.more_added,
        lines_deleted=(file.lines_deleted or 0) + record.more_deleted,
    )


def _contents(files: list[ChangedFile], patches: list[FilePatch]) -> tuple[Tokens, Tokens]:
    """The tokens of added and of removed code; prose and data are left out."""
    removed: list[bytes] = []
    added: list[bytes] = []
    n_removed = n_added = 0
    for file, patch in zip(files, patches, strict=True):
        if file.kind not in _CODE:
            continue
        for old, new in patch.bodies(_READ_OF_CODE - n_removed - n_added):
            removed.append(old)
            added.append(new)
            n_removed += len(old)
            n_added += len(new)
    return (
        count_tokens(b"".join(added).replace(_ADDED, b"\n")),
        count_tokens(b"".join(removed).replace(_DELETED, b"\n")),
    )


@lru_cache(maxsize=65_536)
def _kind(path: str, old_path: str | None, old_mode: str, new_mode: str) -> FileKind:
    status = FileStatus.MODIFIED
    return kind_of(RawChange(path, old_path, status, old_mode, new_mode, "", ""))


@lru_cache(maxsize=65_536)
def _author_id(address: bytes) -> str:
    return author_id_of(address)


_HUNK, _ADDED, _DELETED, _BINARY = b"\n@@ -", b"\n+", b"\n-", b"\nBinary files "
_SLACK = 1024 * 1024
_READ_OF_MESSAGE = 50_000
_READ_OF_CODE = 4 * MAX_READ_BYTES
_BLOB_DIGITS = 15  # 60 bits, which fit a signed number of 64
_LONGEST_ENTRY = 1024
