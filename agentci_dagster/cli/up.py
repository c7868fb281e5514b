"""`agentci up`: daemon and guarded UI for the configured repositories, until interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.printing import ConfigOption, console

if TYPE_CHECKING:
    from agentci_dagster.settings import Settings


def up(
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address of the UI; left out: as set.")] = "",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="A UI to look at, which starts nothing.")
    ] = False,
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
    address = host or settings.ui.host
    arguments = _guarded(settings, address, port, is_read_only=read_only or settings.ui.read_only)
    environment = instance.prepare_instance(settings.home)
    if settings.file:
        # Daemon and UI work in another folder than the person who starts them.
        environment["AGENTCI_CONFIG"] = str(settings.file)
    with instance.daemon(settings.home, environment) as daemon:
        webserver = instance.start(settings.home, "webserver", arguments, environment)
        try:
            instance.wait_for_port(port, webserver, host=address)
            console().print(
                f"Dagster UI: http://{_in_words(address)}:{port}   (Ctrl-C ends daemon and UI; "
                "what was deployed serves on until agentci down)"
            )
            while daemon.poll() is None and webserver.poll() is None:
                time.sleep(0.5)
            raise InfrastructureError("The daemon or the UI ended.", f"read {settings.home}/logs")
        finally:
            instance.stop(webserver)


def _guarded(settings: Settings, host: str, port: int, *, is_read_only: bool) -> list[str]:
    """The command of the UI; raises ConfigurationError where strangers could steer deliveries."""
    from agentci_dagster.domain.errors import ConfigurationError
    from agentci_dagster.ui.rules import is_loopback

    if not is_loopback(host) and not settings.ui_token.get_secret_value():
        raise ConfigurationError(
            f"The UI would listen on {host}, where others can reach it, and ask nobody who they "
            "are.",
            "set AGENTCI_UI_TOKEN to a long random text, or leave the address on loopback",
        )
    workspace = str(settings.home / "dagster" / "workspace.yaml")
    arguments = ["agentci_dagster.ui", "--host", host, "--port", str(port)]
    arguments += ["--workspace", workspace]
    for name in settings.ui.trusted_hosts:
        arguments += ["--trust", name]
    return [*arguments, "--read-only"] if is_read_only else arguments


def _in_words(host: str) -> str:
    return f"[{host}]" if ":" in host else host
