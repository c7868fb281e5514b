"""The port `Histories`: the measured and labelled history of each watched repository, kept beside
its mirror.

How a history is read belongs to `mining.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from agentci_dagster.adapters.git.mining import labels, rows
from agentci_dagster.adapters.git.mirror import GitMirror
from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning.mined import MinedCommit
from agentci_dagster.ports import Mirrors

FILE = "mined.parquet"

_GROWTH = 0.05
"""A history is read anew when it has grown by this share: labels need months to ripen, and reading
a hundred thousand commits takes minutes."""

_COUNT = "agentci.n_commits"
_MEASURES = tuple(field.name for field in fields(CommitFeatures))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MinedHistories:
    """The histories of mirrors; see `ports.Histories`."""

    mirrors: Mirrors

    def mined(self, repository: str) -> tuple[MinedCommit, ...]:
        mirror = self.mirrors.of(repository)
        tip = mirror.known("HEAD")
        if tip is None or not isinstance(mirror, GitMirror):
            return ()
        place = mirror.folder / FILE
        ask = ("rev-list", "--count", "--end-of-options", tip)
        n_commits = int(mirror.plumbing.ask(*ask).stdout)
        kept = _load(place)
        if kept is not None and 0 <= n_commits - kept.n_commits <= _GROWTH * kept.n_commits:
            return kept.commits
        commits = tuple(read(mirror.plumbing, tip))
        _store(place, commits, n_commits)
        return commits


def read(plumbing: Plumbing, tip: str) -> Iterator[MinedCommit]:
    """Every commit that is no merge, parents first, with the first fix that blames it.

    The history is read twice: with and without white space it has other lines.
    """
    fixed: dict[str, int] = {}
    for fix in labels(plumbing, tip):
        for sha in fix.guilty:
            fixed[sha] = min(fixed.get(sha, fix.at_s), fix.at_s)
    for row in rows(plumbing, tip):
        yield replace(row, fixed_s=fixed.get(row.sha))


@dataclass(frozen=True, slots=True)
class _Kept:
    n_commits: int
    commits: tuple[MinedCommit, ...]


def _store(place: Path, commits: Sequence[MinedCommit], n_commits: int) -> None:
    """Written beside and renamed. When it cannot be kept, it is read again the next time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = [
        {
            "sha": c.sha,
            "committed_s": c.committed_s,
            "author": c.author,
            "fixed_s": c.fixed_s,
            **asdict(c.features),
        }
        for c in commits
    ]
    table = pa.Table.from_pylist(lines)
    told = {**(table.schema.metadata or {}), _COUNT: str(n_commits)}
    beside = place.with_name(f".{place.name}.new")
    try:
        pq.write_table(table.replace_schema_metadata(told), beside)
        beside.replace(place)
    except OSError as error:
        _log.warning("the mined history is not kept in %s: %s", place, error)
        beside.unlink(missing_ok=True)


def _load(place: Path) -> _Kept | None:
    """What was kept; None when nothing was, or by a version with other measures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not place.is_file():
        return None
    try:
        table = pq.read_table(place)
        n_commits = int((table.schema.metadata or {})[_COUNT.encode()])
        return _Kept(n_commits, tuple(_commit(line) for line in table.to_pylist()))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def _commit(line: dict[str, Any]) -> MinedCommit:
    if line.keys() != {"sha", "committed_s", "author", "fixed_s", *_MEASURES}:
        raise ValueError("written by a version with other measures")
    features = CommitFeatures(**{name: line[name] for name in _MEASURES})
    return MinedCommit(line["sha"], line["committed_s"], line["author"], features, line["fixed_s"])
