"""What a repository's Dockerfile could do better: advice, a proposal, and its gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentci_dagster.domain.image.dockerfile import parse_dockerfile
from agentci_dagster.domain.image.dockerfile_advice import (
    Advice,
    Proposal,
    advise,
    installs_dependencies,
    propose,
)
from agentci_dagster.domain.image.gain import Gain, gain_of


@dataclass(frozen=True, slots=True)
class DockerfileReview:
    """Advice, the order that would be better, and what it would have saved."""

    advice: tuple[Advice, ...]
    proposal: Proposal
    gain: Gain


def review_dockerfile(
    text: str,
    files: Sequence[str],
    earlier: Sequence[Sequence[str]],
    costs_s: Sequence[tuple[str, float]],
) -> DockerfileReview:
    """Look at a Dockerfile.

    Args:
        text: the file.
        files: all paths of the tree.
        earlier: the paths that each of the last commits changed.
        costs_s: the build's steps, each with the seconds that it took when it last ran.
    """
    dockerfile = parse_dockerfile(text)
    costs = [seconds for step, seconds in costs_s if installs_dependencies(step) and seconds > 0]
    gain = gain_of(earlier, sum(costs) if costs else None)
    return DockerfileReview(advise(dockerfile, files), propose(dockerfile, files), gain)
