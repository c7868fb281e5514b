"""What finally happened to a commit: ending, cause class and the label that learning may use."""

from __future__ import annotations

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.outcome.conclude import Known, conclude, reverted_sha
from agentci_dagster.domain.outcome.values import (
    DeployOutcome,
    Ending,
    StageTime,
    is_released_by,
    is_settled_for_good,
    rejected,
    waits_for_approval,
)

__all__ = [
    "CauseClass",
    "DeployOutcome",
    "Ending",
    "Known",
    "StageTime",
    "conclude",
    "is_released_by",
    "is_settled_for_good",
    "rejected",
    "reverted_sha",
    "waits_for_approval",
]
