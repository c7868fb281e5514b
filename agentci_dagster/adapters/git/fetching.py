"""Keeping a mirror fresh: making it, fetching the watched branches, keeping what a force push took
away, and its identity.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from agentci_dagster.adapters.command import Completed, TimeLimitError
from agentci_dagster.adapters.git.plumbing import Plumbing, last_words
from agentci_dagster.adapters.git.source import (
    Source,
    configuration_for,
    digest_of,
    parse_source,
    without_secret,
)
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.watching import is_watched, watched
from agentci_dagster.ports import BranchTip, Refreshed

WATCHED = "refs/watched/"
KEPT = "refs/kept/"
SOURCE = "refs/source/"
_NAMED = ("heads", "tags")
_STATE = "agentci.json"
# Together well below the minute that Dagster gives a sensor by default; only a fetch may take more.
_ASK_TIMEOUT = timedelta(seconds=20)
_FETCH_TIMEOUT = timedelta(minutes=15)
_LOCK_TIMEOUT = timedelta(seconds=10)
_SHA1_DIGITS = 40
_ADVERTISED = re.compile(rb"([0-9a-f]{40,64})\t(HEAD|refs/heads/[^\x00-\x20\x7f~^:?*\[\\]+)")
_PARTIAL = re.compile(
    rb"^\s*(partialclone|partialclonefilter|promisor)\s*=", re.IGNORECASE | re.MULTILINE
)
_FETCH = (
    "fetch", "--quiet", "--atomic", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
    "--no-recurse-submodules", "--update-shallow", "--stdin", "--end-of-options",
)  # fmt: skip


class _NotThereError(GitError):
    """The remote answers, and has no such object."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a remote has: where its HEAD points, None when unborn, and its branches by name."""

    head: str | None
    branches: dict[str, str]


def is_mirror_of(mirror: Path, url: str) -> bool | None:
    """Whether the mirror was last refreshed from the address; None where there is no mirror."""
    state = _read_state(mirror / _STATE)
    return _is_from(state, url) if state else None


