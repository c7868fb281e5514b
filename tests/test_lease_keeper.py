"""Holding a lease: renewed by a thread while the driver shows life, noticed when lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.domain.errors import LeaseLostError
from agentci_dagster.rollouts.lease import LeaseKeeper
from tests.fakes.deploy import FakeClock
from tests.fakes.ledger import FakeLedger, FlakyLedger
from tests.waiting import eventually

TTL = timedelta(seconds=5)


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
