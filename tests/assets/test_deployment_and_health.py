"""`deployment` and `health_report`: the canary beside the live release, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.assets.deployment import deployment
from agentci_dagster.assets.health import health_report
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.health import Verdict
from agentci_dagster.domain.rollout import DeploymentStatus
from agentci_dagster.domain.routing import Route
from tests.assets.test_generated_tests import score
from tests.fakes.deploy import Behaviour
from tests.house import House, house, metadata


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def deployed(world: House, commit: CommitKey, route: Route = Route.FAST) -> Any:
    diff = world.mirror.diff(commit.sha)
    return deployment(
        world.context(commit),
        diff,
        score(commit, route),
        world.builder.build(commit, diff),
        rollouts=world.rollouts,
        catalogue=world.catalogue,
        canary_policy=world.canary_policy,
    )


def watched(world: House, commit: CommitKey) -> Any:
    return health_report(
        world.context(commit),
        deployed(world, commit).value,
        rollouts=world.rollouts,
        catalogue=world.catalogue,
        canary_policy=world.canary_policy,
        pictures=world.pictures,
        notifier=world.notifier,
    )


def test_release_stands_ready_beside_the_live_one(world: House) -> None:
    watched(world, world.push())

    made = deployed(world, world.push())

    told = metadata(made)
    assert made.value.status is DeploymentStatus.STARTED
    assert (told["status"], told["environment"]) == ("started", "production")
    assert told["release"] == made.value.canary.name
    assert told["baseline"] == made.value.baseline.name
    assert world.router.shares("production")[told["release"]] == 0.0
    assert told["migrations"] == "none"


def test_release_that_dies_at_start_is_a_value_with_its_log(world: House) -> None:
    made = deployed(world, world.push(behaviour=Behaviour(dies_at_start=True)))

    assert made.value.status is DeploymentStatus.CRASHED_AT_START
    assert "the log of" in metadata(made)["log_tail"]


def test_library_has_nothing_to_deploy(tmp_path: Path) -> None:
    with house(tmp_path, is_service=False) as world:
        made = deployed(world, world.push())

    told = metadata(made)
    assert (told["status"], told["release"], told["log_tail"]) == ("not_needed", "none", "none")
    assert told["note"] == "a library: there is no service to deploy"


def test_good_release_is_promoted_and_its_evidence_drawn(world: House) -> None:
    watched(world, world.push())

    made = watched(world, world.push())

    told = metadata(made)
    assert made.value.verdict is Verdict.PASS
    assert (told["decision"], told["cause"], told["incident"]) == ("promoted", "none", "none")
    assert told["canary_requests"] > 0
    assert told["canary_p50_ms"] > 0
    assert "errors, slow answers" in told["evidence"]
    assert world.notifier.told == []


def test_bad_release_is_rolled_back_and_people_are_told(world: House) -> None:
    watched(world, world.push())
    bad = world.push(behaviour=Behaviour(error_rate=0.9))

    made = watched(world, bad)

    told = metadata(made)
    assert (told["decision"], told["cause"]) == ("rolled_back", "health-errors")
    assert told["canary_errors"] > 0
    assert told["incident"] != "none"
    ((title, body),) = world.notifier.told
    assert title == f"{bad} rolled back: health-errors"
    assert body == made.value.incident


def test_report_of_a_library_has_no_measures(tmp_path: Path) -> None:
    with house(tmp_path, is_service=False) as world:
        told = metadata(watched(world, world.push()))

    assert told["decision"] == "not_deployed"
    assert "canary_p50_ms" not in told
    assert "evidence" not in told
