"""The recorder of one environment's requests: HAProxy's log datagrams in, one compact line per
request out.

A small detached program of the standard library only. It outlives us, keeps an hour in files of one
minute, and counts what it got against the numbers that HAProxy gives its log lines, so that loss is
known. Judging is not its affair.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from pathlib import Path

RETENTION_MINUTES = 60
_BATCH_S = 0.02
_IDLE_S = 1.0


def parse(datagram: bytes, token: bytes) -> tuple[str, int, str, int, int] | None:
    """One log line as (process, number, server, status, milliseconds); None for what is not ours.

    The token keeps other programs of this machine from putting answers into our evidence.
    A client that went away before the answer gets status 499: that is not the release's doing. An
    answer that broke off is status 502, whatever it had begun with.
    """
    fields = datagram.split()
    if len(fields) != 7 or fields[0] != token:
        return None
    try:
        number, status, milliseconds = int(fields[1]), int(fields[4]), int(fields[5])
        process, server, ending = fields[2].decode(), fields[3].decode(), fields[6].decode()
    except ValueError:
        return None
    if ending.startswith("C") and status < 200:
        status = 499
    elif ending[:2] in {"SD", "sD", "PD"}:
        status = 502
    return process, number, server.replace("<NOSRV>", "-"), max(0, status), max(0, milliseconds)


class Tally:
    """Log lines received and numbered, by HAProxy process; numbers begin at 0."""

    def __init__(self, counts: dict[str, list[int]]) -> None:
        self.counts = counts

    def add(self, process: str, number: int) -> None:
        entry = self.counts.setdefault(process, [0, -1])
        entry[0] += 1
        entry[1] = max(entry[1], number)

    @property
    def n_lost(self) -> int:
        return sum(max(0, highest + 1 - received) for received, highest in self.counts.values())


def run(folder: Path, descriptor: int, token: bytes) -> None:
    """Record until the folder goes away."""
    events = folder / "events"
    events.mkdir(exist_ok=True)
    counts_file = folder / "counts.json"
    with socket.socket(fileno=descriptor) as source:
        source.setblocking(False)
        tally = Tally(read_counts(counts_file))
        last_us = 0
        while folder.is_dir():
            readable, _, _ = select.select([source], [], [], _IDLE_S)
            if not readable:
                continue
            # A short pause gathers what arrives together: one write for many requests.
            time.sleep(_BATCH_S)
            lines = []
            for datagram in _drain(source):
                parsed = parse(datagram, token)
                if parsed is not None:
                    process, number, server, status, milliseconds = parsed
                    tally.add(process, number)
                    lines.append(f"{server} {status} {milliseconds}")
            if lines:
                # Never back in time: readers go on from the last instant that they saw.
                last_us = max(last_us, time.time_ns() // 1000)
                _append(events, last_us, lines)
                _replace(counts_file, json.dumps(tally.counts))


def _drain(source: socket.socket) -> list[bytes]:
    datagrams: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(datagrams) < 2000:
            datagrams.append(source.recv(2048))
    return datagrams


def _append(events: Path, at_us: int, lines: list[str]) -> None:
    minute = at_us // 60_000_000
    path = events / f"{minute}.log"
    is_new = not path.exists()
    text = "".join(f"{at_us} {line}\n" for line in lines)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    if is_new:
        for old in events.glob("*.log"):
            if old.stem.isdigit() and int(old.stem) < minute - RETENTION_MINUTES:
                old.unlink(missing_ok=True)


def read_counts(path: Path) -> dict[str, list[int]]:
    """Received and highest number by HAProxy process; nothing when there is no file yet."""
    with contextlib.suppress(OSError, ValueError):
        counts = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): [int(v[0]), int(v[1])] for k, v in counts.items()}
    return {}


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    # The socket is handed over by whoever starts us; the token comes by the environment, which
    # others cannot read.
    with contextlib.suppress(KeyboardInterrupt):
        run(Path(sys.argv[1]), int(sys.argv[2]), os.environ["AGENTCI_RECORDER_TOKEN"].encode())
