"""What a look at a repository's tips means: which commits are new, and the cursor that remembers
it. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

COMMITS_PER_TICK = 25
"""More cost too much in one tick: queueing a run takes 0.15 to 0.3 CPU-seconds."""
_REMEMBERED = 400
"""Kept beside the tips, so that a rewound branch which comes back is not delivered twice."""


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """Which commits of which repository have been delivered: everything reachable from `known`.

    `identity` binds the cursor to one repository; a cursor of another one is not used.
    """

    identity: str
    known: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | None) -> WatchCursor | None:
        """Read a stored cursor; None for none and for what is not a cursor of ours."""
        try:
            stored = json.loads(text or "")
            return cls(str(stored["identity"]), tuple(str(sha) for sha in stored["known"]))
        except (ValueError, KeyError, TypeError):
            return None

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def after(self, delivered: tuple[str, ...], tips: tuple[str, ...], n_left: int) -> WatchCursor:
        """The cursor once `delivered` were requested; `tips` are known when nothing was left.

        Nothing is forgotten before that: whatever a quiet branch holds would come again as new.
        """
        if n_left:
            known = dict.fromkeys((*reversed(delivered), *self.known))
            return WatchCursor(self.identity, tuple(known))
        known = dict.fromkeys((*tips, *reversed(delivered), *self.known))
        return WatchCursor(self.identity, tuple(known)[: len(tips) + _REMEMBERED])
