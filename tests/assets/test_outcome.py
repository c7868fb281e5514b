"""`deploy_outcome`: settled in the ledger, shown in the lineage and on the run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.assets.outcome import told
from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.outcome import DeployOutcome, Ending, StageTime
from tests.builders import NOON, outcome
from tests.house import House, house


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, is_service=False) as world:
        yield world


def test_outcome_is_settled_stored_and_told(world: House) -> None:
    commit = world.push()

    result = world.deliver(commit)

    settled = world.ledger.settled[commit]
    assert (settled.ending, settled.branch, settled.label) == (Ending.DELIVERED, "main", 0)
    assert settled.run_id == result.run_id
    assert world.values.find("deploy_outcome", DeployOutcome, commit) == settled
    (made,) = result.asset_materializations_for_node("deploy_outcome")
    assert made.metadata["ending"].value == "delivered"


def test_rerun_shows_what_stands(world: House) -> None:
    commit = world.push()
    world.deliver(commit)
    first = world.ledger.settled[commit]

    result = world.deliver(commit, ("deploy_outcome",))

    assert world.ledger.settled[commit] == first
    (made,) = result.asset_materializations_for_node("deploy_outcome")
    assert made.metadata["ending"].value == "delivered"


def test_words_of_an_outcome() -> None:
    bad = outcome(
        1,
        Ending.ROLLED_BACK,
        cause=CauseClass.HEALTH_ERRORS,
        evidence="\x1b[31m9 of 10 failed",
        stages=(StageTime("image", 2.5),),
    )

    words = told(bad)

    assert (words["ending"], words["cause"], words["label"]) == (
        "rolled_back",
        "health-errors",
        "1",
    )
    assert (words["evidence"], words["next_step"]) == ("9 of 10 failed", "none")
    assert words["stages"].records[0].data == {"stage": "image", "seconds": 2.5}
    assert "lead_time_s" not in words


def test_lead_time_runs_from_commit_to_traffic() -> None:
    good = outcome(1, committed_at=NOON, deployed_at=NOON + timedelta(seconds=90))

    assert told(good)["lead_time_s"] == 90.0
    assert told(outcome(1, Ending.WITHHELD))["label"] == "none"
