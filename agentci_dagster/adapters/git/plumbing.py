"""Git processes inside one mirror of ours: hardened, timed, with byte output. What to ask git
belongs to the modules beside.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from agentci_dagster.adapters.command import (
    Completed,
    collect,
    ended_at_deadline,
    is_dangerous,
)
from agentci_dagster.domain.errors import GitError, InfrastructureError

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
READ_TIMEOUT = timedelta(seconds=120)
BIG_FILE_BYTES = 16 * 1024 * 1024
"""Git takes larger files for binary, text or not, and does not compare their lines."""
MAX_BYTES = 256 * 1024 * 1024

# Given with every command: the mirror has no configuration worth trusting, not even its own.
_CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    f"core.bigFileThreshold={BIG_FILE_BYTES}",
    "core.quotePath=true",
    "core.pager=cat",
    "credential.helper=",
    "diff.renameLimit=1000",
    "log.showSignature=false",
    "log.mailmap=false",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "fetch.writeCommitGraph=true",
    "fetch.fsckObjects=false",  # nothing is checked out by git; export looks at every path itself
    "advice.detachedHead=false",
)


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Runs git on the bare repository `folder`; `configuration` is the only file of settings that
    git reads.
    """

    folder: Path
    configuration: Path

    def ask(
        self,
        *arguments: str,
        input: bytes = b"",  # noqa: A002 -- the name that subprocess.run has taught everyone
        timeout: timedelta = READ_TIMEOUT,
        protocols: Sequence[str] = (),
        is_failure_fine: bool = False,
    ) -> Completed:
        """Run one git command to its end; raises GitError when it fails or says more than a mirror
        ever should.
        """
        argv = self._argv(arguments)
        process = self._start(argv, protocols, subprocess.PIPE)
        try:
            done = collect(process, ["git"], input=input, timeout=timeout, max_bytes=MAX_BYTES)
        except InfrastructureError as error:
            raise _while_doing(arguments, error) from error
        if done.is_truncated:
            raise GitError(f"git {_name(arguments)} wrote more than {MAX_BYTES >> 20} MiB.")
        if done.returncode and not is_failure_fine:
            raise GitError(
                f"git {_name(arguments)} failed in {self.folder.name}: {last_words(done.stderr)}",
                f"look at the mirror with: git --git-dir {self.folder} fsck",
            )
        return done

    @contextlib.contextmanager
    def stream(
        self,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        timeout: timedelta = READ_TIMEOUT,
    ) -> Iterator[IO[bytes]]:
        """The output of one git command as a file; it is stopped when the body ends or time is up.

        Raises GitError when the body read to the end and git then failed.
        """
        argv = self._argv(arguments)
        process = self._start(argv, (), stdin)
        assert process.stdout is not None
        complaints = _Complaints(process)
        try:
            with ended_at_deadline(process, ["git"], timeout):
                yield process.stdout
                is_whole = process.stdout.read(1) == b""
                status = process.wait() if is_whole else 0
        except GitError:
            raise
        except InfrastructureError as error:
            raise _while_doing(arguments, error) from error
        if status:
            raise GitError(
                f"git {_name(arguments)} failed in {self.folder.name}: {complaints.last_words()}",
                f"look at the mirror with: git --git-dir {self.folder} fsck",
            )

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        settings = [part for line in _CONFIGURATION for part in ("-c", line)]
        bare = ["--no-pager", "--bare", "--git-dir", str(self.folder)]
        return ["git", *settings, *bare, *arguments]

    def _start(
        self,
        argv: list[str],
        protocols: Sequence[str],
        stdin: int | IO[bytes] | None,
    ) -> subprocess.Popen[bytes]:
        environment = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.configuration),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            "GIT_ALLOW_PROTOCOL": ":".join(protocols) or "none",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_FLUSH": "0",
        }
        return start_git(argv, environment, self.folder.parent, stdin)


def start_git(
    argv: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path,
    stdin: int | IO[bytes] | None,
) -> subprocess.Popen[bytes]:
    """Start git through GitPython, without the variables that it would inherit from us."""
    try:
        from git.cmd import Git
        from git.exc import GitCommandNotFound
    except ImportError as error:  # GitPython looks for the program while it is imported
        raise _no_git() from error
    # GitPython copies our whole environment; `env -u` takes out what git must not see.
    unwanted = [n for n in os.environ if is_dangerous(n) and n not in environment]
    strip = ["env", *(part for name in unwanted for part in ("-u", name))] if unwanted else []
    try:
        handle: Any = Git(str(cwd)).execute(
            [*strip, *argv],
            istream=cast("BinaryIO", stdin),
            as_process=True,
            env=dict(environment),
            shell=False,
            start_new_session=True,
        )
    except GitCommandNotFound as error:
        raise _no_git() from error
    except (OSError, ValueError) as error:
        raise GitError(f"git could not be started: {error}.") from error
    process: subprocess.Popen[bytes] = handle.proc
    handle.proc = None  # its destructor would end the process a second time
    return process


class _Complaints:
    """Reads a program's errors beside its output, so that they never fill the pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._drain, args=(process.stderr,), daemon=True)
        self._thread.start()

    def _drain(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed when the body ends early
            while chunk := pipe.read1(4096):  # type: ignore[attr-defined]  # pipes are buffered
                self._kept = self._kept + chunk if len(self._kept) < 8192 else self._kept

    def last_words(self) -> str:
        self._thread.join(1.0)
        return last_words(self._kept)


def cut_off_commits(plumbing: Plumbing) -> frozenset[str]:
    """Commits whose parents are missing because the watched repository is a shallow clone."""
    try:
        return frozenset((plumbing.folder / "shallow").read_text().split())
    except FileNotFoundError:
        return frozenset()


def last_words(stderr: bytes) -> str:
    """The telling lines of git's complaint, shortened, safe to print."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))] or lines
    text = " ".join(telling[:3])[:500] or "it gave no reason"
    return "".join(c if c.isprintable() else "?" for c in text)


def _name(arguments: Sequence[str]) -> str:
    return next((a for a in arguments if not a.startswith("-")), "command")


def _while_doing(arguments: Sequence[str], error: InfrastructureError) -> GitError:
    return GitError(f"git {_name(arguments)}: {error.message}", error.next_step)


def _no_git() -> GitError:
    return GitError("The program git was not found.", "install git 2.34 or later")
