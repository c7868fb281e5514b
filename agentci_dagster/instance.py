"""The Dagster instance of a home folder: its files, its daemon and UI as child processes.

What runs in it is `definitions.py`; who starts it, `cli/` and `demo/`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agentci_dagster.domain.errors import InfrastructureError

_STATE = "up.json"
_STOP_S = 15.0
_SENSOR_TIMEOUT = "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"
_SENSOR_TIMEOUT_S = 16 * 60
"""Dagster's minute is too short for the first fetch of a large repository, which may take 15."""
_INSTANCE = Path(__file__).with_name("dagster.yaml")


def prepare_instance(home: Path) -> dict[str, str]:
    """Make the Dagster instance of this home and return the environment of its processes."""
    instance = home / "dagster"
    instance.mkdir(parents=True, exist_ok=True)
    (instance / "dagster.yaml").write_text(_INSTANCE.read_text())
    (instance / "workspace.yaml").write_text(
        "load_from:\n"
        "  - python_module:\n"
        "      module_name: agentci_dagster.definitions\n"
        "      location_name: agentci\n"
    )
    _make_databases(instance)
    return {
        _SENSOR_TIMEOUT: str(_SENSOR_TIMEOUT_S),
        **os.environ,
        "AGENTCI_HOME": str(home),
        "DAGSTER_HOME": str(instance),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def _make_databases(folder: Path) -> None:
    """Make Dagster's databases in this one process.

    On first use daemon, UI and code servers would each stamp the schema, and leave it with two
    heads that Dagster then refuses to open.
    """
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(folder)) as instance:
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.get_dynamic_partitions("agentci_commits")


def start(
    home: Path, name: str, arguments: list[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start one Python module in a session of its own, its output in `<home>/logs/<name>.log`."""
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=dict(environment),
            cwd=home / "dagster",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def daemon(home: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon while the block lasts; raises InfrastructureError when one runs already."""
    if daemon_state(home) == "running":
        raise InfrastructureError(
            f"A daemon for {home} runs already.", "stop it first, or give another AGENTCI_HOME"
        )
    workspace = str(home / "dagster" / "workspace.yaml")
    process = start(home, "daemon", ["dagster._daemon", "run", "-w", workspace], environment)
    (home / _STATE).write_text(json.dumps({"daemon": process.pid, "ticks": _ticks(process.pid)}))
    try:
        yield process
    finally:
        stop(process)
        (home / _STATE).unlink(missing_ok=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours and its children: politely, then not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def daemon_state(home: Path) -> str:
    """`running`, `died` (its state file is left, its process is not) or `not running`."""
    try:
        state = json.loads((home / _STATE).read_text())
        process_id, ticks = int(state["daemon"]), state["ticks"]
    except (OSError, ValueError, KeyError, TypeError):
        return "not running"
    return "running" if _ticks(process_id) == ticks else "died"


def _ticks(pid: int) -> int | None:
    """Start time in kernel ticks: with the pid it names one process for ever."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def wait_for_port(
    port: int, process: subprocess.Popen[bytes], seconds: float = 60.0, host: str = "127.0.0.1"
) -> None:
    """Wait until something listens there; raises InfrastructureError when the process ends
    first.
    """
    import socket

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection((host, port), 0.5):
            return
        time.sleep(0.2)
    raise InfrastructureError("The UI did not start.", "read logs/webserver.log in AGENTCI_HOME")
