"""The exit codes of `agentci`."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentci_dagster.domain.outcome import Ending


class Exit(IntEnum):
    """What the shell is told."""

    DONE = 0
    COMMIT_FAILED = 1
    USAGE = 2
    WITHHELD = 3
    INFRASTRUCTURE = 4
    CONFIGURATION = 5


def exit_of(ending: Ending, *, is_commits_fault: bool) -> Exit:
    """The code for a settled commit; withheld for a person is not withheld by its own fault."""
    from agentci_dagster.domain.outcome import Ending

    if ending is Ending.INFRASTRUCTURE:
        return Exit.INFRASTRUCTURE
    if ending is Ending.WITHHELD and not is_commits_fault:
        return Exit.WITHHELD
    failed = {Ending.WITHHELD, Ending.ROLLED_BACK, Ending.REJECTED}
    return Exit.COMMIT_FAILED if ending in failed else Exit.DONE
