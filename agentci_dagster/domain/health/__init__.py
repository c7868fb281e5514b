"""Whether a canary serves as well as the baseline beside it: values, the sequential test, the
verdict, the incident.

One door for the four rooms: `values`, `evidence` (the always-valid tests), `verdict` (what they add
up to) and `incident` (words for people). Driving a rollout by them belongs to `rollouts`.
"""

from agentci_dagster.domain.health.evidence import (
    Evidence,
    dispersion,
    e_value,
    frozen_quantiles,
    observe,
    quantile,
    start_evidence,
)
from agentci_dagster.domain.health.incident import Incident, Moment, incident_report
from agentci_dagster.domain.health.values import (
    CanaryPolicy,
    HealthReport,
    RequestEvent,
    Verdict,
)
from agentci_dagster.domain.health.verdict import Judgement, Vitals, is_suspicious, judge

__all__ = [
    "CanaryPolicy",
    "Evidence",
    "HealthReport",
    "Incident",
    "Judgement",
    "Moment",
    "RequestEvent",
    "Verdict",
    "Vitals",
    "dispersion",
    "e_value",
    "frozen_quantiles",
    "incident_report",
    "is_suspicious",
    "judge",
    "observe",
    "quantile",
    "start_evidence",
]
