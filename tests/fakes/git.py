"""Watched repositories in memory: the port Mirror with the same rules as the real one, and the remote that it looks at."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from agentci_dagster.domain.diff import (
    Commit,
    CommitDiff,
    CommitKey,
    FileChange,
    FileStatus,
    Hunk,
    changed_symbols,
    classify_path,
    language_of,
)
from agentci_dagster.domain.errors import GitError, UsageError
from agentci_dagster.domain.features import CommitFeatures, change_of, measure
from agentci_dagster.domain.history import History, author_id_of
from agentci_dagster.domain.watching import watched
from agentci_dagster.ports import BranchTip, Mirror, Refreshed
from tests.builders import NOON


class FakeMirror:
    """One repository. `commit`, `force` and `delete` change the remote; the mirror sees it after `refresh`."""

    def __init__(self, repository: str = "shop", branches: tuple[str, ...] = ("main",)) -> None:
        self.repository = repository
        self.branches = branches
        self.is_reachable = True
        self.unreadable: set[str] = set()
        self.identity = f"identity-of-{repository}"
        self.remote: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        self.trees: dict[str, dict[str, bytes]] = {}

    # What happens at the remote.

    def push(
        self,
        files: Mapping[str, bytes | None],
        message: str = "change",
        *,
        branch: str = "main",
        author: str = "ada@example.org",
        at: datetime | None = None,
        merge: Sequence[str] = (),
    ) -> str:
        """Commit on top of a branch; None as content removes a file. Returns the sha."""
        tip = self.remote.get(branch)
        parents = ((tip,) if tip else ()) + tuple(merge)
        tree = dict(self.trees[tip]) if tip else {}
        for path, content in files.items():
            if content is None:
                tree.pop(path)
            else:
                tree[path] = content
        moment = at or NOON + timedelta(minutes=len(self.commits))
        seed = repr((self.repository, parents, sorted(tree.items()), message, author, moment))
        sha = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        self.trees[sha] = dict(sorted(tree.items()))
        self.commits[sha] = Commit(
            key=CommitKey(self.repository, sha),
            parents=parents,
            tree=hashlib.sha1(repr(sorted(tree.items())).encode()).hexdigest(),
            author_id=author_id_of(author.encode()),
            author_name=author.partition("@")[0],
            authored_at=moment,
            committed_at=moment,
            message=message,
        )
        self.remote[branch] = sha
        return sha

    def force(self, branch: str, sha: str) -> None:
        self.remote[branch] = sha

    def delete(self, branch: str) -> None:
        del self.remote[branch]

    # The port.

    def refresh(self) -> Refreshed:
        if not self.is_reachable:
            raise GitError(
                f"Repository {self.repository!r} cannot be fetched.", "check the network"
            )
        before, self.seen = (
            self.seen,
            {n: self.remote[n] for n in watched(self.remote, self.branches)},
        )
        moved = {n: s for n, s in before.items() if n in self.seen}
        missing = (b for b in self.branches if not any(fnmatchcase(n, b) for n in self.seen))
        return Refreshed(
            tuple(BranchTip(name, sha) for name, sha in self.seen.items()),
            tuple(missing),
            self.identity,
            self.branches,
            is_empty=not self.remote,
            replaced=tuple(
                BranchTip(n, s)
                for n, s in moved.items()
                if s not in self._ancestors([self.seen[n]])
            ),
            gone=tuple(BranchTip(n, s) for n, s in before.items() if n not in self.remote),
        )

    def new_commits(
        self, tips: Sequence[str], known: Sequence[str], limit: int
    ) -> tuple[tuple[str, ...], int]:
        old = set(self._ancestors(known))
        new = [sha for sha in self._ancestors(tips) if sha not in old]
        return tuple(new[:limit]), max(0, len(new) - limit)

    def resolve(self, revision: str) -> str:
        found = self.known(revision)
        if found is None:
            raise UsageError(f"Repository {self.repository!r} has no commit {revision!r}.")
        return found

    def known(self, revision: str) -> str | None:
        head = self.seen.get("main") if revision == "HEAD" else None
        matching = [s for s in self.commits if len(revision) >= 4 and s.startswith(revision)]
        return head or self.seen.get(revision) or (matching[0] if len(matching) == 1 else None)

    def commit(self, sha: str) -> Commit:
        if sha not in self.commits or sha in self.unreadable:
            raise GitError(f"Repository {self.repository!r} has no object {sha}.")
        return self.commits[sha]

    def diff(self, sha: str) -> CommitDiff:
        commit = self.commit(sha)
        before = self.trees[commit.parents[0]] if commit.parents else {}
        after = self.trees[sha]
        names = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
        notes = (f"merge of {len(commit.parents)} parents",) if commit.is_merge else ()
        files = tuple(_change(path, before.get(path), after.get(path)) for path in names)
        return CommitDiff(commit, files, notes=notes)

    def features(self, diff: CommitDiff) -> CommitFeatures:
        ancestors = (change_of(self.diff(s)) for s in self._ancestors(diff.commit.parents))
        return measure(change_of(diff), History.of(ancestors))

    def branches_of(self, sha: str) -> tuple[str, ...]:
        names = (n for n, tip in self.seen.items() if sha in self._ancestors([tip]))
        return tuple(sorted(names, key=lambda n: (len(n), n)))

    def same_trees(self, sha: str, n: int) -> tuple[str, ...]:
        shas = [s for s in reversed(self._ancestors([sha])) if s != sha][: n - 1]
        return tuple(s for s in shas if self.trees[s] == self.trees[sha])

    def recent_paths(self, sha: str, n: int) -> tuple[tuple[str, ...], ...]:
        shas = [s for s in reversed(self._ancestors([sha])) if not self.commits[s].is_merge]
        return tuple(tuple(f.path for f in self.diff(s).files) for s in shas[:n])

    def files(self, sha: str) -> tuple[str, ...]:
        return tuple(self.trees[sha])

    def read(self, sha: str, path: str) -> bytes | None:
        return self.trees[sha].get(path)

    def read_all(self, sha: str, paths: Sequence[str]) -> dict[str, bytes]:
        return {p: self.trees[sha][p] for p in paths if p in self.trees[sha]}

    def export(self, sha: str, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"The folder {folder} is not empty.")
        for path, content in self.trees[sha].items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    def _ancestors(self, tips: Iterable[str]) -> tuple[str, ...]:
        """The tips and all before them, oldest first; shas that do not exist are ignored."""
        found: dict[str, None] = {}

        def visit(sha: str) -> None:
            if sha in self.commits and sha not in found:
                for parent in self.commits[sha].parents:
                    visit(parent)
                found[sha] = None

        for tip in tips:
            visit(tip)
        return tuple(found)


class FakeMirrors:
    """The mirrors by name."""

    def __init__(self, *mirrors: FakeMirror) -> None:
        self.mirrors = {mirror.repository: mirror for mirror in mirrors}

    def of(self, repository: str) -> Mirror:
        if repository not in self.mirrors:
            raise UsageError(f"No repository named {repository!r} is configured.")
        return self.mirrors[repository]


def _change(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    status = FileStatus.MODIFIED
    if before is None or after is None:
        status = FileStatus.ADDED if before is None else FileStatus.DELETED
    old, new = (before or b"").splitlines(), (after or b"").splitlines()
    edits = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    hunks = tuple(
        Hunk(i1 + (i2 > i1), i2 - i1, j1 + (j2 > j1), j2 - j1)
        for tag, i1, i2, j1, j2 in edits
        if tag != "equal"
    )
    is_python = language_of(path) == "python"
    return FileChange(
        path=path,
        old_path=None,
        status=status,
        kind=classify_path(path),
        language=language_of(path),
        lines_added=sum(h.new_lines for h in hunks),
        lines_deleted=sum(h.old_lines for h in hunks),
        hunks=hunks,
        symbols=changed_symbols(before, after, hunks) if is_python else (),
    )
