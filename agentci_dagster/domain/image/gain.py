"""What another order of the layers would have saved, told from a repository's own commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentci_dagster.domain.diff import FileKind, classify_path


@dataclass(frozen=True, slots=True)
class Gain:
    """Of the last commits, how many would have kept the layer of dependencies, and what it costs.

    `install_s` is the time of the installing steps when they last ran, in seconds; None when they
    have not run here yet.
    """

    n_commits: int
    n_kept: int
    install_s: float | None

    @property
    def seconds_a_commit(self) -> float | None:
        """Seconds that a commit would have saved on average."""
        if self.install_s is None or not self.n_commits:
            return None
        return self.install_s * self.n_kept / self.n_commits

    @property
    def in_words(self) -> str:
        if not self.n_commits:
            return "no earlier commit to tell the gain from"
        told = (
            f"{self.n_kept} of the last {self.n_commits} commits would have kept the dependencies"
        )
        if self.seconds_a_commit is None:
            return f"{told}; what installing takes is not measured yet"
        return f"{told}, {self.install_s:.1f} s each: {self.seconds_a_commit:.1f} s a commit"


def gain_of(commits: Sequence[Sequence[str]], install_s: float | None) -> Gain:
    """Count the commits whose paths touch neither dependencies nor the Dockerfile."""
    rebuilding = {FileKind.DEPENDENCY, FileKind.CONTAINER}
    n_kept = sum(not any(classify_path(p) in rebuilding for p in paths) for paths in commits)
    return Gain(len(commits), n_kept, install_s)
