"""Holding on to the lease of an environment while a driver works, and noticing when it is lost."""

from __future__ import annotations

import threading
from datetime import timedelta

from agentci_dagster.domain.errors import InfrastructureError, LeaseLostError
from agentci_dagster.ports import Clock, Lease, Leases

_PATIENCE_S = 60.0
_ANSWER_S = 1.0
"""So long the driver waits for its lease to be renewed: a ledger that is locked must not keep it
from looking at the canary."""


class LeaseKeeper:
    """Renews a lease from a thread of its own, as long as its driver shows signs of life."""

    def __init__(
        self, leases: Leases, lease: Lease, ttl: timedelta, clock: Clock, heartbeat_s: float
    ) -> None:
        self._leases = leases
        self._lease = lease
        self._ttl = ttl
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._patience_s = _PATIENCE_S
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._due = threading.Event()
        self._tried = threading.Event()
        self._is_lost = False
        self._renewed = self._beaten = clock.monotonic()
        self._thread = threading.Thread(target=self._renew_until_over, daemon=True)
        self._thread.start()

    @property
    def generation(self) -> int:
        return self._lease.generation

    def beat(self, patience_s: float = _PATIENCE_S) -> None:
        """Say that the driver works; it may now be silent for `patience_s`.

        Raises:
            LeaseLostError: another took the lease; nothing may be done any more.
        """
        now = self._clock.monotonic()
        self._beaten, self._patience_s = now, patience_s
        if now - self._renewed >= self._heartbeat_s:
            self._ask_to_renew()
        if self._is_lost:
            raise LeaseLostError(
                f"{self._lease.name} was taken over while {self._lease.subject} was driven."
            )

    def wait(self, seconds: float) -> None:
        """Wait in short pieces, with a beat after each."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, self._heartbeat_s / 2))
            self.beat()

    def release(self) -> None:
        """Give the lease up."""
        self.abandon()
        self._leases.release(self._lease)

    def abandon(self) -> None:
        """Renew no more and leave the lease to expire: whoever finds it expired takes over."""
        self._over.set()
        self._due.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def _ask_to_renew(self) -> None:
        if not self._thread.is_alive():
            self._renew()
            return
        self._tried.clear()
        self._due.set()
        self._tried.wait(_ANSWER_S)

    def _renew_until_over(self) -> None:
        while not self._over.is_set():
            self._due.wait(self._heartbeat_s)
            self._due.clear()
            if self._over.is_set() or self._is_silent:
                return
            self._renew()
            self._tried.set()
            if self._is_lost:
                return

    @property
    def _is_silent(self) -> bool:
        return self._clock.monotonic() - self._beaten > self._patience_s

    def _renew(self) -> None:
        with self._lock:
            if self._over.is_set() or self._is_lost:
                return
            try:
                self._lease = self._leases.renew(self._lease, self._ttl)
                self._renewed = self._clock.monotonic()
            except LeaseLostError:
                self._is_lost = True
            except InfrastructureError:
                # A ledger that cannot be reached now may be reached at the next beat; who took over
                # meanwhile fences us off.
                return
