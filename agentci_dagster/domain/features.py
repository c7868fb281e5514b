"""Measures of a commit known when it arrives: the row that risk is judged by. No labels, no I/O
here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentci_dagster.domain.diff import CommitDiff, FileKind, FileStatus
from agentci_dagster.domain.history import (
    FilePast,
    History,
    directory_of,
    is_fix,
    subsystem_of,
)


@dataclass(frozen=True, slots=True)
class CommitFeatures:
    """Change measures after Kamei et al., "A large-scale empirical study of just-in-time quality
    assurance" (2013).

    Fields are counts unless said otherwise. `age_days`, `lines_before` and `developers` are None
    when the touched files have no history (all new), `recent_experience` counts the author's
    earlier changes weighted by 1/(1 + years ago). `lines_before` and `age_days` are means over the
    touched files that have a past.
    """

    lines_added: float
    lines_deleted: float
    lines_before: float | None
    files: float
    directories: float
    subsystems: float
    entropy: float
    developers: float | None
    age_days: float | None
    unique_changes: float
    experience: float
    recent_experience: float
    subsystem_experience: float
    is_fix: float
    source_files: float
    test_files: float
    docs_files: float
    dependency_files: float
    migration_files: float
    configuration_files: float
    ci_files: float
    container_files: float
    earlier_fixes: float
    is_capped: float = 0.0


def measure(
    diff: CommitDiff, history: History, lines_before: Mapping[str, int] | None = None
) -> CommitFeatures:
    """Measure a commit as of its own moment.

    Args:
        diff: what the commit changes.
        history: fed with ancestors of the commit only; later commits would tell what was not known
            then.
        lines_before: lines of the touched files (by their old path) before the commit; taken from
            the history when left out.

    The author counts as experience only; who it is never becomes a feature.
    """
    now = diff.commit.committed_at
    pasts = {p: past for p in _old_paths(diff) if (past := history.file(p)) is not None}
    author = history.author(diff.commit.author_id)
    lines = _lines_before(pasts, lines_before)
    return CommitFeatures(
        lines_added=float(diff.lines_added),
        lines_deleted=float(diff.lines_deleted),
        lines_before=_mean(lines),
        files=float(len(diff.files)),
        directories=float(len({directory_of(f.path) for f in diff.files})),
        subsystems=float(len({subsystem_of(f.path) for f in diff.files})),
        entropy=entropy([f.churn for f in diff.files]),
        developers=float(len(_union(p.author_ids for p in pasts.values()))) if pasts else None,
        age_days=_mean([_days_between(p.last_at, now) for p in pasts.values()]),
        unique_changes=float(len({p.last_sha for p in pasts.values()})),
        experience=float(len(author.moments)),
        recent_experience=sum(
            1.0 / (1.0 + _days_between(moment, now) / _DAYS_PER_YEAR) for moment in author.moments
        ),
        subsystem_experience=float(
            len(_union(author.subsystems.get(s, set()) for s in _subsystems(diff)))
        ),
        is_fix=float(is_fix(diff.commit.message)),
        source_files=_n_of(diff, FileKind.SOURCE),
        test_files=_n_of(diff, FileKind.TEST),
        docs_files=_n_of(diff, FileKind.DOCS),
        dependency_files=_n_of(diff, FileKind.DEPENDENCY),
        migration_files=_n_of(diff, FileKind.MIGRATION),
        configuration_files=_n_of(diff, FileKind.CONFIGURATION),
        ci_files=_n_of(diff, FileKind.CI),
        container_files=_n_of(diff, FileKind.CONTAINER),
        earlier_fixes=float(len(_union(p.fixes for p in pasts.values()))),
        is_capped=float(diff.is_capped),
    )


def entropy(churns: Sequence[int]) -> float:
    """How evenly a change is scattered over its files, in [0, 1] (Hassan, "Predicting faults using
    the complexity of
    code changes", 2009).

    Shannon's entropy of the files' shares of the churn, divided by log2 of the number of files. A
    change of one
    file, or without any lines, is not scattered: 0.
    """
    total = sum(churns)
    if len(churns) < 2 or total == 0:
        return 0.0
    shares = [churn / total for churn in churns if churn]
    bits = -sum(share * math.log2(share) for share in shares)
    return min(1.0, max(0.0, bits / math.log2(len(churns))))


def touched_before(diff: CommitDiff) -> tuple[str, ...]:
    """Paths whose past tells about the commit: what it touches, under the names of before."""
    return tuple(dict.fromkeys(_old_paths(diff)))


def _old_paths(diff: CommitDiff) -> Iterator[str]:
    # A copy is a new file; the past of what it was copied from is not its own.
    for file in diff.files:
        is_moved = file.status is FileStatus.RENAMED
        yield (file.old_path if is_moved else None) or file.path


def _subsystems(diff: CommitDiff) -> set[str]:
    return {subsystem_of(f.path) for f in diff.files}


def _lines_before(
    pasts: Mapping[str, FilePast], lines_before: Mapping[str, int] | None
) -> list[float]:
    if lines_before is not None:
        return [float(lines) for lines in lines_before.values()]
    return [float(past.lines) for past in pasts.values()]


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _days_between(earlier: datetime, later: datetime) -> float:
    # Clocks of authors are wrong now and then; a change from the future counts as just made.
    return max(0.0, (later - earlier).total_seconds() / _SECONDS_PER_DAY)


def _n_of(diff: CommitDiff, kind: FileKind) -> float:
    return float(len(diff.of_kind(kind)))


_SECONDS_PER_DAY = 86_400.0
_DAYS_PER_YEAR = 365.25
