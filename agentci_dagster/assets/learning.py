"""`training_set` to `champion_promotion`: what the risk model learns from settled outcomes. The
loop closes outside the graph.
"""

import dagster as dg

from agentci_dagster.domain.learning import (
    CandidateModel,
    LearningPolicy,
    Metrics,
    ModelEvaluation,
    Promotion,
    TrainingRows,
    compare,
    examine,
    merge_rows,
    mined_rows,
    pool,
    split_by_time,
    training_obstacle,
    training_rows,
)
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.ports import Clock, Histories, ModelStore, Outcomes
from agentci_dagster.settings import Catalogue

_GROUP = "learning"


@dg.asset(group_name=_GROUP, kinds={"sqlite"}, deps=["deploy_outcome"])
def training_set(
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[TrainingRows]:
    """The mature outcomes in time order: what each commit looked like then, what became of it."""
    rows = training_rows(outcomes.outcomes(), clock.now(), learning_policy)
    return dg.MaterializeResult(
        value=rows,
        metadata={
            "n_rows": len(rows.rows),
            "n_failures": sum(row.label for row in rows.rows),
            "n_censored": rows.n_censored,
            "n_unlabelled": rows.n_unlabelled,
        },
    )


@dg.asset(group_name=_GROUP, kinds={"git"})
def mined_history(
    training_set: TrainingRows,
    histories: dg.ResourceParam[Histories],
    catalogue: dg.ResourceParam[Catalogue],
    clock: dg.ResourceParam[Clock],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[TrainingRows]:
    """The commits of the histories, labelled by later fixes (SZZ), while outcomes are few."""
    are_enough = len(training_set.rows) >= learning_policy.mined_until
    wanted = () if are_enough else catalogue.repositories
    now = clock.now()
    found = merge_rows(
        mined_rows(name, histories.mined(name), now, learning_policy) for name in wanted
    )
    return dg.MaterializeResult(
        value=found,
        metadata={
            "n_rows": len(found.rows),
            "n_failures": found.n_failures,
            "n_censored": found.n_censored,
            "note": "outcomes teach enough" if are_enough else "labelled by later fixes (SZZ)",
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"})
def candidate_model(
    training_set: TrainingRows,
    mined_history: TrainingRows,
    models: dg.ResourceParam[ModelStore],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[CandidateModel]:
    """A model trained on the earlier outcomes, stored with its manifest; it does not score yet."""
    split = split_by_time(training_set.rows, learning_policy)
    train, obstacle = split.train, training_obstacle(split.train)
    pooled = pool(train, mined_history.rows, learning_policy, split.begins_at)
    manifest = None if obstacle else models.train(pooled.rows, learning_policy)
    candidate = CandidateModel(
        manifest=manifest,
        n_rows=len(training_set.rows),
        n_failures=sum(row.label for row in training_set.rows),
        n_censored=training_set.n_censored,
        n_unlabelled=training_set.n_unlabelled,
        note=obstacle,
    )
    return dg.MaterializeResult(
        value=candidate,
        metadata={
            "version": manifest.version if manifest else "none",
            "kind": manifest.kind if manifest else "none",
            "n_rows": candidate.n_rows,
            "n_failures": candidate.n_failures,
            "pooling": pooled.in_words,
            "note": obstacle or f"trained on {len(train)} earlier outcomes",
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"})
def model_evaluation(
    training_set: TrainingRows,
    candidate_model: CandidateModel,
    models: dg.ResourceParam[ModelStore],
    learning_policy: dg.ResourceParam[LearningPolicy],
) -> dg.MaterializeResult[ModelEvaluation]:
    """Candidate, champion and three baselines on the same later outcomes, which none has seen."""
    champion = models.champion()
    manifest = candidate_model.manifest
    candidate = models.load(manifest.version).score if manifest else None
    split = split_by_time(training_set.rows, learning_policy)
    evaluation = examine(split, candidate, champion.score, champion.version)
    compared = {
        "candidate": evaluation.candidate,
        "champion": evaluation.champion,
        "base rate": evaluation.base_rate,
        "churn only": evaluation.churn_only,
        "linear": evaluation.linear,
    }
    return dg.MaterializeResult(
        value=evaluation,
        metadata={
            "champion_version": evaluation.champion_version,
            "n_holdout": evaluation.n_holdout,
            "n_holdout_failures": evaluation.n_holdout_failures,
            "note": clean_text(evaluation.note, 500) or "none",
            "quality": dg.MetadataValue.table(
                [_quality(name, metrics) for name, metrics in compared.items()], schema=_QUALITY
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
        dg.TableColumn("recall_at_20_effort", "float"),
        dg.TableColumn("p_opt", "float"),
    ]
)


def _quality(name: str, metrics: Metrics | None) -> dg.TableRecord:
    columns = [column.name for column in _QUALITY.columns[1:]]
    values = {column: getattr(metrics, column, None) for column in columns}
    return dg.TableRecord(
        {"model": name, **{c: None if v is None else round(v, 4) for c, v in values.items()}}
    )
