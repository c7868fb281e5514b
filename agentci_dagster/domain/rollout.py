"""The rollout as a state machine: releases, plans per route, and which transitions are allowed. Pure; driving it: `rollouts.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.routing import Route


class RolloutState(StrEnum):
    """Where a rollout stands. The journal holds the state that is being entered: intent before effect."""

    OPENED = "opened"
    MIGRATING = "migrating"
    STARTING = "starting"
    READY = "ready"
    STEPPING = "stepping"
    WATCHING = "watching"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"

    @property
    def is_final(self) -> bool:
        return self in {RolloutState.PROMOTED, RolloutState.ROLLED_BACK}


@dataclass(frozen=True, slots=True)
class Release:
    """One started version of a service. `process_id` and `started_ticks` together identify a process for ever."""

    name: str
    """Unique per environment, `<short sha>-<generation>`; the router's and the events' name for it."""
    key: CommitKey
    artefact: str
    artefact_digest: str
    host: str
    port: int
    runtime: str
    process_id: int | None = None
    started_ticks: int | None = None
    container_id: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One increase of the canary's share of traffic (fraction) and the least time watched there (seconds)."""

    weight: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One attempt to replace the live release of an environment, as journaled."""

    id: str
    environment: str
    key: CommitKey
    route: Route
    state: RolloutState
    generation: int
    """Fencing token: whoever takes over raises it; a write with an older one is refused."""
    steps: tuple[Step, ...]
    step_index: int
    canary: Release | None
    baseline: Release | None
    committed_at: datetime
    opened_at: datetime
    updated_at: datetime
    reason: str = ""
    cause: str = ""


class DeploymentStatus(StrEnum):
    """How far `deployment` came. Everything but STARTED leaves the live release as it was."""

    NOT_NEEDED = "not_needed"
    STARTED = "started"
    CRASHED_AT_START = "crashed_at_start"
    MIGRATION_FAILED = "migration_failed"
    SUPERSEDED = "superseded"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The canary that stands beside the live release, ready and without traffic, or why there is none."""

    key: CommitKey
    environment: str
    status: DeploymentStatus
    rollout_id: str | None
    canary: Release | None
    baseline: Release | None
    migrations: tuple[str, ...]
    """Names of the migrations applied now."""
    seconds: float
    note: str
    log_tail: str = ""
