"""Lets approved commits go on: a person's word in the ledger becomes a run of what the gate had
stopped.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import DeployOutcome, is_released_by
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.jobs import COMMIT_ASSETS, EVERY_LOOP_S, deliver_commit
from agentci_dagster.journeys import APPROVAL
from agentci_dagster.partitions import COMMITS, commits
from agentci_dagster.ports import EventLog, LedgerEvent, Outcomes

_FROM_GATE_ON = COMMIT_ASSETS[COMMIT_ASSETS.index("generated_tests") :]


@dg.sensor(
    job=deliver_commit,
    minimum_interval_seconds=EVERY_LOOP_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Continues held commits that a person has approved.",
)
def continue_approved(
    context: dg.SensorEvaluationContext,
    log: dg.ResourceParam[EventLog],
    outcomes: dg.ResourceParam[Outcomes],
) -> dg.SensorResult | dg.SkipReason:
    """Request the rest of the journey once for each approval that releases a held commit.

    The cursor holds the approvals that were acted upon and whose commits are not settled yet. A
    commit that is still on its way meets its approval at the gate, and needs no run of its own.
    """
    released = _released(log, outcomes)
    asked = set((context.cursor or "").split())
    new = [(event, held) for event, held in released if event.id not in asked]
    if not new:
        return dg.SkipReason("No new approvals.")
    live = set(context.instance.get_dynamic_partitions(COMMITS))
    retired = [str(held.key) for _, held in new if str(held.key) not in live]
    return dg.SensorResult(
        run_requests=[_request(event, held) for event, held in new],
        dynamic_partitions_requests=[commits.build_add_request(retired)] if retired else [],
        cursor=" ".join(event.id for event, _ in released),
    )


def _released(log: EventLog, outcomes: Outcomes) -> list[tuple[LedgerEvent, DeployOutcome]]:
    """The newest word on each commit, where it is an approval and the commit waits for one."""
    newest = {CommitKey(e.repository, e.sha): e for e in log.events(kind=APPROVAL)}
    settled = ((event, outcomes.outcome(key)) for key, event in newest.items())
    return [
        (event, outcome)
        for event, outcome in settled
        if event.body["is_approved"] and outcome and is_released_by(outcome, event.at)
    ]


def _request(event: LedgerEvent, held: DeployOutcome) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=event.id,
        partition_key=str(held.key),
        asset_selection=[dg.AssetKey(name) for name in _FROM_GATE_ON],
        tags={
            "agentci/repository": held.key.repository,
            "agentci/branch": held.branch or "unknown",
            "agentci/title": clean_text(held.subject, 200) or "untitled",
            "agentci/approved": "true",
        },
    )
