"""What a look at a repository's tips means: which branches are watched, which commits are new, and
the cursor that remembers it. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase

COMMITS_PER_TICK = 25
"""More cost too much in one tick: queueing a run takes 0.15 to 0.3 CPU-seconds."""
_REMEMBERED = 400
"""Kept beside the tips, so that a rewound branch which comes back is not delivered twice."""


def is_watched(branch: str, patterns: Iterable[str]) -> bool:
    """Whether one of the configured patterns means the branch."""
    return any(fnmatchcase(branch, pattern) for pattern in patterns)


def watched(branches: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The watched ones: those of the first configured pattern first, then by name."""
    ranked = (
        (next((i for i, p in enumerate(patterns) if fnmatchcase(b, p)), None), b) for b in branches
    )
    return tuple(b for _, b in sorted((rank, b) for rank, b in ranked if rank is not None))


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """Which commits of which repository have been delivered: everything reachable from `known`.

    `identity` binds the cursor to one repository; a cursor of another one is not used.
    """

    identity: str
    known: tuple[str, ...]
    patterns: tuple[str, ...] | None = None
    """The branch patterns of the settings at that time; None in cursors of the first version."""
    was_empty: bool = False
    """The remote had no branch at all, so that whatever comes later is new."""

    @classmethod
    def parse(cls, text: str | None) -> WatchCursor | None:
        """Read a stored cursor; None for none and for what is not a cursor of ours."""
        try:
            stored = json.loads(text or "")
            patterns = stored.get("patterns")
            return cls(
                str(stored["identity"]),
                tuple(str(sha) for sha in stored["known"]),
                None if patterns is None else tuple(str(p) for p in patterns),
                stored.get("was_empty") is True,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @property
    def knows_nothing(self) -> bool:
        """Whether the next tips are still a first sight: there was something, but not watched."""
        return not self.known and not self.was_empty

    def begun_by(self, branches: Iterable[str]) -> tuple[str, ...]:
        """The branches that only patterns configured since then mean: they begin at their tips, as
        a repository does, instead of delivering their history.
        """
        patterns = self.patterns
        return () if patterns is None else tuple(b for b in branches if not is_watched(b, patterns))

    def after(self, delivered: tuple[str, ...], tips: tuple[str, ...], n_left: int) -> WatchCursor:
        """The cursor once `delivered` were requested; `tips` are known when nothing was left.

        Nothing is forgotten before that: whatever a quiet branch holds would come again as new.
        """
        if n_left:
            known = dict.fromkeys((*reversed(delivered), *self.known))
            return replace(self, known=tuple(known))
        known = dict.fromkeys((*tips, *reversed(delivered), *self.known))
        return replace(self, known=tuple(known)[: len(tips) + _REMEMBERED])
