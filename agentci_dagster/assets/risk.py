"""`risk_score` and the external `champion_model` it is made with.

The judgement is in `domain/risk.py`.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.plain_text import clean_markdown
from agentci_dagster.domain.promise import fast_lane
from agentci_dagster.domain.risk import RiskScore, assess
from agentci_dagster.domain.routing import RiskPolicy, policy_digest
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.ports import Advisor, Mirrors, ModelStore, Promises

champion_model = dg.AssetSpec(
    "champion_model",
    group_name="learning",
    kinds={"scikitlearn"},
    description=(
        "The model that scores commits now; the embedded prior until a candidate beats it. "
        "Observed whenever `champion_promotion` points to another one."
    ),
)


@commit_asset(group_name="orchestrator", kinds={"scikitlearn"}, deps=[champion_model])
def risk_score(
    context: dg.AssetExecutionContext,
    commit_diff: CommitDiff,
    mirrors: dg.ResourceParam[Mirrors],
    models: dg.ResourceParam[ModelStore],
    promises: dg.ResourceParam[Promises],
    advisor: dg.ResourceParam[Advisor],
    risk_policy: dg.ResourceParam[RiskPolicy],
) -> dg.MaterializeResult[RiskScore]:
    """How likely the deployment of this commit fails, why, and the care (route) it gets."""
    features = mirrors.of(key_of(context).repository).features(commit_diff)
    champion = models.champion()
    advice = advisor.advise(commit_diff)
    lane = fast_lane(
        risk_policy, promises.of(champion.version), champion.version, commit_diff.key.repository
    )
    scored = champion.score(features, commit_diff.key.repository)
    score = assess(commit_diff, features, scored, advice, lane.policy, champion.version, lane.why)
    context.instance.add_run_tags(
        context.run.run_id, {"agentci/risk": score.band.value, "agentci/route": score.route.value}
    )
    return dg.MaterializeResult(
        value=score,
        metadata={
            "failure_probability": score.probability,
            "risk_band": score.band.value,
            "route": score.route.value,
            "reasons": _bullets(score.reasons),
            "guard_rules": _bullets(score.guard_rules),
            "advice": _bullets((f"source: {score.advice.source}", *score.advice.reasons)),
            "fast_lane": score.fast_lane,
            "model_version": score.model_version,
            "policy_digest": policy_digest(risk_policy),
            "contributions": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {"feature": c.feature, "value": c.value, "log_odds": round(c.log_odds, 4)}
                    )
                    for c in score.contributions
                ],
                schema=_CONTRIBUTIONS,
            ),
        },
    )


_CONTRIBUTIONS = dg.TableSchema(
    columns=[
        dg.TableColumn("feature", "string"),
        dg.TableColumn("value", "float"),
        dg.TableColumn("log_odds", "float"),
    ]
)


def _bullets(lines: tuple[str, ...]) -> dg.MetadataValue:
    return dg.MetadataValue.md(
        "\n".join(f"- {clean_markdown(line, 300)}" for line in lines) or "none"
    )
