"""Plays the scripted commits through the real daemon, sensor and graph, and checks each fate.

The commits are `scenario.py`'s, the expectations `expected.py`'s; here is the order of events.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from agentci_dagster.demo.expected import Seen
from agentci_dagster.demo.scenario import STEPS, Scenario, Step
from agentci_dagster.demo.settings import ENVIRONMENT, NAME, demo_settings
from agentci_dagster.demo.traffic import Traffic, TrafficReport
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.learning import Promotion
from agentci_dagster.domain.outcome import DeployOutcome, Ending
from agentci_dagster.domain.rollout import Deployment, RolloutState
from agentci_dagster.domain.trends import FailureTrends
from agentci_dagster.instance import daemon, prepare_instance
from agentci_dagster.resources import Resources
from agentci_dagster.settings import CONFIG_NAME, load_settings

_MARKER = "demo.json"
_RATE = 40.0
"""Requests per second: enough evidence in seconds, little load on two cores."""
_LIMIT_S = 300.0
"""For one commit to get settled; ten times what it takes on a machine that does nothing else."""
_POLL_S = 0.2
_NEVER_IN_TRAFFIC = {Ending.SKIPPED, Ending.WITHHELD}
_IN_TRAFFIC = {RolloutState.STEPPING, RolloutState.WATCHING, RolloutState.PROMOTING}

Tell = Callable[["Played"], None]


@dataclass(frozen=True, slots=True)
class Played:
    """One scripted commit and what became of it; `differences` from what was expected."""

    step: Step
    key: CommitKey
    outcome: DeployOutcome | None
    differences: Sequence[str]
    pushed_at: datetime

    @property
    def seconds(self) -> float | None:
        """From push to outcome."""
        return (self.outcome.settled_at - self.pushed_at).total_seconds() if self.outcome else None


@dataclass(frozen=True, slots=True)
class Result:
    """The whole play."""

    played: tuple[Played, ...]
    promotion: Promotion | None
    trends: FailureTrends | None
    traffic: TrafficReport
    differences: tuple[str, ...]
    """Of the play as a whole: retraining, trends, lost requests."""

    @property
    def is_as_expected(self) -> bool:
        return not self.differences and not any(p.differences for p in self.played)


def prepare(home: Path) -> Resources:
    """An empty home for a new play; what an earlier play left there is stopped and removed.

    Raises:
        UsageError: the folder holds something that no demo made.
    """
    if home.exists() and any(home.iterdir()):
        if not (home / _MARKER).is_file():
            raise UsageError(
                f"{home} is not empty and not a demo's.", "set AGENTCI_HOME to another folder"
            )
        stop_services(Resources(load_settings(home / CONFIG_NAME, home)))
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARKER).write_text(json.dumps({"made_by": "agentci demo"}))
    text = demo_settings(home / "git" / "origin.git", home / "shop.db")
    (home / CONFIG_NAME).write_text(text)
    return Resources(load_settings(home / CONFIG_NAME, home))


def stop_services(resources: Resources) -> None:
    """End the releases and the router of the demo's environment."""
    grace = timedelta(seconds=2)
    for release in resources.runtime.releases(ENVIRONMENT):
        resources.runtime.stop(release, grace)
    resources.router.shutdown(ENVIRONMENT)


def play(resources: Resources, tell: Tell) -> Result:
    """Push the commits one after another while the daemon runs, and compare each fate."""
    home = resources.settings.home
    scenario = Scenario(home / "git", datetime.now(UTC))
    scenario.prepare()
    address = resources.router.ensure(ENVIRONMENT)
    environment = prepare_instance(home)
    with daemon(home, environment), Traffic(address, _RATE) as traffic:
        played = tuple(_play_all(resources, scenario, tell))
        promotion, trends = _wait_for_learning(resources, len(played))
        report = traffic.stop()
    return Result(
        played=played,
        promotion=promotion,
        trends=trends,
        traffic=report,
        differences=tuple(_whole(promotion, trends, report, played)),
    )


def _play_all(resources: Resources, scenario: Scenario, tell: Tell) -> Iterator[Played]:
    """Push each commit once the one before is in traffic or settled.

    What never comes to traffic stands in nobody's way: the next commit is pushed once the sensor
    has seen it. (What is taken off a branch before anybody looked was never there.)
    """
    pushed: list[tuple[Step, CommitKey, datetime]] = []
    told = 0
    at = datetime.now(UTC).replace(microsecond=0)
    for step in STEPS:
        at = max(at + timedelta(seconds=1), datetime.now(UTC))
        key = CommitKey(NAME, scenario.push(step, at))
        pushed.append((step, key, datetime.now(UTC)))
        is_brief = step.expected.ending in _NEVER_IN_TRAFFIC
        is_next = _is_seen if is_brief else _is_out_of_the_way
        _wait(partial(is_next, resources, key), f"{key} ({step.title})")
        while told < len(pushed) and resources.ledger.outcome(pushed[told][1]) is not None:
            yield _told(resources, scenario, pushed[told], tell)
            told += 1
    for entry in pushed[told:]:
        _wait(partial(_is_settled, resources, entry[1]), str(entry[1]))
        yield _told(resources, scenario, entry, tell)


def _told(
    resources: Resources, scenario: Scenario, entry: tuple[Step, CommitKey, datetime], tell: Tell
) -> Played:
    step, key, pushed_at = entry
    outcome = resources.ledger.outcome(key)
    seen = Seen(
        outcome=outcome,
        image=resources.values.find("image", Image, key),
        deployment=resources.values.find("deployment", Deployment, key),
        reverted_sha=scenario.reverted_sha(step),
    )
    played = Played(step, key, outcome, scenario.check(step, seen), pushed_at)
    tell(played)
    return played


def _is_seen(resources: Resources, key: CommitKey) -> bool:
    return resources.values.has("commit_diff", key)


def _is_out_of_the_way(resources: Resources, key: CommitKey) -> bool:
    """Whether the next commit may be pushed: this one is settled, or the canary serves already."""
    if _is_settled(resources, key):
        return True
    return any(r.state in _IN_TRAFFIC for r in resources.ledger.rollouts(key=key))


def _is_settled(resources: Resources, key: CommitKey) -> bool:
    return resources.ledger.outcome(key) is not None


def _wait_for_learning(
    resources: Resources, n_commits: int
) -> tuple[Promotion | None, FailureTrends | None]:
    """The last retraining and the trends that show every commit."""

    def learnt() -> tuple[Promotion | None, FailureTrends | None]:
        promotion = resources.values.find("champion_promotion", Promotion)
        return promotion, resources.values.find("failure_trends", FailureTrends)

    def is_done() -> bool:
        promotion, trends = learnt()
        return promotion is not None and trends is not None and trends.n_commits >= n_commits

    _wait(is_done, "The retraining with its trends")
    return learnt()


def _whole(
    promotion: Promotion | None,
    trends: FailureTrends | None,
    traffic: TrafficReport,
    played: Sequence[Played],
) -> Iterator[str]:
    if promotion is None or not promotion.reason:
        yield "no retraining has said why it promoted or not"
    if trends is None or trends.n_commits < len(played):
        yield "the failure trends do not show all commits"
    if traffic.n_lost:
        yield f"{traffic.n_lost} requests got no answer"


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not is_done():
        if time.monotonic() > deadline:
            raise InfrastructureError(
                f"{what} was not through after {_LIMIT_S:.0f} s.",
                "read logs/daemon.log in the demo's folder, and agentci status",
            )
        time.sleep(_POLL_S)