@dataclass(frozen=True, slots=True)
class Fetching:
    """Brings one watched repository into its mirror. Everything that writes holds the mirror's
    lock.
    """

    plumbing: Plumbing
    repository: str
    url: str
    branches: tuple[str, ...]
    ask_timeout: timedelta = _ASK_TIMEOUT
    lock_timeout: timedelta = _LOCK_TIMEOUT

    def refresh(self) -> Refreshed:
        """See `Mirror.refresh`."""
        source = self._source()
        with self._locked():
            self._make(source)
            offer = self._offer(source)
            before = self._refs(WATCHED)
            replaced = self._bring(source, offer, before)
            tips = self._refs(WATCHED)
            identity = self._identity(tuple(tips.values()))
        return Refreshed(
            tuple(BranchTip(name, tips[name]) for name in watched(tips, self.branches)),
            tuple(b for b in self.branches if not any(is_watched(n, (b,)) for n in tips)),
            identity,
            self.branches,
            is_empty=offer.head is None and not offer.branches,
            replaced=tuple(BranchTip(name, before[name]) for name in replaced),
            gone=tuple(BranchTip(n, s) for n, s in before.items() if n not in offer.branches),
        )

    def bring_named(self, name: str) -> None:
        """Make what is cached of an unwatched branch or tag what the remote has now; raises
        GitError when the remote cannot be asked, the cache then stays.
        """
        source = self._source()
        places = [f"{kind}/{name}" for kind in _NAMED]
        with self._locked():
            self._make(source)
            ask = ("ls-remote", "--end-of-options", source.address, *(f"refs/{p}" for p in places))
            lines = self._talk(source, ask).stdout.split(b"\n")
            there = {line.partition(b"\trefs/")[2] for line in lines}
            offered = [place for place in places if place.encode() in there]
            gone = set(places).difference(offered)
            # Where the remote has `a/b`, a cached `a` is outdated, and the other way round.
            outdated = [
                cached
                for cached in self._refs(SOURCE)
                if cached in gone or any(_excludes(cached, place) for place in offered)
            ]
            self._update_refs([f"delete {SOURCE}{cached}" for cached in outdated])
            self._fetch_source(source, [f"+refs/{p}:{SOURCE}{p}" for p in offered])

    def bring_object(self, sha: str) -> None:
        """Fetch a commit that no watched branch has, where the remote gives it; raises GitError
        when the remote cannot be asked.
        """
        source = self._source()
        with self._locked(), contextlib.suppress(_NotThereError):
            self._make(source)
            self._fetch_source(source, [f"+{sha}:{SOURCE}objects/{sha}"])

    def bring_all(self) -> None:
        """Fetch all branches and tags of a repository on this machine; of others it costs too
        much.
        """
        source = self._source()
        if source.folder is None:
            return
        with self._locked():
            self._make(source)
            lines = [f"+refs/{kind}/*:{SOURCE}{kind}/*" for kind in _NAMED]
            self._fetch_source(source, lines, "--prune")

    def _fetch_source(self, source: Source, lines: Sequence[str], *options: str) -> None:
        if lines:
            command = (_FETCH[0], *options, *_FETCH[1:], source.address)
            self._talk(source, command, "".join(f"{x}\n" for x in lines).encode())

    def _source(self) -> Source:
        source = parse_source(self.url, self.repository)
        if source.folder is not None and not source.folder.exists():
            raise GitError(
                f"Repository {self.repository!r}: there is no folder {source.folder}.",
                "correct url in [[repository]] of agentci.toml, or put the folder back",
            )
        return source

    def _make(self, source: Source) -> None:
        """Make the mirror when it is not there; nothing of a template or of the user's settings
        gets in.
        """
        folder = self.plumbing.folder
        _write(self.plumbing.configuration, configuration_for(source))
        if (folder / "HEAD").exists():
            return
        self.plumbing.ask("init", "--quiet", "--bare", "--template=", "--", str(folder))
        # No branch of a watched repository may ever be our HEAD: some versions read attributes
        # from it.
        self.plumbing.ask("symbolic-ref", "HEAD", "refs/none/none")

    def _offer(self, source: Source) -> Offer:
        ask = ("ls-remote", "--end-of-options", source.address, "HEAD", "refs/heads/*")
        heads: dict[str, str] = {}
        for line in self._talk(source, ask).stdout.split(b"\n"):
            if found := _ADVERTISED.fullmatch(line):
                if len(found[1]) != _SHA1_DIGITS:
                    raise _sha256_error(self.repository, source)
                # Names that are not UTF-8 cannot be configured either, so they are nobody's loss.
                heads[found[2].decode(errors="replace")] = found[1].decode()
        head = heads.pop("HEAD", None)
        return Offer(
            head, {n.removeprefix("refs/heads/"): s for n, s in heads.items() if "\ufffd" not in n}
        )

    def _bring(self, source: Source, offer: Offer, before: Mapping[str, str]) -> tuple[str, ...]:
        """Make the watched refs what the remote offers; the branches that lost commits by it."""
        wanted = {n: offer.branches[n] for n in watched(offer.branches, self.branches)}
        gone = {name: sha for name, sha in before.items() if name not in wanted}
        # First, because a new branch `a/b` does not fit beside an old branch `a`.
        self._update_refs(
            [f"update {KEPT}{sha} {sha}" for sha in gone.values()]
            + [f"delete {WATCHED}{name}" for name in gone]
        )
        moved = [n for n, sha in wanted.items() if before.get(n) != sha]
        lines = [f"+refs/heads/{n}:{WATCHED}{n}" for n in moved]
        if offer.head is None and "HEAD" in self._refs(SOURCE):
            self._update_refs([f"delete {SOURCE}HEAD"])
        if offer.head is not None and self._refs(SOURCE).get("HEAD") != offer.head:
            lines.append(f"+HEAD:{SOURCE}HEAD")
        if not lines:
            return ()
        self._talk(source, (*_FETCH, source.address), "".join(f"{x}\n" for x in lines).encode())
        replaced = self._keep_replaced(before, moved)
        # Collects loose objects now and then; all that was ever watched is held by a ref.
        self.plumbing.ask("gc", "--auto", "--quiet", timeout=_FETCH_TIMEOUT, is_failure_fine=True)
        return replaced

    def _keep_replaced(self, before: Mapping[str, str], moved: Sequence[str]) -> tuple[str, ...]:
        """A force push leaves its old commits without a branch; they may be partitions, so they
        are kept.
        """
        now = self._refs(WATCHED)
        replaced = tuple(
            name
            for name in moved
            if name in before and not self._is_ancestor(before[name], now.get(name, before[name]))
        )
        kept = (before[name] for name in replaced)
        self._update_refs([f"update {KEPT}{sha} {sha}" for sha in kept])
        # In a shallow clone what lies between may only be cut off, so nothing is claimed.
        return () if self._is_cut_off else replaced

    def _is_ancestor(self, old: str, new: str) -> bool:
        ask = ("merge-base", "--is-ancestor", old, new)
        return self.plumbing.ask(*ask, is_failure_fine=True).returncode == 0

    def _identity(self, tips: Sequence[str]) -> str:
        """A token that lasts as long as the history at the address shares a root with what was
        there at first.

        An empty repository gets its roots with its first commits and keeps its identity, so that
        none of them is missed.
        """
        state = _read_state(self.plumbing.folder / _STATE)
        is_from_here = _is_from(state, self.url)
        if is_from_here and state.get("tips") == sorted(tips) and "address" in state:
            return str(state["identity"])
        roots: list[str] = []
        if tips:
            shas = "".join(f"{sha}\n" for sha in tips).encode()
            ask = ("rev-list", "--max-parents=0", "--stdin")
            roots = sorted(self.plumbing.ask(*ask, input=shas).stdout.decode().split())
        known = state.get("roots") or []
        # The roots of a shallow clone are only where it was cut off, which moves.
        has_common = not known or not roots or bool(set(known) & set(roots))
        is_same = is_from_here and (has_common or self._is_cut_off)
        if is_same and state.get("identity"):
            identity, roots = str(state["identity"]), known or roots
        else:
            identity = hashlib.sha256("\n".join([self.url, *roots]).encode()).hexdigest()[:16]
        new = {
            "url": without_secret(self.url),
            "address": digest_of(self.url),
            "identity": identity,
            "roots": roots,
            "tips": sorted(tips),
        }
        _write(self.plumbing.folder / _STATE, json.dumps(new))
        return identity

    @property
    def _is_cut_off(self) -> bool:
        return (self.plumbing.folder / "shallow").exists()

    def _refs(self, prefix: str) -> dict[str, str]:
        ask = ("for-each-ref", "--format=%(objectname) %(refname)", prefix)
        # Only here does a line end at b"\n": a name may hold what str.splitlines takes for an end.
        lines = self.plumbing.ask(*ask).stdout.rstrip(b"\n").split(b"\n")
        pairs = (line.decode(errors="replace").split(" ", 1) for line in lines if line)
        return {name.removeprefix(prefix): sha for sha, name in pairs}

    def _update_refs(self, commands: Sequence[str]) -> None:
        if commands:
            text = "".join(f"{command}\n" for command in dict.fromkeys(commands))
            self.plumbing.ask("update-ref", "--stdin", input=text.encode())

    def _talk(
        self,
        source: Source,
        arguments: Sequence[str],
        input: bytes = b"",  # noqa: A002 -- the name that subprocess.run has taught everyone
    ) -> Completed:
        """Run a command that speaks with the remote, and tell its failure as one of the remote."""
        is_question = arguments[0] == "ls-remote"
        timeout = self.ask_timeout if is_question else _FETCH_TIMEOUT
        try:
            done = self.plumbing.ask(
                *arguments,
                input=input,
                timeout=timeout,
                protocols=(source.protocol,),
                is_failure_fine=True,
            )
        except GitError as error:
            if isinstance(error.__cause__, TimeLimitError):
                raise self._late(source, timeout, is_question=is_question) from error
            raise
        if done.returncode:
            kind = _NotThereError if b"not our ref" in done.stderr else GitError
            raise kind(
                f"Repository {self.repository!r} cannot be fetched from "
                f"{without_secret(self.url)}: {without_secret(last_words(done.stderr))}",
                _next_step(source),
            )
        return done

    def _late(self, source: Source, timeout: timedelta, *, is_question: bool) -> GitError:
        did = "did not answer" if is_question else "did not send all that is new"
        return GitError(
            f"Repository {self.repository!r}: {without_secret(self.url)} {did} within "
            f"{timeout.total_seconds():g} s.",
            _next_step(source),
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, also among processes; the kernel gives the lock back when its
        holder dies.
        """
        path = self.plumbing.folder.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            deadline = time.monotonic() + self.lock_timeout.total_seconds()
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise GitError(
                        f"The mirror of {self.repository!r} has been fetched by another process "
                        f"for {self.lock_timeout.total_seconds():g} s.",
                        "wait for it; if nothing fetches, look for a hanging git process",
                    )
                time.sleep(0.05)
            yield


def _excludes(cached: str, place: str) -> bool:
    """Whether two refs cannot be there together, one being a folder of the other."""
    return place.startswith(f"{cached}/") or cached.startswith(f"{place}/")


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sha256_error(repository: str, source: Source) -> GitError:
    return GitError(
        f"Repository {repository!r} at {without_secret(source.address)} uses the sha256 object "
        "format, which is not supported.",
        "give a repository in git's default format, sha1",
    )


def _next_step(source: Source) -> str:
    if source.folder is not None and _is_partial(source.folder):
        return (
            "it is a partial clone, and what it left out is needed: "
            f"git -C {source.folder} fetch --refetch --no-filter"
        )
    if source.folder is not None:
        return f"check that it is a git repository: git -C {source.folder} log -1"
    return (
        "check the network and that this account may read it: "
        f"git ls-remote {without_secret(source.address)} (ssh: an agent or a key without "
        "passphrase; https: ~/.netrc)"
    )


def _is_partial(folder: Path) -> bool:
    """Whether a repository was cloned with --filter: its objects may be elsewhere."""
    for place in (folder / ".git" / "config", folder / "config"):
        with contextlib.suppress(OSError):
            if place.is_file() and _PARTIAL.search(place.read_bytes()):
                return True
    return False


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _is_from(state: Mapping[str, Any], url: str) -> bool:
    # Mirrors of the first version kept the address itself.
    return bool(state.get("address", digest_of(str(state.get("url")))) == digest_of(url))


def _write(path: Path, text: str) -> None:
    """Write beside and rename, so that nobody ever reads half a file."""
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)
