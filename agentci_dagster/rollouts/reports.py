"""Health reports of rollouts: made from evidence, kept in the log, read again after a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from agentci_dagster.domain.health import (
    Evidence,
    HealthReport,
    Incident,
    Judgement,
    Moment,
    Verdict,
    e_value,
    incident_report,
    quantile,
)
from agentci_dagster.domain.rollout import (
    Deployment,
    DeploymentStatus,
    Release,
    Rollout,
    RolloutState,
)
from agentci_dagster.ports import EventLog, LedgerEvent

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MOST_POINTS = 120
_KIND = "health_report"

_EMPTY = HealthReport(
    verdict=Verdict.INCONCLUSIVE,
    decision="not_deployed",
    rule="",
    cause="",
    canary_requests=0,
    canary_errors=0,
    baseline_requests=0,
    baseline_errors=0,
    canary_p50_ms=None,
    canary_p90_ms=None,
    baseline_p50_ms=None,
    baseline_p90_ms=None,
    first_bad_at=None,
    verdict_at=None,
    traffic_back_at=None,
    curve=(),
    incident="",
    seconds=0.0,
)

_UNDEPLOYED = {
    DeploymentStatus.CRASHED_AT_START: (Verdict.FAIL, "crash-at-start"),
    DeploymentStatus.MIGRATION_FAILED: (Verdict.FAIL, "migration"),
}


def undeployed(deployment: Deployment, at: datetime) -> HealthReport:
    """The report of a deployment that got no traffic."""
    verdict, cause = _UNDEPLOYED.get(deployment.status, (Verdict.INCONCLUSIVE, ""))
    report = replace(_EMPTY, verdict=verdict, cause=cause, rule=deployment.note)
    if verdict is not Verdict.FAIL:
        return report
    release = deployment.canary.name if deployment.canary else "the canary"
    incident = Incident(
        environment=deployment.environment,
        sha=deployment.key.sha,
        release=release,
        back_on=deployment.baseline.name if deployment.baseline else "",
        rule=deployment.note,
        cause=cause,
        evidence=(("traffic that it got", "none"),),
        timeline=(Moment(at, f"{deployment.note}; nothing had moved"),),
        log_tail=deployment.log_tail,
    )
    return replace(report, verdict_at=at, incident=incident_report(incident))


def measured(evidence: Evidence, judgement: Judgement, decision: str) -> HealthReport:
    """The report of a watched rollout; instants and the incident are added by the caller."""
    return replace(
        _EMPTY,
        verdict=judgement.verdict,
        decision=decision,
        rule=judgement.rule,
        cause=judgement.cause.value if judgement.cause else "",
        canary_requests=evidence.total.canary,
        canary_errors=evidence.total.canary_bad,
        baseline_requests=evidence.total.baseline,
        baseline_errors=evidence.total.baseline_bad,
        canary_p50_ms=quantile(evidence.canary_ms, 0.5),
        canary_p90_ms=quantile(evidence.canary_ms, 0.9),
        baseline_p50_ms=quantile(evidence.baseline_ms, 0.5),
        baseline_p90_ms=quantile(evidence.baseline_ms, 0.9),
        first_bad_at=evidence.first_bad_at,
    )


def settled(rollout: Rollout) -> HealthReport:
    """The report of a rollout that ended without its driver: what the journal knows."""
    is_promoted = rollout.state is RolloutState.PROMOTED
    return replace(
        _EMPTY,
        verdict=Verdict.PASS if is_promoted else Verdict.FAIL,
        decision="promoted" if is_promoted else "rolled_back",
        rule=rollout.reason,
        cause="" if is_promoted else rollout.cause,
        verdict_at=rollout.updated_at,
    )


def incident_of(
    rollout: Rollout,
    report: HealthReport,
    timeline: Sequence[Moment],
    log_tail: str,
    evidence: Evidence | None = None,
    n_lost: int = 0,
) -> str:
    """The incident report of a rollback, in Markdown."""
    rows = [
        ("answers of the canary", str(report.canary_requests)),
        ("failed", str(report.canary_errors)),
        ("answers of the baseline", str(report.baseline_requests)),
        ("failed (baseline)", str(report.baseline_errors)),
        ("canary, median and p90 (ms)", _times(report.canary_p50_ms, report.canary_p90_ms)),
        ("baseline, median and p90 (ms)", _times(report.baseline_p50_ms, report.baseline_p90_ms)),
    ]
    if evidence is not None:
        rows += [
            ("of these our own probes (both sides)", str(evidence.n_probes)),
            ("e-value, failing answers", f"{e_value(evidence.log_e_errors):.3g}"),
            ("e-value, slow answers", f"{e_value(evidence.log_e_slow):.3g}"),
            ("requests lost by the log", str(n_lost)),
        ]
    return incident_report(
        Incident(
            environment=rollout.environment,
            sha=rollout.key.sha,
            release=_name(rollout.canary),
            back_on=rollout.baseline.name if rollout.baseline else "",
            rule=report.rule,
            cause=report.cause,
            evidence=tuple(rows),
            timeline=tuple(timeline),
            log_tail=log_tail,
        )
    )


def record(log: EventLog, rollout: Rollout, report: HealthReport, at: datetime) -> HealthReport:
    """Keep the report; returns the one that stands when an earlier driver had kept one already."""
    log.append(
        LedgerEvent(
            id=_event_id(rollout.id),
            kind=_KIND,
            at=at,
            repository=rollout.key.repository,
            sha=rollout.key.sha,
            body=json.loads(_adapter().dump_json(report)),
        )
    )
    return recorded(log, rollout) or report


def recorded(log: EventLog, rollout: Rollout) -> HealthReport | None:
    """The kept report of a rollout."""
    for event in log.events(_KIND, rollout.key.repository, rollout.key.sha):
        if event.id == _event_id(rollout.id):
            return _adapter().validate_json(json.dumps(event.body))
    return None


def thinned(
    curve: Sequence[tuple[float, float, float]],
) -> tuple[tuple[float, float, float], ...]:
    """At most about 120 points of the curve, with its last."""
    stride = max(1, -(-len(curve) // _MOST_POINTS))
    return (*curve[:-1:stride], curve[-1]) if curve else ()


def _adapter() -> TypeAdapter[HealthReport]:
    from pydantic import TypeAdapter

    return TypeAdapter(HealthReport)


def _event_id(rollout_id: str) -> str:
    return f"health/{rollout_id}"


def _name(release: Release | None) -> str:
    return release.name if release else "the canary"


def _times(median: float | None, ninety: float | None) -> str:
    return "unknown" if median is None or ninety is None else f"{median:.0f} and {ninety:.0f}"
