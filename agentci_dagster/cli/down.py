"""`agentci down`: ends the deployed services and their routers, which outlive daemon and UI."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from agentci_dagster.resources import Resources

_GRACE = timedelta(seconds=5)


def _environments(resources: Resources) -> list[str]:
    """Those of the settings, and those that were left behind when a service was taken out."""
    folder = resources.settings.home / "environments"
    left = {path.name for path in folder.glob("*") if path.is_dir()}
    return sorted(left | {plan.environment for plan in resources.catalogue.services})


def down(
    environment: Annotated[
        str, typer.Argument(help="Only this environment; left out, all of them.")
    ] = "",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """End what was deployed. A running daemon starts it again: stop agentci up first."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.instance import daemon_state

    resources = open_resources(config)
    if daemon_state(resources.settings.home) == "running":
        raise UsageError(
            "The daemon runs, and would start the services again.", "stop agentci up first"
        )
    known = _environments(resources)
    if environment and environment not in known:
        raise UsageError(
            f"No service is deployed to {environment!r} (known: {', '.join(known) or 'none'}).",
            "agentci status",
        )
    ended: list[str] = []
    for name in [environment] if environment else known:
        for release in resources.runtime.releases(name):
            resources.runtime.stop(release, _GRACE)
            ended.append(release.name)
        resources.router.shutdown(name)
    if as_json:
        print_json({"ended": ended})
    else:
        console().print(f"ended: {', '.join(ended) or 'nothing was running'}", markup=False)
