"""`python -m agentci_dagster` is `agentci`."""

from agentci_dagster.cli import main

if __name__ == "__main__":
    main()
