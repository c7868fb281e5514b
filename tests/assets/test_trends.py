"""`delivery_metrics` and `failure_trends`: read from the ledger, drawn and listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.assets import trends as stage
from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import Ending
from agentci_dagster.domain.trends import TrendPolicy
from tests.builders import outcome
from tests.house import House, house, metadata


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        for n in range(1, 9):
            world.ledger.settle(outcome(n))
        bad = {"cause": CauseClass.HEALTH_ERRORS, "paths": ("shop/\x1b[31mcart.py",)}
        world.ledger.settle(outcome(9, Ending.ROLLED_BACK, **bad))
        yield world


def delivery(world: House) -> Any:
    return stage.delivery_metrics(
        outcomes=world.ledger,
        clock=world.clock,
        trend_policy=world.trend_policy,
        pictures=world.pictures,
    )


def failures(world: House) -> Any:
    return stage.failure_trends(
        outcomes=world.ledger,
        clock=world.clock,
        trend_policy=world.trend_policy,
        pictures=world.pictures,
    )


def test_five_metrics_are_listed_with_their_counts(world: House) -> None:
    made = delivery(world)

    told = metadata(made)
    table = [record.data for record in dict(made.metadata)["metrics"].records]
    assert told["n_deployments"] == made.value.n_deployments >= 8
    assert "2026-03-02" in told["window"]
    assert len(table) == 5
    assert all(row["value"] and row["counts"] for row in table)
    assert "Deployments per day: [('2026-03-02', 9)]" in told["by_day"]
    assert "Failed deployments per day: [('2026-03-02', 1)]" in told["failed_by_day"]


def test_failures_are_told_by_cause_day_and_path(world: House) -> None:
    made = failures(world)

    told = metadata(made)
    assert (told["n_commits"], told["n_failures"]) == (9, 1)
    assert "Failures by cause: [('health-errors', 1)]" in told["by_cause"]
    assert "2026-03-02" in told["by_day"]
    paths = [record.data for record in dict(made.metadata)["by_path"].records]
    assert paths[0]["failures"] == 1
    assert "\x1b" not in str(paths)


def risk(world: House) -> Any:
    return stage.risk_quality(
        outcomes=world.ledger,
        clock=world.clock,
        learning_policy=LearningPolicy(maturity_s=0.0),
        pictures=world.pictures,
    )


def test_failures_are_told_by_week_and_folder(world: House) -> None:
    told = metadata(failures(world))

    assert told["by_week"] == "Share of failures by week: 1 weeks"
    assert told["signals"] == "not enough data"
    assert told["by_path_and_week"] == "Failures by folder and week: shop"


def test_weeks_that_vary_by_chance_give_no_signal(world: House) -> None:
    world.trend_policy = TrendPolicy(min_weeks=1)

    assert metadata(failures(world))["signals"] == "none: what chance would give"


def test_scores_are_told_by_model(world: House) -> None:
    world.ledger.settle(outcome(20, probability=0.2, model_version="outcomes-1"))

    made = risk(world)

    told = metadata(made)
    assert told["n_models"] == len(made.value.models) >= 1
    assert "outcomes-1" in told["reliability"]
    rows = [record.data for record in dict(made.metadata)["models"].records]
    assert {row["model"] for row in rows} == {m.model_version for m in made.value.models}
    assert all(row["commits"] for row in rows)


def test_empty_ledger_is_no_error(tmp_path: Path) -> None:
    with house(tmp_path) as world:
        assert metadata(delivery(world))["n_deployments"] == 0
        assert metadata(failures(world))["n_commits"] == 0
        assert metadata(risk(world))["n_models"] == 0
