"""What is expected of a scripted commit, compared with what was seen. Commits: `scenario.py`."""

from __future__ import annotations

from dataclasses import dataclass

from agentci_dagster.domain.image import Image
from agentci_dagster.domain.outcome import CauseClass, DeployOutcome, Ending
from agentci_dagster.domain.rollout import Deployment, DeploymentStatus
from agentci_dagster.domain.routing import Route


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a commit must end. None, empty and false ask for nothing."""

    ending: Ending
    cause: CauseClass | None = None
    route: Route | None = None
    at_least: Route | None = None
    stage: str = ""
    evidence: tuple[str, ...] = ()
    """Texts that the evidence must contain."""
    migrations: tuple[str, ...] = ()
    """Migrations that the deployment applied."""
    is_environment_rebuilt: bool = False
    never_gets_traffic: bool = False
    records_recovery: bool = False
    reverts: int | None = None
    """Number of the step that it reverts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a commit; `image` and `deployment` are None where it did not come to that."""

    outcome: DeployOutcome | None
    image: Image | None = None
    deployment: Deployment | None = None
    reverted_sha: str | None = None
    """Sha of the commit that this step reverts, for comparison with the outcome's."""


def differences(expected: Expectation, seen: Seen) -> list[str]:
    """Every way in which what was seen differs, in plain words; empty when all is well."""
    outcome = seen.outcome
    if outcome is None:
        return [f"expected {expected.ending}, but the commit was never settled"]
    found = [
        *_endings(expected, outcome),
        *_routes(expected, outcome.route),
        *_artefacts(expected, seen),
    ]
    if expected.stage and outcome.stage != expected.stage:
        found.append(f"expected to end at {expected.stage}, ended at {outcome.stage}")
    found += [
        f"expected the evidence to name {text!r}, it says: {outcome.evidence[:300]!r}"
        for text in expected.evidence
        if text not in outcome.evidence
    ]
    if expected.records_recovery and not (
        outcome.failed_at and outcome.restored_at and outcome.restored_at >= outcome.failed_at
    ):
        found.append(
            f"expected a recovery time, have failed_at={outcome.failed_at}, "
            f"restored_at={outcome.restored_at}"
        )
    if expected.reverts is not None and outcome.reverts != seen.reverted_sha:
        found.append(f"expected a revert of {seen.reverted_sha}, recorded was {outcome.reverts}")
    return found


def _endings(expected: Expectation, outcome: DeployOutcome) -> list[str]:
    found = []
    if outcome.ending is not expected.ending:
        found.append(
            f"expected {expected.ending}, was {outcome.ending} at {outcome.stage}: "
            f"{outcome.evidence[:300]}"
        )
    if outcome.cause is not expected.cause:
        found.append(f"expected cause {expected.cause or 'none'}, was {outcome.cause or 'none'}")
    was_live = outcome.deployed_at is not None
    if was_live != (expected.ending is Ending.PROMOTED):
        found.append(f"was live for all traffic: {was_live}, which does not fit {expected.ending}")
    return found


def _routes(expected: Expectation, route: Route | None) -> list[str]:
    found = []
    if expected.route is not None and route is not expected.route:
        found.append(f"expected route {expected.route}, was {route or 'none'}")
    least = expected.at_least
    if least is not None and (route is None or route.strictness < least.strictness):
        found.append(f"expected route {least} or stricter, was {route or 'none'}")
    return found


def _artefacts(expected: Expectation, seen: Seen) -> list[str]:
    found = []
    if expected.migrations:
        applied = seen.deployment.migrations if seen.deployment else ()
        if applied != expected.migrations:
            found.append(f"expected migrations {expected.migrations}, applied were {applied}")
    if expected.is_environment_rebuilt:
        layers = seen.image.layers if seen.image else ()
        rebuilt = [layer.name for layer in layers if not layer.is_reused]
        if "environment" not in rebuilt:
            found.append(f"expected a rebuilt environment, rebuilt layers were {rebuilt}")
    if expected.never_gets_traffic and seen.deployment is not None:
        status = seen.deployment.status
        if status is DeploymentStatus.STARTED:
            found.append("expected no traffic ever, but the canary was ready for it")
    return found
