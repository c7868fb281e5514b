"""Shuts code of a commit in: bubblewrap where it works, bare limits where it does not, and says
which of the two it was.

Knows nothing of Python projects or tests; what is run belongs to the callers.
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agentci_dagster.adapters.access import hand_over, let_read
from agentci_dagster.adapters.disk_use import DiskWatch
from agentci_dagster.domain.errors import SandboxError
from agentci_dagster.domain.selection import Isolation

_TAIL_BYTES = 64 * 1024
_LOOK_S = 0.2
"""How often the supervisor looks at memory and processes, seconds."""
_HOME = "/home/sandbox"
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/mime.types")
_FIRST_UID = 1 << 30
"""Users made up for sandboxes that root starts: the limit on processes does not hold for root."""

# The first program inside. It sets the limits there, because setting them before would limit
# bubblewrap itself,
# and a hook between fork and exec is not safe in a program with threads.
# It says through a pipe, which closes when the program starts, that it has come so far: an exit
# code could also be the program's own.
_LAUNCHER = """
import os, resource, sys
def tell(word):
    if told >= 0:
        os.write(told, word.encode("utf-8", "replace")[:300])
def fail(kind, error, trace):
    tell(f"!{error}")
    os._exit(125)
told, uid, *limits = map(int, sys.argv[1].split(","))
sys.excepthook = fail
if told >= 0:
    os.set_inheritable(told, False)
os.umask(0o022)
kinds = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE)
others = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 1024))
for kind, wanted in (*zip(kinds, limits), *others):
    most = resource.getrlimit(kind)[1]
    value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(kind, (value, value))
if uid:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
os.chdir(sys.argv[2])
tell(".")
try:
    os.execvp(sys.argv[3], sys.argv[3:])
