"""Traffic on loopback: kept-alive connections at a steady rate, every answer counted, none twice.

Beside a demo: `python -m agentci_dagster.demo.traffic URL --rate 40 --seconds 300 --report FILE`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

_WORDS = ("blue", "wool", "hat", "cotton+shirt", "boots", "linen", "nothing")
_MAX_BEHIND_S = 1.0
_MAX_KEPT_LATENCIES = 20_000
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """What the clients saw. Latencies are of the latest answers; None before the first answer."""

    n_answers: int
    n_errors: int
    """Answers with a status of 500 or more."""
    n_lost: int
    """Requests that got no answer: refused, reset, cut off or too slow."""
    by_status: dict[str, int]
    errors_by_kind: dict[str, int]
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    seconds: float


class Traffic:
    """Sends requests between entering and leaving, as soon as the address answers.

    Args:
        address: `http://host:port`.
        requests_per_second: over all connections; what a slow service cannot take is left out.
        seconds: stop by itself after this time of sending; None sends until stopped.
        n_connections: kept-alive connections, and so the most requests under way at once.
    """

    def __init__(
        self,
        address: str,
        requests_per_second: float,
        *,
        seconds: float | None = None,
        n_connections: int = 4,
        seed: int = 1,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"not an address of the form http://host:port: {address!r}")
        if requests_per_second <= 0:
            raise ValueError("requests_per_second must be above 0")
        self._host, self._port = parts.hostname, parts.port
        self._interval_s = 1 / requests_per_second
        self._seconds = seconds
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._next_at = 0.0
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._n_lost = 0
        self._latencies: deque[float] = deque(maxlen=_MAX_KEPT_LATENCIES)
        self._threads = [
            threading.Thread(target=self._work, name=f"traffic-{n}", daemon=True)
            for n in range(n_connections)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> TrafficReport:
        """Let requests under way finish, stop, and report."""
        self._stopped.set()
        self.join()
        return self.report()

    def join(self) -> None:
        """Wait until all requests are through."""
        for thread in self._threads:
            thread.join()

    def is_sending(self) -> bool:
        """Whether requests are still to come."""
        return any(thread.is_alive() for thread in self._threads)

    def report(self) -> TrafficReport:
        """The counts until now."""
        with self._lock:
            milliseconds = sorted(self._latencies)
            ended = self._ended_at or time.monotonic()
            return TrafficReport(
                n_answers=self._statuses.total(),
                n_errors=sum(n for status, n in self._statuses.items() if status >= 500),
                n_lost=self._n_lost,
                by_status={str(status): n for status, n in sorted(self._statuses.items())},
                errors_by_kind=dict(sorted(self._errors.items())),
                p50_ms=_quantile(milliseconds, 0.5),
                p90_ms=_quantile(milliseconds, 0.9),
                p99_ms=_quantile(milliseconds, 0.99),
                seconds=0.0 if self._started_at is None else ended - self._started_at,
            )

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            if self._wait_for_an_answer(connection):
                while (target := self._next_target()) is not None:
                    self._ask(connection, target)
        finally:
            connection.close()

    def _wait_for_an_answer(self, connection: http.client.HTTPConnection) -> bool:
        while not self._stopped.is_set():
            if _status(connection, "/healthz") in range(100, 500):
                return True
            self._stopped.wait(0.1)
        return False

    def _next_target(self) -> str | None:
        """Wait for the next turn and draw what to ask; None when it is time to stop."""
        with self._lock:
            now = time.monotonic()
            if self._started_at is None:
                self._started_at = self._next_at = now
            self._next_at = max(self._next_at, now - _MAX_BEHIND_S)
            turn, self._next_at = self._next_at, self._next_at + self._interval_s
            target = self._draw()
            # Half a turn of tolerance: sums of intervals are not exact.
            is_over = (
                self._seconds is not None
                and turn - self._started_at >= self._seconds - self._interval_s / 2
            )
        if is_over or self._stopped.wait(max(0.0, turn - now)):
            with self._lock:
                self._ended_at = time.monotonic()
            return None
        return target

    def _draw(self) -> str:
        if self._random.random() < 0.5:
            return f"/search?q={self._random.choice(_WORDS)}"
        if self._random.random() < 0.5:
            return "/products"
        return f"/products/{self._random.randint(1, 12)}"

    def _ask(self, connection: http.client.HTTPConnection, target: str) -> None:
        began = time.perf_counter()
        status = _status(connection, target)
        milliseconds = (time.perf_counter() - began) * 1000
        with self._lock:
            if status is None:
                self._n_lost += 1
                return
            self._statuses[status] += 1
            self._latencies.append(milliseconds)
            if status >= 500:
                self._errors[target.split("?", maxsplit=1)[0]] += 1


def _status(connection: http.client.HTTPConnection, target: str) -> int | None:
    """The status of a complete answer; None when there was none, and a new connection next time."""
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return None
    return answer.status


def _quantile(ascending: list[float], share: float) -> float | None:
    if not ascending:
        return None
    return round(ascending[min(len(ascending) - 1, int(len(ascending) * share))], 3)


def main() -> None:
    """Send traffic until the time is over or a signal says so; the report is kept up to date."""
    parser = argparse.ArgumentParser(prog="python -m agentci_dagster.demo.traffic")
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=None, help="default: until stopped")
    parser.add_argument("--report", type=Path, default=None, help="JSON file; default: stdout")
    options = parser.parse_args()
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    with Traffic(options.address, options.rate, seconds=options.seconds) as traffic:
        while traffic.is_sending() and not told_to_stop.wait(1.0):
            if options.report:
                _write(traffic.report(), options.report)
    if options.report:
        _write(traffic.report(), options.report)
    else:
        sys.stdout.write(_as_json(traffic.report()))


def _as_json(report: TrafficReport) -> str:
    return json.dumps(asdict(report)) + "\n"


def _write(report: TrafficReport, path: Path) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(_as_json(report), encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    main()
