"""The cursor: whatever is pushed and forced between looks, no commit is lost or delivered twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.watching import WatchCursor, watched

BRANCHES = ("main", "next", "team/x")


class Model:
    """A history by numbers, its branches, and a watcher that looks as the sensor does."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.parent: dict[str, str | None] = {}
        self.branches: dict[str, str] = {}
        self.cursor: WatchCursor | None = None
        self.delivered: list[str] = []
        self.before_first_sight: set[str] = set()

    def push(self, branch: str) -> None:
        sha = str(len(self.parent))
        self.parent[sha] = self.branches.get(branch)
        self.branches[branch] = sha

    def force(self, branch: str, n: int) -> None:
        if self.parent:
            self.branches[branch] = str(n % len(self.parent))

    def delete(self, branch: str) -> None:
        self.branches.pop(branch, None)

    def reachable(self, tips: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for tip in tips:
            at: str | None = tip
            while at is not None and at not in found:
                found.add(at)
                at = self.parent[at]
        return found

    def tips(self) -> tuple[str, ...]:
        return tuple(self.branches[name] for name in sorted(self.branches))

    def tick(self) -> int:
        """One look, with the cursor as text in between; returns how many commits were left."""
        if self.cursor is None:
            self.cursor = WatchCursor("id", ()).after((), self.tips(), 0)
            self.before_first_sight = self.reachable(self.tips())
            return 0
        cursor = WatchCursor.parse(self.cursor.dump())
        assert cursor is not None
        new = sorted(self.reachable(self.tips()) - self.reachable(cursor.known), key=int)
        batch, n_left = tuple(new[: self.limit]), max(0, len(new) - self.limit)
        self.delivered += batch
        self.cursor = cursor.after(batch, self.tips(), n_left)
        return n_left


_BRANCH = st.sampled_from(BRANCHES)
_DEEDS = st.one_of(
    st.tuples(st.just("push"), _BRANCH, st.integers(1, 6)),
    st.tuples(st.just("force"), _BRANCH, st.integers(0, 60)),
    st.tuples(st.just("delete"), _BRANCH, st.just(0)),
    st.tuples(st.just("tick"), _BRANCH, st.integers(1, 2)),
)


@settings(max_examples=150)
@given(st.lists(_DEEDS, max_size=40), st.integers(1, 4))
def test_no_commit_is_lost_or_delivered_twice(
    deeds: list[tuple[str, str, int]], limit: int
) -> None:
    model = Model(limit)
    for deed, branch, n in deeds:
        if deed == "force":
            model.force(branch, n)
        elif deed == "delete":
            model.delete(branch)
        else:
            for _ in range(n):
                model.push(branch) if deed == "push" else model.tick()

    model.tick()
    while model.tick():
        pass

    assert len(model.delivered) == len(set(model.delivered))
    standing = model.reachable(model.tips())
    assert standing <= set(model.delivered) | model.before_first_sight
    assert not set(model.delivered) & model.before_first_sight


@pytest.mark.parametrize(
    "cursor",
    [
        WatchCursor("id", ("b", "a")),
        WatchCursor("id", (), ("main", "team/*"), was_empty=True),
        WatchCursor("id", ("a",), ()),
    ],
)
def test_cursor_survives_being_written(cursor: WatchCursor) -> None:
    assert WatchCursor.parse(cursor.dump()) == cursor


def test_cursor_of_the_first_version_is_read() -> None:
    assert WatchCursor.parse('{"identity": "id", "known": ["a"]}') == WatchCursor("id", ("a",))


def test_first_configured_branches_come_first() -> None:
    branches = ("team/b", "other", "main", "team/a")

    assert watched(branches, ("team/*", "main")) == ("team/a", "team/b", "main")


def test_branch_begins_when_no_earlier_pattern_meant_it() -> None:
    cursor = WatchCursor("id", ("a",), ("main", "team/*"))

    assert cursor.begun_by(("main", "team/x", "next")) == ("next",)
    assert WatchCursor("id", ("a",)).begun_by(("main",)) == ()


def test_nothing_known_is_a_first_sight_unless_the_remote_was_empty() -> None:
    assert WatchCursor("id", ()).knows_nothing
    assert not WatchCursor("id", (), ("main",), was_empty=True).knows_nothing
    assert not WatchCursor("id", ("a",)).knows_nothing


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "7",
        '{"identity": "x", "known": [], "patterns": 7}',
        '{"identity": "x"}',
        '{"identity": "x", "known": 7}',
    ],
)
def test_what_is_no_cursor_of_ours_is_none(text: str | None) -> None:
    assert WatchCursor.parse(text) is None


def test_tips_are_known_only_when_nothing_was_left() -> None:
    cursor = WatchCursor("id", ("a",))

    assert cursor.after(("b",), ("d",), 2).known == ("b", "a")
    assert cursor.after(("b", "c"), ("d",), 0).known == ("d", "c", "b", "a")


def test_earlier_tips_are_forgotten_some_day() -> None:
    cursor = WatchCursor("id", ())
    for n in range(2_000):
        cursor = cursor.after((str(n),), (str(n),), 0)

    assert len(cursor.known) < 1_000
    assert cursor.known[0] == "1999"


def test_no_tip_is_forgotten_however_many_branches_there_are() -> None:
    tips = tuple(str(n) for n in range(1_500))

    cursor = WatchCursor("id", ()).after((), tips, 0).after(("new",), (*tips[1:], "new"), 0)

    assert {*tips[1:], "new"} <= set(cursor.known)


def test_long_backlog_does_not_push_out_the_tips_of_quiet_branches() -> None:
    cursor = WatchCursor("id", ("quiet",))
    for n in range(100):
        cursor = cursor.after(tuple(f"{n}.{i}" for i in range(25)), ("quiet", "far"), 2_500)

    assert "quiet" in cursor.known
