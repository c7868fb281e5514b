"""Running a program whose words are told while it runs.

Programs whose output is read at the end are `command.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from agentci_dagster.adapters.command import (
    MAX_OUTPUT_BYTES,
    Completed,
    ended_at_deadline,
    start,
)

_LONGEST_LINE = 64 * 1024


def run_telling(
    argv: Sequence[str],
    tell: Callable[[str], None],
    *,
    env: Mapping[str, str],
    timeout: timedelta,
) -> Completed:
    """Like `command.run`, with every line of the standard error told as it comes.

    Raises:
        InfrastructureError: the program is not there or ran out of time.
    """
    process = start(argv, env=env)
    out, err = process.stdout, process.stderr
    assert out is not None
    assert err is not None
    kept = bytearray()
    printed = bytearray()
    is_truncated = False

    def drain() -> None:
        while chunk := out.read1(_LONGEST_LINE):  # type: ignore[attr-defined]
            printed.extend(chunk[: MAX_OUTPUT_BYTES - len(printed)])

    with ended_at_deadline(process, argv, timeout):
        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        while line := err.readline(_LONGEST_LINE):
            room = MAX_OUTPUT_BYTES - len(kept)
            kept += line[:room]
            is_truncated = is_truncated or len(line) > room
            tell(line.decode("utf-8", "replace").rstrip())
        reader.join()
        process.wait()
    return Completed(process.returncode, bytes(printed), bytes(kept), is_truncated)
