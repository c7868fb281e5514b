"""Measures of a commit at its own moment."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import FileKind, FileStatus
from agentci_dagster.domain.features import CommitFeatures, change_of, entropy, measure
from agentci_dagster.domain.history import Change, ChangedFile, History, Tokens
from tests.builders import diff, file_change, sha

DAY = 86_400
NOW = 1_000 * DAY


def file(path: str = "shop/cart.py", **facts) -> ChangedFile:
    made = {"kind": FileKind.SOURCE, "lines_added": 2, "lines_deleted": 1, "n_hunks": 1} | facts
    return ChangedFile(path, **made)


def past(*changes: tuple) -> History:
    """Commits in a row, each of its paths, author, days ago, and whether it mends."""
    made = []
    for n, (paths, author, days_ago, is_fix) in enumerate(changes, 1):
        files = tuple(ChangedFile(p, lines_added=4, lines_deleted=1) for p in paths.split())
        parents = (sha(n - 1),) if n > 1 else ()
        at = int(NOW - days_ago * DAY)
        made.append(Change(sha(n), parents, author, at, is_fix, files=files))
    return History.of(made)


def measured(*files: ChangedFile, history: History | None = None, **facts) -> CommitFeatures:
    history = history or History()
    parents = (sha(len(history)),) if len(history) else ()
    made = {"author_id": "ada", "committed_s": NOW, "files": files or (file(),)} | facts
    return measure(Change(sha(99), parents, **made), history)


def test_new_files_by_a_newcomer_have_no_past() -> None:
    features = measured(file("shop/new.py"))

    assert (features.developers, features.age_days, features.lines_before) == (None, None, None)
    assert (features.experience, features.recent_experience, features.unique_changes) == (0, 0, 0)
    assert (features.author_ownership, features.file_defect_rate) == (None, None)
    assert (features.days_since_author, features.days_since_parent, features.pace) == (
        None,
        None,
        0,
    )
    assert features.project_defect_rate == 0.5


def test_sizes_and_spread() -> None:
    features = measured(file("shop/a/x.py"), file("shop/b/y.py"), file("z.py"))

    assert (features.files, features.directories, features.subsystems) == (3, 3, 2)
    assert (features.lines_added, features.lines_deleted, features.hunks) == (6, 3, 3)
    assert features.entropy == pytest.approx(1.0)


def test_past_of_files_is_counted_once_for_each_commit() -> None:
    history = past(
        ("shop/cart.py b.py", "bob", 30, True),
        ("shop/cart.py", "eve", 10, False),
        ("other.py", "zoe", 10, True),
    )

    features = measured(file(), file("b.py"), history=history)

    assert features.developers == 2
    assert features.earlier_fixes == 1
    assert features.unique_changes == 2
    assert features.age_days == pytest.approx(20.0)
    assert features.lines_before == pytest.approx((6 + 3) / 2)
    assert features.earlier_changes == pytest.approx(1.5)


def test_defects_are_drawn_to_the_rate_of_the_project() -> None:
    history = past(("shop/cart.py", "bob", 3, True), ("b", "bob", 2, False), ("b", "bob", 1, False))

    features = measured(history=history)

    assert features.project_defect_rate == pytest.approx(2 / 5)
    assert features.file_defect_rate == pytest.approx((1 + 5 * 2 / 5) / (1 + 5))


def test_ownership_is_the_share_of_the_changes() -> None:
    history = past(
        ("shop/cart.py", "ada", 3, False),
        ("shop/cart.py", "bob", 2, False),
        ("shop/cart.py b.py", "bob", 1, False),
    )

    features = measured(file(), file("b.py"), history=history)

    assert features.author_ownership == pytest.approx((1 / 3 + 0) / 2)
    assert features.top_ownership == pytest.approx((2 / 3 + 1) / 2)


def test_experience_fades_with_the_years() -> None:
    history = past(
        ("shop/x.py", "ada", 365.25, False), ("lib/y.py", "ada", 0, False), ("z", "bob", 0, False)
    )

    features = measured(history=history)

    assert features.experience == 2
    assert features.recent_experience == pytest.approx(1.5)
    assert features.subsystem_experience == 1
    assert (features.days_since_author, features.author_week) == (0, 1)


def test_changes_from_the_future_count_as_just_made() -> None:
    features = measured(history=past(("shop/cart.py", "ada", -400, False)))

    assert (features.age_days, features.days_since_parent) == (0, 0)
    assert features.recent_experience == 1


def test_renamed_file_keeps_its_past_and_a_copy_has_none() -> None:
    moved = file("new.py", old_path="old.py", status=FileStatus.RENAMED)
    copied = file("copy.py", old_path="old.py", status=FileStatus.COPIED)
    history = past(("old.py", "bob", 1, False))

    assert measured(moved, history=history).developers == 1
    assert measured(copied, history=history).developers is None
    assert measured(moved, file("old.py"), history=history).earlier_changes == 1


def test_a_fix_that_one_file_does_not_know_may_be_known_of_another() -> None:
    renamed = ChangedFile("b", "a", FileStatus.RENAMED, lines_added=0, lines_deleted=0)
    history = past(("a c", "bob", 3, True))
    history.add(Change(sha(50), (sha(1),), "bob", NOW, files=(renamed,)))
    other = Change(sha(60), (sha(1),), "bob", NOW, files=(ChangedFile("b", lines_added=1),))
    history.add(other)

    row = measure(Change(sha(70), (sha(60),), "x", NOW, files=(file("b"), file("c"))), history)

    assert row.earlier_fixes == 1


@pytest.mark.parametrize("kind", [kind for kind in FileKind if kind is not FileKind.OTHER])
def test_files_are_counted_by_kind(kind: FileKind) -> None:
    features = measured(file(kind=kind), file("x", kind=FileKind.OTHER))

    counts = {
        k.value: getattr(features, f"{k.value}_files") for k in FileKind if k.value != "other"
    }
    assert counts == {k: float(k == kind.value) for k in counts}


def test_shape_of_a_change() -> None:
    features = measured(
        file("a", status=FileStatus.ADDED),
        file("b", status=FileStatus.DELETED),
        file("c", old_path="d", status=FileStatus.RENAMED),
        file("e", lines_added=None, lines_deleted=None),
    )

    shape = (features.new_files, features.deleted_files, features.renamed_files)
    assert (*shape, features.binary_files) == (1, 1, 1, 1)


def test_content_of_both_sides_is_told() -> None:
    features = measured(added=Tokens(words=5, depth=1.5), removed=Tokens(handlers=2))

    assert (features.added_words, features.added_depth, features.removed_handlers) == (5, 1.5, 2)


def test_mending_and_capped_diffs_are_marked() -> None:
    assert measured(is_fix=True).is_fix == 1
    assert measured(is_revert=True).is_revert == 1
    assert measured(is_capped=True).is_capped == 1


def test_diff_is_measured_like_a_commit_of_the_log() -> None:
    change = change_of(dataclasses.replace(diff(file_change(), n=2), is_capped=True))

    features = measure(change, History())

    assert (features.files, features.lines_added, features.hunks) == (1, 2, 1)
    assert (features.is_capped, features.is_fix) == (1, 0)
    assert change.parents == (sha(1),)


def test_who_the_author_is_never_becomes_a_feature() -> None:
    history = past(("shop/cart.py", "x", 1, False), ("shop/cart.py", "y", 1, False))

    assert measured(history=history, author_id="x") == measured(history=history, author_id="y")


def test_rows_stored_before_a_measure_was_made_do_not_know_it() -> None:
    names = [f.name for f in dataclasses.fields(CommitFeatures)]
    old = CommitFeatures(**dict.fromkeys(names[: names.index("is_capped")], 1.0))

    assert old.is_capped == 0.0
    assert old.pace is None


@pytest.mark.parametrize(
    ("churns", "expected"),
    [([], 0), ([5], 0), ([0, 0], 0), ([5, 0], 0), ([5, 5], 1), ([3, 1], 0.8112781)],
)
def test_entropy_of_known_changes(churns: list[int], expected: float) -> None:
    assert entropy(churns) == pytest.approx(expected)


@given(st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_entropy_is_a_share_and_ignores_order(churns: list[int]) -> None:
    assert 0 <= entropy(churns) <= 1
    assert entropy(churns) == pytest.approx(entropy(sorted(churns)))
