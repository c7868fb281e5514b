"""Measures of a commit at its own moment."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import FileKind, FileStatus
from agentci_dagster.domain.features import CommitFeatures, entropy, measure, touched_before
from agentci_dagster.domain.history import History, PastCommit, PastFile
from tests.builders import NOON, commit, diff, file_change, sha

ADA = "a" * 16


def past(
    n: int, *paths: str, author: str = ADA, days_ago: float = 0, fix: bool = False
) -> PastCommit:
    files = tuple(PastFile(p, lines_added=4, lines_deleted=1) for p in paths)
    return PastCommit(sha(100 + n), author, NOON - timedelta(days=days_ago), fix, files)


def measured(*files, history: History | None = None, **facts) -> CommitFeatures:
    change = dataclasses.replace(diff(*files), commit=commit(committed_at=NOON, **facts))
    return measure(change, history or History())


def test_new_files_by_a_newcomer_have_no_past() -> None:
    features = measured(file_change("shop/new.py"))

    assert (features.developers, features.age_days, features.lines_before) == (None, None, None)
    assert (features.experience, features.recent_experience, features.unique_changes) == (0, 0, 0)


def test_sizes_and_spread() -> None:
    features = measured(file_change("shop/a/x.py"), file_change("shop/b/y.py"), file_change("z.py"))

    assert (features.files, features.directories, features.subsystems) == (3, 3, 2)
    assert (features.lines_added, features.lines_deleted) == (6, 3)
    assert features.entropy == pytest.approx(1.0)


def test_past_of_files_is_counted_once_for_each_commit() -> None:
    history = History(
        [
            past(1, "shop/cart.py", "b.py", author="bob", days_ago=30, fix=True),
            past(2, "shop/cart.py", author="eve", days_ago=10),
            past(3, "other.py", author="zoe", fix=True),
        ]
    )

    features = measured(file_change(), file_change("b.py"), history=history)

    assert features.developers == 2
    assert features.earlier_fixes == 1
    assert features.unique_changes == 2
    assert features.age_days == pytest.approx(20.0)
    assert features.lines_before == pytest.approx((6 + 3) / 2)


def test_lines_before_can_be_counted_elsewhere() -> None:
    change = diff()

    assert measure(change, History(), {"shop/cart.py": 40, "b": 20}).lines_before == 30
    assert measure(change, History(), {}).lines_before is None


def test_experience_fades_with_the_years() -> None:
    history = History(
        [past(1, "shop/x.py", days_ago=365.25), past(2, "lib/y.py"), past(3, "z", author="bob")]
    )

    features = measured(file_change(), history=history)

    assert features.experience == 2
    assert features.recent_experience == pytest.approx(1.5)
    assert features.subsystem_experience == 1


def test_changes_from_the_future_count_as_just_made() -> None:
    features = measured(file_change(), history=History([past(1, "shop/cart.py", days_ago=-400)]))

    assert features.age_days == 0
    assert features.recent_experience == 1


def test_renamed_file_keeps_its_past_and_a_copy_has_none() -> None:
    moved = file_change("new.py", old_path="old.py", status=FileStatus.RENAMED)
    copied = file_change("copy.py", old_path="old.py", status=FileStatus.COPIED)
    history = History([past(1, "old.py", author="bob")])

    assert measured(moved, history=history).developers == 1
    assert measured(copied, history=history).developers is None
    assert touched_before(diff(moved, copied, moved)) == ("old.py", "copy.py")


@pytest.mark.parametrize("kind", [kind for kind in FileKind if kind is not FileKind.OTHER])
def test_files_are_counted_by_kind(kind: FileKind) -> None:
    features = measured(file_change(kind=kind), file_change(kind=FileKind.OTHER))

    counts = {
        k.value: getattr(features, f"{k.value}_files") for k in FileKind if k.value != "other"
    }
    assert counts == {k: float(k == kind.value) for k in counts}


def test_mending_and_capped_diffs_are_marked() -> None:
    capped = dataclasses.replace(diff(), is_capped=True)

    assert measured(message="Fix it").is_fix == 1
    assert measured(message="Add it").is_fix == 0
    assert measure(capped, History()).is_capped == 1


def test_who_the_author_is_never_becomes_a_feature() -> None:
    history = History([past(1, "shop/cart.py", author="x"), past(2, "shop/cart.py", author="y")])

    assert measured(history=history, author_id="x") == measured(history=history, author_id="y")


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
