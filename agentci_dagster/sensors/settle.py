"""Settles commits whose run failed: whatever stopped it, an outcome stands in the ledger within a
tick.
"""

import dagster as dg

from agentci_dagster.assets.outcome import told
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.jobs import deliver_commit
from agentci_dagster.journeys import Journeys
from agentci_dagster.ports import Clock, Outcomes

_ERROR_CHARACTERS = 2_000


# In the tick and not by another run: a run costs seconds of imports to write one row.
@dg.run_failure_sensor(
    monitored_jobs=[deliver_commit],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Writes the outcome of commits that a gate stopped or an error broke.",
)
def settle_failed_runs(
    context: dg.RunFailureSensorContext,
    journeys: dg.ResourceParam[Journeys],
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
) -> None:
    """Record why the run of a commit ended before its outcome."""
    run = context.dagster_run
    partition = run.tags.get("dagster/partition")
    if partition is None:
        return
    error = "; ".join(_errors(context)) or (context.failure_event.message or "the run failed")
    outcome = journeys.conclude(
        CommitKey.parse(partition),
        clock.now(),
        run_id=run.run_id,
        error=error[:_ERROR_CHARACTERS],
        branch=run.tags.get("agentci/branch", ""),
    )
    settle(context.instance, outcomes, outcome)


def settle(
    instance: dg.DagsterInstance, outcomes: Outcomes, outcome: DeployOutcome
) -> DeployOutcome:
    """Write the outcome into the ledger and show it in the lineage."""
    settled = outcomes.settle(outcome)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            "deploy_outcome", partition=str(outcome.key), metadata=told(settled)
        )
    )
    return settled


def _errors(context: dg.RunFailureSensorContext) -> list[str]:
    failures = [event.step_failure_data for event in context.get_step_failure_events()]
    return [f.error.to_string() for f in failures if f.error is not None]
