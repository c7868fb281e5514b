"""`agentci rollback`: traffic back to the last known good release before the live one."""

from __future__ import annotations

from typing import Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError


def rollback(
    environment: Annotated[str, typer.Argument(help="The environment, for instance production.")],
    to: Annotated[str, typer.Option("--to", help="Begin of a sha that was live before.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "by hand",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Put the traffic of an environment back to its previous release."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    services = {plan.environment: plan for plan in resources.catalogue.services}
    if environment not in services:
        known = ", ".join(services) or "none"
        raise UsageError(
            f"No service is deployed to {environment!r} (known: {known}).", "agentci status"
        )
    release = resources.rollouts.rollback(services[environment], to or None, reason=reason)
    if as_json:
        print_json({"environment": environment, "live": release.name, "commit": str(release.key)})
    else:
        console().print(f"{environment} serves {release.key} again ({release.name}).")
