"""Opens settings and resources for a verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentci_dagster.resources import Resources


def open_resources(config: str = "") -> Resources:
    """The resources of this installation; raises ConfigurationError for wrong settings."""
    from agentci_dagster.resources import Resources
    from agentci_dagster.settings import load_settings

    return Resources(load_settings(Path(config) if config else None))
