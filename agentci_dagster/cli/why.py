"""`agentci why`: what happened to a commit and why. Never imports Dagster."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError


def why(
    rev: Annotated[str, typer.Argument(help="The commit: a sha, a part of it, or repository@sha.")],
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Say what happened to a commit, on which evidence, and what to do next."""
    from rich.text import Text

    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.risk import RiskScore
    from agentci_dagster.domain.why import explain

    resources = open_resources(config)
    key = find_commit(resources, rev)
    outcome = resources.ledger.outcome(key)
    if outcome is None:
        raise UsageError(f"{key} has not been settled yet.", "agentci status shows what is open")
    score = resources.values.find("risk_score", RiskScore, key)
    explanation = explain(outcome, score.reasons if score else ())
    if as_json:
        print_json({"commit": str(key), **asdict(explanation)})
        return
    out = console()
    out.print(Text(explanation.headline, style="bold"))
    for name in ("stage", "cause", "what_was_done", "next_step"):
        if value := getattr(explanation, name):
            out.print(Text(f"  {name.replace('_', ' '):14} {value}"))
    for title, lines in (("evidence", explanation.evidence), ("risk", explanation.risk_reasons)):
        for n, line in enumerate(lines):
            out.print(Text(f"  {title if n == 0 else '':14} {line}"))
