"""Holding a lease: renewed by a thread while the driver shows life, noticed when lost."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.domain.errors import LeaseLostError
from agentci_dagster.ports import Lease
from agentci_dagster.rollouts.lease import LeaseKeeper
from tests.fakes.deploy import FakeClock
from tests.fakes.ledger import FakeLedger, FlakyLedger
from tests.waiting import eventually

TTL = timedelta(seconds=5)


class BlockedLedger(FlakyLedger):
    """Lets nobody write while it is not open."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.is_open = threading.Event()
        self.is_open.set()

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        self.is_open.wait()
        return super().renew(lease, ttl)


def kept(ledger: FakeLedger, clock: FakeClock | SystemClock, heartbeat_s: float) -> LeaseKeeper:
    lease = ledger.acquire("environment:production", "me", "shop@1", TTL)
    assert lease is not None
    return LeaseKeeper(ledger, lease, TTL, clock, heartbeat_s)


def test_thread_renews_while_the_driver_is_busy() -> None:
    ledger = FlakyLedger(SystemClock())
    keeper = kept(ledger, SystemClock(), 0.01)

    eventually(lambda: ledger.n_renewed >= 3)
    keeper.release()

    assert ledger.held == {}
    assert keeper.generation == 1


def test_driver_that_shows_no_life_is_not_renewed_for_ever() -> None:
    ledger = FlakyLedger(SystemClock())
    keeper = kept(ledger, SystemClock(), 0.01)

    keeper.beat(patience_s=0.0)
    eventually(lambda: not keeper._thread.is_alive())

    assert "environment:production" in ledger.held


def test_loss_is_noticed_by_thread_and_driver() -> None:
    ledger = FlakyLedger(SystemClock())
    keeper = kept(ledger, SystemClock(), 0.01)
    ledger.steal("environment:production", "other")

    eventually(lambda: not keeper._thread.is_alive())

    with pytest.raises(LeaseLostError, match="taken over while shop@1"):
        keeper.beat()
    keeper.release()
    assert ledger.held["environment:production"].holder == "other"


def test_ledger_out_of_reach_is_asked_again_at_the_next_beat() -> None:
    clock = FakeClock()
    ledger = FlakyLedger(clock)
    keeper = kept(ledger, clock, 1.0)
    ledger.is_reachable = False
    keeper.wait(3)
    ledger.is_reachable = True

    keeper.wait(1.5)

    assert ledger.n_renewed >= 1
    keeper.abandon()
    keeper.wait(10)
    assert ledger.expired()


def test_driver_is_not_held_by_a_ledger_that_does_not_answer() -> None:
    clock = FakeClock()
    ledger = BlockedLedger(clock)
    keeper = kept(ledger, clock, 1.0)
    ledger.is_open.clear()
    clock.sleep(2)

    keeper.beat()

    assert ledger.n_renewed == 0
    ledger.is_open.set()
    clock.sleep(2)
    keeper.beat()
    eventually(lambda: ledger.n_renewed >= 1)
    keeper.release()
    assert ledger.held == {}
