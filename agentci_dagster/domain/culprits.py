"""Commits that later messages name as faulty: the labels that need no tracking of lines.

They are few, and what nobody names stays unfound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from agentci_dagster.domain.diff import Commit

_NAMED = re.compile(
    r"^(?:This reverts commit |Fixes: |Fixes commit )([0-9a-f]{8,40})\b", re.MULTILINE
)


def named_culprits(commits: Iterable[Commit]) -> Mapping[str, datetime]:
    """When each commit was first named by a later one, by its sha.

    Reads the words of `git revert` and the trailer `Fixes:` of the Linux kernel ("Submitting
    patches"). An abbreviated sha counts where exactly one commit before begins with it.
    """
    found: dict[str, datetime] = {}
    shas: dict[str, list[str]] = {}
    for commit in sorted(commits, key=lambda c: (c.committed_at, c.key)):
        for name in _NAMED.findall(commit.message):
            before = [sha for sha in shas.get(name[:_SHORTEST], ()) if sha.startswith(name)]
            if len(before) == 1:
                found.setdefault(before[0], commit.committed_at)
        shas.setdefault(commit.key.sha[:_SHORTEST], []).append(commit.key.sha)
    return found


_SHORTEST = 8
