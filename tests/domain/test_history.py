"""The state of files and authors, and the parser of git's log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import FileStatus
from agentci_dagster.domain.history import (
    History,
    PastCommit,
    PastFile,
    author_id_of,
    directory_of,
    is_fix,
    moment_of,
    parse_log,
    subsystem_of,
)
from tests.builders import NOON, sha

RAW = b":100644 100644 " + b"a" * 40 + b" " + b"b" * 40 + b" "


def past(n: int, *files: PastFile, author: str = "ada", fix: bool = False) -> PastCommit:
    return PastCommit(sha(n), author, NOON + timedelta(days=n), fix, files)


def head(n: int, address: bytes = b"ada@x", message: bytes = b"m\n", at: int = 100) -> bytes:
    return b"\x01" + sha(n).encode() + b"\0%d\0" % at + address + b"\0" + message + b"\0"


def test_files_remember_changes_lines_developers_and_fixes() -> None:
    history = History(
        [
            past(1, PastFile("a", lines_added=10, lines_deleted=0)),
            past(2, PastFile("a", lines_added=1, lines_deleted=3), author="bob", fix=True),
            past(3, PastFile("b"), author="bob"),
        ]
    )

    file = history.file("a")

    assert file is not None
    assert (file.n_changes, file.lines, file.last_sha) == (2, 8, sha(2))
    assert file.author_ids == {"ada", "bob"}
    assert file.fixes == {sha(2)}
    assert file.last_at == NOON + timedelta(days=2)
    assert history.file("c") is None
    assert len(history) == 3


def test_authors_remember_moments_and_subsystems() -> None:
    history = History([past(1, PastFile("shop/a"), PastFile("b")), past(2, PastFile("shop/c"))])

    author = history.author("ada")

    assert author.moments == [NOON + timedelta(days=1), NOON + timedelta(days=2)]
    assert author.subsystems == {"shop": {sha(1), sha(2)}, "": {sha(1)}}
    assert history.author("eve").moments == []


def test_feeding_a_commit_twice_counts_once() -> None:
    history = History([past(1, PastFile("a")), past(1, PastFile("a"))])

    assert len(history.author("ada").moments) == 1


def test_renamed_file_takes_its_past_along() -> None:
    history = History([past(1, PastFile("old", lines_added=5), author="ada")])
    history.add(past(2, PastFile("new", "old", FileStatus.RENAMED), author="bob"))

    file = history.file("new")

    assert file is not None
    assert (file.n_changes, file.lines, len(file.author_ids)) == (2, 5, 2)
    assert history.file("old") is None


def test_deleted_file_has_no_lines_but_a_past() -> None:
    history = History([past(1, PastFile("a", lines_added=5))])
    history.add(past(2, PastFile("a", None, FileStatus.DELETED, 0, 1)))

    file = history.file("a")

    assert file is not None
    assert (file.lines, file.n_changes) == (0, 2)


@pytest.mark.parametrize(
    ("path", "subsystem", "directory"),
    [("a.py", "", ""), ("shop/a.py", "shop", "shop"), ("shop/x/a.py", "shop", "shop/x")],
)
def test_subsystem_is_the_first_folder(path: str, subsystem: str, directory: str) -> None:
    assert (subsystem_of(path), directory_of(path)) == (subsystem, directory)


@pytest.mark.parametrize(
    "message",
    [
        "Fix the sum",
        "bugfix: x",
        "hot-fix",
        'Revert "Add"',
        "closes a BUG",
        "crashes no more",
        "fixup! a",
    ],
)
def test_messages_that_mend(message: str) -> None:
    assert is_fix(message)


@pytest.mark.parametrize(
    "message", ["Add prefix", "fixture for tests", "debug output", "", "suffixes"]
)
def test_messages_that_only_look_like_mending(message: str) -> None:
    assert not is_fix(message)


def test_only_the_beginning_of_a_message_is_read() -> None:
    assert not is_fix("x " * 10_000 + "fix")


def test_authors_are_the_same_whatever_the_case_and_stay_unnamed() -> None:
    assert author_id_of(b" Ada@X ") == author_id_of(b"ada@x")
    assert author_id_of(b"ada@x") != author_id_of(b"bob@x")
    assert len(author_id_of(b"\xff")) == 16


@given(st.integers())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_every_number_of_seconds_is_a_moment(seconds: int) -> None:
    assert 1970 <= moment_of(seconds).year <= 9999


@pytest.mark.parametrize("text", [b"", b"soon", b"12x", b"9" * 5_000])
def test_date_that_git_cannot_read_is_the_epoch(text: bytes) -> None:
    log = b"\x01%s\x00%s\x00a@b\x00message\x00\x00" % (b"a" * 40, text)

    (commit,) = parse_log(log)

    assert commit.at == datetime(1970, 1, 1, tzinfo=UTC)


def test_log_is_read_commit_by_commit() -> None:
    log = (
        head(1, b"Ada@x", b"fix\n\n\x01 not a commit", 86_400)
        + b"\n" + RAW + b"M\0a\n:b\0" + RAW + b"R090\0old\0new\xff\0" + RAW + b"D\0gone\0"
        + RAW + b"C075\0from\0to\0"
        + b"1\t2\ta\n:b\x003\t0\t\0old\0new\xff\0-\t-\tgone\0" + b"1\t1\tunseen\0"
        + head(2) + head(3) + b"\n" + RAW + b"A\0x\0"
    )  # fmt: skip

    first, second, third = parse_log(log)

    assert first == PastCommit(
        sha(1),
        author_id_of(b"ada@x"),
        datetime(1970, 1, 2, tzinfo=UTC),
        is_fix=True,
        files=(
            PastFile("a\n:b", None, FileStatus.MODIFIED, 1, 2),
            PastFile("new\\xff", "old", FileStatus.RENAMED, 3, 0),
            PastFile("gone", None, FileStatus.DELETED, None, None),
            PastFile("to", "from", FileStatus.COPIED),
            PastFile("unseen", None, FileStatus.MODIFIED, 1, 1),
        ),
    )
    assert (second.files, second.is_fix) == ((), False)
    assert third.files == (PastFile("x", None, FileStatus.ADDED),)
    assert list(parse_log(b"")) == []


@pytest.mark.parametrize("log", [b"nonsense", head(1) + b"\nnonsense\0"])
def test_what_git_log_would_not_say_is_refused(log: bytes) -> None:
    with pytest.raises(ValueError, match="git log"):
        list(parse_log(log))
