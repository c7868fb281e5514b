"""Concludes a commit's fate from what its stages left: the first one that stopped it decides.

Whether a gate is open is asked of `gates.py`, so that the run and the record cannot disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileKind
from agentci_dagster.domain.gates import Approval, image_gate, risk_gate, test_gate
from agentci_dagster.domain.generated_tests import GeneratedTests
from agentci_dagster.domain.health import HealthReport
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.outcome.values import DeployOutcome, Ending, StageTime
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.rollout import Deployment, DeploymentStatus, Rollout, RolloutState
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import TestReport, TestVerdict

_EVIDENCE_CHARACTERS = 2_000
_SUBJECT_CHARACTERS = 500
_MOST_PATHS = 200

_REVERT = re.compile(r"^This reverts commit ([0-9a-f]{40})\b", re.MULTILINE)

# What resolvers and installers say when a dependency, not the code, cannot be had.
_DEPENDENCY_SIGNS = (
    "no solution found",
    "resolutionimpossible",
    "no matching distribution",
    "could not find a version",
    "unsatisfiable",
    "failed to resolve",
    "hash mismatch",
    "lockfile",
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one commit when its run ends; None where a stage left nothing behind.

    `error` is the text of what broke the run, empty when it ended by itself. `rollout` is the
    journal's word, which stands where a killed process could not write its health report.
    """

    key: CommitKey
    diff: CommitDiff | None = None
    risk: RiskScore | None = None
    generated: GeneratedTests | None = None
    tests: TestReport | None = None
    image: Image | None = None
    deployment: Deployment | None = None
    health: HealthReport | None = None
    approval: Approval | None = None
    rollout: Rollout | None = None
    run_id: str = ""
    error: str = ""
    branch: str = ""


@dataclass(frozen=True, slots=True)
class _Conclusion:
    ending: Ending
    stage: str
    evidence: str
    cause: CauseClass | None = None
    label: int | None = None
    next_step: str = ""
    deployed_at: datetime | None = None
    failed_at: datetime | None = None
    restored_at: datetime | None = None


def conclude(known: Known, settled_at: datetime) -> DeployOutcome:
    """The outcome of a commit, decided by the first stage that stopped it.

    The label is 1 for the commit's own failure, 0 for a success (which learning believes only once
    it is mature), None for everything that says nothing about the commit.
    """
    end = (
        _at_risk(known)
        or _at_tests(known)
        or _at_image(known)
        or _at_deployment(known)
        or _at_health(known, settled_at)
        or _in_the_journal(known)
        or _broken(known)
    )
    diff, risk = known.diff, known.risk
    return DeployOutcome(
        key=known.key,
        ending=end.ending,
        cause=end.cause,
        label=end.label,
        stage=end.stage,
        evidence=end.evidence[:_EVIDENCE_CHARACTERS],
        next_step=end.next_step,
        route=risk.route if risk else None,
        probability=risk.probability if risk else None,
        model_version=risk.model_version if risk else None,
        features=risk.features if risk else None,
        subject=diff.commit.subject[:_SUBJECT_CHARACTERS] if diff else "",
        branch=known.branch,
        paths=tuple(f.path for f in diff.files[:_MOST_PATHS]) if diff else (),
        committed_at=diff.commit.committed_at if diff else settled_at,
        settled_at=settled_at,
        deployed_at=end.deployed_at,
        failed_at=end.failed_at,
        restored_at=end.restored_at,
        reverts=reverted_sha(diff.commit.message) if diff else None,
        stages=_stages(known),
        seconds_saved=known.image.seconds_saved if known.image else 0.0,
        n_generated_tests=len(known.generated.kept) if known.generated else 0,
        run_id=known.run_id,
    )


def reverted_sha(message: str) -> str | None:
    """The commit that a message says it reverts, in the words of `git revert`."""
    found = _REVERT.search(message)
    return found[1] if found else None


def _at_risk(known: Known) -> _Conclusion | None:
    if known.risk is None:
        return None
    gate = risk_gate(known.risk, known.approval)
    if known.approval is not None and not known.approval.is_approved:
        cause = CauseClass.REJECTED
        return _Conclusion(
            Ending.REJECTED, "risk_score", gate.reason, cause, next_step=gate.next_step
        )
    if not gate.is_open:
        return _Conclusion(Ending.WITHHELD, "risk_score", gate.reason, next_step=gate.next_step)
    if known.risk.route is Route.SKIP and not known.error:
        why = "nothing that ships or tests has changed"
        return _Conclusion(Ending.SKIPPED, "risk_score", why)
    return None


def _at_tests(known: Known) -> _Conclusion | None:
    if known.tests is None:
        return None
    gate = test_gate(known.tests)
    if gate.is_open:
        return None
    if known.tests.verdict is TestVerdict.FAILED:
        evidence, cause = _failing_example(known.tests, known.generated), CauseClass.TEST
        return _Conclusion(Ending.WITHHELD, "test_report", evidence, cause, 1, gate.next_step)
    # Tests that could not be run accuse the machine, not the commit, until it was repeated.
    return _Conclusion(
        Ending.INFRASTRUCTURE, "test_report", gate.reason, CauseClass.INFRA, None, gate.next_step
    )


def _failing_example(tests: TestReport, generated: GeneratedTests | None) -> str:
    findings = generated.findings if generated else ()
    told = [f"{f.test}\n{f.message}" for f in tests.failures if not f.is_generated]
    told += [f"{f.example} raises {f.exception}: {f.message} ({f.target})" for f in findings]
    told += [f"{f.test}\n{f.message}" for f in tests.failures if f.is_generated and not findings]
    return "\n\n".join(told) or tests.summary