except OSError as e:
    raise OSError(f"cannot start {sys.argv[3]}: {e}")
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. Memory and processes hold for each process and, looked at, for all
    of them together.
    """

    timeout_s: float = 300.0
    cpu_s: int = 300
    memory_bytes: int = 4 << 30
    n_processes: int = 128
    max_file_bytes: int = 256 << 20
    written_bytes: int = 1 << 30
    """What the writable folders may grow by, all together."""
    temporary_bytes: int = 512 << 20
    """Size of /tmp and of the home folder, which live in memory."""


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """How a run ended; the outputs are its last 64 KiB. `stopped_for` names the limit that ended
    it, else empty.
    """

    returncode: int
    stdout_tail: str
    stderr_tail: str
    timed_out: bool
    isolation: Isolation
    seconds: float
    stopped_for: str = ""


@dataclass(slots=True)
class _Watch:
    """What the supervisor has seen so far."""

    disk: DiskWatch
    tails: dict[str, bytearray] = field(default_factory=dict)
    stopped_for: str = ""


class Sandbox:
    """Runs programs shut in.

    Args:
        bwrap: bubblewrap's program; found on PATH by default, an empty string does without it.
        python: an interpreter outside any environment, which starts the programs inside.
    """

    def __init__(self, bwrap: str | None = None, python: str | None = None) -> None:
        self._bwrap = bwrap
        self.python = Path(
            python or str(getattr(sys, "_base_executable", sys.executable))
        ).resolve()
        self.python_prefix = Path(sys.base_prefix).resolve()
        self._modes: list[tuple[str, ...]] | None = None
        self._lock = threading.Lock()

    @property
    def isolation(self) -> Isolation:
        """STRONG where bubblewrap works on this machine; tried once."""
        return Isolation.WEAK if self._mode() is None else Isolation.STRONG

    def run(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        read_only: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> SandboxResult:
        """Run a program in `folder`, which it may write to, and wait for it and everything that
        it started.

        Raises:
            SandboxError: the sandbox itself could not be started; it says nothing about
                the program.
        """
        limits = limits or Limits()
        mode = self._mode()
        uid = self._uid(mode)
        try:
            for place in (folder, *writable):
                hand_over(place, uid)
            for place in read_only:
                let_read(place, uid)
        except OSError as e:
            raise SandboxError(f"The sandbox's folders cannot be opened to it ({e}).") from e
        variables = {"HOME": _HOME, "TMPDIR": "/tmp", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}  # noqa: S108 - the sandbox's own
        variables |= {"USER": "sandbox", "LOGNAME": "sandbox"}
        if mode is None:
            variables |= {"HOME": str(folder), "TMPDIR": str(folder)}
        variables |= dict(env or {})
        launch = partial(self._launch, argv, folder, uid, limits)
        try:
            watch = _Watch(DiskWatch([folder, *writable], limits.written_bytes))
        except OSError as e:
            raise SandboxError(f"The sandbox could not be started ({e}).") from e
        if mode is None:
            return self._supervise([], launch, folder, variables, limits, watch)
        shell = self._wrapped(mode, folder, read_only, writable, limits)
        for name, value in variables.items():
            shell += ["--setenv", name, value]
        return self._supervise(shell, launch, folder, {}, limits, watch)

    def _mode(self) -> tuple[str, ...] | None:
        """The options with which bubblewrap works here, None where it does not."""
        with self._lock:
            if self._modes is None:
                self._modes = self._probe()
        return self._modes[0] if self._modes else None

    def _probe(self) -> list[tuple[str, ...]]:
        found = shutil.which("bwrap") if self._bwrap is None else self._bwrap
        self._bwrap = found or ""
        if not self._bwrap or not Path(self._bwrap).exists():
            return []
        # As root the user inside must be another one outside too, or limits on processes
        # do not hold.
        rooted = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
        modes: list[tuple[str, ...]] = [rooted] if os.geteuid() == 0 else []
        modes.append(("--unshare-user", "--uid", "1000", "--gid", "1000"))
        return [mode for mode in modes if self._works(mode)][:1]

    def _works(self, mode: tuple[str, ...]) -> bool:
        shell = self._wrapped(mode, None, (), (), Limits())
        launch = self._launch(["/usr/bin/env", "true"], Path("/"), self._uid(mode), Limits(), -1)
        try:
            result = subprocess.run(
                [*shell, "--", *launch], capture_output=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return result.returncode == 0

    def _uid(self, mode: tuple[str, ...] | None) -> int:
        if mode is None or "--unshare-user" in mode:
            return 0
        return _FIRST_UID + os.getpid() % (1 << 20)

    def _launch(
        self, argv: Sequence[str], folder: Path, uid: int, limits: Limits, teller: int
    ) -> list[str]:
        numbers = (
            uid,
            limits.cpu_s,
            limits.memory_bytes,
            limits.n_processes,
            limits.max_file_bytes,
        )
        if self._mode_is_weak_root(uid):
            numbers = (uid, *numbers[1:3], 4096, numbers[4])
        return [
            str(self.python),
            "-I",
            "-S",
            "-c",
            _LAUNCHER,
            ",".join(map(str, (teller, *numbers))),
            str(folder),
            *map(str, argv),
        ]

    def _mode_is_weak_root(self, uid: int) -> bool:
        """Without a user of its own the limit would count everything else that this user runs."""
        return uid == 0 and self._modes == []

    def _wrapped(
        self,
        mode: tuple[str, ...],
        folder: Path | None,
        read_only: Sequence[Path],
        writable: Sequence[Path],
        limits: Limits,
    ) -> list[str]:
        size = str(limits.temporary_bytes)
        shell = [str(self._bwrap), *mode, "--unshare-net", "--unshare-pid", "--unshare-ipc"]
        shell += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
        shell += ["--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc"]
        shell += ["--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's own
        shell += ["--size", size, "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
        shell += ["--perms", "0755", "--dir", "/home", "--perms", "0755", "--dir", "/etc"]
        shell += ["--size", size, "--perms", "1777", "--tmpfs", _HOME]
        for name in _SYSTEM:
            path = Path(name)
            if path.is_symlink():
                shell += ["--symlink", str(path.readlink()), name]
            elif path.is_dir():
                shell += ["--ro-bind", name, name]
        for name in _SYSTEM_FILES:
            shell += ["--ro-bind-try", name, name]
        made = {Path("/"), Path("/usr"), Path("/tmp"), Path("/home")}  # noqa: S108 - the sandbox's own
        places = [(self.python_prefix, "--ro-bind"), *((p, "--ro-bind") for p in read_only)]
        places += [(p, "--bind") for p in ([folder] if folder else []) + list(writable)]
        for place, how in sorted(set(places), key=lambda item: (len(item[0].parts), item[1])):
            if place.is_relative_to("/usr"):
                continue
            for parent in reversed(place.parents):
                if parent not in made:
                    made.add(parent)
                    shell += ["--perms", "0755", "--dir", str(parent)]
            made |= {place}
            shell += [how, str(place), str(place)]
        return shell

    def _names(self, command: Sequence[str]) -> dict[str, str]:
        """The files in which programs look up this machine and this user: without them
        `localhost` is unknown, and so is who runs the tests.
        """
        uid = os.getuid() if "--unshare-user" in command else self._uid(())
        return {
            "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
            "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
            "/etc/passwd": f"sandbox:x:{uid}:{uid}::{_HOME}:/bin/sh\n",
            "/etc/group": f"sandbox:x:{uid}:\n",
        }

    def _supervise(
        self,
        shell: Sequence[str],
        launch: Callable[[int], list[str]],
        folder: Path,
        env: dict[str, str],
        limits: Limits,
        watch: _Watch,
    ) -> SandboxResult:
        isolation = self.isolation
        mark = f"AGENTCI_SANDBOX={uuid.uuid4().hex}"
        name, _, value = mark.partition("=")
        started = time.monotonic()
        # Bubblewrap writes here which process is the first one inside.
        told, teller = os.pipe()
        # And our launcher here, how far it came.
        reached, reaching = os.pipe()
        os.set_blocking(told, False)
        os.set_blocking(reached, False)
        handed = [teller, reaching]
        command = launch(reaching)
        if isolation is Isolation.STRONG:
            files = {name: _in_memory(text) for name, text in self._names(shell).items()}
            handed += files.values()
            named = [
                option
                for file, descriptor in files.items()
                for option in ("--perms", "0644", "--ro-bind-data", str(descriptor), file)
            ]
            options = [*shell[1:], "--info-fd", str(teller), *named]
            command = [shell[0], *options, "--", *command]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**env, name: value},
                start_new_session=True,
            )
        except OSError as e:
            os.close(told)
            os.close(reached)
            raise SandboxError(
                f"The sandbox could not be started ({e}).", "check the memory and processes free"
            ) from e
        finally:
            for descriptor in handed:
                os.close(descriptor)
        try:
            _follow(process, limits, started + limits.timeout_s, watch)
        finally:
            _end(process, mark, isolation)
            _await_end(told)
            obstacle = _obstacle(reached)
        # A short run may be over before the first look.
        if not watch.stopped_for and watch.disk.is_over():
            watch.stopped_for = "disk space"
        tails = {
            k: bytes(v[-_TAIL_BYTES:]).decode("utf-8", "replace") for k, v in watch.tails.items()
        }
        if isolation is Isolation.STRONG and tails["stderr"].startswith("bwrap: "):
            raise SandboxError(
                f"bubblewrap failed: {tails['stderr'].strip()[:300]}", "run `agentci doctor`"
            )
        if obstacle and not watch.stopped_for:
            said = tails["stderr"].strip()[-300:]
            raise SandboxError(
                f"The sandbox could not start its program ({obstacle}): {said}",
                "run `agentci doctor`; look at the rights of AgentCI's folders",
            )
        return SandboxResult(
            returncode=process.returncode,
            stdout_tail=tails["stdout"],
            stderr_tail=tails["stderr"],
            timed_out=watch.stopped_for == "time",
            isolation=isolation,
            seconds=time.monotonic() - started,
            stopped_for=watch.stopped_for,
        )


def _in_memory(text: str) -> int:
    """A descriptor of a file that is nowhere on a disk."""
    descriptor = os.memfd_create("agentci")
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _follow(
    process: subprocess.Popen[bytes], limits: Limits, deadline: float, watch: _Watch
) -> None:
    """Read outputs to their end, keeping only the tails, until the program ends or breaks a
    limit.
    """
    with selectors.DefaultSelector() as selector:
        for name in ("stdout", "stderr"):
            stream = getattr(process, name)
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, name)
            watch.tails[name] = bytearray()
        next_look = 0.0
        while process.poll() is None:
            now = time.monotonic()
            if now >= deadline:
                watch.stopped_for = "time"
                return
            if now >= next_look:
                next_look = now + _LOOK_S
                watch.stopped_for = _excess(process.pid, limits, watch.disk)
                if watch.stopped_for:
                    return
            _read(selector, watch, min(_LOOK_S / 4, deadline - now))
        # What was still in the pipes; a process that was left behind may hold them open,
        # so do not wait for the end.
        while _read(selector, watch, 0):
            if time.monotonic() >= deadline:
                return


def _read(selector: selectors.BaseSelector, watch: _Watch, wait_s: float) -> int:
    n_read = 0
    if not selector.get_map():
        time.sleep(min(wait_s, 0.005))
        return 0
    for key, _ in selector.select(wait_s):
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            continue
        if not data:
            selector.unregister(key.fileobj)
            continue
        tail = watch.tails[key.data]
        tail += data
        n_read += len(data)
        if len(tail) > 4 * _TAIL_BYTES:
            del tail[:-_TAIL_BYTES]
    return n_read


def _excess(pid: int, limits: Limits, disk: DiskWatch) -> str:
    """Which limit all processes together are over; empty when none."""
    n_processes = 0
    n_pages = 0
    family = _family(pid)
    for one in family:
        n_processes += 1
        try:
            n_pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            continue
    if n_pages * resource.getpagesize() > limits.memory_bytes:
        return "memory"
    if n_processes > limits.n_processes + 3:
        return "processes"
    return "disk space" if disk.is_due() and disk.is_over(family) else ""


def _family(pid: int) -> list[int]:
    """A process and all that descend from it, at most some thousands."""
    found = [pid]
    for one in found:
        if len(found) > 5000:
            break
        try:
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found.extend(int(child) for child in children.read_text().split())
        except OSError:
            continue
    return found


def _end(process: subprocess.Popen[bytes], mark: str, isolation: Isolation) -> None:
    """End everything: the namespace's first process takes all others with it; without one, by
    family and mark.
    """
    if isolation is Isolation.WEAK:
        for pid in (*_family(process.pid)[1:], *_marked(mark)):
            _kill(pid)
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.wait()
    if isolation is Isolation.WEAK:
        _end_marked(mark)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _await_end(told: int) -> None:
    """Wait until the first process inside is gone, which it is only when all others are."""
    with os.fdopen(told, "rb") as pipe:
        found = re.search(rb'"child-pid"\s*:\s*(\d+)', pipe.read() or b"")
    patience = time.monotonic() + 10
    while found and time.monotonic() < patience:
        try:
            stat = Path(f"/proc/{int(found[1])}/stat").read_text()
        except OSError:
            return
        if stat.rpartition(")")[2].split()[0] in {"Z", "X"}:
            return
        time.sleep(0.002)


def _obstacle(reached: int) -> str:
    """What kept the launcher from starting its program; empty when nothing did."""
    with os.fdopen(reached, "rb") as pipe:
        said = (pipe.read() or b"").decode("utf-8", "replace")
    if not said:
        return "it did not come that far"
    return said.partition("!")[2]


def _marked(mark: str) -> list[int]:
    """Processes that still carry the run's mark, however far they moved from their parent."""
    wanted = mark.encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _end_marked(mark: str) -> None:
    """Kill until nobody carries the mark: some fork meanwhile, and dying takes a while."""
    patience = time.monotonic() + 10
    while (pids := _marked(mark)) and time.monotonic() < patience:
        for pid in pids:
            _kill(pid)
        time.sleep(0.002)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
