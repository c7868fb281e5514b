"""Clock: one contract for the fake and the machine's."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.ports import Clock
from tests.fakes.deploy import FakeClock


@pytest.mark.parametrize("clock", [FakeClock(), SystemClock()], ids=["fake", "system"])
def test_sleeping_moves_both_hands(clock: Clock) -> None:
    at, ticks = clock.now(), clock.monotonic()

    clock.sleep(0.01)
    clock.sleep(0)

    assert at.tzinfo is UTC
    assert clock.now() - at >= timedelta(seconds=0.009)
    assert clock.monotonic() - ticks >= 0.009
