"""The port `Mirror` on a bare repository of ours: each method asks git for one thing and hands the
answer to the domain.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentci_dagster.adapters.git.changes import read_diff
from agentci_dagster.adapters.git.fetching import SOURCE, WATCHED, Fetching, is_mirror_of
from agentci_dagster.adapters.git.past import measured
from agentci_dagster.adapters.git.plumbing import Plumbing
from agentci_dagster.adapters.git.tree import (
    MAX_READ_BYTES,
    TreeEntry,
    blobs_of,
    export,
    find,
    is_file,
    tree_of,
)
from agentci_dagster.domain.diff import (
    Commit,
    CommitDiff,
    CommitKey,
    ReadLimits,
    display_name,
)
from agentci_dagster.domain.errors import GitError, UsageError
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.history import author_id_of, moment_of, stated_seconds
from agentci_dagster.ports import Mirror, Refreshed

_SHA = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,39}")
_REVISION = re.compile(r"(?P<name>[^~^:@{}\s\x00-\x20]+|@)(?P<steps>(?:~\d*|\^\d*)*)")
_COMMIT_FORMAT = "%P%x00%T%x00%ae%x00%an%x00%at%x00%ct%x00%B%x00"
_MAX_MESSAGE = 50_000
_TREES_KEPT = 2


@dataclass(slots=True)
class GitMirror:
    """A bare mirror of one watched repository, made on first use; see `ports.Mirror`."""

    folder: Path
    repository: str
    url: str
    branches: tuple[str, ...] = ("main",)
    limits: ReadLimits = field(default_factory=ReadLimits)
    _trees: OrderedDict[str, dict[str, TreeEntry]] = field(default_factory=OrderedDict, repr=False)

    def refresh(self) -> Refreshed:
        return self._fetching.refresh()

    def new_commits(
        self, tips: Sequence[str], known: Sequence[str], limit: int
    ) -> tuple[tuple[str, ...], int]:
        lines = [_sha(t) for t in tips] + [f"^{_sha(k)}" for k in known]
        if not tips:
            return (), 0
        output = self._ready.ask(
            "rev-list", "--topo-order", "--reverse", "--ignore-missing", "--stdin",
            input="".join(f"{line}\n" for line in lines).encode(),
        ).stdout  # fmt: skip
        shas = output.decode().split()
        return tuple(shas[:limit]), max(0, len(shas) - limit)

    def resolve(self, revision: str) -> str:
        found = _REVISION.fullmatch(revision)
        if found is None:
            raise self._unknown(revision)
        trouble: list[GitError] = []
        for places in self._searched(found["name"], trouble):
            if sha := self._resolved(places, found["steps"]):
                return sha
        raise self._unknown(revision, *trouble)

    def known(self, revision: str) -> str | None:
        found = _REVISION.fullmatch(revision)
        if found is None or not (self.folder / "HEAD").exists():
            return None
        name, steps = found["name"], found["steps"]
        if name in ("HEAD", "@"):
            return self._resolved((f"{SOURCE}HEAD",), steps)
        refs = (f"{WATCHED}{name}", f"{SOURCE}heads/{name}", f"{SOURCE}tags/{name}")
        if _SHA.fullmatch(name):
            return self._resolved((name,), steps)
        return self._resolved((*refs, name) if _ABBREVIATED.fullmatch(name) else refs, steps)

    def commit(self, sha: str) -> Commit:
        output = self._ready.ask(
            "log", "--no-walk", "--max-count=1", "-s", "--encoding=UTF-8",
            f"--format={_COMMIT_FORMAT}",
            "--end-of-options", _sha(sha),
        ).stdout  # fmt: skip
        parents, tree, address, name, authored, committed, message = output.split(b"\0")[:7]
        return Commit(
            key=CommitKey(self.repository, sha),
            parents=tuple(parents.decode().split()),
            tree=tree.decode(),
            author_id=author_id_of(address),
            author_name=name.decode(errors="replace"),
            authored_at=moment_of(stated_seconds(authored)),
            committed_at=moment_of(stated_seconds(committed)),
            message=message[:_MAX_MESSAGE].decode(errors="replace").rstrip("\n"),
        )

    def diff(self, sha: str) -> CommitDiff:
        return read_diff(self._ready, self.commit(sha), self.limits)

    def features(self, diff: CommitDiff) -> CommitFeatures:
        return measured(self._ready, diff)

    def branches_of(self, sha: str) -> tuple[str, ...]:
        ask = ("for-each-ref", f"--contains={_sha(sha)}", "--format=%(refname)", WATCHED)
        names = self._ready.ask(*ask).stdout.decode(errors="replace").split("\n")
        return tuple(
            sorted((n.removeprefix(WATCHED) for n in names if n), key=lambda n: (len(n), n))
        )

    def same_trees(self, sha: str, n: int) -> tuple[str, ...]:
        ask = ("log", f"--max-count={n}", "--format=%H %T", "--end-of-options", _sha(sha))
        lines = [line.split(" ") for line in self._ready.ask(*ask).stdout.decode().splitlines()]
        return tuple(other for other, tree in lines[1:] if tree == lines[0][1])

    def recent_paths(self, sha: str, n: int) -> tuple[tuple[str, ...], ...]:
        mark = secrets.token_bytes(16).hex().encode()
        told = self._ready.ask(
            "log", "-z", "--name-only", "--no-renames", "--no-merges", f"--max-count={n}",
            f"--format=tformat:{mark.decode()}", "--end-of-options", _sha(sha),
        ).stdout  # fmt: skip
        parts = told.split(mark)[1:]
        return tuple(
            tuple(display_name(name) for name in part.strip(b"\0\n").split(b"\0") if name)
            for part in parts
        )

    def files(self, sha: str) -> tuple[str, ...]:
        return tuple(path for path, entry in self._tree(sha).items() if is_file(entry))

    def read(self, sha: str, path: str) -> bytes | None:
        entry = find(self._tree(sha), path)
        if entry is None:
            return None
        (blob,) = blobs_of(self._ready, [entry.blob], MAX_READ_BYTES)
        return blob.content if blob is not None else None

    def read_all(self, sha: str, paths: Sequence[str]) -> dict[str, bytes]:
        entries = self._tree(sha)
        wanted = {p: e for p in paths if (e := find(entries, p)) is not None}
        blobs = blobs_of(self._ready, [e.blob for e in wanted.values()], MAX_READ_BYTES)
        found = zip(wanted, blobs, strict=True)
        return {path: blob.content for path, blob in found if blob is not None}

    def export(self, sha: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(
                f"The folder {folder} is not empty, so {sha} is not written there.",
                "give an empty folder",
            )
        export(self._ready, _sha(sha), folder)

    @property
    def plumbing(self) -> Plumbing:
        """Git in the mirror's folder as it is; whoever uses it has refreshed the mirror before."""
        return Plumbing(self.folder, self.folder.with_suffix(".gitconfig"))

    @property
    def _fetching(self) -> Fetching:
        return Fetching(self.plumbing, self.repository, self.url, self.branches)

    @property
    def _ready(self) -> Plumbing:
        """Git in the mirror, which is made and filled when it is asked for the first time."""
        if not (self.folder / "HEAD").exists():
            self.refresh()
        return self.plumbing

    def _tree(self, sha: str) -> dict[str, TreeEntry]:
        if sha not in self._trees:
            self._trees[sha] = tree_of(self._ready, _sha(sha))
            while len(self._trees) > _TREES_KEPT:
                self._trees.popitem(last=False)
        return self._trees[sha]

    def _searched(self, name: str, trouble: list[GitError]) -> Iterator[tuple[str, ...]]:
        """Where to look for a name, in turn. The remote is asked when it comes to that; when it
        cannot be, what is cached stands.
        """

        def ask(bring: Callable[[], None]) -> None:
            try:
                bring()
            except GitError as error:
                trouble.append(error)

        if name in ("HEAD", "@"):
            yield (f"{SOURCE}HEAD",)
            return
        if _SHA.fullmatch(name):
            yield (name,)
            ask(lambda: self._fetching.bring_object(name))
            yield (name,)
        yield (f"{WATCHED}{name}",)
        ask(lambda: self._fetching.bring_named(name))
        yield (f"{SOURCE}heads/{name}", f"{SOURCE}tags/{name}")
        if _ABBREVIATED.fullmatch(name):
            yield (name,)
            ask(self._fetching.bring_all)
            yield (name,)

    def _resolved(self, places: Sequence[str], steps: str) -> str | None:
        for place in places:
            wanted = f"{place}{steps}^{{commit}}"
            ask = ("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
            done = self._ready.ask(*ask, is_failure_fine=True)
            sha = done.stdout.decode(errors="replace").strip().split("\n")[-1]
            if not done.returncode and _SHA.fullmatch(sha):
                return sha
        return None

    def _unknown(self, revision: str, *trouble: GitError) -> UsageError:
        if trouble:
            return UsageError(
                f"Repository {self.repository!r} has no commit {revision[:100]!r} in its mirror, "
                f"and the remote could not be asked: {trouble[0].message}",
                trouble[0].next_step,
            )
        return UsageError(
            f"Repository {self.repository!r} has no commit {revision[:100]!r}.",
            f"list what there is: git -C {self.url} log --oneline"
            if "://" not in self.url
            else "give a full sha, a branch, a tag, or HEAD~2",
        )


@dataclass(frozen=True, slots=True)
class GitMirrors:
    """The mirrors of the configured repositories: name to address and branch patterns, below one
    folder.
    """

    folder: Path
    repositories: Mapping[str, tuple[str, tuple[str, ...]]]
    _known: dict[str, GitMirror] = field(default_factory=dict, repr=False)

    def is_free(self, repository: str, url: str) -> bool:
        """Whether the name may stand for the address: no mirror of another one has it."""
        return is_mirror_of(self._place(repository), url) is not False

    def of(self, repository: str) -> Mirror:
        if repository not in self.repositories:
            known = ", ".join(sorted(self.repositories)) or "none"
            raise UsageError(
                f"No repository named {repository!r} is configured (known: {known}).",
                "add a [[repository]] section to agentci.toml",
            )
        if repository not in self._known:
            url, branches = self.repositories[repository]
            place = self._place(repository)
            self._known[repository] = GitMirror(place, repository, url, tuple(branches))
        return self._known[repository]

    def _place(self, repository: str) -> Path:
        return self.folder / f"{repository}.git"


def _sha(text: str) -> str:
    if not _SHA.fullmatch(text):
        raise UsageError(f"Not a full commit sha (40 hex digits): {text[:100]!r}.")
    return text
