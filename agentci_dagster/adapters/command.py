"""Running programs: by argument list, with a time limit, bounded output and an environment without
surprises.

Which program is run and what its output means belongs to the adapter that asks.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from agentci_dagster.domain.errors import InfrastructureError

MAX_OUTPUT_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_LOOK_AGAIN_S = 0.05
_DANGEROUS = re.compile(
    r"GIT_.*|LD_.*|DYLD_.*|PYTHON.*|BASH_ENV|ENV|BASH_FUNC_.*|SSH_ASKPASS.*|PERL5?.*|RUBY(OPT|LIB)"
    r"|NODE_(OPTIONS|PATH)|JAVA_TOOL_OPTIONS|CDPATH|IFS|PAGER|LESSOPEN|EDITOR|VISUAL"
    r"|COVERAGE_.*|VIRTUAL_ENV"
)


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `is_truncated`: it wrote more than was kept."""

    returncode: int
    stdout: bytes
    stderr: bytes
    is_truncated: bool = False


def is_dangerous(name: str) -> bool:
    """Whether a variable can change what a program does behind our back; such are never
    inherited.
    """
    return _DANGEROUS.fullmatch(name) is not None


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The inherited environment without dangerous variables, and with `extra` on top."""
    # The one place outside settings.py: what a child inherits is not a setting of ours.
    inherited = {name: value for name, value in os.environ.items() if not is_dangerous(name)}
    return inherited | dict(extra or {})


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,  # noqa: A002 -- the name that subprocess.run has taught everyone
    timeout: timedelta,
    max_bytes: int = MAX_OUTPUT_BYTES,
) -> Completed:
    """Run a program to its end and return what it wrote; a bad exit status is a value.

    Args:
        argv: the program and its arguments; no shell is involved.
        cwd: working folder; the current one when left out.
        env: variables on top of the cleaned inherited environment.
        input: bytes for its standard input; empty when left out.
        timeout: after it the program and everything in its process group is killed.
        max_bytes: kept of each of the two outputs; what comes after is read and dropped.

    Raises:
        InfrastructureError: the program is not there, cannot be started, or ran out of time.
    """
    process = start(argv, cwd=cwd, env=env, stdin=subprocess.PIPE)
    return collect(process, argv, input=input, timeout=timeout, max_bytes=max_bytes)


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with pipes for both outputs."""
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=clean_environment(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise InfrastructureError(
                f"The folder {cwd} for running {argv[0]!r} does not exist."
            ) from error
        raise InfrastructureError(
            f"The program {argv[0]!r} was not found.", f"install it, or put it on PATH: {argv[0]}"
        ) from error
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"{argv[0]!r} could not be started: {error}.") from error


def collect(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    *,
    input: bytes | None = None,  # noqa: A002 -- as in run()
    timeout: timedelta,
    max_bytes: int = MAX_OUTPUT_BYTES,
) -> Completed:
    """Feed and drain a started program until it ends; see `run`. Its whole group is gone
    afterwards.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    try:
        is_truncated = _pump(process, input or b"", kept, deadline, max_bytes)
        is_late = not _has_ended(process, deadline)
    finally:
        end_group(process)
    if is_late:
        raise time_limit_error(argv, timeout)
    return Completed(process.returncode, bytes(kept["stdout"]), bytes(kept["stderr"]), is_truncated)


@contextlib.contextmanager
def ended_at_deadline(
    process: subprocess.Popen[bytes], argv: Sequence[str], timeout: timedelta
) -> Iterator[None]:
    """Let the body read the program's pipes as plain files; its group is killed at the deadline or
    after the body.

    Raises:
        InfrastructureError: the deadline passed while the body was reading.
    """
    is_late = threading.Event()

    def ring() -> None:
        is_late.set()
        _kill_group(process)

    timer = threading.Timer(timeout.total_seconds(), ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (InfrastructureError, OSError, ValueError, LookupError):
        # A pipe that ended too soon looks like any of these; the deadline is the reason.
        if is_late.is_set():
            raise time_limit_error(argv, timeout) from None
        raise
    finally:
        timer.cancel()
        end_group(process)
    if is_late.is_set():
        raise time_limit_error(argv, timeout)


class TimeLimitError(InfrastructureError):
    """A program ran out of time and was stopped."""


def time_limit_error(argv: Sequence[str], timeout: timedelta) -> TimeLimitError:
    return TimeLimitError(
        f"{argv[0]!r} did not end within {timeout.total_seconds():g} s and was stopped.",
        "look at the load of this machine, or raise the time limit",
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's group, reap it and close its pipes."""
    _kill_group(process)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        _close(pipe)


def _pump(
    process: subprocess.Popen[bytes],
    pending: bytes,
    kept: dict[str, bytearray],
    deadline: float,
    max_bytes: int,
) -> bool:
    """Move bytes until both outputs have ended; whether some were dropped."""
    is_truncated = False
    unsent = memoryview(pending)
    with selectors.DefaultSelector() as selector:
        _register(selector, process, has_input=bool(unsent))
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            ready = selector.select(min(left, _LOOK_AGAIN_S))
            # A grandchild may hold our pipes open after the program itself has ended.
            if not ready and _is_zombie(process):
                break
            for entry, _ in ready:
                if entry.data == "stdin":
                    unsent = _send(entry.fd, unsent)
                    is_done = not unsent
                else:
                    chunk = os.read(entry.fd, _CHUNK)
                    room = max_bytes - len(kept[entry.data])
                    kept[entry.data] += chunk[:room]
                    is_truncated = is_truncated or len(chunk) > room
                    is_done = not chunk
                if is_done:
                    selector.unregister(entry.fileobj)
                    _close(entry.fileobj)
    return is_truncated


def _register(
    selector: selectors.BaseSelector, process: subprocess.Popen[bytes], *, has_input: bool
) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    selector.register(process.stdout, selectors.EVENT_READ, "stdout")
    selector.register(process.stderr, selectors.EVENT_READ, "stderr")
    if process.stdin is not None and has_input:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
    else:
        _close(process.stdin)


def _close(pipe: Any) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


def _send(descriptor: int, unsent: memoryview) -> memoryview:
    try:
        return unsent[os.write(descriptor, unsent[:_CHUNK]) :]
    except BlockingIOError:
        return unsent
    except BrokenPipeError:  # it does not want to hear more
        return memoryview(b"")


def _has_ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    wait_s = 0.0005
    while not _is_zombie(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, _LOOK_AGAIN_S)
    return True


def _is_zombie(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is not reaped, so that its number stays ours until the group is
    killed.
    """
    if process.returncode is not None:
        return True
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
