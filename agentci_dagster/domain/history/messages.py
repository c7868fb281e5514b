"""What a commit's message says about earlier ones: that something is mended or taken back, and
which commit was to blame.
"""

from __future__ import annotations

import re

_READ_OF_MESSAGE = 10_000
_FIX = re.compile(
    r"\b(fix(e[sd]|ing|up|ups)?|bug(s|gy|fix|fixes)?|defects?|hot-?fix(es)?|revert(s|ed|ing)?|regressions?|faults?"
    r"|crash(es|ed|ing)?|broken|repair(s|ed)?|mend(s|ed)?|patch(es|ed)?|workaround|mistakes?|incorrect(ly)?|wrong(ly)?)\b",
    re.IGNORECASE,
)
_STEMS = (
    "fix", "bug", "defect", "revert", "regression", "fault", "crash", "broken", "repair", "mend",
    "patch", "workaround", "mistake", "incorrect", "wrong",
)  # fmt: skip
# Git's own words, with the variants of forges; a revert of a revert brings the change back.
_REVERT = re.compile(
    r"\A\s*(?:revert(?!:\s*revert)\b[\s:\"'(]|back(?:ed)?[ -]?out\b|rollback\b)", re.IGNORECASE
)
_REVERTED = re.compile(r"\b[Tt]his reverts commits? ([0-9a-f]{7,40})")
# The trailer of Linux and others: `Fixes: 54a4f0239f2e ("the subject")`.
_BLAMED = re.compile(
    r"^(?:fixes|fixes-commit|caused-by|introduced-by|regressed-by|broken-by):\s*"
    r"(?:commit\s+)?([0-9a-f]{7,40})\b",
    re.IGNORECASE | re.MULTILINE,
)


def is_fix(message: str) -> bool:
    """Whether the message says that something is mended: words after Mockus and Votta (2000), and
    reverts.
    """
    text = message[:_READ_OF_MESSAGE]
    folded = text.casefold()
    # Most messages have none of these, and looking for them is much cheaper than the pattern.
    return any(stem in folded for stem in _STEMS) and _FIX.search(text) is not None


def is_revert(message: str) -> bool:
    """Whether the message says that an earlier commit is taken back as a whole."""
    text = message[:_READ_OF_MESSAGE]
    if _REVERT.match(text):
        return True
    return "his reverts commit" in text and _REVERTED.search(text) is not None


def blamed_commits(message: str) -> tuple[str, ...]:
    """Shas, maybe shortened, of the commits that the message itself takes back or blames."""
    text = message[:_READ_OF_MESSAGE]
    found = [*_REVERTED.findall(text), *_BLAMED.findall(text)]
    return tuple(dict.fromkeys(sha.lower() for sha in found))
