"""Processes seen from outside through /proc: identity, markers, ports, ending them. Not what they
are for.

A process is known by its number and its kernel start time together; numbers alone are used again.
Our processes carry markers in their environment, so that they are found even when every file about
them is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agentci_dagster.domain.errors import InfrastructureError

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for ever: its number and the clock ticks from boot to its start."""

    process_id: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What the kernel says about a process that runs."""

    identity: ProcessIdentity
    session: int
    variables: Mapping[str, str]


def identity_of(process_id: int) -> ProcessIdentity | None:
    """The identity behind a number now; None when there is none or it is a zombie."""
    fields = _stat(process_id)
    if fields is None or fields[0] in "ZX":
        return None
    return ProcessIdentity(process_id, int(fields[19]))


def is_running(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still runs."""
    child = _children.get(identity.process_id)
    if child is not None and child.poll() is not None:
        _children.pop(identity.process_id, None)
    return identity_of(identity.process_id) == identity


def find(markers: Mapping[str, str]) -> tuple[ProcessFacts, ...]:
    """Our user's processes whose environment holds all these markers, oldest first."""
    wanted = [f"{name}={value}".encode() for name, value in markers.items()]
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            raw = Path(entry.path, "environ").read_bytes()
        except OSError:
            continue
        if not all(mark in raw for mark in wanted):
            continue
        variables = dict(
            item.decode(errors="replace").split("=", 1) for item in raw.split(b"\0") if b"=" in item
        )
        fields = _stat(int(entry.name))
        if fields is None or fields[0] in "ZX":
            continue
        if all(variables.get(name) == value for name, value in markers.items()):
            identity = ProcessIdentity(int(entry.name), int(fields[19]))
            found.append(ProcessFacts(identity, int(fields[3]), variables))
    return tuple(sorted(found, key=lambda f: (f.identity.started_ticks, f.identity.process_id)))


def start_detached(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log_file: Path,
    pass_fds: Sequence[int] = (),
) -> ProcessIdentity:
    """Start a program that outlives us: a session of its own, no pipes to us, its output in a file.

    Raises:
        OSError: it cannot be started; the reason is in the error.
    """
    with log_file.open("ab") as log:
        # Not waited for on purpose: whoever is our heir reaps it, and `is_running` does while we
        # live.
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    _children[child.pid] = child
    # A program that has ended already keeps its /proc entry as a zombie until we reap it.
    fields = _stat(child.pid)
    return ProcessIdentity(child.pid, int(fields[19]) if fields else 0)


def wait_for(identity: ProcessIdentity, timeout: timedelta) -> int:
    """The exit status of a program that this process started.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time.
    """
    child = _children[identity.process_id]
    status = child.wait(timeout.total_seconds())
    _children.pop(identity.process_id, None)
    return status


def end(identities: Sequence[ProcessIdentity], grace: timedelta) -> None:
    """Ask processes to end, wait, then kill those that are left; what has ended already is fine."""
    left = [identity for identity in identities if is_running(identity)]
    _signal(left, signal.SIGTERM)
    deadline = time.monotonic() + grace.total_seconds()
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = [identity for identity in left if is_running(identity)]
    _signal(left, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while left and time.monotonic() < deadline:
        time.sleep(0.005)
        left = [identity for identity in left if is_running(identity)]


def free_port(
    first: int, last: int, seed: str, kind: socket.SocketKind = socket.SOCK_STREAM
) -> int:
    """A port on loopback that nobody has, from a range below the kernel's own choices; starts
    where the seed says. `kind`: of streams (TCP) or of datagrams (UDP).
    """
    n = last - first + 1
    offset = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") % n
    for step in range(n):
        port = first + (offset + step) % n
        if is_free(port, kind):
            return port
    raise InfrastructureError(f"No port between {first} and {last} is free on 127.0.0.1.")


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether nobody has the port on loopback now."""
    with socket.socket(type=kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process of this machine at a time in the body; the kernel lets go when its holder
    dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_beside(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file beside its place and rename it, so that a reader sees the old or the new one
    whole.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _signal(identities: Sequence[ProcessIdentity], number: int) -> None:
    for identity in identities:
        if is_running(identity):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(identity.process_id, number)


def _stat(process_id: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on (field 3 of proc(5)); a name may hold
    blanks and brackets.
    """
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()
