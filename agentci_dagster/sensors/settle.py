"""Settles commits whose run failed: whatever stopped it, an outcome stands in the ledger within a
tick.
"""

import dagster as dg

from agentci_dagster.assets.outcome import told
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.jobs import COMMIT_ASSETS, EVERY_LOOP_S, deliver_commit
from agentci_dagster.journeys import Journeys
from agentci_dagster.ports import Clock, Outcomes

_ERROR_CHARACTERS = 2_000
_BEYOND_ANALYSIS = frozenset(COMMIT_ASSETS) - {"commit_diff", "risk_score"}


# In the tick and not by another run: a run costs seconds of imports to write one row.
@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=EVERY_LOOP_S,
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
    if partition is None or not is_delivery(run):
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


def is_delivery(run: dg.DagsterRun) -> bool:
    """Whether the run was to carry a commit on: the sensors' job, or a choice of a person's in the
    UI; an analysis of history settles nothing.
    """
    if not run.asset_selection:
        return run.job_name == deliver_commit.name
    return any(key.to_user_string() in _BEYOND_ANALYSIS for key in run.asset_selection)


def settle(
    instance: dg.DagsterInstance, outcomes: Outcomes, outcome: DeployOutcome
) -> DeployOutcome:
    """Write the outcome into the ledger and show it in the lineage."""
    settled = outcomes.settle(outcome)
    if instance.has_run(outcome.run_id):
        instance.add_run_tags(outcome.run_id, {"agentci/ending": settled.ending.value})
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            "deploy_outcome", partition=str(outcome.key), metadata=told(settled)
        )
    )
    return settled


def _errors(context: dg.RunFailureSensorContext) -> list[str]:
    failures = [event.step_failure_data for event in context.get_step_failure_events()]
    return [f.error.to_string() for f in failures if f.error is not None]
