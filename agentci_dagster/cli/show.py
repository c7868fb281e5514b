"""`agentci show`: the stored value of one asset. Never imports Dagster."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, print_json
from agentci_dagster.domain.errors import UsageError

# Written out, because the graph itself is Dagster's; a test compares.
PER_COMMIT = (
    "commit_diff",
    "risk_score",
    "generated_tests",
    "test_report",
    "image",
    "deployment",
    "health_report",
    "deploy_outcome",
    "audit_report",
)
SHARED = (
    "training_set",
    "mined_history",
    "candidate_model",
    "model_evaluation",
    "champion_promotion",
    "routing_thresholds",
    "delivery_metrics",
    "failure_trends",
    "risk_quality",
    "savings",
    "build_savings",
)


def show(
    asset: Annotated[str, typer.Argument(help="An asset, for instance risk_score.")],
    rev: Annotated[str, typer.Argument(help="A commit; leave out for learning and trends.")] = "",
    as_json: JsonFlag = False,  # noqa: ARG001 - a value is JSON for people, too
    config: ConfigOption = "",
) -> None:
    """Show what an asset holds for a commit."""
    from agentci_dagster.adapters.json_values import as_plain
    from agentci_dagster.cli.wiring import open_resources

    if asset not in (*PER_COMMIT, *SHARED):
        known = ", ".join((*PER_COMMIT, *SHARED))
        raise UsageError(f"There is no asset {asset!r}.", f"choose one of: {known}")
    if asset in PER_COMMIT and not rev:
        raise UsageError(f"{asset} is made for each commit.", f"agentci show {asset} SHA")
    resources = open_resources(config)
    key = find_commit(resources, rev) if asset in PER_COMMIT else None
    if asset == "deploy_outcome" and key is not None:
        # However a run ended, its outcome stands in the ledger; the stored value is of good ends.
        outcome = resources.ledger.outcome(key)
        if outcome is not None:
            print_json(as_plain(outcome))
            return
    print_json(json.loads(resources.values.text(asset, key)))
