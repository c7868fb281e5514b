"""Real throwaway repositories for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agentci_dagster.adapters.git import GitMirror
from tests.builders import NOON


class Repository:
    """A repository in a folder, driven with git itself under a configuration of its own."""

    def __init__(self, folder: Path, branch: str = "main", *, object_format: str = "sha1") -> None:
        self.folder = folder
        self.n_commits = 0
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", branch, "--template=", f"--object-format={object_format}")

    def git(self, *arguments: str | bytes, stdin: bytes = b"", **variables: str) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        environment |= {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            **variables,
        }
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="replace").strip()

    def commit(
        self,
        files: Mapping[str | bytes, bytes | None],
        message: str = "change",
        *,
        author: str = "ada@example.org",
        at: datetime | None = None,
    ) -> str:
        for path, content in files.items():
            place = self.folder / os.fsdecode(path)
            if content is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return self.commit_all(message, author=author, at=at)

    def commit_all(
        self,
        message: str = "change",
        *,
        author: str = "ada@example.org",
        at: datetime | None = None,
    ) -> str:
        moment = (at or NOON + timedelta(minutes=self.n_commits)).isoformat()
        self.n_commits += 1
        self.git("add", "-A")
        self.git(
            "commit", "-q", "--allow-empty", "--no-verify", "--cleanup=verbatim", "-F", "-",
            stdin=message.encode(),
            GIT_AUTHOR_EMAIL=author,
            GIT_AUTHOR_NAME=author.partition("@")[0],
            GIT_AUTHOR_DATE=moment,
            GIT_COMMITTER_DATE=moment,
        )  # fmt: skip
        return self.head

    def raw_tree(self, *entries: tuple[str, str, bytes]) -> str:
        """A tree object of (mode, object, name) that `git mktree` would refuse to make."""
        body = b"".join(m.encode() + b" " + n + b"\0" + bytes.fromhex(o) for m, o, n in entries)
        return self.git("hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=body)

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def commit_tree(self, tree: str, *parents: str) -> str:
        flags = [part for parent in parents for part in ("-p", parent)]
        sha = self.git("commit-tree", tree, *flags, "-m", "odd")
        self.git("update-ref", "refs/heads/main", sha)
        return sha

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def mirror(self, *branches: str, url: str | None = None) -> GitMirror:
        place = self.folder.parent / "mirrors" / "shop.git"
        return GitMirror(place, "shop", url or str(self.folder), branches or ("main",))


class RealRemote:
    """The same few moves as `FakeMirror` has, on a real repository with a real mirror."""

    def __init__(self, folder: Path, branches: tuple[str, ...] = ("main",)) -> None:
        self.repository = Repository(folder / "watched", "unborn")
        self.mirror = self.repository.mirror(*branches)

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
        git = self.repository.git
        if git("for-each-ref", f"refs/heads/{branch}"):
            git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
            git("reset", "-q", "--hard")
            git("clean", "-fdq")
        else:
            git("checkout", "-q", "--orphan", branch)
            git("rm", "-rfq", "--ignore-unmatch", ".")
        sha = self.repository.commit(files, message, author=author, at=at)
        if merge:
            parents = [p for p in (git("rev-parse", f"{sha}^"), *merge) for p in ("-p", p)]
            sha = self.repository.git("commit-tree", f"{sha}^{{tree}}", *parents, "-m", message)
            git("reset", "-q", "--hard", sha)
        git("symbolic-ref", "HEAD", "refs/heads/main")
        return sha

    def force(self, branch: str, sha: str) -> None:
        self.repository.git("update-ref", f"refs/heads/{branch}", sha)

    def delete(self, branch: str) -> None:
        self.repository.git("update-ref", "-d", f"refs/heads/{branch}")

    def set_reachable(self, *, is_reachable: bool) -> None:
        here, there = self.repository.folder, self.repository.folder.with_name("elsewhere")
        (there if is_reachable else here).rename(here if is_reachable else there)
