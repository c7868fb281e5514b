"""Retires old partition keys and artefacts: neither is an archive; the ledger keeps history."""

import dagster as dg

from agentci_dagster.domain.image.keeping import KeepingPolicy, needed, surplus
from agentci_dagster.journeys import Journeys
from agentci_dagster.partitions import COMMITS
from agentci_dagster.ports import ArtefactStore, Clock, Outcomes, RolloutJournal

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


@dg.sensor(
    minimum_interval_seconds=3600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Removes bundles, images and environments that nothing needs any more.",
)
def collect_artefacts(
    context: dg.SensorEvaluationContext,  # noqa: ARG001 - sensors are called with one
    artefacts: dg.ResourceParam[ArtefactStore],
    journeys: dg.ResourceParam[Journeys],
    clock: dg.ResourceParam[Clock],
    keeping_policy: dg.ResourceParam[KeepingPolicy],
) -> dg.SkipReason:
    """Never what is live, in a rollout, or would be gone back to; a bounded number a tick."""
    return collect(artefacts, journeys.journal, clock, keeping_policy, PER_TICK)


def collect(
    store: ArtefactStore, journal: RolloutJournal, clock: Clock, policy: KeepingPolicy, most: int
) -> dg.SkipReason:
    """One tick; environments go once no bundle stands on them."""
    now = clock.now()
    stored = store.artefacts()
    rollouts = journal.rollouts()
    environments = sorted({rollout.environment for rollout in rollouts})
    live = [release for e in environments if (release := journal.live(e)) is not None]
    gone = surplus(stored, needed(rollouts, live), now, policy)[:most]
    for artefact in gone:
        store.remove(artefact)
    n_environments = store.remove_environments(now - policy.young)
    return dg.SkipReason(
        f"{len(stored)} artefacts, {len(gone)} removed; {n_environments} environments removed."
    )


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
