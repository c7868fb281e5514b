"""Switching, rolling back and seeing a bad release on this machine, with real processes; prints JSON.

`python benchmarks/rollout.py [--switches 100] [--seconds 30] [--rate 300]`. Clients are half kept-alive, half new
connections.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agentci_dagster.adapters.haproxy_router import HaproxyRouter
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.rollout import Release
from agentci_dagster.domain.routing import Route
from tests.builders import commit, key
from tests.driving import SERVICE, driver, image_of
from tests.serving import bundle

ENVIRONMENT = SERVICE.environment
_N_CLIENTS = 8


class Load:
    """Steady traffic: (when it was sent, when it was answered, status, who answered), from several clients."""

    def __init__(self, address: str, rate: float) -> None:
        self._address = urlsplit(address).netloc
        self._pause_s = _N_CLIENTS / rate
        self._over = threading.Event()
        self.answers: list[tuple[float, float, int, str]] = []
        self._threads = [
            threading.Thread(target=self._client, args=(i % 2 == 0,)) for i in range(_N_CLIENTS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self, is_kept_alive: bool) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        due = time.monotonic()
        while not self._over.is_set():
            sent = time.monotonic()
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                who, status = response.read().decode(), response.status
            except (OSError, http.client.HTTPException):
                who, status = "", 0
                connection.close()
            if not is_kept_alive:
                connection.close()
            self.answers.append((sent, time.monotonic(), status, who))
            due += self._pause_s
            self._over.wait(max(0.0, due - time.monotonic()))
        connection.close()


def wait_ready(runtime: ProcessRuntime, release: Release) -> None:
    until = time.monotonic() + 30
    while runtime.ask(release, "/healthz", timedelta(seconds=1)).status != 200:
        if time.monotonic() > until:
            raise TimeoutError(runtime.log_tail(release))
        time.sleep(0.02)


def switching(home: Path, n_switches: int, seconds: float, rate: float) -> dict[str, object]:
    """All traffic back and forth under load: what is lost, and how long the old side still answers."""
    router, runtime = (
        HaproxyRouter(home / "environments", {}),
        ProcessRuntime(home / "environments"),
    )
    image = bundle(home / "bundle")
    names = ("aaaaaaa-1", "bbbbbbb-2")
    releases = [runtime.start(SERVICE, image, name, key(i + 1)) for i, name in enumerate(names)]
    moved: list[tuple[float, float, str]] = []
    try:
        for release in releases:
            wait_ready(runtime, release)
            router.add(ENVIRONMENT, release, "/healthz")
        router.weights(ENVIRONMENT, {names[0]: 1.0})
        with Load(router.ensure(ENVIRONMENT), rate) as load:
            for i in range(n_switches):
                time.sleep(seconds / n_switches)
                name = names[(i + 1) % 2]
                decided = time.monotonic()
                router.weights(ENVIRONMENT, {name: 1.0})
                moved.append((decided, time.monotonic(), name))
        time.sleep(0.3)
        n_lost_by_log = router.n_lost(ENVIRONMENT)
    finally:
        router.shutdown(ENVIRONMENT)
        for release in releases:
            runtime.stop(release, timedelta(seconds=1))
    calls_ms = sorted((done - decided) * 1000 for decided, done, _ in moved)
    back_ms = sorted(_last_wrong(load.answers, moved, i) for i in range(len(moved)))
    statuses = [status for _, _, status, _ in load.answers]
    return {
        "switches": n_switches,
        "requests": len(statuses),
        "requests_per_s": round(len(statuses) / seconds, 1),
        "lost": sum(status != 200 for status in statuses),
        "log_lines_lost": n_lost_by_log,
        "switch_call_ms_median": round(_at(calls_ms, 0.5), 2),
        "switch_call_ms_p99": round(_at(calls_ms, 0.99), 2),
        "decision_to_last_wrong_answer_ms_median": round(_at(back_ms, 0.5), 1),
        "decision_to_last_wrong_answer_ms_p99": round(_at(back_ms, 0.99), 1),
    }


def _last_wrong(
    answers: list[tuple[float, float, int, str]], moved: list[tuple[float, float, str]], i: int
) -> float:
    decided, _, name = moved[i]
    until = moved[i + 1][0] if i + 1 < len(moved) else float("inf")
    wrong = [done for sent, done, _, who in answers if decided <= done < until and who != name]
    return (max(wrong) - decided) * 1000 if wrong else 0.0


def bad_release(home: Path, rate: float) -> dict[str, object]:
    """A release whose answers all fail, at 50/50: from its first failing answer to its last."""
    policy = CanaryPolicy(fast_bake_s=5.0, fast_watch_s=2.0, min_requests=10, drain_s=0.5)
    rollouts, _ = driver(home)
    router = HaproxyRouter(home / "environments", {})
    runtime = ProcessRuntime(home / "environments")
    good, bad = bundle(home / "good"), bundle(home / "bad", "errors")
    service = replace(SERVICE, migrate_command=(), probe_paths=())
    try:
        first = rollouts.begin(
            service, image_of(Path(good.reference)), commit(1), Route.FAST, policy
        )
        rollouts.watch(first, service, policy)
        with Load(router.ensure(ENVIRONMENT), rate) as load:
            time.sleep(2)
            second = rollouts.begin(
                service, image_of(Path(bad.reference)), commit(2), Route.FAST, policy
            )
            report = rollouts.watch(second, service, policy)
        failing = [done for _, done, status, _ in load.answers if status != 200]
        began = time.monotonic()
        rollouts.reconcile((service,))
        return {
            "requests_per_s": rate,
            "decision": report.decision,
            "cause": report.cause,
            "failing_answers": len(failing),
            "first_to_last_failing_s": round(max(failing) - min(failing), 2) if failing else None,
            "lost_without_answer": sum(status == 0 for _, _, status, _ in load.answers),
            "quiet_reconcile_s": round(time.monotonic() - began, 3),
        }
    finally:
        for release in runtime.releases(ENVIRONMENT):
            runtime.stop(release, timedelta(seconds=1))
        router.shutdown(ENVIRONMENT)


def _at(ordered: list[float], level: float) -> float:
    return ordered[min(len(ordered) - 1, int(level * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=300.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        result = {
            "machine": {
                "cpus": os.cpu_count(),
                "load": os.getloadavg(),
                "python": platform.python_version(),
            },
            "switching": switching(Path(one), asked.switches, asked.seconds, asked.rate),
            "bad_release": bad_release(Path(two), 10.0),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
