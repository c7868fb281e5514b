"""The command `agentci`, one module per verb. Importing this package imports nothing heavy."""


def main() -> None:
    """Run the command line."""
    from agentci_dagster.cli.app import run_app

    run_app()
