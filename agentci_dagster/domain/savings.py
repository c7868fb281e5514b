"""What routing saves and what it misses: which fast commits are audited, and the counts with their
intervals.

Running an audit is `assets/generated_tests.py`'s.
"""

from __future__ import annotations

import hashlib


def is_audited(sha: str, share: float) -> bool:
    """Whether the commit belongs to the audit sample, by a digest of its name: the same commit is
    drawn everywhere or nowhere, and nobody's hand is in it.
    """
    drawn = int.from_bytes(hashlib.sha256(f"audit/{sha}".encode()).digest()[:8])
    return drawn < share * 2**64
