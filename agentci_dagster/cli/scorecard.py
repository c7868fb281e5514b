"""`agentci scorecard`: what routing has saved and missed. Never imports Dagster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.printing import (
    ConfigOption,
    JsonFlag,
    console,
    print_json,
    print_table,
    share_in_words,
)

if TYPE_CHECKING:
    from agentci_dagster.domain.savings import Estimate, Savings


def scorecard(
    repository: Annotated[str, typer.Option("--repository", help="Only this one.")] = "",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Say how much pipeline work routing saved, and how many failing commits it missed."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.savings import savings
    from agentci_dagster.journeys import audits

    ledger = open_resources(config).ledger
    found = savings(ledger.outcomes(repository=repository or None), audits(ledger))
    if as_json:
        print_json(asdict(found))
        return
    print_table("Routing", ("", ""), _rows(found))
    if found.n_fast and not found.failing_audits.n:
        console().print("No fast commit was audited yet, so what is missed is not known.")


def _rows(found: Savings) -> list[tuple[str, str]]:
    saved_s = found.seconds_saved
    return [
        ("settled commits", f"{found.n_commits:,}"),
        ("skipped, fast", f"{found.n_skipped:,}, {found.n_fast:,}"),
        ("spared the full pipeline", share_in_words(found.spared)),
        ("time saved", "no data" if saved_s is None else f"{saved_s / 3600:.1f} h"),
        ("audits that fail", share_in_words(found.failing_audits)),
        ("audits without a verdict", f"{found.n_audits_without_verdict:,}"),
        ("failing commits found", f"{found.n_caught:,}"),
        ("failing commits missed", _estimate(found.missed, "{:.1f}")),
        ("share of failing commits found", _estimate(found.caught, "{:.1%}")),
    ]


def _estimate(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return "no data"
    value, low, high = (form.format(n) for n in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
