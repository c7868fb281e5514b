"""Short makers of domain values, with plain defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agentci_dagster.domain.diff import (
    Commit,
    CommitDiff,
    CommitKey,
    FileChange,
    FileKind,
    FileStatus,
    Hunk,
)
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.outcome import DeployOutcome, Ending

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def sha(n: int = 1) -> str:
    return f"{n:040x}"


def key(n: int = 1, repository: str = "shop") -> CommitKey:
    return CommitKey(repository, sha(n))


def commit(n: int = 1, **changes: Any) -> Commit:
    facts: dict[str, Any] = {
        "key": key(n),
        "parents": (sha(n - 1),) if n > 1 else (),
        "tree": sha(1000 + n),
        "author_id": "a" * 16,
        "author_name": "Ada",
        "authored_at": NOON + timedelta(minutes=n),
        "committed_at": NOON + timedelta(minutes=n),
        "message": f"change {n}",
    }
    return Commit(**(facts | changes))


def file_change(path: str = "shop/cart.py", **changes: Any) -> FileChange:
    facts: dict[str, Any] = {
        "path": path,
        "old_path": None,
        "status": FileStatus.MODIFIED,
        "kind": FileKind.SOURCE,
        "language": "python",
        "lines_added": 2,
        "lines_deleted": 1,
        "hunks": (Hunk(3, 1, 3, 2),),
    }
    return FileChange(**(facts | changes))


def diff(*files: FileChange, n: int = 1, **changes: Any) -> CommitDiff:
    return CommitDiff(commit=commit(n), files=files or (file_change(),), **changes)


def features(**changes: float | None) -> CommitFeatures:
    facts: dict[str, Any] = dict.fromkeys(CommitFeatures.__dataclass_fields__, 0.0)
    facts |= {"lines_added": 2.0, "lines_deleted": 1.0, "files": 1.0, "source_files": 1.0}
    return CommitFeatures(**(facts | changes))


def outcome(n: int = 1, ending: Ending = Ending.PROMOTED, **changes: Any) -> DeployOutcome:
    settled = NOON + timedelta(minutes=n, seconds=90)
    facts: dict[str, Any] = {
        "key": key(n),
        "ending": ending,
        "cause": None,
        "label": {Ending.PROMOTED: 0, Ending.ROLLED_BACK: 1}.get(ending),
        "stage": "deploy_outcome",
        "evidence": "",
        "next_step": "",
        "route": None,
        "probability": 0.1,
        "model_version": "prior",
        "features": features(),
        "subject": f"change {n}",
        "branch": "main",
        "paths": ("shop/cart.py",),
        "committed_at": NOON + timedelta(minutes=n),
        "settled_at": settled,
        "deployed_at": settled if ending is Ending.PROMOTED else None,
    }
    return DeployOutcome(**(facts | changes))
