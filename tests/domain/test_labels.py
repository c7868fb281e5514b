"""Where lines come from, and whom fixes blame."""

from __future__ import annotations

from collections import Counter

import pytest

from agentci_dagster.domain.history import FixLabel, LogEntry, LogRecord, find_fixes, parse_entry
from agentci_dagster.domain.history.ownership import NOBODY, Ownership
from tests.builders import sha

PATH = b"a.py"


def blob(n: int) -> bytes:
    return b"%040x" % (n << 100)


def entry(
    n: int, old: int, new: int, hunks: bytes, *parents: int, message: bytes = b"x", name=PATH
) -> LogEntry:
    letter = b"R100\0" + PATH + b"\0" if name == b"b.py" else b"M\0"
    before = b" ".join(sha(p).encode() for p in parents)
    text = (
        sha(n).encode() + b"\0" + before + b"\0%d\0a@b\0" % n + message + b"\0\0\n"
        + b":100644 100644 " + blob(old) + b" " + blob(new) + b" " + letter + name + b"\0\0"
        + b"diff --git a/a b/a\n"
        + (b"index " + blob(old) + b".." + blob(new) + b" 100644\n--- a/a\n+++ b/a\n" if old != new else b"")
        + hunks
    )  # fmt: skip
    return parse_entry(LogRecord(text))


def merge(n: int, blobs: tuple[int, ...], hunks: bytes, *parents: int) -> LogEntry:
    k = len(parents)
    before = b" ".join(sha(p).encode() for p in parents)
    names = b" ".join(blob(x) for x in blobs)
    index = b",".join(blob(x) for x in blobs[:-1]) + b".." + blob(blobs[-1])
    text = (
        sha(n).encode() + b"\0" + before + b"\0%d\0a@b\0m\0\0\0" % n
        + b":" * k + b"100644 " * k + b"100644 " + names + b" " + b"M" * k + b"\0"
        + (PATH + b"\0") * (k + 1) + b"\0"
        + (b"diff --combined a\nindex " + index + b"\n--- a/a\n+++ b/a\n" + hunks if hunks else b"")
    )  # fmt: skip
    return parse_entry(LogRecord(text))


def clean_merge(n: int, *parents: int) -> LogEntry:
    before = b" ".join(sha(p).encode() for p in parents)
    return parse_entry(LogRecord(sha(n).encode() + b"\0" + before + b"\x005\0a@b\0m\0\0"))


def fed(*entries: LogEntry) -> Ownership:
    ownership = Ownership(Counter(p for e in entries for p in e.change.parents))
    for one in entries:
        ownership.add(one)
    return ownership


def origins(ownership: Ownership, content: int, *parents: int) -> list[int]:
    ask = entry(99, content, 98, b"@@ -1 +0,0 @@\n-x\n", *parents)
    numbers = ownership.before(ask, 0)
    return [-1 if n == NOBODY else int(ownership.shas[n], 16) for n in numbers]


BEGIN = entry(1, 0, 1, b"@@ -0,0 +1,4 @@\n+1\n+2\n+3\n+4\n")


def test_lines_keep_their_origin_through_changes_and_renames() -> None:
    ownership = fed(
        BEGIN,
        entry(2, 1, 2, b"@@ -2 +2,2 @@\n-2\n+two\n+2\n@@ -4,0 +6 @@\n+5\n", 1),
        entry(3, 2, 2, b"", 2, name=b"b.py"),
    )

    assert origins(ownership, 1, 2) == [1, 1, 1, 1]
    assert origins(ownership, 2, 2) == [1, 2, 2, 1, 1, 2]
    assert ownership._files["b.py"].kept[0].owners == ownership._files["a.py"].kept[1].owners
    assert ownership.number_of(sha(3)) == 2
    assert ownership.number_of(sha(9)) is None


def test_lines_of_what_was_never_seen_are_nobodys() -> None:
    ownership = fed(BEGIN, entry(2, 50, 51, b"@@ -3 +3 @@\n-c\n+d\n", 1))

    assert origins(ownership, 51, 2) == [-1, -1, 2]
    assert origins(ownership, 50, 2) == []
    assert origins(ownership, 50) == []


def test_merge_takes_each_line_from_the_first_parent_that_has_it() -> None:
    ownership = fed(
        BEGIN,
        entry(2, 1, 2, b"@@ -1 +1 @@\n-1\n+one\n", 1),
        entry(3, 1, 3, b"@@ -4 +4 @@\n-4\n+four\n", 1),
        merge(
            4,
            (2, 3, 4),
            b"@@@ -1,1 -1,1 +1,1 @@@\n -1\n +one\n"
            b"@@@ -3,2 -3,2 +3,3 @@@\n--3\n++evil\n- 4\n+ four\n++more\n\\ No newline\n",
            2,
            3,
        ),
    )

    assert origins(ownership, 4, 4) == [2, 1, 4, 3, 4]
    assert origins(ownership, 2, 2) == [2, 1, 1, 1]


