"""`routing_thresholds`: where the fast lane of the champion ends so that its promise is kept."""

import dagster as dg

from agentci_dagster.domain.learning import TrainingRows
from agentci_dagster.domain.promise import Promise, fast_lane, make_promise
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.ports import ModelStore, Promises


@dg.asset(group_name="learning", kinds={"python"}, deps=["champion_promotion"])
def routing_thresholds(
    training_set: TrainingRows,
    models: dg.ResourceParam[ModelStore],
    promises: dg.ResourceParam[Promises],
    risk_policy: dg.ResourceParam[RiskPolicy],
) -> dg.MaterializeResult[Promise]:
    """Where the champion's fast lane ends, by outcomes that it did not learn from."""
    champion = models.champion()
    manifest = models.manifest(champion.version)
    trained_to = manifest.trained_to if manifest else None
    promise = make_promise(
        training_set.rows, champion.score, champion.version, trained_to, risk_policy
    )
    promises.keep(promise)
    lane = fast_lane(risk_policy, promise, champion.version, repository="")
    return dg.MaterializeResult(
        value=promise,
        metadata={
            "fast_lane": lane.why,
            "fast_below": lane.policy.fast_below,
            "model_version": champion.version,
            "n_commits": promise.n_commits,
            "n_failures": promise.n_failures,
            "n_missed": promise.n_missed,
            "n_fast": promise.n_fast,
            "fast_below_in": dg.MetadataValue.json(dict(promise.fast_below_in)),
        },
    )
