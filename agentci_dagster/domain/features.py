"""Measures of a commit known when it arrives: the row that risk is judged by. No labels, no I/O here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitFeatures:
    """Change measures after Kamei et al., "A large-scale empirical study of just-in-time quality assurance" (2013).

    Fields are counts unless said otherwise. `age_days`, `lines_before` and `developers` are None when the touched files
    have no history (all new), `recent_experience` counts the author's earlier changes weighted by 1/(1 + years ago).
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
