"""The three gates before traffic: may this commit go on? Stopping the run is the shell's;
`outcome.py` reads the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentci_dagster.domain.image import Image
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import TestReport, TestVerdict


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether a gate lets the commit through, why, and what a person can do when it does not.

    `is_warning` marks an open gate with a doubt that people should see.
    """

    is_open: bool
    reason: str
    next_step: str = ""
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word on one held commit."""

    is_approved: bool
    by: str
    reason: str


def risk_gate(score: RiskScore, approval: Approval | None) -> GateDecision:
    """A commit on route `hold` needs a person; a rejected one never passes."""
    if approval is not None and not approval.is_approved:
        return GateDecision(
            False, f"rejected by {approval.by}: {approval.reason}", "push a new commit"
        )
    if score.route is not Route.HOLD:
        return GateDecision(True, f"route {score.route.value} needs no person")
    if approval is not None:
        return GateDecision(True, f"approved by {approval.by}: {approval.reason}")
    why = "; ".join((*score.guard_rules, *score.advice.reasons, *score.reasons)[:3])
    return GateDecision(
        False,
        f"held for a person at risk {score.probability:.0%}: {why}",
        f'agentci approve {score.key} --reason "…"',
    )


def test_gate(report: TestReport) -> GateDecision:
    """Failed tests stop; tests that exist and could not be run stop; a repository without tests
    goes on with a doubt.
    """
    if report.verdict is TestVerdict.FAILED:
        return GateDecision(False, report.summary, f"agentci why {report.key}, then push a fix")
    if report.verdict is TestVerdict.INCONCLUSIVE and report.plan.n_known > 0:
        return GateDecision(
            False,
            f"the tests could not be run: {report.summary}",
            "agentci doctor, then rerun from failure",
        )
    return GateDecision(True, report.summary, is_warning=report.verdict is TestVerdict.INCONCLUSIVE)


test_gate.__test__ = False  # type: ignore[attr-defined]  # its name is no test's


def image_gate(image: Image) -> GateDecision:
    """An artefact that was built, with a schema that answers its queries."""
    if image.failure:
        return GateDecision(False, f"build failed: {image.failure}", "mend the build and push")
    if image.schema_findings:
        first = image.schema_findings[0]
        return GateDecision(
            False,
            f"{first.path}:{first.line}: {first.problem}, and no migration creates it",
            "add the migration to the same commit and push",
        )
    return GateDecision(True, image.note or f"{image.kind.value} ready")
