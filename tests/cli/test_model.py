"""`agentci model`: trained, measured, shown and promoted by hand, with the next step in every refusal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.domain.outcome import Ending
from tests.builders import NOON, features, outcome
from tests.cli.conftest import Home

RULES = """
[policy.learning]
maturity_s = 0
min_rows = 8
min_failures = 2
"""


@pytest.fixture
def learnt(home: Home) -> Home:
    """A home where large commits failed."""
    home.configure(RULES)
    for n in range(1, 61):
        bad = n % 3 == 0
        at = NOON + timedelta(hours=n)
        facts = {
            "features": features(lines_added=400.0 if bad else 4.0, migration_files=float(bad)),
            "committed_at": at,
            "settled_at": at + timedelta(minutes=5),
        }
        home.ledger.settle(outcome(n, Ending.ROLLED_BACK if bad else Ending.PROMOTED, **facts))
    return home


def test_without_outcomes_every_verb_says_what_to_do(home: Home) -> None:
    train, evaluate = home.agentci("model", "train"), home.agentci("model", "evaluate")

    assert (train.code, evaluate.code) == (2, 2)
    assert "no labelled outcome" in train.err
    assert "deliver more commits" in evaluate.err
    assert home.agentci("model", "show", "--json").json["models"] == []


def test_a_model_is_trained_measured_and_promoted(learnt: Home) -> None:
    trained = learnt.agentci("model", "train", "--json").json
    version = trained["version"]

    found = learnt.agentci("model", "evaluate", "--json").json
    promoted = learnt.agentci("model", "promote", version, "--json")
    shown = learnt.agentci("model", "show", "--json").json

    assert "42 outcomes of weight 1" in trained["pooling"]
    assert found["version"] == version
    assert found["candidate"]["auc"] == 1.0
    assert found["candidate"]["brier"] < found["base_rate"]["brier"]
    assert found["linear"]["auc"] == 1.0
    assert sum(share["n_commits"] for share in found["routes"]) == found["n_holdout"] == 18
    assert promoted.code == 0, promoted.err
    assert shown["champion"] == version
    assert [m["version"] for m in shown["models"]] == [version]


def test_people_get_tables(learnt: Home) -> None:
    version = learnt.agentci("model", "train", "--json").json["version"]

    told = learnt.agentci("model", "evaluate", "--blocks", "2").out

    for words in (
        version,
        "churn alone",
        "base rate",
        "linear",
        "P_opt",
        "guarded",
        "As it would have lived",
    ):
        assert words in told
    assert version in learnt.agentci("model", "show").out
    assert "anchored-logistic" in learnt.agentci("model", "show", version).out
    assert "Next: agentci model evaluate" in learnt.agentci("model", "train").out
    # Reliving the past leaves no models behind.
    assert len(learnt.agentci("model", "show", "--json").json["models"]) == 1


def test_a_model_that_did_not_win_is_promoted_only_by_force(learnt: Home) -> None:
    prior = learnt.agentci("model", "show", "--json").json["champion"]
    learnt.agentci("model", "promote", learnt.agentci("model", "train", "--json").json["version"])

    refused = learnt.agentci("model", "promote", prior)
    forced = learnt.agentci("model", "promote", prior, "--force")

    assert refused.code == 2
    assert "--force" in refused.err
    assert forced.code == 0
    assert learnt.agentci("model", "show", prior, "--json").json["is_champion"]


def test_unknown_models_are_usage_errors(learnt: Home) -> None:
    for verb in ("show", "promote", "evaluate"):
        done = learnt.agentci("model", verb, "outcomes-9-none")
        assert done.code == 2, verb
        assert "stored" in done.err


def test_a_model_is_not_measured_on_what_it_was_trained_on(learnt: Home) -> None:
    version = learnt.agentci("model", "train", "--json").json["version"]
    learnt.configure(RULES + "holdout_share = 0.6\n")

    done = learnt.agentci("model", "evaluate", version)

    assert done.code == 2
    assert "was trained on some of the outcomes" in done.err
