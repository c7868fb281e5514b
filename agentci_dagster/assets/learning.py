"""`training_set` to `champion_promotion`: what the risk model learns from settled outcomes. The
loop closes outside the graph.
"""

import dagster as dg

from agentci_dagster.domain.learning import (
    CandidateModel,
    LearningPolicy,
    ModelEvaluation,
    Promotion,
    TrainingSet,
    candidate_without_model,
    compare,
    evaluate_models,
    split_by_time,
    training_set_of,
)
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.ports import Clock, ModelStore, Outcomes

_GROUP = "learning"


@dg.asset(group_name=_GROUP, kinds={"sqlite"}, deps=["deploy_outcome"])
def training_set(
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[TrainingSet]:
    """The mature outcomes as rows in time order: what each commit looked like then, and what
    became of it.
    """
    rows = training_set_of(outcomes.outcomes(), clock.now(), learning_policy)
    return dg.MaterializeResult(
        value=rows,
        metadata={
            "n_rows": len(rows.rows),
            "n_failures": rows.n_failures,
            "n_censored": rows.n_censored,
            "n_unlabelled": rows.n_unlabelled,
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"})
def candidate_model(
    training_set: TrainingSet,
    models: dg.ResourceParam[ModelStore],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[CandidateModel]:
    """A model trained on the earlier outcomes, stored with its manifest; it does not score yet."""
    candidate = candidate_without_model(training_set, learning_policy)
    if candidate.note == "":
        earlier, _ = split_by_time(training_set.rows, learning_policy)
        candidate = candidate.with_model(models.train(earlier, learning_policy))
    return dg.MaterializeResult(
        value=candidate,
        metadata={
            "version": candidate.manifest.version if candidate.manifest else "none",
            "kind": candidate.manifest.kind if candidate.manifest else "none",
            "n_rows": candidate.n_rows,
            "n_failures": candidate.n_failures,
            "note": candidate.note or "trained",
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"})
def model_evaluation(
    training_set: TrainingSet,
    candidate_model: CandidateModel,
    models: dg.ResourceParam[ModelStore],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[ModelEvaluation]:
    """Candidate, champion and two baselines on the same later outcomes, which neither was trained
    on.
    """
    champion = models.champion()
    manifest = candidate_model.manifest
    candidate = models.load(manifest.version) if manifest else None
    evaluation = evaluate_models(training_set, candidate, champion, learning_policy)
    return dg.MaterializeResult(
        value=evaluation,
        metadata={
            "champion_version": evaluation.champion_version,
            "n_holdout": evaluation.n_holdout,
            "n_holdout_failures": evaluation.n_holdout_failures,
            "note": clean_text(evaluation.note, 500) or "none",
            "quality": dg.MetadataValue.table(
                [
                    dg.TableRecord({"model": name, **_shown(metrics)})
                    for name, metrics in evaluation.by_name()
                ],
                schema=_QUALITY,
            ),
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"})
def champion_promotion(
    context: dg.AssetExecutionContext,
    candidate_model: CandidateModel,
    model_evaluation: ModelEvaluation,
    models: dg.ResourceParam[ModelStore],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[Promotion]:
    """Whether the candidate became the champion, and why."""
    promotion = compare(candidate_model, model_evaluation, learning_policy)
    if promotion.is_promoted and promotion.candidate_version:
        models.promote(promotion.candidate_version)
        # The pointer is the feedback edge; the graph itself may not have a cycle.
        context.log_event(
            dg.AssetObservation("champion_model", metadata={"version": promotion.champion_version})
        )
    return dg.MaterializeResult(
        value=promotion,
        metadata={
            "is_promoted": promotion.is_promoted,
            "champion_version": promotion.champion_version,
            "candidate_version": promotion.candidate_version or "none",
            "reason": clean_text(promotion.reason, 500),
        },
    )


_QUALITY = dg.TableSchema(
    columns=[
        dg.TableColumn("model", "string"),
        dg.TableColumn("brier", "float"),
        dg.TableColumn("average_precision", "float"),
        dg.TableColumn("auc", "float"),
        dg.TableColumn("calibration_error", "float"),
    ]
)


def _shown(metrics: object) -> dict[str, float | None]:
    names = ("brier", "average_precision", "auc", "calibration_error")
    values = {name: getattr(metrics, name, None) for name in names}
    return {name: None if v is None else round(v, 4) for name, v in values.items()}
