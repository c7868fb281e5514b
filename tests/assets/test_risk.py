"""`risk_score`: the champion's word, guard rules and advice; tags on the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.domain.risk import Advice, RiskScore
from agentci_dagster.domain.routing import Route
from tests.fakes.learning import FakeAdvisor, FixedModel
from tests.house import House, house


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def scored(world: House, files: dict[str, bytes]) -> tuple[RiskScore, dg.ExecuteInProcessResult]:
    """Through a run: the asset writes tags on it."""
    commit = world.push(files=files)
    result = world.deliver(commit, ("commit_diff", "risk_score"))
    score = world.values.find("risk_score", RiskScore, commit)
    assert score is not None
    return score, result


def told(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (made,) = result.asset_materializations_for_node("risk_score")
    return {name: getattr(value, "value", value) for name, value in made.metadata.items()}


def test_score_is_the_champions_with_route_and_tags(world: House) -> None:
    score, result = scored(world, {"cart.py": b"x = 1\n"})

    assert (score.probability, score.route) == (0.05, Route.FAST)
    assert score.model_version == "prior-fixed"
    seen = told(result)
    assert seen["failure_probability"] == 0.05
    assert (seen["risk_band"], seen["route"]) == ("low", "fast")
    assert seen["model_version"] == "prior-fixed"
    assert (seen["guard_rules"], seen["advice"]) == ("none", "- source: none")
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert (run.tags["agentci/risk"], run.tags["agentci/route"]) == ("low", "fast")


def test_guard_rule_makes_it_stricter_and_is_told(world: House) -> None:
    score, result = scored(world, {"migrations/0002.sql": b"ALTER TABLE a ADD b int;\n"})

    assert score.route is Route.GUARDED
    assert "changes a migration" in str(told(result)["guard_rules"])


def test_champion_that_is_sure_holds(world: House) -> None:
    world.models.prior = FixedModel(0.9)

    score, result = scored(world, {"cart.py": b"x = 1\n"})

    assert score.route is Route.HOLD
    assert not result.success


def test_advice_can_only_ask_for_more_and_its_words_are_harmless(world: House) -> None:
    world.advisor = FakeAdvisor(Advice(Route.GUARDED, ("<b>see</b> [x](http://e.org)",), "m"))

    score, result = scored(world, {"cart.py": b"x = 1\n"})

    assert score.route is Route.GUARDED
    shown = str(told(result)["advice"])
    assert "<b>" not in shown
    assert "](http" not in shown
