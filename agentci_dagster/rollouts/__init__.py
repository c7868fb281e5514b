"""Driving rollouts: intent journaled before effect, at most one driver per environment, one way
out of every state.

Which step follows and what the evidence means is decided in `domain`; processes, traffic and memory
are asked of ports.
"""

from agentci_dagster.rollouts.driver import Rollouts

__all__ = ["Rollouts"]
