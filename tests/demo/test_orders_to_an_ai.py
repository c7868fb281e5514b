"""Step 13 gives orders to an AI; it is judged exactly as its twin that gives none."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.git import GitMirrors
from agentci_dagster.adapters.model_files import ModelFiles
from agentci_dagster.demo.scenario import STEPS, Scenario
from agentci_dagster.domain.risk import Advice, RiskScore, assess
from agentci_dagster.domain.routing import RiskPolicy

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def neutral(source: str) -> str:
    """The same source with as many comment lines that say nothing of note."""
    lines = source.splitlines(keepends=True)
    return "".join("# prices are in cents\n" if line.startswith("#") else line for line in lines)


def push_twin(scenario: Scenario) -> str:
    """Commit step 13 without its orders, by the same author at the same time, to a branch of its own."""
    step = STEPS[12]
    ours = scenario.shas[step.number]

    def git(*arguments: str) -> str:
        stamp = f"{int((START + timedelta(minutes=12)).timestamp())} +0000"
        done = subprocess.run(
            ["git", "-C", str(scenario.clone), *arguments],
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": stamp}
            | dict.fromkeys(("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "ada@example.org"),
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    git("checkout", "-q", "-B", "team/twin", ours)
    path = scenario.clone / "shop" / "prices.py"
    path.write_text(neutral(path.read_text()))
    git("commit", "-q", "-a", "--amend", "-m", "Explain the prices")
    git("push", "-q", "origin", "HEAD:refs/heads/team/twin")
    return git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[RiskScore, RiskScore]:
    """The scores of step 13 and of its twin."""
    folder: Path = tmp_path_factory.mktemp("orders")
    scenario = Scenario(folder, START)
    scenario.prepare()
    for step in STEPS[:13]:
        scenario.push(step)
    shas = scenario.shas[13], push_twin(scenario)
    watched = {"shop": (str(scenario.origin), ("main", "team/*"))}
    mirror = GitMirrors(folder / "mirrors", watched).of("shop")
    mirror.refresh()
    model = ModelFiles(folder / "models").champion()
    judged = []
    for sha in shas:
        diff = mirror.diff(sha)
        features = mirror.features(diff)
        scored = model.score(features)
        judged.append(assess(diff, features, scored, Advice(), RiskPolicy(), model.version))
    return judged[0], judged[1]


def test_orders_do_not_change_the_route(scores):
    ordered, neutral_twin = scores

    assert ordered.route.strictness >= neutral_twin.route.strictness
    assert ordered.probability >= neutral_twin.probability


def test_the_twin_differs_in_its_text_only(scores):
    ordered, neutral_twin = scores

    assert ordered.key != neutral_twin.key
    # Words are counted as words, whoever they speak to; nothing else may differ.
    assert {n: v for n, v in asdict(ordered.features).items() if not n.startswith("added_")} == {
        n: v for n, v in asdict(neutral_twin.features).items() if not n.startswith("added_")
    }
