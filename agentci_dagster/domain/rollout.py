"""The rollout as a state machine: releases, plans per route, and which transitions are allowed.
Pure; driving it: `rollouts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.routing import Route


class RolloutState(StrEnum):
    """Where a rollout stands. The journal holds the state that is being entered: intent before
    effect.
    """

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
    """One started version of a service. `process_id` and `started_ticks` together identify a
    process for ever.
    """

    name: str
    """Unique per environment, `<short sha>-<generation>`; the router's and the events' name for
    it.
    """
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
    """One increase of the canary's share of traffic (fraction) and the least time watched there
    (seconds).
    """

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
    """The canary that stands beside the live release, ready and without traffic, or why there is
    none.
    """

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


class Happening(StrEnum):
    """What can happen to a rollout; `react` says what follows."""

    BEGUN = "begun"
    MIGRATED = "migrated"
    ANSWERED = "answered"
    """The canary answered its health path and stands in the router without traffic."""
    STEP_PASSED = "step_passed"
    """The next step may be entered; from READY: the first one."""
    SUSPECTED = "suspected"
    """At full weight something looks wrong: back to the last step that compares."""
    WATCH_PASSED = "watch_passed"
    FAILED = "failed"
    """A fail verdict, a missed deadline, an expired lease, a person's word, an error of ours: all
    the same here.
    """
    SETTLED = "settled"
    """The effects of PROMOTING or ROLLING_BACK are done."""


def plan_for(route: Route, policy: CanaryPolicy, *, is_first: bool = False) -> tuple[Step, ...]:
    """The steps of traffic for a route; the last one has full weight and is the watch.

    A first deployment has nothing to compare with and begins at full weight. `skip` has no steps. A
    commit on `hold` that a person approved walks the guarded plan.
    """
    if route is Route.SKIP:
        return ()
    watch_s = policy.fast_watch_s if route is Route.FAST else policy.watch_s
    full = Step(1.0, watch_s)
    if is_first:
        return (full,)
    if route is Route.FAST:
        return (Step(0.5, policy.fast_bake_s), full)
    half = Step(0.5, policy.step_s)
    if route is Route.STANDARD:
        return (half, full)
    return (Step(0.1, policy.step_s), half, full)


def react(
    rollout: Rollout, happening: Happening, at: datetime, *, reason: str = "", cause: str = ""
) -> Rollout:
    """The rollout after something happened.

    From PROMOTING the way leads forward only: the live release has changed already. Every state
    before it answers FAILED with ROLLING_BACK, from which nothing leads but SETTLED.

    Raises:
        ValueError: when it cannot happen in this state.
    """
    state, index = _next(rollout, happening)
    return replace(
        rollout,
        state=state,
        step_index=index,
        updated_at=at,
        reason=reason or rollout.reason,
        cause=cause or rollout.cause,
    )


def _next(rollout: Rollout, happening: Happening) -> tuple[RolloutState, int]:
    state, index = rollout.state, rollout.step_index
    if happening is Happening.FAILED and not state.is_final:
        is_settling = state in {RolloutState.PROMOTING, RolloutState.ROLLING_BACK}
        return (state if is_settling else RolloutState.ROLLING_BACK), index
    if happening is Happening.STEP_PASSED and state is RolloutState.READY:
        return _entered(rollout, 0)
    if happening is Happening.STEP_PASSED and state is RolloutState.STEPPING:
        return _entered(rollout, index + 1)
    if happening is Happening.SUSPECTED and state is RolloutState.WATCHING and index > 0:
        return RolloutState.STEPPING, index - 1
    following = _PLAIN.get((state, happening))
    if following is None:
        raise ValueError(f"a rollout that is {state} cannot take '{happening}'")
    return following, index


def _entered(rollout: Rollout, index: int) -> tuple[RolloutState, int]:
    is_last = index == len(rollout.steps) - 1
    return (RolloutState.WATCHING if is_last else RolloutState.STEPPING), index


_PLAIN = {
    (RolloutState.OPENED, Happening.BEGUN): RolloutState.MIGRATING,
    (RolloutState.MIGRATING, Happening.MIGRATED): RolloutState.STARTING,
    (RolloutState.STARTING, Happening.ANSWERED): RolloutState.READY,
    (RolloutState.WATCHING, Happening.WATCH_PASSED): RolloutState.PROMOTING,
    (RolloutState.PROMOTING, Happening.SETTLED): RolloutState.PROMOTED,
    (RolloutState.ROLLING_BACK, Happening.SETTLED): RolloutState.ROLLED_BACK,
}
