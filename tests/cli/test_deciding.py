"""`approve`, `reject`, `rollback`: a person's word, recorded with its reason."""

from __future__ import annotations

import pytest

from agentci_dagster.domain.outcome import Ending
from tests.builders import key, outcome, sha
from tests.cli.conftest import Home

SERVICE = '[[repository]]\nname = "shop"\nurl = "x"\n[repository.service]\ncommand = "serve"\n'


@pytest.mark.parametrize(("verb", "is_approved"), [("approve", True), ("reject", False)])
def test_decision_is_recorded_for_exactly_this_commit(
    home: Home, verb: str, is_approved: bool
) -> None:
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    done = home.agentci(verb, sha(), "--reason", "looked at it", "--json")

    (event,) = home.ledger.events(kind="approval")
    assert done.code == 0
    assert (event.repository, event.sha) == ("shop", sha())
    assert event.body["is_approved"] is is_approved
    assert event.body["reason"] == "looked at it"
    assert done.json["commit"] == str(key())
    assert done.json["by"] == event.body["by"]


def test_words_for_people(home: Home) -> None:
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    assert f"{key()} approved by" in home.agentci("approve", sha(), "--reason", "x").out
    assert f"{key()} rejected by" in home.agentci("reject", sha(), "--reason", "x").out


def test_decision_needs_a_reason(home: Home) -> None:
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    assert home.agentci("approve", sha()).code == 2
    done = home.agentci("approve", sha(), "--reason", "  ")

    assert done.code == 2
    assert "needs a reason" in done.err
    assert home.ledger.events(kind="approval") == ()


def test_rollback_of_an_unknown_environment_names_the_known_ones(home: Home) -> None:
    home.configure(SERVICE)

    done = home.agentci("rollback", "staging")

    assert done.code == 2
    assert "No service is deployed to 'staging' (known: production)." in done.err
    assert "Next: agentci status" in done.err


def test_rollback_without_a_service_knows_none(home: Home) -> None:
    done = home.agentci("rollback", "production", "--json")

    assert done.code == 2
    assert "(known: none)" in done.json["error"]
