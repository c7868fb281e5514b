"""Errors name the cause and the next step."""

from __future__ import annotations

from agentci_dagster.domain.errors import AgentCIError, ConfigurationError


def test_error_reads_as_cause_and_next_step() -> None:
    error = ConfigurationError("There is no agentci.toml.", "write one")

    assert isinstance(error, AgentCIError)
    assert str(error) == "There is no agentci.toml. Next: write one"
    assert (error.message, error.next_step) == ("There is no agentci.toml.", "write one")


def test_error_without_a_next_step_says_only_its_cause() -> None:
    assert str(AgentCIError("The disk is full.")) == "The disk is full."
