"""`routing_thresholds`: the champion's promise is made, kept beside it and used by the next score."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.assets.promise import routing_thresholds
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import TrainingRow, TrainingRows
from agentci_dagster.domain.risk import RiskScore, Scored
from agentci_dagster.domain.routing import Route
from tests.builders import NOON, features, key
from tests.house import House, house, metadata


class ByLines:
    """Riskier with every line added."""

    version = "by-lines"

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:
        return Scored(min(1.0, features.lines_added / 1_000), ())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, model=ByLines()) as world:
        yield world


def rows(n: int) -> TrainingRows:
    """Every tenth fails, and all that fail add at least 200 lines."""
    found = [
        TrainingRow(
            key(n),
            NOON + timedelta(minutes=n),
            NOON + timedelta(minutes=n + 1),
            int(n % 10 == 0),
            features(lines_added=200.0 + n % 7 if n % 10 == 0 else float(n % 100)),
            None,
        )
        for n in range(1, n + 1)
    ]
    return TrainingRows(tuple(found), 0, 0)


def made(world: House, n: int):
    return routing_thresholds(
        rows(n), models=world.models, promises=world.promises, risk_policy=world.risk_policy
    )


def test_threshold_of_the_champion_is_told_and_kept(world: House) -> None:
    told = metadata(made(world, 600))

    assert told["fast_below"] == 0.2
    assert told["fast_lane"].startswith("fast below 20.0%: 95% of failing commits score higher")
    assert (told["n_commits"], told["n_failures"], told["n_missed"]) == (600, 60, 0)
    assert (told["n_fast"], told["model_version"]) == (540, "by-lines")
    assert world.promises.of("by-lines") is not None


def test_next_score_is_routed_by_the_promise(world: House) -> None:
    lines = b"".join(b"x%d = 1\n" % n for n in range(150))
    before, after = (world.push(files={f"{name}.py": lines}) for name in ("one", "two"))
    world.deliver(before, ("commit_diff", "risk_score"))
    made(world, 600)

    world.deliver(after, ("commit_diff", "risk_score"))

    first, second = (world.values.find("risk_score", RiskScore, k) for k in (before, after))
    assert first is not None
    assert second is not None
    assert (first.route, second.route) == (Route.STANDARD, Route.FAST)
    assert first.fast_lane.startswith("fast below 10.0% as set: no promise")
    assert second.fast_lane.startswith("fast below 20.0%: 95%")


def test_too_few_outcomes_leave_the_lane_as_set_and_say_so(world: House) -> None:
    told = metadata(made(world, 100))

    assert told["fast_below"] == world.risk_policy.fast_below
    assert told["fast_lane"] == (
        "fast below 10.0% as set: 10 own failures of 45 that a promise of 95% needs"
    )
