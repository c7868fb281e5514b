"""`agentci rollback`: traffic back to the last known good release before the live one."""

from __future__ import annotations

from typing import Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json


def rollback(
    environment: Annotated[str, typer.Argument(help="The environment, for instance production.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "by hand",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Put the traffic of an environment back to its previous release."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    services = {
        plan.environment: plan
        for name in resources.catalogue.repositories
        if (plan := resources.catalogue.service(name)) is not None
    }
    release = resources.rollouts.rollback(environment, services.get(environment), reason=reason)
    if as_json:
        print_json({"environment": environment, "live": release.name, "commit": str(release.key)})
    else:
        console().print(f"{environment} serves {release.key} again ({release.name}).")
