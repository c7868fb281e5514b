"""`health_report`: walks the canary plan, judges, promotes or rolls back, inside its own step."""

from typing import Any

import dagster as dg

from agentci_dagster.domain.health import CanaryPolicy, HealthReport
from agentci_dagster.domain.plain_text import clean_markdown, clean_text
from agentci_dagster.domain.rollout import Deployment
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.ports import Notifier, Pictures
from agentci_dagster.rollouts import Rollouts
from agentci_dagster.settings import Catalogue


@commit_asset(group_name="deploy_agent", kinds={"haproxy"})
def health_report(
    context: dg.AssetExecutionContext,
    deployment: Deployment,
    rollouts: dg.ResourceParam[Rollouts],
    catalogue: dg.ResourceParam[Catalogue],
    canary_policy: dg.ResourceParam[CanaryPolicy],
    pictures: dg.ResourceParam[Pictures],
    notifier: dg.ResourceParam[Notifier],
) -> dg.MaterializeResult[HealthReport]:
    """Whether the canary served as well as the baseline beside it, and what was done about it."""
    service = catalogue.service(key_of(context).repository)
    report = rollouts.watch(deployment, service, canary_policy)
    if report.incident:
        notifier.tell(f"{deployment.key} rolled back: {report.cause}", report.incident)
    return dg.MaterializeResult(value=report, metadata=_told(report, pictures))


def _told(report: HealthReport, pictures: Pictures) -> dict[str, Any]:
    told: dict[str, Any] = {
        "verdict": report.verdict.value,
        "decision": report.decision,
        "rule": clean_text(report.rule, 300),
        "cause": report.cause or "none",
        "canary_requests": report.canary_requests,
        "canary_errors": report.canary_errors,
        "baseline_requests": report.baseline_requests,
        "baseline_errors": report.baseline_errors,
        "seconds": report.seconds,
        "incident": dg.MetadataValue.md(clean_markdown(report.incident, 8_000) or "none"),
    }
    for name in ("canary_p50_ms", "canary_p90_ms", "baseline_p50_ms", "baseline_p90_ms"):
        if (value := getattr(report, name)) is not None:
            told[name] = value
    if report.curve:
        seconds, errors, slow = zip(*report.curve, strict=True)
        picture = pictures.lines(
            "Evidence against the canary (e-value)",
            seconds,
            {"errors": errors, "slow answers": slow},
        )
        told["evidence"] = dg.MetadataValue.md(picture)
    return told
