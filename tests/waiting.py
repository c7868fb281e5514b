"""Waiting for what other threads and processes do: on the condition itself, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return as soon as it holds; the bound is only there to end a test that would never end."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"it did not come within {seconds:.0f} s"
        time.sleep(0.005)
