"""`agentci replay`: the same decisions again, and what was changed since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agentci_dagster.adapters.model_files import ModelFiles
from agentci_dagster.domain.outcome import Ending, Known, conclude
from agentci_dagster.domain.risk import Advice, RiskScore, assess
from agentci_dagster.domain.routing import RiskPolicy, Route
from tests.builders import NOON, diff, features, file_change, outcome
from tests.cli.conftest import Home


def held(home: Home) -> RiskScore:
    """A commit that was scored by the prior and withheld for a person."""
    change = diff(file_change("shop/cart.py"))
    prior = ModelFiles(Path(home.folder) / "models").prior
    policy = RiskPolicy(fast_below=0.0, guarded_from=0.0, hold_from=0.0)
    scored = prior.score(features())
    risk = assess(change, features(), scored, Advice(), policy, prior.version, "nowhere")
    assert risk.route is Route.HOLD
    home.values.store("commit_diff", change, change.key)
    home.values.store("risk_score", risk, change.key)
    home.ledger.settle(conclude(Known(change.key, diff=change, risk=risk), NOON))
    return risk


def test_decisions_come_out_the_same(home: Home) -> None:
    held(home)
    home.ledger.settle(outcome(5, Ending.INFRASTRUCTURE))

    done = home.agentci("replay")

    assert done.code == 0
    assert "2 decisions came out the same, 0 differently, 1 could not be made again" in done.out
    assert "infrastructure broke it" in done.out


def test_changed_record_is_told_and_ends_with_1(home: Home) -> None:
    risk = held(home)
    home.values.store("risk_score", replace(risk, probability=0.01, route=Route.FAST), risk.key)

    done = home.agentci("replay", "--json")

    assert done.code == 1
    assert done.json["same"] == 0
    told = {(d["commit"], d["decision"]) for d in done.json["different"]}
    assert told == {(str(risk.key), "route"), (str(risk.key), "outcome")}


def test_model_that_is_gone_is_said(home: Home) -> None:
    risk = held(home)
    home.values.store("risk_score", replace(risk, model_version="outcomes-9-x"), risk.key)

    (untried,) = home.agentci("replay", "--json").json["not_replayed"]

    assert untried["why_not"] == "the model outcomes-9-x is not stored any more"


def test_empty_ledger_has_nothing_to_replay(home: Home) -> None:
    done = home.agentci("replay")

    assert done.code == 0
    assert done.out.startswith("0 decisions")
