"""Old settled commits give up their partitions: oldest first, a few at a time, never an open one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.image import ImageKind
from agentci_dagster.domain.image.keeping import KeepingPolicy, StoredArtefact
from agentci_dagster.domain.rollout import Release, Rollout, RolloutState
from agentci_dagster.domain.routing import Route
from agentci_dagster.partitions import COMMITS
from agentci_dagster.sensors.retention import (
    LIVE_KEYS,
    collect_artefacts,
    retire,
    retire_old_commits,
)
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


def test_artefacts_that_the_journal_needs_stay(world: House) -> None:
    long_ago = world.clock.now() - timedelta(days=90)
    for n in range(1, 5):
        digest = f"d{n}"
        world.artefacts.stored.append(
            StoredArtefact("shop", ImageKind.BUNDLE, f"b{n}", digest, long_ago + timedelta(hours=n))
        )
    live = Release("r1", key(1), "b1", "d1", "127.0.0.1", 1, "process")
    world.ledger.open(
        Rollout(
            id="1", environment="production", key=key(1), route=Route.FAST,
            state=RolloutState.OPENED, generation=1, steps=(), step_index=0, canary=live,
            baseline=None, committed_at=long_ago, opened_at=long_ago, updated_at=long_ago,
        )
    )  # fmt: skip
    world.keeping_policy = KeepingPolicy(newest=1)
    context = dg.build_sensor_context(
        instance=world.instance,
        resources=world.resources("artefacts", "journeys", "clock", "keeping_policy"),
    )

    said = collect_artefacts(context)

    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == "4 artefacts, 2 removed; 0 environments removed."
    assert [a.digest for a in world.artefacts.stored] == ["d1", "d4"]
    assert world.artefacts.asked_before == [world.clock.now() - world.keeping_policy.young]
