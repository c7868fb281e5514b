"""`deploy_outcome`: the settled fate of a commit, written into the ledger."""

import dagster as dg

from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.journeys import Journeys
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.ports import Clock, Outcomes


# The values of a commit that a gate stopped are missing, and an input would then refuse to load:
# the outcome reads what there is through a port and names its upstream as a plain dependency.
@commit_asset(group_name="deploy_agent", kinds={"sqlite"}, deps=["health_report"])
def deploy_outcome(
    context: dg.AssetExecutionContext,
    journeys: dg.ResourceParam[Journeys],
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[DeployOutcome]:
    """What finally happened to the commit, why, and the label that learning may use."""
    branch = context.run.tags.get("agentci/branch", "")
    outcome = journeys.conclude(
        key_of(context), clock.now(), run_id=context.run.run_id, branch=branch
    )
    settled = outcomes.settle(outcome)
    context.instance.add_run_tags(context.run.run_id, {"agentci/ending": settled.ending.value})
    return dg.MaterializeResult(value=settled, metadata=told(settled))


def told(outcome: DeployOutcome) -> dict[str, dg.MetadataValue | str | float | int]:
    """The outcome as metadata; the sensors that settle failed runs tell it in the same words."""
    metadata: dict[str, dg.MetadataValue | str | float | int] = {
        "ending": outcome.ending.value,
        "cause": outcome.cause.value if outcome.cause else "none",
        "stage": outcome.stage,
        "label": "none" if outcome.label is None else str(outcome.label),
        "evidence": clean_text(outcome.evidence, 2_000) or "none",
        "next_step": clean_text(outcome.next_step, 300) or "none",
        "seconds_saved": outcome.seconds_saved,
        "stages": dg.MetadataValue.table(
            [dg.TableRecord({"stage": s.stage, "seconds": s.seconds}) for s in outcome.stages],
            schema=dg.TableSchema(
                columns=[dg.TableColumn("stage", "string"), dg.TableColumn("seconds", "float")]
            ),
        ),
    }
    if outcome.deployed_at is not None:
        lead = (outcome.deployed_at - outcome.committed_at).total_seconds()
        metadata["lead_time_s"] = lead
    return metadata
