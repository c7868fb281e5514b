"""Old settled commits give up their partitions: oldest first, a few at a time, never an open one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.partitions import COMMITS
from agentci_dagster.sensors.retention import LIVE_KEYS, retire, retire_old_commits
from tests.builders import key, outcome
from tests.house import House, house


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def live(world: House, *, settled: range | list[int], of: int = 10) -> None:
    for n in range(1, of + 1):
        world.live_key(key(n))
    for n in settled:
        world.ledger.settle(outcome(n))


def left(world: House) -> list[int]:
    keys = world.instance.get_dynamic_partitions(COMMITS)
    return [int(k.split("@")[1], 16) for k in keys]


def test_oldest_go_first_and_only_the_surplus(world: House) -> None:
    live(world, settled=range(1, 11))

    said = retire(world.instance, world.ledger, 7, 100)

    assert left(world) == [4, 5, 6, 7, 8, 9, 10]
    assert said.skip_message == "10 live commits, 3 retired."


def test_a_tick_is_bounded(world: House) -> None:
    live(world, settled=range(1, 11))

    retire(world.instance, world.ledger, 2, 3)

    assert left(world) == [4, 5, 6, 7, 8, 9, 10]


def test_open_commits_stay_and_do_not_stand_in_the_way(world: House) -> None:
    live(world, settled=[4, 6, 9])

    retire(world.instance, world.ledger, 8, 2)

    assert left(world) == [1, 2, 3, 5, 7, 8, 9, 10]


def test_nothing_is_retired_below_the_limit(world: House) -> None:
    live(world, settled=range(1, 11))
    context = dg.build_sensor_context(
        instance=world.instance, resources=world.resources("outcomes")
    )

    said = retire_old_commits(context)

    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == "10 live commits, 0 retired."
    assert LIVE_KEYS >= 1_000
