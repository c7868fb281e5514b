"""Puts right what died: rollouts and runs whose lease has run out are finished or reverted in the
tick itself.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.jobs import EVERY_LOOP_S
from agentci_dagster.journeys import Journeys
from agentci_dagster.ports import Clock, Leases, Outcomes
from agentci_dagster.rollouts import Rollouts
from agentci_dagster.run_lease import PREFIX as RUN_LEASE
from agentci_dagster.sensors.settle import is_delivery, settle
from agentci_dagster.settings import Catalogue

_DIED = "the process of the run died"


@dg.sensor(
    minimum_interval_seconds=EVERY_LOOP_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reverts rollouts and settles commits whose process died. Launches no runs.",
)
def reconcile(
    context: dg.SensorEvaluationContext,
    rollouts: dg.ResourceParam[Rollouts],
    catalogue: dg.ResourceParam[Catalogue],
    leases: dg.ResourceParam[Leases],
    journeys: dg.ResourceParam[Journeys],
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
) -> dg.SkipReason:
    """Traffic first, then the books. An environment that cannot be mended now keeps nobody else
    waiting.
    """
    mended, troubles = 0, []
    for service in catalogue.services:
        try:
            mended += len(rollouts.reconcile((service,)))
        except (InfrastructureError, OSError) as error:
            troubles.append(f"{service.environment}: {error}")
    died = [lease for lease in leases.expired() if lease.name.startswith(RUN_LEASE)]
    for lease in died:
        run_id = lease.name.removeprefix(RUN_LEASE)
        run = context.instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            context.instance.report_run_failed(run, message=f"AgentCI: {_DIED}; its lease ran out.")
        # A run that nobody knows any more counts as a delivery: better an outcome too many.
        if run is None or is_delivery(run):
            key, branch = CommitKey.parse(lease.subject), _branch(run)
            outcome = journeys.conclude(key, clock.now(), run_id=run_id, error=_DIED, branch=branch)
            settle(context.instance, outcomes, outcome)
        leases.release(lease)
    if troubles:
        raise InfrastructureError(
            clean_text("; ".join(troubles), 2_000), "the next tick tries again; agentci doctor"
        )
    return dg.SkipReason(f"{mended} rollouts put right, {len(died)} dead runs settled.")


def _branch(run: dg.DagsterRun | None) -> str:
    return run.tags.get("agentci/branch", "") if run else ""
