"""Measures of a commit known when it arrives: the row that risk is judged by. No labels, no I/O
here.

One function makes the rows of a whole history and the row of one new commit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple

from agentci_dagster.domain.diff import CommitDiff, FileKind, FileStatus
from agentci_dagster.domain.history import (
    AuthorPast,
    Change,
    ChangedFile,
    FilePast,
    History,
    ProjectPast,
    Tokens,
    directory_of,
    is_fix,
    is_revert,
    seconds_of,
    subsystem_of,
)


@dataclass(frozen=True, slots=True)
class CommitFeatures:
    """Change measures after Kamei et al., "A large-scale empirical study of just-in-time quality
    assurance" (2013), and more that later work found to tell something.

    Fields are counts unless said otherwise. `age_days`, `lines_before` and `developers` are None
    when the touched files have no history (all new), `recent_experience` counts the author's
    earlier changes weighted by 1/(1 + years ago). `lines_before` and `age_days` are means over the
    touched files that have a past.

    From `earlier_reverts` on, None also means that the row was stored before there was this
    measure:
        - Past of the touched files: earlier commits that took something back; `earlier_changes` as
          the mean of the files; `file_defect_rate`, the mean share of their changes that mended
          something, drawn to the project's rate as if by five more changes (fixes are the defects
          that were known then; Kim et al., "Predicting faults from cached history", 2007), and
          `project_defect_rate`, the same share of all ancestors.
        - Ownership (Bird et al., "Don't touch my code!", 2011): the mean share of the files'
          changes made by this author, and by the one who made most of them.
        - Tempo: commits on the first-parent line, faded with a half-life of 30 days; days since
          the parent; days since the author's last commit and how many in the last seven days
          (Eyolfson et al., "Do time of day and developer experience affect commit bugginess?",
          2011, for the author's habits).
        - Content of added and removed code: see `domain/history/content.py`.
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
    earlier_reverts: float | None = None
    earlier_changes: float | None = None
    file_defect_rate: float | None = None
    project_defect_rate: float | None = None
    author_ownership: float | None = None
    top_ownership: float | None = None
    pace: float | None = None
    days_since_parent: float | None = None
    days_since_author: float | None = None
    author_week: float | None = None
    is_revert: float | None = None
    new_files: float | None = None
    deleted_files: float | None = None
    renamed_files: float | None = None
    binary_files: float | None = None
    hunks: float | None = None
    added_words: float | None = None
    added_controls: float | None = None
    added_calls: float | None = None
    added_literals: float | None = None
    added_operators: float | None = None
    added_handlers: float | None = None
    added_comments: float | None = None
    added_depth: float | None = None
    removed_words: float | None = None
    removed_controls: float | None = None
    removed_calls: float | None = None
    removed_literals: float | None = None
    removed_operators: float | None = None
    removed_handlers: float | None = None
    removed_comments: float | None = None
    removed_depth: float | None = None


def measure(change: Change, history: History) -> CommitFeatures:
    """Measure a commit as of its own moment.

    Args:
        change: the commit with what it changes.
        history: fed with the commit's ancestors, and maybe with others, which it does not see.

    The author counts as experience only; who it is never becomes a feature.
    """
    files = change.files
    subsystems = {subsystem_of(f.path) for f in files}
    # A file that two entries come from (moved here, changed there) has one past.
    by_path = {f.path_before: f for f in files}
    pasts = [p for f in by_path.values() if (p := history.file(change, f)) is not None]
    author = history.author(change, subsystems)
    project = history.project(change)
    kinds = _counts_by_kind(files)
    return CommitFeatures(
        lines_added=float(sum(f.lines_added or 0 for f in files)),
        lines_deleted=float(sum(f.lines_deleted or 0 for f in files)),
        lines_before=_mean([float(p.lines) for p in pasts]),
        files=float(len(files)),
        directories=float(len({directory_of(f.path) for f in files})),
        subsystems=float(len(subsystems)),
        entropy=entropy([f.churn for f in files]),
        developers=float(len(_union(p.authors.keys() for p in pasts))) if pasts else None,
        age_days=_mean([_days_between(p.last_at_s, change.committed_s) for p in pasts]),
        unique_changes=float(len({p.last_commit for p in pasts})),
        experience=float(len(author.moments)),
        recent_experience=_faded(author.moments, change.committed_s),
        subsystem_experience=float(author.n_in_subsystems),
        is_fix=float(change.is_fix),
        source_files=kinds[FileKind.SOURCE],
        test_files=kinds[FileKind.TEST],
        docs_files=kinds[FileKind.DOCS],
        dependency_files=kinds[FileKind.DEPENDENCY],
        migration_files=kinds[FileKind.MIGRATION],
        configuration_files=kinds[FileKind.CONFIGURATION],
        ci_files=kinds[FileKind.CI],
        container_files=kinds[FileKind.CONTAINER],
        earlier_fixes=_n_seen((p.fixes for p in pasts), pasts),
        is_capped=float(change.is_capped),
        earlier_reverts=_n_seen((p.reverts for p in pasts), pasts),
        earlier_changes=_mean([float(p.n_changes) for p in pasts]),
        **_shares(pasts, author, project),
        **_tempo(change, author, project),
        **_shape(change),
        **_content(_ADDED, change.added),
        **_content(_REMOVED, change.removed),
    )


def change_of(diff: CommitDiff) -> Change:
    """A diff as the measures want it; what its code is made of is not known from it."""
    commit = diff.commit
    return Change(
        sha=commit.key.sha,
        parents=commit.parents,
        author_id=commit.author_id,
        committed_s=seconds_of(int(commit.committed_at.timestamp())),
        is_fix=is_fix(commit.message),
        is_revert=is_revert(commit.message),
        files=tuple(
            ChangedFile(
                f.path,
                f.old_path,
                f.status,
                f.kind,
                f.lines_added,
                f.lines_deleted,
                n_hunks=len(f.hunks),
            )
            for f in diff.files
        ),
        is_capped=diff.is_capped,
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


def _counts_by_kind(files: Iterable[ChangedFile]) -> dict[FileKind, float]:
    counts = dict.fromkeys(FileKind, 0.0)
    for file in files:
        counts[file.kind] += 1.0
    return counts


def _faded(moments: Sequence[int], now_s: int) -> float:
    """The sum of 1/(1 + years ago); moments ascend, so that the sum is the same however they were
    found.
    """
    if not moments:
        return 0.0
    import numpy as np

    ago = np.subtract(now_s, np.array(moments, dtype=np.int64), dtype=np.float64)
    np.maximum(ago, 0.0, out=ago)
    ago /= _SECONDS_PER_DAY * _DAYS_PER_YEAR
    ago += 1.0
    return float(np.reciprocal(ago, out=ago).sum())


def _n_seen(commits: Iterable[Set[int]], pasts: Sequence[FilePast]) -> float:
    seen = [
        of_file - past.unseen if past.unseen else of_file
        for of_file, past in zip(commits, pasts, strict=True)
    ]
    return float(len(seen[0]) if len(seen) == 1 else len(_union(seen)))


class _Shares(NamedTuple):
    file_defect_rate: float | None
    project_defect_rate: float | None
    author_ownership: float | None
    top_ownership: float | None


def _shares(
    pasts: Sequence[FilePast], author: AuthorPast, project: ProjectPast
) -> dict[str, float | None]:
    rate = (project.n_fixes + 1.0) / (project.n_changes + 2.0)
    drawn = [
        (len(p.fixes) - len(p.fixes & p.unseen) + _DRAWN_BY * rate) / (p.n_changes + _DRAWN_BY)
        for p in pasts
    ]
    own = [p.authors.get(author.number, 0) / p.n_changes for p in pasts]
    top = [max(p.authors.values()) / p.n_changes for p in pasts]
    return _Shares(_mean(drawn), rate, _mean(own), _mean(top))._asdict()


class _Tempo(NamedTuple):
    pace: float
    days_since_parent: float | None
    days_since_author: float | None
    author_week: float


def _tempo(change: Change, author: AuthorPast, project: ProjectPast) -> dict[str, float | None]:
    now, moments = change.committed_s, author.moments
    parent = project.parent_at_s
    return _Tempo(
        pace=project.pace,
        days_since_parent=None if parent is None else _days_between(parent, now),
        days_since_author=_days_between(moments[-1], now) if moments else None,
        author_week=float(len(moments) - bisect_left(moments, now - _WEEK_S)),
    )._asdict()


class _Shape(NamedTuple):
    is_revert: float
    new_files: float
    deleted_files: float
    renamed_files: float
    binary_files: float
    hunks: float


def _shape(change: Change) -> dict[str, float | None]:
    statuses = [f.status for f in change.files]
    return _Shape(
        is_revert=float(change.is_revert),
        new_files=float(statuses.count(FileStatus.ADDED)),
        deleted_files=float(statuses.count(FileStatus.DELETED)),
        renamed_files=float(statuses.count(FileStatus.RENAMED)),
        binary_files=float(sum(f.lines_added is None for f in change.files)),
        hunks=float(sum(f.n_hunks for f in change.files)),
    )._asdict()


def _content(names: Sequence[str], tokens: Tokens) -> dict[str, float | None]:
    return dict(zip(names, map(float, _counts_of(tokens)), strict=True))


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _union(sets: Iterable[Set[int]]) -> set[int]:
    return set[int]().union(*sets)


def _days_between(earlier_s: int, later_s: int) -> float:
    # Clocks of authors are wrong now and then; a change from the future counts as just made.
    return max(0.0, (later_s - earlier_s) / _SECONDS_PER_DAY)


_SECONDS_PER_DAY = 86_400.0
_DAYS_PER_YEAR = 365.25
_WEEK_S = 7 * 86_400
_DRAWN_BY = 5.0
_TOKEN_KINDS = tuple(field.name for field in fields(Tokens))
_ADDED, _REMOVED = (
    tuple(f"{side}_{kind}" for kind in _TOKEN_KINDS) for side in ("added", "removed")
)
_counts_of = attrgetter(*_TOKEN_KINDS)
