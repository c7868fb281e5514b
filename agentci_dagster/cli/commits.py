"""Finds the commit that a person means by a sha, a part of one, or a partition key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from agentci_dagster.domain.diff import CommitKey
    from agentci_dagster.resources import Resources

_WHOLE = re.compile(r"[a-z0-9][a-z0-9_-]*@[0-9a-f]{40}")
_PART = re.compile(r"(?:(?P<repository>[a-z0-9][a-z0-9_-]*)@)?(?P<sha>[0-9a-f]{4,40})")


def find_commit(resources: Resources, meant: str) -> CommitKey:
    """The commit, looked up in the stored values and the ledger, then in the mirrors.

    Raises:
        UsageError: nothing, or more than one commit, fits.
    """
    match = _PART.fullmatch(meant)
    if match:
        found = _stored(resources, match["repository"], match["sha"])
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            names = ", ".join(str(k) for k in found[:5])
            raise UsageError(f"{meant} fits {len(found)} commits: {names}.", "give more digits")
    return _in_mirrors(resources, meant)


def _stored(resources: Resources, repository: str | None, sha: str) -> list[CommitKey]:
    from agentci_dagster.domain.diff import CommitKey

    folder = resources.settings.values_folder / "commit_diff"
    files = folder.glob(f"{repository or '*'}/{sha}*.json")
    names = (f"{file.parent.name}@{file.stem}" for file in files)
    # What somebody else has put there names no commit.
    keys = {CommitKey.parse(name) for name in names if _WHOLE.fullmatch(name)}
    keys |= {
        outcome.key
        for outcome in resources.ledger.outcomes(repository=repository)
        if outcome.key.sha.startswith(sha)
    }
    return sorted(keys)


def _in_mirrors(resources: Resources, meant: str) -> CommitKey:
    from agentci_dagster.domain.diff import CommitKey

    repository, at, revision = meant.rpartition("@")
    names = (repository,) if at else resources.catalogue.repositories
    for name in names:
        # Only what the mirrors hold: a remote that is down must not keep anybody from reading.
        sha = resources.mirrors.of(name).known(revision)
        if sha is not None:
            return CommitKey(name, sha)
    raise UsageError(f"No commit {meant!r} is known here.", "agentci status lists the newest ones")
