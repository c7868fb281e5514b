"""The past of files, authors and the project; and the parser of git's log that feeds it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import FileKind, FileStatus
from agentci_dagster.domain.features import measure
from agentci_dagster.domain.history import (
    AuthorRecord,
    Change,
    ChangedFile,
    FileRecord,
    History,
    LogRecord,
    Tokens,
    Visible,
    author_id_of,
    blamed_commits,
    count_tokens,
    directory_of,
    is_fix,
    is_revert,
    moment_of,
    parse_entry,
    split_log,
    stated_seconds,
    subsystem_of,
)
from agentci_dagster.domain.history import content as content_module
from agentci_dagster.domain.history.ancestry import END, seen_from
from tests.builders import sha

DAY = 86_400
MARK = b"0123456789abcdef"
ZERO, ONE, TWO = b"0" * 40, b"1" * 40, b"2" * 40


def file(path: str = "a", **facts) -> ChangedFile:
    return ChangedFile(path, **({"lines_added": 3, "lines_deleted": 1} | facts))


def change(n: int, *files: ChangedFile, parents: tuple[int, ...] | None = None, **facts) -> Change:
    before = ((n - 1,) if n > 1 else ()) if parents is None else parents
    made = {"author_id": "ada", "committed_s": n * DAY, "files": files} | facts
    return Change(sha(n << 100), tuple(sha(p << 100) for p in before), **made)


def moved(old: str, new: str, **facts) -> ChangedFile:
    return file(new, old_path=old, status=FileStatus.RENAMED, **facts)


# ---------------------------------------------------------------- what a commit sees


def test_commit_without_parents_sees_nothing() -> None:
    assert not seen_from([]).shows(0)


def test_branch_hides_what_the_other_one_did() -> None:
    # 0 - 1 - 2, and 3 from 0; 4 merges them.
    branch = seen_from([(0, ())])
    merge = seen_from([(2, ()), (3, branch.hidden_below(3))])

    assert [branch.shows(n) for n in range(5)] == [True, False, False, False, False]
    assert branch.hidden_below(3) == (1, 3)
    assert [merge.shows(n) for n in range(6)] == [True, True, True, True, False, False]
    assert merge.hidden_below(4) == ()


@given(st.data())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_intervals_tell_the_same_as_sets_of_ancestors(data: st.DataObject) -> None:
    ancestors: list[set[int]] = []
    hidden: list[tuple[int, ...]] = []
    for number in range(data.draw(st.integers(1, 25))):
        parents = sorted(data.draw(st.sets(st.integers(0, max(0, number - 1)), max_size=3)))
        parents = parents if number else []
        seen = seen_from([(p, hidden[p]) for p in parents])
        known = {a for p in parents for a in ancestors[p]} | set(parents)

        assert {n for n in range(number + 3) if seen.shows(n)} == known
        ancestors.append(known)
        hidden.append(seen.hidden_below(number))

    assert all(h == () or h[-1] < END for h in hidden)


# ---------------------------------------------------------------- the past


def test_files_remember_changes_lines_developers_and_fixes() -> None:
    history = History.of(
        [
            change(1, file(lines_added=10, lines_deleted=0, new_blob=5)),
            change(2, file(old_blob=5, new_blob=6), author_id="bob", is_fix=True, is_revert=True),
            change(3, file("b")),
        ]
    )

    past = history.file(change(4), file(old_blob=6))

    assert past is not None
    assert (past.n_changes, past.lines, past.last_commit, past.last_at_s) == (2, 12, 1, 2 * DAY)
    assert (len(past.authors), past.fixes, past.reverts) == (2, {1}, {1})
    assert history.file(change(4), file("c")) is None
    assert len(history) == 3
    assert history.knows(sha(3 << 100))
    assert not history.knows(sha(4 << 100))


def test_lines_are_those_of_the_content_that_is_changed() -> None:
    history = History.of(
        [
            change(1, file(lines_added=10, lines_deleted=0, new_blob=5)),
            change(2, file(lines_added=1, lines_deleted=0, old_blob=5, new_blob=6)),
            change(3, file(lines_added=0, lines_deleted=4, old_blob=6, new_blob=7)),
        ]
    )

    lines = [history.file(change(4), file(old_blob=blob)).lines for blob in (7, 6, 5, 99)]

    assert lines == [7, 11, 10, 7]


def test_deleted_file_has_no_lines_but_a_past() -> None:
    history = History.of([change(1, file()), change(2, file(status=FileStatus.DELETED))])

    past = history.file(change(3), file())

    assert past is not None
    assert (past.lines, past.n_changes) == (0, 2)


def test_renamed_file_takes_its_past_along() -> None:
    history = History.of([change(1, file("old")), change(2, moved("old", "new"), author_id="bob")])

    past = history.file(change(3), file("new"))

    assert past is not None
    assert (past.n_changes, len(past.authors)) == (2, 2)


def test_rename_onto_a_known_name_joins_both_pasts_and_counts_no_commit_twice() -> None:
    both = change(1, file("old"), file("new"))
    history = History.of([both, change(2, file("old")), change(3, moved("old", "new"))])

    past = history.file(change(4), file("new"))

    assert past is not None
    assert past.n_changes == 3


def test_rename_of_what_was_never_seen_begins_a_past() -> None:
    history = History.of([change(1, moved("old", "new"))])

    assert history.file(change(2), file("new")).n_changes == 1


def test_branches_know_nothing_of_each_other_until_they_are_merged() -> None:
    history = History.of(
        [
            change(1, file(), file("b")),
            change(2, file(), file("c"), is_fix=True),
            change(3, file(), parents=(1,), author_id="bob", is_revert=True),
            change(4, parents=(2, 3)),
        ]
    )

    on_branch = history.file(change(9, parents=(3,)), file())
    on_main = history.file(change(9, parents=(2,)), file())
    merged = history.file(change(9, parents=(4,)), file())
    as_merge = history.file(change(9, parents=(2, 3)), file())

    assert (on_branch.n_changes, len(on_branch.fixes - on_branch.unseen)) == (2, 0)
    assert (on_main.n_changes, set(on_main.authors)) == (2, {0})
    assert on_main.fixes - on_main.unseen == {1}
    assert (merged.n_changes, merged.unseen, len(merged.authors)) == (3, set(), 2)
    assert as_merge.n_changes == 2
    assert history.file(change(9, parents=(3,)), file("c")) is None
    assert history.project(change(9, parents=(3,))).n_fixes == 0
    assert history.project(change(9, parents=(4,))).n_changes == 3


def test_same_commit_over_renames_on_two_branches_counts_once_after_the_merge() -> None:
    history = History.of(
        [
            change(1, file("old"), is_fix=True),
            change(2, moved("old", "new")),
            change(3, moved("old", "new"), parents=(1,)),
            change(4, parents=(2, 3)),
        ]
    )

    past = history.file(change(5, parents=(4,)), file("new", old_blob=99))

    assert past is not None
    assert (past.n_changes, past.fixes, past.lines) == (3, {0}, 6)


def test_authors_remember_moments_and_subsystems() -> None:
    history = History.of([change(1, file("shop/a"), file("b")), change(2, file("shop/c"))])
    branch = change(9, parents=(1,))

    assert history.author(change(3), {"shop"}).n_in_subsystems == 2
    assert list(history.author(change(3), {""}).moments) == [DAY, 2 * DAY]
    assert history.author(change(3), {""}).n_in_subsystems == 1
    assert list(history.author(branch, {"shop"}).moments) == [DAY]
    assert history.author(branch, {"shop"}).n_in_subsystems == 1
    assert history.author(change(3, author_id="eve"), {"shop"}).number == -1


def test_feeding_a_commit_twice_counts_once() -> None:
    history = History.of([change(1, file()), change(1, file())])

    assert len(history.author(change(2), ()).moments) == 1


def test_pace_fades_by_half_in_a_month_and_knows_only_the_first_parents() -> None:
    history = History.of([change(1), change(2, committed_s=DAY)])

    now = history.project(change(3, parents=(2,), committed_s=DAY))
    later = history.project(change(3, parents=(2,), committed_s=31 * DAY))

    assert (now.pace, later.pace, later.parent_at_s) == (2.0, 1.0, DAY)
    assert history.project(change(3, parents=())).parent_at_s is None


def test_records_survive_being_stored() -> None:
    history = History.of(
        [
            change(1, file("old"), author_id="x", is_fix=True),
            change(2, moved("old", "new"), parents=(1,), is_revert=True),
            change(3, moved("old", "new"), parents=(1,)),
        ]
    )
    record = history._files.get("new")  # what an adapter stores
    author = history._authors.get("ada")
    everything = Visible((3, END))

    again = FileRecord(record.tobytes())
    author_again = AuthorRecord(
        author.number, author.numbers, author.moments, author.groups, author.group_names
    )

    assert again.touches(everything) == record.touches(everything)
    assert (again.authors, again.fixes, again.net) == (record.authors, record.fixes, record.net)
    assert (again.has_doubles, len(again), again.is_changed) == (True, len(record), False)
    assert author_again.groups_of == author.groups_of
    assert author_again.in_group == author.in_group


# ------------------------------------------------- one answer in whatever order branches are fed


def random_changes(seed: int, n: int = 40) -> list[Change]:
    """A history with branches, merges, octopuses, second roots, renames and wrong clocks."""
    draw = random.Random(seed)
    names = ["a", "b", "lib/c", "lib/d", "web/e"]
    made: list[Change] = []
    for number in range(1, n + 1):
        n_parents = draw.choices((0, 1, 2, 3), (1, 20, 5, 1))[0] if made else 0
        parents = tuple(draw.sample([c.sha for c in made[-8:]], min(n_parents, len(made[-8:]))))
        files = []
        for path in draw.sample(names, draw.randint(0, 3)) if n_parents < 2 else ():
            status = draw.choice(list(FileStatus))
            old = draw.choice(names) if status in (FileStatus.RENAMED, FileStatus.COPIED) else None
            lines = draw.choice((None, 0, 1, 5))
            blobs = {"old_blob": draw.randint(0, 4), "new_blob": draw.randint(0, 4)}
            files.append(ChangedFile(path, old, status, FileKind.SOURCE, lines, lines, **blobs))
        made.append(
            Change(
                sha(draw.getrandbits(150)),
                parents,
                draw.choice("xyz"),
                draw.choice((number * 1000, draw.randint(0, 10**6))),
                is_fix=draw.random() < 0.3,
                is_revert=draw.random() < 0.1,
                files=tuple(files),
            )
        )
    return made


def shuffled_by_ancestry(changes: list[Change], seed: int) -> list[Change]:
    draw = random.Random(seed)
    left, fed, order = list(changes), set(), []
    while left:
        ready = [c for c in left if set(c.parents) <= fed]
        chosen = draw.choice(ready)
        left.remove(chosen)
        fed.add(chosen.sha)
        order.append(chosen)
    return order


def ancestors_of(change: Change, changes: list[Change]) -> list[Change]:
    by_sha = {c.sha: c for c in changes}
    found: set[str] = set()
    pending = list(change.parents)
    while pending:
        one = pending.pop()
        if one not in found:
            found.add(one)
            pending += by_sha[one].parents
    return [c for c in changes if c.sha in found]


@pytest.mark.parametrize("seed", range(25))
def test_rows_depend_on_ancestors_alone(seed: int) -> None:
    changes = random_changes(seed)
    in_order, in_other = History.of(changes), History.of(shuffled_by_ancestry(changes, seed))

    for one in changes:
        row = measure(one, in_order)

        assert row == measure(one, in_other)
        if seed < 5:
            assert row == measure(one, History.of(ancestors_of(one, changes)))


# ---------------------------------------------------------------- names and messages


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


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        ('Revert "Add x"', True),
        ("revert: add x", True),
        ("Backed out changeset 1", True),
        ("x\n\nThis reverts commit abcdef0.", True),
        ("Add revert button", False),
        ("Reverting is hard", False),
        ("x\n\nthis reverts commits of mine", False),
    ],
)
def test_messages_that_take_back(message: str, is_one: bool) -> None:
    assert is_revert(message) is is_one


def test_messages_name_the_guilty() -> None:
    full = "a" * 40
    message = f'x\n\nThis reverts commit {full}.\nFixes: 54A4F0239F2E ("y")\nFixes: #12\n'

    assert blamed_commits(message) == (full, "54a4f0239f2e")


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
    assert stated_seconds(text) == 0
    assert stated_seconds(b"86400") == 86_400


# ---------------------------------------------------------------- content


def test_code_is_counted_by_kinds_of_tokens() -> None:
    code = b'\nif (x) {\n    try { f(1, "a b"); }\n\t// why\n        raise g\n}'

    tokens = count_tokens(code)

    assert tokens == Tokens(
        words=9, controls=1, calls=1, literals=2, operators=2, handlers=2, comments=1, depth=4 / 5
    )
    assert count_tokens(b"") == Tokens()
    assert count_tokens(b"x").depth == 0
    assert count_tokens(b"\n" + b" " * 60 + b"x").depth == 10


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "_MAX_KNOWN", 1)

    assert count_tokens(b"\nfresh1 fresh2 fresh1").words == 3


@given(st.binary(max_size=300))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_any_bytes_can_be_counted(text: bytes) -> None:
    tokens = count_tokens(text)

    assert tokens.words >= tokens.controls + tokens.calls + tokens.handlers


# ---------------------------------------------------------------- the log


def head(
    n: int = 1, address: bytes = b"ada@x", message: bytes = b"m\n", at: int = 100, parents=b""
) -> bytes:
    return sha(n).encode() + b"\0" + parents + b"\0%d\0" % at + address + b"\0" + message + b"\0"


def raw(letter: bytes, *names: bytes, old: bytes = ONE, new: bytes = TWO, mode=b"100644") -> bytes:
    return b":100644 " + mode + b" " + old + b" " + new + b" " + letter + b"\0" + b"\0".join(names) + b"\0"  # fmt: skip


def patch(*hunks: bytes, name: bytes = b"a") -> bytes:
    names = b"--- a/x\n+++ b/x\n" if hunks else b""
    return b"diff --git a/" + name + b" b/x\nindex 1..2\n" + names + b"".join(hunks)


def parsed(text: bytes, **facts) -> Change:
    return parse_entry(LogRecord(text, **facts)).change


def test_commit_is_read_with_its_files_and_lines() -> None:
    text = (
        head(7, b"Ada@x", b"fix\n\n:x \xff", 86_400, parents=sha(5).encode() + b" " + sha(6).encode())
        + b"\0\n"
        + raw(b"M", b"a\n:b.py")
        + raw(b"R090", b"old", b"new\xff")
        + raw(b"D", b"gone", new=ZERO)
        + raw(b"A", b"picture", old=ZERO)
        + raw(b"T", b"link", mode=b"120000")
        + b"\0"
        + patch(b"@@ -1,2 +1 @@ def f\n-old\n--- a/x\n+if (x)\n", b"@@ -9,0 +9,2 @@\n+++ b\n+c\n")
        + patch()
        + patch(b"@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n")
        + b"diff --git a/picture b/picture\nBinary files /dev/null and b/picture differ\n"
        + patch(b"@@ -1 +0,0 @@\n-x\n") + patch(b"@@ -0,0 +1 @@\n+y\n")
    )  # fmt: skip

    change = parsed(text)

    assert change.parents == (sha(5), sha(6))
    assert (change.is_merge, change.is_fix, change.committed_s) == (True, True, 86_400)
    assert [(f.path, f.old_path, f.status.value) for f in change.files] == [
        ("a\n:b.py", None, "modified"),
        ("new\\xff", "old", "renamed"),
        ("gone", None, "deleted"),
        ("picture", None, "added"),
        ("link", None, "type_changed"),
    ]
    lines = [(f.lines_added, f.lines_deleted, f.n_hunks) for f in change.files]
    assert lines == [(3, 2, 2), (0, 0, 0), (0, 1, 1), (None, None, 0), (1, 1, 2)]
    assert [f.churn for f in change.files] == [5, 0, 1, 0, 2]
    assert change.files[0].kind is FileKind.SOURCE
    assert (change.files[0].old_blob, change.files[3].old_blob) == (int("1" * 15, 16), 0)
    assert (change.added.controls, change.added.words, change.removed.words) == (1, 4, 3)


def test_hunks_tell_places_and_lines() -> None:
    text = head() + b"\0\n" + raw(b"M", b"a") + b"\0" + patch(b"@@ -3,2 +3 @@ f\n-a\n-b\n+c\n")

    (hunk,) = parse_entry(LogRecord(text)).patches[0].hunks()

    assert (hunk.span.old_start, hunk.span.old_lines, hunk.span.new_start) == (3, 2, 3)
    assert (hunk.old, hunk.new) == (b"\n-a\n-b", b"\n+c\n")


def test_hunk_that_was_cut_off_has_no_lines() -> None:
    text = head() + b"\0\n" + raw(b"M", b"a") + b"\0" + patch(b"@@ -3,2 +3 @@ f")

    (hunk,) = parse_entry(LogRecord(text)).patches[0].hunks()

    assert (hunk.old, hunk.new) == (b"", b"")


def test_very_long_names_are_read() -> None:
    name = b"x/" * 3_000 + b"a.py"

    change = parsed(head() + b"\0\n" + raw(b"M", name) + raw(b"R100", name, name + b"2") + b"\0")

    assert [len(f.path) for f in change.files] == [6_004, 6_005]


def test_commits_without_files_are_read() -> None:
    assert parsed(head() + b"\0").files == ()
    assert parsed(head() + b"\n").files == ()


def test_code_beyond_what_people_read_is_not_scanned() -> None:
    body = b"+f(x)\n" * 50_000
    files = raw(b"A", b"a.py") + raw(b"A", b"b.py") + raw(b"A", b"c.md")
    sections = patch(b"@@ -0,0 +1,50000 @@\n" + body) * 2 + patch(b"@@ -0,0 +1 @@\n+x\n")

    change = parsed(head() + b"\0\n" + files + b"\0" + sections)

    assert change.added.calls == 4096 // 5
    assert change.files[1].lines_added == 50_000


@pytest.mark.parametrize("text", [b"nonsense", head() + b"\0\n:nonsense\0", head() + b"\0\n:1 2"])
def test_what_git_log_would_not_say_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="git log"):
        parsed(text)


def test_log_is_cut_into_commits_wherever_its_chunks_end() -> None:
    log = MARK + b"one" + MARK + b"two" + MARK

    for size in range(1, len(log)):
        chunks = [log[i : i + size] for i in range(0, len(log), size)]
        assert [r.text for r in split_log(chunks, MARK)] == [b"one", b"two", b""]
    assert list(split_log([], MARK)) == []


def test_log_that_begins_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="not the beginning"):
        list(split_log([b"warning: something else"], MARK))


def test_what_does_not_fit_is_counted_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentci_dagster.domain.history.log._SLACK", 100)
    hunk = b"@@ -1,9 +1,9 @@\n" + b"-old line\n" * 900 + b"+new line\n" * 900
    log = MARK + head(1) + b"\0\n" + raw(b"M", b"a") + b"\0" + patch(hunk) + MARK + head(2) + b"\0"

    for size in (50, 333, 5_000, len(log)):
        chunks = [log[i : i + size] for i in range(0, len(log), size)]
        large, small = split_log(chunks, MARK, max_bytes=1_000)
        change = parse_entry(large).change

        assert change.is_capped
        assert len(large.text) == 1_000
        assert abs(change.files[0].lines_added - 900) <= 1
        assert abs(change.files[0].lines_deleted - 900) <= 1
        assert parse_entry(small).change.is_capped is False


def test_list_of_files_that_does_not_fit_is_flagged() -> None:
    text = head() + b"\0\n" + raw(b"M", b"a") + b":100644 1"

    assert len(parsed(text, is_cut=True).files) == 1
    assert parsed(head() + b"\0\n:1 2", is_cut=True).files == ()
    assert parsed(head() + b"\0\n:1 2", is_cut=True).is_capped


def test_copied_file_has_no_past_of_its_own() -> None:
    assert file("new", old_path="old", status=FileStatus.COPIED).path_before == "new"
    assert moved("old", "new").path_before == "old"
