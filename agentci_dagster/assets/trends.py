"""`delivery_metrics`, `failure_trends` and `risk_quality`: whether delivery gets better, from the
ledger.
"""

import dagster as dg

from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.trends import (
    ControlChart,
    DeliveryMetrics,
    FailureTrends,
    HeatMap,
    ModelQuality,
    RiskQuality,
    TrendPolicy,
    delivery_rows,
)
from agentci_dagster.domain.trends import (
    delivery_metrics as measured,
)
from agentci_dagster.domain.trends import (
    failure_trends as observed,
)
from agentci_dagster.domain.trends import (
    risk_quality as kept_word,
)
from agentci_dagster.ports import Clock, Outcomes, Pictures

_GROUP = "trends"


@dg.asset(group_name=_GROUP, kinds={"sqlite"}, deps=["deploy_outcome"])
def delivery_metrics(
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    trend_policy: dg.ResourceParam[TrendPolicy],
    pictures: dg.ResourceParam[Pictures],
) -> dg.MaterializeResult[DeliveryMetrics]:
    """The five DORA metrics over the last window, each with its counts and interval."""
    metrics = measured(outcomes.outcomes(), clock.now(), trend_policy)
    return dg.MaterializeResult(
        value=metrics,
        metadata={
            "n_deployments": metrics.n_deployments,
            "window": f"{metrics.window_start:%Y-%m-%d} to {metrics.window_end:%Y-%m-%d}",
            "metrics": dg.MetadataValue.table(
                [dg.TableRecord(dict(row)) for row in delivery_rows(metrics)], schema=_METRICS
            ),
            "by_day": dg.MetadataValue.md(
                pictures.bars("Deployments per day", [(day, n) for day, n, _ in metrics.by_day])
            ),
            "failed_by_day": dg.MetadataValue.md(
                pictures.bars(
                    "Failed deployments per day", [(day, bad) for day, _, bad in metrics.by_day]
                )
            ),
        },
    )


@dg.asset(group_name=_GROUP, kinds={"sqlite"}, deps=["deploy_outcome"])
def failure_trends(
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    trend_policy: dg.ResourceParam[TrendPolicy],
    pictures: dg.ResourceParam[Pictures],
) -> dg.MaterializeResult[FailureTrends]:
    """Where and why commits fail: by cause, by path, over time."""
    trends = observed(outcomes.outcomes(), clock.now(), trend_policy)
    control, heat = trends.control or ControlChart((), None, ()), trends.heat or _NO_HEAT
    by_cause = [(c.cause, c.n) for c in trends.by_cause]
    days = [day for day, _, _ in trends.by_day]
    return dg.MaterializeResult(
        value=trends,
        metadata={
            "n_commits": trends.n_commits,
            "n_failures": trends.n_failures,
            "seconds_saved": trends.seconds_saved,
            "by_cause": dg.MetadataValue.md(pictures.bars("Failures by cause", by_cause)),
            "by_day": dg.MetadataValue.md(
                pictures.bars(
                    "Failures per day",
                    list(zip(days, (f for _, _, f in trends.by_day), strict=True)),
                )
            ),
            "by_week": dg.MetadataValue.md(pictures.control("Share of failures by week", control)),
            "signals": "; ".join(control.signals) or _no_signal(control),
            "by_path_and_week": dg.MetadataValue.md(
                pictures.heat("Failures by folder and week", heat)
            ),
            "by_path": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "path": clean_text(p.path, 200),
                            "failures": p.rate.numerator,
                            "commits": p.rate.denominator,
                            "rate": _rounded(p.rate.value),
                            "low": _rounded(p.rate.low),
                            "high": _rounded(p.rate.high),
                        }
                    )
                    for p in trends.by_path
                ],
                schema=_PATHS,
            ),
        },
    )


@dg.asset(group_name=_GROUP, kinds={"scikitlearn"}, deps=["deploy_outcome"])
def risk_quality(
    outcomes: dg.ResourceParam[Outcomes],
    clock: dg.ResourceParam[Clock],
    learning_policy: dg.ResourceParam[LearningPolicy],
    pictures: dg.ResourceParam[Pictures],
) -> dg.MaterializeResult[RiskQuality]:
    """Whether risk scores kept their word, model by model, on outcomes that are old enough."""
    found = kept_word(outcomes.outcomes(), clock.now(), learning_policy)
    bins = {model.model_version: model.bins for model in found.models}
    return dg.MaterializeResult(
        value=found,
        metadata={
            "n_models": len(found.models),
            "n_censored": found.n_censored,
            "reliability": dg.MetadataValue.md(
                pictures.reliability("Scores and what happened", bins)
            ),
            "models": dg.MetadataValue.table(
                [dg.TableRecord(_quality(model)) for model in found.models], schema=_MODELS
            ),
        },
    )


def _quality(model: ModelQuality) -> dict[str, str | int | float | None]:
    return {
        "model": clean_text(model.model_version, 100),
        "commits": model.n,
        "failures": model.n_failures,
        "brier": _rounded(model.metrics.brier),
        "average_precision": _rounded(model.metrics.average_precision),
        "auc": _rounded(model.metrics.auc),
        "calibration_error": _rounded(model.metrics.calibration_error),
        "caught": _rounded(model.caught.value),
        "caught_low": _rounded(model.caught.low),
        "caught_high": _rounded(model.caught.high),
    }


def _no_signal(control: ControlChart) -> str:
    return "not enough data" if control.centre is None else "none: what chance would give"


_NO_HEAT = HeatMap((), (), (), ())
_MODELS = dg.TableSchema(
    columns=[
        dg.TableColumn("model", "string"),
        dg.TableColumn("commits", "int"),
        dg.TableColumn("failures", "int"),
        dg.TableColumn("brier", "float"),
        dg.TableColumn("average_precision", "float"),
        dg.TableColumn("auc", "float"),
        dg.TableColumn("calibration_error", "float"),
        dg.TableColumn("caught", "float"),
        dg.TableColumn("caught_low", "float"),
        dg.TableColumn("caught_high", "float"),
    ]
)
_METRICS = dg.TableSchema(
    columns=[
        dg.TableColumn("metric", "string"),
        dg.TableColumn("value", "string"),
        dg.TableColumn("counts", "string"),
        dg.TableColumn("interval", "string"),
    ]
)
_PATHS = dg.TableSchema(
    columns=[
        dg.TableColumn("path", "string"),
        dg.TableColumn("failures", "int"),
        dg.TableColumn("commits", "int"),
        dg.TableColumn("rate", "float"),
        dg.TableColumn("low", "float"),
        dg.TableColumn("high", "float"),
    ]
)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
