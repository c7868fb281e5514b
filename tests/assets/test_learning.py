"""`training_set` to `champion_promotion`: learnt from the ledger, promoted only when better, and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agentci_dagster.assets import learning as stage
from agentci_dagster.domain.learning import LearningPolicy, MinedCommit, TrainingRows
from agentci_dagster.domain.outcome import Ending
from tests.builders import NOON, features, outcome, sha
from tests.house import House, house, metadata

POLICY = LearningPolicy(maturity_s=0.0, min_rows=5, min_failures=1, retrain_every=5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, learning_policy=POLICY) as world:
        yield world


def settle(world: House, n: int, *, every: int = 2) -> None:
    for i in range(1, n + 1):
        ending = Ending.ROLLED_BACK if i % every == 0 else Ending.PROMOTED
        world.ledger.settle(outcome(i, ending, features=features(lines_added=float(i))))


def rows(world: House) -> Any:
    return stage.training_set(
        outcomes=world.ledger, clock=world.clock, learning_policy=world.learning_policy
    )


def mined(world: House, learnt: TrainingRows) -> Any:
    return stage.mined_history(
        learnt,
        histories=world.histories,
        catalogue=world.catalogue,
        clock=world.clock,
        learning_policy=world.learning_policy,
    )


def candidate(world: House, learnt: TrainingRows) -> Any:
    return stage.candidate_model(
        learnt,
        mined(world, learnt).value,
        models=world.models,
        learning_policy=world.learning_policy,
    )


def learn(world: House) -> tuple[Any, Any, Any]:
    """Candidate, evaluation and promotion, one after the other."""
    learnt = rows(world).value
    made = candidate(world, learnt)
    evaluation = stage.model_evaluation(
        learnt, made.value, models=world.models, learning_policy=world.learning_policy
    )
    with dg.build_asset_context(instance=world.instance) as context:
        promotion = stage.champion_promotion(
            context,
            made.value,
            evaluation.value,
            models=world.models,
            learning_policy=world.learning_policy,
        )
    return made, evaluation, promotion


def test_rows_are_told_with_those_that_do_not_count(world: House) -> None:
    world.learning_policy = replace(POLICY, maturity_s=3_600.0 * 24)
    settle(world, 4)
    world.ledger.settle(outcome(9, Ending.SKIPPED))

    told = metadata(rows(world))

    assert told == {"n_rows": 2, "n_failures": 2, "n_censored": 2, "n_unlabelled": 1}


def test_history_teaches_with_its_weight_until_outcomes_are_enough(world: House) -> None:
    settle(world, 10)
    old = int((NOON - timedelta(days=400)).timestamp())
    world.histories.commits["shop"] = (
        MinedCommit(sha(801), old, "a", features(), old + 60),
        MinedCommit(sha(802), old, "a", features()),
        MinedCommit(sha(803), int(NOON.timestamp()), "a", features()),
    )
    learnt = rows(world).value

    told = metadata(mined(world, learnt))

    assert (told["n_rows"], told["n_failures"]) == (2, 1)
    assert told["n_censored"] == 1
    made = candidate(world, learnt)
    assert "2 rows mined from history of weight 0.200" in metadata(made)["pooling"]
    assert made.value.manifest.n_rows == 6 + 2
    world.learning_policy = replace(POLICY, mined_until=10)
    assert metadata(mined(world, learnt))["note"] == "outcomes teach enough"
    assert world.histories.asked == ["shop", "shop"]


def test_history_that_was_labelled_after_the_holdout_began_does_not_teach(world: House) -> None:
    settle(world, 10)
    old = int((NOON - timedelta(days=400)).timestamp())
    world.histories.commits["shop"] = (
        MinedCommit(sha(801), old, "a", features(), int(NOON.timestamp()) + 3_600),
    )

    made = candidate(world, rows(world).value)

    assert made.value.manifest.n_rows == 6


def test_without_outcomes_nothing_is_trained_and_it_is_said(world: House) -> None:
    made, evaluation, promotion = learn(world)

    assert made.value.manifest is None
    assert metadata(made)["version"] == "none"
    assert metadata(made)["note"].startswith("not trained")
    assert metadata(evaluation)["champion_version"] == "prior-fixed"
    assert metadata(promotion)["is_promoted"] is False
    assert metadata(promotion)["reason"]
    assert world.models.promoted == []


def test_better_candidate_becomes_champion(world: House) -> None:
    settle(world, 20)

    made, evaluation, promotion = learn(world)

    version = made.value.manifest.version
    # Six of twenty are the holdout; the label of one more came only after it had begun.
    assert metadata(made)["note"] == "trained on 13 earlier outcomes"
    assert metadata(evaluation)["n_holdout"] == 6
    table = [r.data for r in dict(evaluation.metadata)["quality"].records]
    assert [r["model"] for r in table] == [
        "candidate",
        "champion",
        "base rate",
        "churn only",
        "linear",
    ]
    assert table[0]["brier"] < table[1]["brier"]
    assert metadata(promotion)["is_promoted"] is True
    assert world.models.promoted == [version]


def test_worse_candidate_is_not_promoted_and_the_champion_stays(world: House) -> None:
    for i in range(1, 15):
        world.ledger.settle(outcome(i, Ending.ROLLED_BACK if i != 1 else Ending.PROMOTED))
    for i in range(15, 21):
        world.ledger.settle(outcome(i, Ending.ROLLED_BACK if i == 20 else Ending.PROMOTED))

    _, _, promotion = learn(world)

    assert metadata(promotion)["is_promoted"] is False
    assert metadata(promotion)["champion_version"] == "prior-fixed"
    assert world.models.promoted == []


def test_drift_is_told_and_stops_nothing(world):
    from agentci_dagster import gates

    settle(world, 60)
    learnt = rows(world).value
    checks = (
        gates.commits_look_as_before,
        gates.failures_are_as_frequent,
        gates.scores_keep_their_word,
    )

    told = [check(training_set=learnt, learning_policy=POLICY) for check in checks]

    # Lines rise from commit to commit here.
    assert [result.passed for result in told[:2]] == [False, True]
    assert "lines_added (PSI" in told[0].description
    assert {result.severity for result in told} == {dg.AssetCheckSeverity.WARN}


def test_what_each_row_counts_is_told(world):
    settle(world, 20)

    made, _, _ = learn(world)

    assert "outcomes of weight 1" in metadata(made)["pooling"]
