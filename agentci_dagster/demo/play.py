"""Plays the scripted commits through the real daemon, sensor and graph, and checks what became of each.

The commits are `scenario.py`'s, the expectations `expected.py`'s; here is only the order of events.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agentci_dagster.adapters.processes import Children, daemon
from agentci_dagster.demo.expected import Seen
from agentci_dagster.demo.scenario import STEPS, Scenario, Step
from agentci_dagster.demo.settings import ENVIRONMENT, NAME, demo_settings
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.learning import Promotion
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.rollout import Deployment, RolloutState
from agentci_dagster.domain.trends import FailureTrends
from agentci_dagster.resources import Resources
from agentci_dagster.settings import CONFIG_NAME, load_settings

MARKER = "demo.json"
_RATE = 40.0
"""Requests per second: enough evidence in seconds, little load on two cores."""
_STEP_LIMIT_S = 120.0
_POLL_S = 0.25

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Played:
    """One scripted commit and what became of it."""

    step: Step
    key: CommitKey
    outcome: DeployOutcome | None
    differences: Sequence[str]


class Play:
    """One play of the demo in a home folder of its own."""

    def __init__(self, home: Path, tell: Tell) -> None:
        self._home = home
        self._tell = tell
        self._scenario = Scenario(home / "git", datetime.now(UTC))
        self.resources: Resources

    def run(self) -> list[Played]:
        """Play all commits; raises UsageError when the folder holds something else than a demo."""
        self._prepare()
        ...
