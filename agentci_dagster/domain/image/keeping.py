"""Which artefacts are kept: what the journal needs, what is young, and the newest few.

Finding and removing them belongs to `adapters/builders/stored_artefacts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentci_dagster.domain.image.values import ImageKind
from agentci_dagster.domain.rollout import Release, Rollout, RolloutState


@dataclass(frozen=True, slots=True)
class StoredArtefact:
    """A bundle or an image that is there; `used_at`: when it was last built or found again."""

    repository: str
    kind: ImageKind
    reference: str
    digest: str
    used_at: datetime


@dataclass(frozen=True, slots=True)
class KeepingPolicy:
    """How much is kept.

    newest: artefacts a repository, beside those that are needed; a rollback by hand can choose
        among so many versions.
    young_s: seconds since the last use in which it stays: its commit may be on its way, or wait
        for a person over a long weekend.
    """

    newest: int = 20
    young_s: float = 4 * 86_400.0

    def __post_init__(self) -> None:
        if self.newest < 1 or self.young_s < 0:
            raise ValueError("at least one artefact is kept, and nothing younger than now")

    @property
    def young(self) -> timedelta:
        return timedelta(seconds=self.young_s)


def needed(rollouts: Sequence[Rollout], live: Sequence[Release]) -> frozenset[str]:
    """The digests that the journal needs: what is live, what is in an open rollout, and what each
    environment would go back to.

    Args:
        rollouts: of all environments, by time of opening.
        live: the last known good release of each environment.
    """
    releases = list(live)
    promoted: dict[str, list[Release]] = {}
    for rollout in rollouts:
        own = [r for r in (rollout.canary, rollout.baseline) if r is not None]
        if not rollout.state.is_final:
            releases += own
        elif rollout.state is RolloutState.PROMOTED:
            promoted.setdefault(rollout.environment, []).extend(own)
    current = {release.artefact_digest for release in live}
    for earlier in promoted.values():
        others = [r for r in earlier if r.artefact_digest not in current]
        releases += others[-1:]
    return frozenset(release.artefact_digest for release in releases)


def surplus(
    artefacts: Sequence[StoredArtefact],
    needed_digests: frozenset[str],
    now: datetime,
    policy: KeepingPolicy,
) -> tuple[StoredArtefact, ...]:
    """What can go, oldest first."""
    found = []
    for repository in {artefact.repository for artefact in artefacts}:
        own = [artefact for artefact in artefacts if artefact.repository == repository]
        own.sort(key=lambda artefact: artefact.used_at)
        found += [
            artefact
            for artefact in own[: -policy.newest]
            if artefact.digest not in needed_digests and now - artefact.used_at > policy.young
        ]
    return tuple(sorted(found, key=lambda artefact: (artefact.used_at, artefact.reference)))
