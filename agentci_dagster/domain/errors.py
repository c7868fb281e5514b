"""Errors of ours: a broken machine, a wrong setting, a lost lease.

A commit's own failure is a value, never one of these.
"""

from __future__ import annotations


class AgentCIError(Exception):
    """Something of ours could not be done.

    Args:
        message: what failed, and for which commit or environment.
        next_step: what a person can do about it, as a command where there is one.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(f"{message} Next: {next_step}" if next_step else message)
        self.message = message
        self.next_step = next_step


class ConfigurationError(AgentCIError):
    """A setting is wrong or missing; nothing was started."""


class UsageError(AgentCIError):
    """The request names something that does not exist."""


class InfrastructureError(AgentCIError):
    """A program, disk, network or database failed us; it says nothing about the commit."""


class GitError(InfrastructureError):
    """Git could not answer, or the remote could not be reached."""


class SandboxError(InfrastructureError):
    """The sandbox or its environment could not be made."""


class LedgerError(InfrastructureError):
    """The ledger could not be read or written, or its hash chain is broken."""


class LeaseLostError(InfrastructureError):
    """Another process took over what this one was driving; this one must stop at once."""


class EnvironmentBusyError(InfrastructureError):
    """Another rollout is open in the environment and did not end in time."""


class RouterError(InfrastructureError):
    """The router could not be started or did not obey."""


class ArtefactChangedError(InfrastructureError):
    """An artefact is not what was built; it must not be started."""
