"""Puts right what died: rollouts and runs whose lease has run out are finished or reverted in the
tick itself.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.journeys import Journeys
from agentci_dagster.ports import Clock, Leases, Outcomes
from agentci_dagster.rollouts import Rollouts
from agentci_dagster.run_lease import PREFIX as RUN_LEASE
from agentci_dagster.sensors.settle import settle
from agentci_dagster.settings import Catalogue

_DIED = "the process of the run died"


@dg.sensor(
    minimum_interval_seconds=5,
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
    """Traffic first, then the books."""
    mended = rollouts.reconcile(catalogue.services)
    died = [lease for lease in leases.expired() if lease.name.startswith(RUN_LEASE)]
    for lease in died:
        run_id = lease.name.removeprefix(RUN_LEASE)
        _report_dead(context.instance, run_id)
        key = CommitKey.parse(lease.subject)
        settle(
            context.instance,
            outcomes,
            journeys.conclude(key, clock.now(), run_id=run_id, error=_DIED),
        )
        leases.release(lease)
    return dg.SkipReason(f"{len(mended)} rollouts put right, {len(died)} dead runs settled.")


def _report_dead(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, message=f"AgentCI: {_DIED}; its lease ran out.")
