"""The jobs that people and sensors start. What they run is written in `assets/`; when, in
`sensors/`.
"""

import dagster as dg

COMMIT_ASSETS = (
    "commit_diff",
    "risk_score",
    "generated_tests",
    "test_report",
    "image",
    "deployment",
    "health_report",
    "deploy_outcome",
)
LEARNING_ASSETS = (
    "training_set",
    "mined_history",
    "candidate_model",
    "model_evaluation",
    "champion_promotion",
    "routing_thresholds",
)
TREND_ASSETS = (
    "delivery_metrics",
    "failure_trends",
    "risk_quality",
    "savings",
    "build_savings",
)

EVERY_LOOP_S = 2
"""Interval of the sensors that are asked in every loop of the daemon. The loop takes 5 s; with an
interval of 5 s as well, every other loop comes some milliseconds too early and passes over."""

_MAX_RUNTIME_S = 3600
"""A watch is minutes; an hour means that something of ours hangs."""

deliver_commit = dg.define_asset_job(
    "deliver_commit",
    selection=dg.AssetSelection.assets(*COMMIT_ASSETS),
    executor_def=dg.in_process_executor,
    description="Carries one commit from its diff to its outcome.",
    tags={"dagster/max_runtime": _MAX_RUNTIME_S},
)

analyse_commit = dg.define_asset_job(
    "analyse_commit",
    selection=dg.AssetSelection.assets("commit_diff", "risk_score"),
    executor_def=dg.in_process_executor,
    description="Reads and scores a commit, deploys nothing. The job for backfills over history.",
    tags={"dagster/max_runtime": _MAX_RUNTIME_S},
)

audit_commit = dg.define_asset_job(
    "audit_commit",
    selection=dg.AssetSelection.assets("audit_report"),
    executor_def=dg.in_process_executor,
    description="Runs all tests on a delivered fast commit, to measure what the fast lane misses.",
    # Behind every delivery that waits.
    tags={"dagster/max_runtime": _MAX_RUNTIME_S, "dagster/priority": "-1"},
)

learn_from_outcomes = dg.define_asset_job(
    "learn_from_outcomes",
    selection=dg.AssetSelection.assets(*LEARNING_ASSETS, *TREND_ASSETS),
    executor_def=dg.in_process_executor,
    description="Retrains the risk model from settled outcomes and refreshes the trends.",
    tags={"dagster/max_runtime": _MAX_RUNTIME_S},
)

refresh_trends = dg.define_asset_job(
    "refresh_trends",
    selection=dg.AssetSelection.assets(*TREND_ASSETS),
    executor_def=dg.in_process_executor,
    description="Refreshes delivery metrics and failure trends.",
    tags={"dagster/max_runtime": _MAX_RUNTIME_S},
)
