"""Which commits an other one descends from, as a few intervals of numbers.

Commits are numbered as they are fed, parents first. What a commit cannot see (it is on another
branch, or came later) is a short list of intervals, because a branch's commits are fed in one go.
So every measure is taken from ancestors only, whatever else is known by then, and in whatever order
branches were fed: no future knowledge, and one answer for a whole history as for one new commit.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence

END = sys.maxsize


class Visible:
    """What a commit with these hidden numbers sees.

    Args:
        hidden: starts and ends of half-open intervals in turn, ascending and apart; the last one
            goes on to `END`.
    """

    __slots__ = ("hidden", "low")

    def __init__(self, hidden: tuple[int, ...]) -> None:
        self.hidden = hidden
        self.low = hidden[0]

    def shows(self, number: int) -> bool:
        """Whether the commit of that number is an ancestor."""
        return number < self.low or bisect_right(self.hidden, number) % 2 == 0

    def hidden_below(self, number: int) -> tuple[int, ...]:
        """The hidden intervals among the numbers before this one."""
        kept = self.hidden[: bisect_right(self.hidden, number - 1)]
        return (*kept, number) if len(kept) % 2 else kept


def seen_from(parents: Iterable[tuple[int, tuple[int, ...]]]) -> Visible:
    """What a child of these commits sees.

    Args:
        parents: for each, its number, and the hidden intervals among the numbers before it.
    """
    sides = [_joined(hidden, number + 1) for number, hidden in parents]
    if not sides:
        return Visible((0, END))
    hidden = sides[0]
    for other in sides[1:]:
        hidden = _common(hidden, other)
    return Visible(hidden)


def _joined(hidden: tuple[int, ...], start: int) -> tuple[int, ...]:
    return (*hidden, start, END)


def _common(ours: Sequence[int], theirs: Sequence[int]) -> tuple[int, ...]:
    """What both hide."""
    found: list[int] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start, end = max(ours[i], theirs[j]), min(ours[i + 1], theirs[j + 1])
        if start < end:
            found += (start, end)
        if ours[i + 1] < theirs[j + 1]:
            i += 2
        else:
            j += 2
    return tuple(found)
