"""Retires old partition keys: partitions are not an archive; the ledger keeps history."""

import dagster as dg

from agentci_dagster.partitions import COMMITS
from agentci_dagster.ports import Outcomes

LIVE_KEYS = 10_000
"""Above this the UI recomputes for seconds after each new key."""
PER_TICK = 200


@dg.sensor(
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Retires the oldest settled commits beyond {LIVE_KEYS:,} live partitions.",
)
def retire_old_commits(
    context: dg.SensorEvaluationContext, outcomes: dg.ResourceParam[Outcomes]
) -> dg.SkipReason:
    """Only settled commits are retired, oldest first, a bounded number a tick."""
    return retire(context.instance, outcomes, LIVE_KEYS, PER_TICK)


def retire(
    instance: dg.DagsterInstance, outcomes: Outcomes, live_keys: int, per_tick: int
) -> dg.SkipReason:
    """One tick; commits that were only analysed or are under way stay and are passed over."""
    keys = instance.get_dynamic_partitions(COMMITS)
    surplus = min(len(keys) - live_keys, per_tick)
    retired: list[str] = []
    if surplus > 0:
        settled = {str(outcome.key) for outcome in outcomes.outcomes()}
        retired = [key for key in keys if key in settled][:surplus]
    for key in retired:
        instance.delete_dynamic_partition(COMMITS, key)
    return dg.SkipReason(f"{len(keys)} live commits, {len(retired)} retired.")
