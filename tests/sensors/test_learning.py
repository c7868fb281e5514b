"""One retraining per batch of mature outcomes, however often the sensor looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import Ending
from agentci_dagster.sensors.learning import retrain
from tests.builders import outcome
from tests.house import House, house


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, learning_policy=LearningPolicy(retrain_every=5)) as world:
        yield world


def tick(world: House, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    resources = world.resources("outcomes", "clock", "learning_policy")
    return retrain(
        dg.build_sensor_context(instance=world.instance, cursor=cursor, resources=resources)
    )


def settle_failures(world: House, first: int, last: int) -> None:
    for n in range(first, last + 1):
        world.ledger.settle(outcome(n, Ending.ROLLED_BACK))


def test_exactly_one_request_for_each_batch(world: House) -> None:
    cursor: str | None = None
    keys: list[str | None] = []
    for n in range(1, 18):
        settle_failures(world, n, n)
        for _ in range(2):
            result = tick(world, cursor)
            if isinstance(result, dg.SensorResult):
                cursor = result.cursor
                keys += [r.run_key for r in result.run_requests or ()]

    assert keys == ["learn:1", "learn:2", "learn:3"]


def test_skip_says_how_many_are_missing(world: House) -> None:
    settle_failures(world, 1, 3)

    result = tick(world, None)

    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "3 mature outcomes; 2 more before a retraining."


def test_several_batches_at_once_are_one_retraining(world: House) -> None:
    settle_failures(world, 1, 23)

    result = tick(world, "1")

    assert isinstance(result, dg.SensorResult)
    assert [r.run_key for r in result.run_requests or ()] == ["learn:4"]
    assert result.cursor == "4"


def test_good_outcomes_count_only_once_they_are_mature(world: House) -> None:
    for n in range(1, 6):
        world.ledger.settle(outcome(n, Ending.PROMOTED))

    assert isinstance(tick(world, None), dg.SkipReason)
    world.clock.sleep(world.learning_policy.maturity_s)
    assert isinstance(tick(world, None), dg.SensorResult)
