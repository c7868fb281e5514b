"""`agentci show`: the stored value of one asset. Never imports Dagster."""

from __future__ import annotations

from typing import Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console


def show(
    asset: Annotated[str, typer.Argument(help="An asset, for instance risk_score.")],
    rev: Annotated[str, typer.Argument(help="A commit; leave out for learning and trends.")] = "",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Show what an asset holds for a commit."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    key = find_commit(resources, rev) if rev else None
    text = resources.values.text(asset, key)
    if as_json:
        typer.echo(text)
    else:
        console().print_json(text)