def test_merge_without_a_patch_or_without_a_parent_is_taken_as_it_comes() -> None:
    ownership = fed(
        BEGIN,
        entry(2, 1, 2, b"@@ -1 +1 @@\n-1\n+one\n", 1),
        merge(3, (1, 2, 3), b"", 1, 2),
        merge(4, (0, 77, 4), b"@@@ -1,0 -2,1 +1,2 @@@\n++a\n+ b\n", 1, 2),
    )

    assert origins(ownership, 3, 3) == [1, 1, 1, 1]
    assert origins(ownership, 4, 4) == [4, -1]


def test_same_content_on_two_branches_has_the_origin_that_blame_comes_to() -> None:
    same = b"@@ -1 +1 @@\n-1\n+one\n"
    ownership = fed(
        BEGIN,
        entry(2, 1, 2, same, 1),
        entry(3, 1, 2, same, 1),
        entry(4, 60, 61, b"", 3, name=b"other.py"),
        clean_merge(5, 2, 4),
        clean_merge(6, 4, 2),
    )

    assert origins(ownership, 2, 2)[0] == 2
    assert origins(ownership, 2, 4)[0] == 3
    assert origins(ownership, 2, 5)[0] == 2
    assert origins(ownership, 2, 6)[0] == 3
    assert origins(ownership, 2, 1) == []


def test_parent_that_has_given_the_content_up_is_not_followed() -> None:
    there, back = b"@@ -1 +1 @@\n-1\n+one\n", b"@@ -1 +1 @@\n-one\n+1\n"
    ownership = fed(
        BEGIN,
        entry(2, 1, 2, there, 1),
        entry(3, 2, 1, back, 2),
        entry(4, 1, 2, there, 1),
        clean_merge(5, 3, 4),
        entry(6, 2, 7, back, 4),
        clean_merge(8, 5, 6),
    )

    assert origins(ownership, 2, 5)[0] == 4
    assert origins(ownership, 2, 2)[0] == 2
    # The merge has kept what one of its sides had replaced.
    assert origins(ownership, 2, 8)[0] == 4


def test_contents_that_no_branch_goes_on_from_are_forgotten() -> None:
    line = b"@@ -1 +1 @@\n-x\n+y\n"
    row = [BEGIN, *(entry(n, n - 1, n, line, n - 1) for n in range(2, 40))]
    branch = entry(50, 3, 90, line, 3)
    ownership = fed(*row, branch, entry(51, 90, 91, line, 50))

    assert len(ownership._files["a.py"].kept) < 20
    assert origins(ownership, 91, 51) == [51, 1, 1, 1]


def fixes(*entries: LogEntry) -> list[FixLabel]:
    return list(find_fixes(entries, Counter(p for e in entries for p in e.change.parents)))


def test_fix_blames_who_wrote_the_lines_that_it_takes_out() -> None:
    (fix,) = fixes(
        BEGIN,
        entry(2, 1, 2, b"@@ -2 +2 @@\n-2\n+wrong()\n", 1),
        entry(3, 2, 3, b"@@ -1,3 +1 @@\n-# why\n-wrong()\n-\n+right()\n", 2, message=b"fix it"),
    )

    assert (fix.sha, fix.at_s, fix.guilty) == (sha(3), 3, (sha(2),))
    assert [(line.path, line.line) for line in fix.lines] == [("a.py", 2)]


@pytest.mark.parametrize("text", [b"#define X", b"x = 1  # y"])
def test_code_beside_comments_is_blamed(text: bytes) -> None:
    (fix,) = fixes(BEGIN, entry(2, 1, 2, b"@@ -1 +1 @@\n-" + text + b"\n+z\n", 1, message=b"fix"))

    assert fix.guilty == (sha(1),)


def test_unknown_lines_and_tests_blame_nobody() -> None:
    hunk = b"@@ -9 +9 @@\n-a\n+b\n"

    (fix,) = fixes(BEGIN, entry(2, 70, 71, hunk, 1, message=b"fix"))

    assert fix.guilty == ()
    assert fixes(BEGIN, entry(2, 1, 2, hunk, 1, message=b"fix", name=b"test_a.py")) == []


def test_messages_that_name_the_guilty_are_believed_where_the_name_is_known() -> None:
    words = f"fix\n\nThis reverts commit {sha(1)}.\nFixes: {'0' * 8}\nFixes: {'f' * 8}".encode()

    (fix,) = fixes(BEGIN, entry(2, 1, 2, b"", 1), entry(3, 2, 3, b"@@ -1,0 +2 @@\n+a\n", 2, message=words))  # fmt: skip

    assert fix.named == (sha(1),)


def test_files_that_change_white_space_only_have_no_patch() -> None:
    def raw(name: bytes, old: int, new: int) -> bytes:
        return b":100644 100644 " + blob(old) + b" " + blob(new) + b" M\0" + name + b"\0"

    index = b"index " + blob(3) + b".." + blob(4) + b" 100644\n"
    text = (
        sha(1).encode() + b"\0\0001\0a@b\0m\0\0\n" + raw(b"space.py", 1, 2) + raw(b"b.py", 3, 4)
        + b"\0diff --git a/b.py b/b.py\n" + index + b"--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-a\n+b\n"
    )  # fmt: skip

    files = parse_entry(LogRecord(text)).change.files

    assert [(f.path, f.lines_added) for f in files] == [("space.py", 0), ("b.py", 1)]
