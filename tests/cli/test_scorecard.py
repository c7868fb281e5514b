"""`agentci scorecard`: what routing saved and missed, for people and for programs."""

from __future__ import annotations

from agentci_dagster.domain.outcome import Ending
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import LedgerEvent
from tests.builders import NOON, key, outcome
from tests.cli.conftest import Home


def test_an_empty_home_has_a_scorecard_without_numbers(home: Home) -> None:
    done = home.agentci("scorecard")

    assert done.code == 0
    assert "no data" in done.out


def test_fast_commits_without_audits_say_that_nothing_is_known(home: Home) -> None:
    home.ledger.settle(outcome(1, route=Route.FAST))

    assert "what is missed is not known" in home.agentci("scorecard").out


def test_audits_are_counted(home: Home) -> None:
    for n in range(1, 5):
        home.ledger.settle(outcome(n, route=Route.FAST))
    home.ledger.settle(outcome(5, route=Route.STANDARD))
    home.ledger.settle(outcome(6, Ending.ROLLED_BACK, route=Route.STANDARD))
    for n, verdict in ((1, "failed"), (2, "passed")):
        event = LedgerEvent(
            f"audit/{key(n)}", "audit", NOON, "shop", key(n).sha, {"verdict": verdict}
        )
        home.ledger.append(event)

    told = home.agentci("scorecard", "--json").json
    shown = home.agentci("scorecard", "--repository", "shop").out

    assert (told["n_fast"], told["n_audited"]) == (4, 2)
    assert told["failing_audits"]["value"] == 0.5
    assert told["missed"]["value"] == 2.0
    assert "50.0% (1.3% to 98.7%; 1 of 2)" in shown
    assert "2.0 (1.0 to 3.9)" in shown
