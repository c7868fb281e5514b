from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentci_dagster.demo.traffic import Traffic


class Service(ThreadingHTTPServer):
    """Answers 200, every fifth search 500 and what is told to be cut off not at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.n_connections = 0
        self.cuts_off = ""
        self.enough = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.n_connections += 1

    def do_GET(self):
        kind = self.path.strip("/").split("/")[0].split("?")[0]
        with self.server.lock:
            self.server.asked[kind] += 1
            n = self.server.asked[kind]
            if sum(self.server.asked.values()) >= 60:
                self.server.enough.set()
        if kind == self.server.cuts_off:
            self.close_connection = True
            return
        self.send_response(500 if kind == "search" and n % 5 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_every_answer_is_counted(service):
    with Traffic(service.address, 400) as traffic:
        assert service.enough.wait(20)

    report = traffic.report()
    asked = service.asked.total() - service.asked["healthz"]
    assert report.n_answers == asked
    assert report.n_lost == 0
    assert report.n_errors == report.by_status.get("500", 0) == service.asked["search"] // 5
    assert report.errors_by_kind == {"/search": report.n_errors}
    assert report.p50_ms is not None
    assert report.p50_ms <= report.p90_ms <= report.p99_ms


def test_about_half_of_the_requests_are_searches(service):
    with Traffic(service.address, 400) as traffic:
        assert service.enough.wait(20)

    share = service.asked["search"] / traffic.report().n_answers
    assert 0.3 < share < 0.7


def test_connections_are_kept(service):
    with Traffic(service.address, 400, n_connections=3):
        assert service.enough.wait(20)

    assert service.n_connections == 3


def test_a_request_without_an_answer_is_lost_and_not_asked_again(service):
    service.cuts_off = "search"

    with Traffic(service.address, 400) as traffic:
        assert service.enough.wait(20)

    assert traffic.report().n_lost == service.asked["search"] > 0


def test_it_waits_until_the_address_answers():
    service = Service()
    service.server_close()

    with Traffic(service.address, 100) as traffic:
        pass

    report = traffic.report()
    assert (report.n_answers, report.n_lost, report.seconds) == (0, 0, 0.0)
    assert report.p50_ms is None


def test_it_ends_by_itself_after_its_time(service):
    with Traffic(service.address, 50, seconds=0.2) as traffic:
        traffic.join()
        assert not traffic.is_sending()

    assert traffic.report().n_answers == 10


@pytest.mark.parametrize("address", ["https://127.0.0.1:1", "http://127.0.0.1", "nonsense"])
def test_an_odd_address_is_refused(address):
    with pytest.raises(ValueError, match="not an address"):
        Traffic(address, 10)


def test_no_traffic_at_all_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Traffic("http://127.0.0.1:1", 0)


def test_the_program_writes_its_report_when_told_to_stop(service, tmp_path):
    path = tmp_path / "report.json"
    program = [sys.executable, "-m", "agentci_dagster.demo.traffic", service.address]
    process = subprocess.Popen([*program, "--rate", "200", "--report", str(path)])
    try:
        assert service.enough.wait(20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()

    report = json.loads(path.read_text())
    assert report["n_answers"] > 0
    assert report["n_lost"] == 0


def test_the_program_prints_its_report(service):
    program = [sys.executable, "-m", "agentci_dagster.demo.traffic", service.address]

    done = subprocess.run(
        [*program, "--rate", "50", "--seconds", "0.1"], capture_output=True, timeout=60, check=True
    )

    assert json.loads(done.stdout)["n_answers"] == 5
