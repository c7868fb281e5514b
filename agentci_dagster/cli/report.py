"""`agentci report`: delivery metrics and failure trends as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError


def report(
    out: Annotated[str, typer.Option("--out", help="The file to write.")] = "agentci-report.html",
    repository: Annotated[str, typer.Option("--repository", help="Only this one.")] = "",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Write how delivery goes and why commits fail."""
    from dataclasses import asdict

    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.trends import delivery_metrics, failure_trends
    from agentci_dagster.report.page import page

    resources = open_resources(config)
    policy, now = resources.settings.policy.trends, resources.clock.now()
    outcomes = resources.ledger.outcomes(repository=repository or None)
    if as_json:
        metrics = asdict(delivery_metrics(outcomes, now, policy))
        trends = asdict(failure_trends(outcomes, now, policy))
        print_json({"delivery_metrics": metrics, "failure_trends": trends})
        return
    try:
        Path(out).write_text(page(outcomes, now, policy), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {out}: {error.strerror or error}.",
            "name a file in a folder that is there with --out",
        ) from error
    console().print(f"{out} written: {len(outcomes)} settled commits", markup=False)
