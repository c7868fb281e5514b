"""The lease that a run's process holds while it lives; when it runs out, the process is dead."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, LeaseLostError
from agentci_dagster.ports import Leases

PREFIX = "run:"
TTL = timedelta(seconds=8)
"""Long enough for a busy machine, short enough that a killed run is settled within 20 s."""
RENEW_S = 2.0


@contextmanager
def held(
    leases: Leases,
    run_id: str,
    key: CommitKey,
    *,
    ttl: timedelta = TTL,
    renew_s: float = RENEW_S,
) -> Iterator[None]:
    """Hold the run's lease and renew it from a thread until the block ends.

    Raises InfrastructureError when another process holds it.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}"
    lease = leases.acquire(PREFIX + run_id, holder, str(key), ttl)
    if lease is None:
        raise InfrastructureError(
            f"Run {run_id} of {key} is already being driven by another process."
        )
    done = threading.Event()

    def renew() -> None:
        current = lease
        while not done.wait(renew_s):
            try:
                current = leases.renew(current, ttl)
            except LeaseLostError:
                # This run was given up; its rollout is fenced by the journal.
                return
            except InfrastructureError:
                # A ledger that is busy now may answer the next time, before the lease runs out.
                continue

    keeper = threading.Thread(target=renew, name="run-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        leases.release(lease)
