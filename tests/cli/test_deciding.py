"""`approve`, `reject`, `rollback`: a person's word, recorded with its reason."""

from __future__ import annotations

import os

import pytest

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.outcome import Ending
from tests.builders import diff, key, outcome, sha
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


def test_rejected_commit_is_settled_and_cannot_be_approved_any_more(home: Home) -> None:
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    home.agentci("reject", sha(), "--reason", "too much at once")

    settled = home.ledger.outcome(key())
    assert settled is not None
    assert (settled.ending, settled.cause, settled.label) == (
        Ending.REJECTED, CauseClass.REJECTED, None,
    )  # fmt: skip
    assert "too much at once" in home.agentci("why", sha()).out
    done = home.agentci("approve", sha(), "--reason", "after all")
    assert done.code == 2
    assert "was rejected already" in done.err
    assert len(home.ledger.events(kind="approval")) == 1


@pytest.mark.parametrize("ending", [Ending.PROMOTED, Ending.ROLLED_BACK])
def test_settled_commit_waits_for_nobody(home: Home, ending: Ending) -> None:
    home.ledger.settle(outcome(1, ending))

    done = home.agentci("approve", sha(), "--reason", "x")

    assert done.code == 2
    assert f"was {ending.value} already" in done.err
    assert "Next: agentci why" in done.err


def test_what_follows_a_decision_is_said(home: Home) -> None:
    home.values.store("commit_diff", diff(n=2), key(2))
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    assert "agentci up" in home.agentci("approve", sha(), "--reason", "x").out
    assert "when it comes to its gate" in home.agentci("approve", sha(2), "--reason", "x").out


def test_user_without_a_name_is_known_by_number(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    home.ledger.settle(outcome(1, Ending.WITHHELD, stage="risk_score"))

    done = home.agentci("approve", sha(), "--reason", "x", "--json")

    assert done.json["by"] == "uid:54321"


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


def test_services_that_are_configured_no_more_are_ended_too(home: Home) -> None:
    (home.folder / "environments" / "staging" / "releases").mkdir(parents=True)

    unknown = home.agentci("down", "nowhere")
    known = home.agentci("down", "staging")

    assert unknown.code == 2
    assert "(known: staging)" in unknown.err
    assert known.code == 0
    assert "nothing was running" in known.out
