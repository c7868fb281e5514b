"""Asks for a retraining once per batch of newly mature outcomes.

Training is in `assets/learning.py`.
"""

import dagster as dg

from agentci_dagster.domain.learning import LearningPolicy, training_rows
from agentci_dagster.jobs import EVERY_LOOP_S, learn_from_outcomes
from agentci_dagster.ports import Clock, Outcomes


@dg.sensor(
    job=learn_from_outcomes,
    minimum_interval_seconds=EVERY_LOOP_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retrains the risk model after every batch of newly mature outcomes.",
)
def retrain(
    context: dg.SensorEvaluationContext,
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.SensorResult | dg.SkipReason:
    """One run when floor(mature outcomes / batch) has grown; the ledger's own counts are the
    memory.
    """
    rows = training_rows(outcomes.outcomes(), clock.now(), learning_policy).rows
    batch = len(rows) // learning_policy.retrain_every
    if batch <= int(context.cursor or 0):
        missing = (batch + 1) * learning_policy.retrain_every - len(rows)
        return dg.SkipReason(f"{len(rows)} mature outcomes; {missing} more before a retraining.")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"learn:{batch}")], cursor=str(batch)
    )
