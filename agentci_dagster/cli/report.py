"""`agentci report`: delivery metrics and failure trends as one HTML file, as JSON or as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentci_dagster.domain.outcome import DeployOutcome
    from agentci_dagster.domain.trends import TrendPolicy

_COLUMNS = (
    "settled_at", "repository", "sha", "branch", "subject", "route", "probability", "model_version",
    "ending", "cause", "label", "stage", "committed_at", "deployed_at", "failed_at", "restored_at",
    "seconds_saved",
)  # fmt: skip


def report(
    out: Annotated[str, typer.Option("--out", help="The file to write.")] = "agentci-report.html",
    repository: Annotated[str, typer.Option("--repository", help="Only this one.")] = "",
    since: Annotated[
        str, typer.Option("--since", help="First day of the window.", metavar="YYYY-MM-DD")
    ] = "",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Settled commits as a table on standard output.")
    ] = False,
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Write how delivery goes and why commits fail."""
    from dataclasses import asdict

    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.trends import delivery_metrics, failure_trends, risk_quality
    from agentci_dagster.report.page import page

    resources = open_resources(config)
    policies, now = resources.settings.policy, resources.clock.now()
    policy = _window(policies.trends, since, now)
    outcomes = resources.ledger.outcomes(repository=repository or None)
    if as_csv:
        typer.echo(_table(outcomes, policy, now), nl=False)
        return
    if as_json:
        print_json(
            {
                "delivery_metrics": asdict(delivery_metrics(outcomes, now, policy)),
                "failure_trends": asdict(failure_trends(outcomes, now, policy)),
                "risk_quality": asdict(risk_quality(outcomes, now, policies.learning)),
            }
        )
        return
    try:
        html = page(outcomes, now, policy, policies.learning)
        Path(out).write_text(html, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The report cannot be written to {out}: {error.strerror or error}.",
            "name a file in a folder that is there with --out",
        ) from error
    console().print(f"{out} written: {len(outcomes)} settled commits", markup=False)


def _window(policy: TrendPolicy, since: str, now: datetime) -> TrendPolicy:
    from datetime import UTC, datetime

    if not since:
        return policy
    try:
        start = datetime.fromisoformat(since)
    except ValueError as error:
        raise UsageError(f"{since!r} is no day.", "write --since as 2026-03-01") from error
    days = (now - (start if start.tzinfo else start.replace(tzinfo=UTC))).total_seconds() / 86_400
    if days <= 0:
        raise UsageError(f"{since} has not come yet.", "name a day before today with --since")
    return replace(policy, window_days=days)


def _table(outcomes: Sequence[DeployOutcome], policy: TrendPolicy, now: datetime) -> str:
    from datetime import timedelta

    start = now - timedelta(days=policy.window_days)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for outcome in outcomes:
        if outcome.settled_at > start:
            writer.writerow([_cell(_value(outcome, column)) for column in _COLUMNS])
    return file.getvalue()


def _value(outcome: DeployOutcome, column: str) -> object:
    from datetime import datetime

    place = outcome.key if column in {"repository", "sha"} else outcome
    value = getattr(place, column)
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: object) -> object:
    """Text from commits is cleaned, and no spreadsheet takes it for a formula (OWASP, "CSV
    Injection").
    """
    from agentci_dagster.domain.plain_text import clean_text

    if not isinstance(value, str):
        return value
    text = " ".join(clean_text(str(value), 500).split())
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
