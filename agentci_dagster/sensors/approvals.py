"""Lets approved commits go on: a person's word in the ledger becomes a run of what the gate had
stopped.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.jobs import COMMIT_ASSETS, deliver_commit
from agentci_dagster.journeys import APPROVAL
from agentci_dagster.ports import EventLog

_FROM_GATE_ON = COMMIT_ASSETS[COMMIT_ASSETS.index("generated_tests") :]


@dg.sensor(
    job=deliver_commit,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Continues held commits that a person has approved.",
)
def continue_approved(
    context: dg.SensorEvaluationContext, log: dg.ResourceParam[EventLog]
) -> dg.SensorResult | dg.SkipReason:
    """Request the rest of the journey once for each approval after the cursor."""
    approvals = log.events(kind=APPROVAL)
    seen = int(context.cursor or 0)
    new = [event for event in approvals[seen:] if event.body["is_approved"]]
    if len(approvals) == seen:
        return dg.SkipReason("No new approvals.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"approved:{event.id}",
                partition_key=str(CommitKey(event.repository, event.sha)),
                asset_selection=[dg.AssetKey(name) for name in _FROM_GATE_ON],
                tags={"agentci/repository": event.repository, "agentci/approved": "true"},
            )
            for event in new
        ],
        cursor=str(len(approvals)),
    )
