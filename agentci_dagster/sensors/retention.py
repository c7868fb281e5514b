"""Retires old partition keys: partitions are not an archive; the ledger keeps history."""

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.partitions import COMMITS
from agentci_dagster.ports import Outcomes

LIVE_KEYS = 10_000
"""Above this the UI recomputes for seconds after each new key."""
_PER_TICK = 200


@dg.sensor(
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Retires the oldest settled commits beyond {LIVE_KEYS:,} live partitions.",
)
def retire_old_commits(
    context: dg.SensorEvaluationContext, outcomes: dg.ResourceParam[Outcomes]
) -> dg.SkipReason:
    """Only settled commits are retired, oldest first, a bounded number a tick."""
    keys = context.instance.get_dynamic_partitions(COMMITS)
    surplus = keys[: max(0, min(len(keys) - LIVE_KEYS, _PER_TICK))]
    retired = [key for key in surplus if outcomes.outcome(CommitKey.parse(key)) is not None]
    for key in retired:
        context.instance.delete_dynamic_partition(COMMITS, key)
    return dg.SkipReason(f"{len(keys)} live commits, {len(retired)} retired.")
