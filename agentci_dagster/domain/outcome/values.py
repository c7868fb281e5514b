"""The values of an outcome: endings, cause classes, the settled fate. Deciding: `conclude.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.routing import Route


class Ending(StrEnum):
    """The ways in which a commit can end."""

    PROMOTED = "promoted"
    DELIVERED = "delivered"
    """A library: everything passed and there is no service to deploy."""
    SKIPPED = "skipped"
    WITHHELD = "withheld"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of the journey took, in seconds."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeployOutcome:
    """The settled fate of one commit: one row of the memory that learning and trends read.

    `label` is 1 for a failure by the commit's own fault, 0 for a success, None where nothing may be
    learnt (withheld for a person, skipped, superseded, broken by infrastructure).
    """

    key: CommitKey
    ending: Ending
    cause: CauseClass | None
    label: int | None
    stage: str
    """The stage at which it ended."""
    evidence: str
    """At most 2,000 characters: the failing example, query, log line or rule."""
    next_step: str
    route: Route | None
    probability: float | None
    model_version: str | None
    features: CommitFeatures | None
    subject: str
    branch: str
    paths: tuple[str, ...]
    """At most 200 touched paths."""
    committed_at: datetime
    settled_at: datetime
    deployed_at: datetime | None = None
    """When it was live for all traffic."""
    failed_at: datetime | None = None
    restored_at: datetime | None = None
    """When all traffic was back on the last known good release."""
    reverts: str | None = None
    """Sha of the commit that this one reverts."""
    stages: tuple[StageTime, ...] = ()
    seconds_saved: float = 0.0
    n_generated_tests: int = 0
    run_id: str = ""


def is_settled_for_good(outcome: DeployOutcome) -> bool:
    """Whether no later outcome may replace this one.

    An infrastructure ending says nothing about the commit, and a commit withheld for a person's
    approval waits: both may still become something else.
    """
    return outcome.ending is not Ending.INFRASTRUCTURE and not waits_for_approval(outcome)


def is_released_by(outcome: DeployOutcome, approved_at: datetime) -> bool:
    """Whether an approval given at that instant lets a commit that ended so go on.

    A hold at the risk gate is released by any approval; one given before the hold was settled
    makes it look like a run that broke right behind the gate. A hold after the watch is released
    only by an approval that answers it.
    """
    if waits_for_approval(outcome):
        return outcome.stage == "risk_score" or approved_at > outcome.settled_at
    return outcome.ending is Ending.INFRASTRUCTURE and outcome.stage == "generated_tests"


def rejected(outcome: DeployOutcome, by: str, reason: str, at: datetime) -> DeployOutcome:
    """What a waiting commit becomes by a person's no, which is for good and no lesson."""
    return replace(
        outcome,
        ending=Ending.REJECTED,
        cause=CauseClass.REJECTED,
        label=None,
        evidence=f"rejected by {by}: {reason}",
        next_step="push a new commit",
        settled_at=at,
    )


def waits_for_approval(outcome: DeployOutcome) -> bool:
    """Whether the commit was withheld for a person, who has not answered yet."""
    return outcome.ending is Ending.WITHHELD and outcome.cause is None
