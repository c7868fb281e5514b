"""`agentci up`: the daemon and the UI for the configured repositories, until interrupted."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, console


def up(
    port: Annotated[int, typer.Option(help="Port of the UI on loopback.")] = 3000,
    config: ConfigOption = "",
) -> None:
    """Start the daemon and the Dagster UI, and print the address."""
    from agentci_dagster import instance
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.errors import ConfigurationError, InfrastructureError

    settings = open_resources(config).settings
    if not settings.repository:
        raise ConfigurationError(
            f"No repository is configured in {settings.home}.",
            "write an agentci.toml (see agentci.toml.example), or run agentci demo first",
        )
    environment = instance.prepare_instance(settings.home)
    if settings.file:
        # Daemon and UI work in another folder than the person who starts them.
        environment["AGENTCI_CONFIG"] = str(settings.file)
    workspace = str(settings.home / "dagster" / "workspace.yaml")
    arguments = ["dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", workspace]
    with instance.daemon(settings.home, environment) as daemon:
        webserver = instance.start(settings.home, "webserver", arguments, environment)
        try:
            instance.wait_for_port(port, webserver)
            console().print(
                f"Dagster UI: http://127.0.0.1:{port}   (Ctrl-C ends daemon and UI; what was "
                "deployed serves on until agentci down)"
            )
            while daemon.poll() is None and webserver.poll() is None:
                time.sleep(0.5)
            raise InfrastructureError("The daemon or the UI ended.", f"read {settings.home}/logs")
        finally:
            instance.stop(webserver)
