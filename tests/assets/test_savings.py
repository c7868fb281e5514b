"""`savings`: the scorecard from outcomes and audits in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentci_dagster.assets.savings import build_savings, savings
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import Ending, StageTime
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import LedgerEvent
from tests.builders import NOON, key, outcome
from tests.house import House, house, metadata


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def audit(world: House, commit: CommitKey, verdict: str) -> None:
    body = {"verdict": verdict, "summary": "", "seconds": 1.0}
    event = LedgerEvent(f"audit/{commit}", "audit", NOON, commit.repository, commit.sha, body)
    world.ledger.append(event)


def test_an_empty_ledger_tells_counts_only(world: House) -> None:
    told = metadata(savings(outcomes=world.ledger, log=world.ledger))

    assert told["n_commits"] == 0
    assert "spared_share" not in told
    assert "missed" not in told


def test_saved_and_missed_are_told_with_their_interval(world: House) -> None:
    for n in range(1, 5):
        world.ledger.settle(outcome(n, route=Route.FAST))
    world.ledger.settle(outcome(5, route=Route.STANDARD))
    world.ledger.settle(outcome(6, Ending.ROLLED_BACK, route=Route.STANDARD))
    audit(world, key(1), "failed")
    audit(world, key(2), "passed")

    told = metadata(savings(outcomes=world.ledger, log=world.ledger))

    assert (told["n_fast"], told["n_audited"], told["n_failing_audits"]) == (4, 2, 1)
    assert told["spared_share"] == pytest.approx(4 / 6)
    assert (told["missed"], told["missed_low"]) == (2.0, 1.0)
    assert told["missed_high"] < 4
    assert told["caught_share"] == pytest.approx(1 / 3)


def test_builds_are_told_month_by_month(world: House) -> None:
    for n, saved in ((1, 0.0), (2, 40.0)):
        stages = (StageTime("image", 2.0 * n),)
        world.ledger.settle(outcome(n, stages=stages, seconds_saved=saved))

    made = build_savings(outcomes=world.ledger, pictures=world.pictures)

    told = metadata(made)
    assert (told["n_builds"], told["seconds_built"], told["seconds_saved"]) == (2, 6.0, 40.0)
    assert told["by_month"] == "Seconds saved by reuse: [('2026-03', 40.0)]"
    (row,) = [record.data for record in dict(made.metadata)["months"].records]
    assert (row["month"], row["with_reuse"], row["median_build_s"]) == ("2026-03", 1, 3.0)
