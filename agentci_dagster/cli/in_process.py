"""Materialises the assets of one commit in this process, on an instance that is thrown away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

from agentci_dagster.definitions import ASSETS as ALL_ASSETS
from agentci_dagster.definitions import dagster_resources
from agentci_dagster.domain.diff import CommitDiff, CommitKey
from agentci_dagster.domain.generated_tests import GeneratedTests
from agentci_dagster.domain.health import HealthReport
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.rollout import Deployment
from agentci_dagster.domain.selection import TestReport
from agentci_dagster.domain.why import explain
from agentci_dagster.gates import GATES
from agentci_dagster.jobs import COMMIT_ASSETS
from agentci_dagster.partitions import COMMITS
from agentci_dagster.ports import AssetValues
from agentci_dagster.resources import Resources

ASSETS = COMMIT_ASSETS
Tell = Callable[[str, str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of it: the values by asset, the outcome when it came to one, our own error."""

    document: dict[str, Any]
    outcome: DeployOutcome | None
    error: str


@dataclass(frozen=True, slots=True)
class TellingValues:
    """The stored values, telling about each one as it is stored."""

    values: AssetValues
    tell: Tell

    def find(self, asset: str, kind: type[T], key: CommitKey | None = None) -> T | None:
        return self.values.find(asset, kind, key)

    def store(self, asset: str, value: object, key: CommitKey | None = None) -> Path:
        self.tell(asset, headline(value))
        return self.values.store(asset, value, key)


def deliver(resources: Resources, key: CommitKey, until: str, tell: Tell) -> Delivered:
    """Make the assets of one commit up to `until`; gates stop as in a run of the daemon."""
    wanted = COMMIT_ASSETS[: COMMIT_ASSETS.index(until) + 1]
    values = resources.values
    resources.__dict__["values"] = TellingValues(values, tell)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(COMMITS, [str(key)])
        result = dg.materialize(
            [*ALL_ASSETS, *GATES],
            selection=dg.AssetSelection.assets(*wanted),
            partition_key=str(key),
            instance=instance,
            resources=dagster_resources(resources),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failed = [
            event.step_failure_data
            for event in result.get_step_failure_events()
            if not _is_gate(event.step_failure_data)
        ]
        error = "; ".join(_text(f) for f in failed)
    outcome = None
    if until == COMMIT_ASSETS[-1] or not result.success:
        outcome = resources.journeys.conclude(key, resources.clock.now(), error=error)
    if outcome is not None and until == COMMIT_ASSETS[-1]:
        outcome = resources.ledger.settle(outcome)
    stopped = "" if outcome is None or result.success else explain(outcome).headline
    made = {a: json.loads(values.text(a, key)) for a in wanted if values.has(a, key)}
    return Delivered({"values": made, "error": error, "stopped": stopped}, outcome, error)


def headline(value: object) -> str:
    """One line about a value for people who watch it being made."""
    line = ""
    match value:
        case CommitDiff():
            counts = f"{len(value.files)} files, +{value.lines_added} -{value.lines_deleted}"
            line = f"{counts}: {value.commit.subject}"
        case RiskScore():
            line = f"{value.probability:.1%} ({value.band.value}), route {value.route.value}"
        case GeneratedTests():
            line = value.note
        case TestReport():
            line = f"{value.verdict.value}: {value.summary}"
        case Image():
            line = value.failure or value.note
        case Deployment():
            line = f"{value.status.value} {value.note}"
        case HealthReport():
            line = f"{value.decision}: {value.rule}"
        case DeployOutcome():
            line = value.ending.value
    return clean_text(line, 100)


def _is_gate(failure: StepFailureData) -> bool:
    """Whether a gate stopped the run: an answer about the commit, and no error of ours."""
    return failure.error is not None and failure.error.cls_name == "DagsterAssetCheckFailedError"


def _text(failure: StepFailureData) -> str:
    return clean_text(failure.error.to_string(), 2_000) if failure.error else ""