def _at_image(known: Known) -> _Conclusion | None:
    if known.image is None:
        return None
    image, gate = known.image, image_gate(known.image)
    if gate.is_open:
        return None
    if image.failure:
        evidence, cause = f"{image.failure}\n{image.log_tail}".strip(), _build_cause(known, image)
    else:
        found = [f"{f.path}:{f.line}: {f.problem}\n{f.query}" for f in image.schema_findings]
        evidence, cause = "\n".join(found), CauseClass.MIGRATION
    return _Conclusion(Ending.WITHHELD, "image", evidence, cause, 1, gate.next_step)


def _build_cause(known: Known, image: Image) -> CauseClass:
    said = f"{image.failure}\n{image.log_tail}".lower()
    changed = known.diff.of_kind(FileKind.DEPENDENCY) if known.diff else ()
    if any(sign in said for sign in _DEPENDENCY_SIGNS) or (changed and "environment" in said):
        return CauseClass.DEPENDENCY
    return CauseClass.BUILD


def _at_deployment(known: Known) -> _Conclusion | None:
    deployment = known.deployment
    if deployment is None:
        return None
    evidence = f"{deployment.note}\n{deployment.log_tail[-1_500:]}".strip()
    if deployment.status is DeploymentStatus.SUPERSEDED:
        return _Conclusion(Ending.SUPERSEDED, "deployment", deployment.note)
    if deployment.status is DeploymentStatus.CRASHED_AT_START:
        cause, step = CauseClass.CRASH_AT_START, "read the end of its log above, push a fix"
    elif deployment.status is DeploymentStatus.MIGRATION_FAILED:
        cause, step = CauseClass.MIGRATION, "mend the migration and push"
    else:
        return None
    return _Conclusion(Ending.ROLLED_BACK, "deployment", evidence, cause, 1, step)


def _at_health(known: Known, settled_at: datetime) -> _Conclusion | None:
    health = known.health
    if health is None:
        return None
    if health.decision == "promoted":
        at = health.verdict_at or settled_at
        end = Ending.PROMOTED
        return _Conclusion(end, "health_report", health.rule, label=0, deployed_at=at)
    if health.decision == "rolled_back":
        return _rolled_back(known.key, health)
    if health.decision == "held":
        step = f'agentci approve {known.key} --reason "…"'
        return _Conclusion(Ending.WITHHELD, "health_report", health.rule, next_step=step)
    if known.error:
        return None
    why = "everything passed; there is no service to deploy"
    return _Conclusion(Ending.DELIVERED, "health_report", why, label=0)


def _rolled_back(key: CommitKey, health: HealthReport) -> _Conclusion:
    cause = _cause(health.cause)
    return _Conclusion(
        Ending.ROLLED_BACK,
        "health_report",
        f"{health.rule} ({health.canary_errors} of {health.canary_requests} answers of the new "
        f"release failed, {health.baseline_errors} of {health.baseline_requests} of the old)",
        cause,
        _label(cause),
        f"agentci why {key}, then push a fix",
        failed_at=health.first_bad_at or health.verdict_at,
        restored_at=health.traffic_back_at,
    )


def _in_the_journal(known: Known) -> _Conclusion | None:
    rollout = known.rollout
    if rollout is None or known.health is not None or not rollout.state.is_final:
        return None
    if rollout.state is RolloutState.PROMOTED:
        said = "promoted; the process died before it could report"
        at = rollout.updated_at
        return _Conclusion(Ending.PROMOTED, "health_report", said, label=0, deployed_at=at)
    cause = _cause(rollout.cause)
    if _label(cause) is None:
        return None
    never_served = cause in {CauseClass.CRASH_AT_START, CauseClass.MIGRATION}
    return _Conclusion(
        Ending.ROLLED_BACK,
        "deployment" if never_served else "health_report",
        rollout.reason,
        cause,
        1,
        f"agentci why {known.key}, then push a fix",
        failed_at=None if never_served else rollout.updated_at,
        restored_at=None if never_served else rollout.updated_at,
    )


def _broken(known: Known) -> _Conclusion:
    left = (
        ("commit_diff", known.diff),
        ("risk_score", known.risk),
        ("generated_tests", known.generated),
        ("test_report", known.tests),
        ("image", known.image),
        ("deployment", known.deployment),
        ("health_report", known.health),
    )
    stage = next((name for name, value in left if value is None), "deploy_outcome")
    evidence = known.error or f"the run ended without a value of {stage}"
    step = f"agentci doctor, then rerun {known.key.sha[:12]} from failure"
    return _Conclusion(Ending.INFRASTRUCTURE, stage, evidence, CauseClass.INFRA, None, step)


def _cause(said: str) -> CauseClass:
    return CauseClass(said) if said in list(CauseClass) else CauseClass.UNKNOWN


def _label(cause: CauseClass) -> int | None:
    # A release that was taken back for want of evidence, or by our own fault, teaches nothing.
    innocent = {CauseClass.INFRA, CauseClass.UNKNOWN, CauseClass.REJECTED, CauseClass.FLAKY}
    return None if cause in innocent else 1


def _stages(known: Known) -> tuple[StageTime, ...]:
    timed = (
        ("generated_tests", known.generated),
        ("test_report", known.tests),
        ("image", known.image),
        ("deployment", known.deployment),
        ("health_report", known.health),
    )
    return tuple(StageTime(name, value.seconds) for name, value in timed if value is not None)
