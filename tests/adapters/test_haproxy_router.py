"""Router and MetricSource: one contract for the fakes and for HAProxy, and what only HAProxy can show."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentci_dagster.adapters.haproxy_recorder import Tally, parse
from agentci_dagster.adapters.haproxy_router import HaproxyRouter, _command, _integer_weights
from agentci_dagster.adapters.processes import free_port
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.domain.errors import RouterError
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import Router
from tests.adapters.test_process_runtime import service, stop_all
from tests.builders import key
from tests.fakes.deploy import FakeRouter
from tests.serving import bundle
from tests.waiting import eventually

ENVIRONMENT = "production"


def release(name: str, port: int = 1) -> Release:
    return Release(name, key(), "x", "sha256:x", "127.0.0.1", port, "process")


@pytest.fixture(params=["fake", "haproxy"])
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Router]:
    if request.param == "fake":
        yield FakeRouter()
        return
    real = HaproxyRouter(tmp_path, {})
    yield real
    real.shutdown(ENVIRONMENT)


# ---------------------------------------------------------------- contract


def test_new_release_has_no_traffic(router: Router) -> None:
    address = router.ensure(ENVIRONMENT)
    router.add(ENVIRONMENT, release("a-1"), "/healthz")
    router.add(ENVIRONMENT, release("a-1"), "/healthz")

    assert address.startswith("http://127.0.0.1:")
    assert router.ensure(ENVIRONMENT) == address
    assert router.shares(ENVIRONMENT) == {"a-1": 0.0}


def test_shares_are_set_and_left_out_ones_get_none(router: Router) -> None:
    for name in ("a-1", "b-2"):
        router.add(ENVIRONMENT, release(name), "/healthz")

    router.weights(ENVIRONMENT, {"a-1": 0.9, "b-2": 0.1})
    assert router.shares(ENVIRONMENT) == pytest.approx({"a-1": 0.9, "b-2": 0.1}, abs=0.01)
    router.weights(ENVIRONMENT, {"b-2": 1.0})
    assert router.shares(ENVIRONMENT) == {"a-1": 0.0, "b-2": 1.0}
    router.add(ENVIRONMENT, release("b-2", 2), "/healthz")
    assert router.shares(ENVIRONMENT) == {"a-1": 0.0, "b-2": 1.0}
    router.weights(ENVIRONMENT, {})
    assert router.shares(ENVIRONMENT) == {"a-1": 0.0, "b-2": 0.0}


def test_removed_release_is_forgotten_and_removing_twice_is_fine(router: Router) -> None:
    router.add(ENVIRONMENT, release("a-1"), "/healthz")

    router.remove(ENVIRONMENT, "a-1")
    router.remove(ENVIRONMENT, "a-1")

    assert router.shares(ENVIRONMENT) == {}


def test_nonsense_is_refused(router: Router) -> None:
    router.add(ENVIRONMENT, release("a-1"), "/healthz")

    with pytest.raises(RouterError, match="does not know b-2"):
        router.weights(ENVIRONMENT, {"b-2": 1.0})
    with pytest.raises(RouterError, match="sum to 1"):
        router.weights(ENVIRONMENT, {"a-1": 0.5})


# ---------------------------------------------------------------- HAProxy


@dataclass
class Site:
    """HAProxy before two real releases."""

    router: HaproxyRouter
    runtime: ProcessRuntime
    old: Release
    new: Release
    home: Path

    @property
    def state(self) -> dict[str, dict[str, int]]:
        text = (self.home / ENVIRONMENT / "router" / "router.json").read_text()
        state: dict[str, dict[str, int]] = json.loads(text)
        return state

    def kill(self, what: str) -> None:
        os.kill(self.state[what]["process_id"], signal.SIGKILL)

    def get(self, path: str = "/") -> tuple[int, str]:
        return get(self.router.ensure(ENVIRONMENT), path)


def get(address: str, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    # A long folder: the path of the socket would not fit into the kernel's 108 bytes.
    home = tmp_path / ("long-" * 20) / "environments"
    router, runtime = HaproxyRouter(home, {}), ProcessRuntime(home)
    image = bundle(tmp_path / "bundle")
    old = runtime.start(service(), image, "aaaaaaa-1", key(1))
    new = runtime.start(service(), image, "bbbbbbb-2", key(2))
    try:
        for each in (old, new):
            eventually(
                lambda each=each: runtime.ask(each, "/healthz", timedelta(seconds=1)).status == 200
            )  # type: ignore[misc]
            router.add(ENVIRONMENT, each, "/healthz")
        router.weights(ENVIRONMENT, {old.name: 1.0})
        yield Site(router, runtime, old, new, home)
    finally:
        router.shutdown(ENVIRONMENT)
        stop_all(runtime)


def test_traffic_follows_the_shares(site: Site) -> None:
    site.router.weights(ENVIRONMENT, {site.old.name: 0.9, site.new.name: 0.1})
    address = site.router.ensure(ENVIRONMENT)

    served = Counter(get(address)[1] for _ in range(100))

    assert served[site.new.name] == pytest.approx(10, abs=2)


def test_nothing_is_lost_over_many_switches(site: Site) -> None:
    """Kept-alive and new connections, under a steady load, while all traffic moves twenty times."""
    address = site.router.ensure(ENVIRONMENT)
    over = threading.Event()
    statuses: list[int] = []

    def kept_alive() -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
        while not over.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)
                connection.close()
            over.wait(0.02)
        connection.close()

    def anew() -> None:
        while not over.is_set():
            try:
                statuses.append(get(address)[0])
            except (OSError, http.client.HTTPException):
                statuses.append(0)
            over.wait(0.02)

    clients = [threading.Thread(target=t) for t in (kept_alive, anew)]
    for client in clients:
        client.start()
    for i in range(20):
        name = (site.new if i % 2 else site.old).name
        site.router.weights(ENVIRONMENT, {name: 1.0})
        over.wait(0.05)
    over.set()
    for client in clients:
        client.join()

    assert len(statuses) > 40
    assert set(statuses) == {200}


def test_release_without_share_gets_no_new_request(site: Site) -> None:
    address = site.router.ensure(ENVIRONMENT)
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read().decode() == site.old.name

    site.router.weights(ENVIRONMENT, {site.new.name: 1.0})

    for _ in range(5):
        connection.request("GET", "/")
        assert connection.getresponse().read().decode() == site.new.name
    connection.close()


def test_request_under_way_is_answered_before_its_release_is_removed(site: Site) -> None:
    answered: list[tuple[int, str]] = []
    address = site.router.ensure(ENVIRONMENT)
    slow = threading.Thread(target=lambda: answered.append(get(address, "/slow")))
    slow.start()
    eventually(lambda: _n_sessions(site, site.old.name) == 1)

    site.router.weights(ENVIRONMENT, {site.new.name: 1.0})
    site.router.remove(ENVIRONMENT, site.old.name)
    slow.join()

    assert answered == [(200, site.old.name)]


def _n_sessions(site: Site, name: str) -> int:
    table = _command(site.home / ENVIRONMENT / "router", ["show stat"])[0].splitlines()
    header = table[0].lstrip("# ").split(",")
    rows = [dict(zip(header, line.split(","), strict=False)) for line in table[1:]]
    return next(int(row["scur"]) for row in rows if row.get("svname") == name)


def test_killed_router_comes_back_with_its_shares(site: Site) -> None:
    site.router.weights(ENVIRONMENT, {site.old.name: 0.5, site.new.name: 0.5})
    address = site.router.ensure(ENVIRONMENT)
    site.kill("router")
    eventually(lambda: not _is_up(site.state["router"]["process_id"]))

    again = HaproxyRouter(site.home, {})

    assert again.ensure(ENVIRONMENT) == address
    assert again.shares(ENVIRONMENT) == {site.old.name: 0.5, site.new.name: 0.5}
    assert {get(address)[1] for _ in range(10)} == {site.old.name, site.new.name}


def _is_up(process_id: int) -> bool:
    from agentci_dagster.adapters.processes import identity_of

    return identity_of(process_id) is not None


def test_router_without_its_state_file_entry_is_adopted(site: Site) -> None:
    path = site.home / ENVIRONMENT / "router" / "router.json"
    known = site.state["router"]
    path.write_text(json.dumps(site.state | {"router": None, "recorder": None}))

    site.router.ensure(ENVIRONMENT)

    assert site.state["router"] == known


def test_two_that_ensure_at_once_start_one_router(tmp_path: Path) -> None:
    routers = [HaproxyRouter(tmp_path, {}) for _ in range(4)]
    addresses: list[str] = []
    threads = [
        threading.Thread(target=lambda r=r: addresses.append(r.ensure(ENVIRONMENT)))  # type: ignore[misc]
        for r in routers
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(addresses) == 4
        assert len(set(addresses)) == 1
    finally:
        routers[0].shutdown(ENVIRONMENT)


def test_port_of_the_log_that_a_stranger_took_is_given_up(site: Site) -> None:
    site.kill("recorder")
    eventually(lambda: not _is_up(site.state["recorder"]["process_id"]))
    taken = site.state["log_port"]
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", taken))

        address = site.router.ensure(ENVIRONMENT)

        site.router.weights(ENVIRONMENT, {site.old.name: 1.0})
        began = datetime.now(UTC)
        assert site.state["log_port"] != taken
        assert get(address) == (200, site.old.name)
        eventually(lambda: len(site.router.events(ENVIRONMENT, began)) == 1)


def test_port_that_is_configured_later_is_taken(site: Site) -> None:
    site.router.weights(ENVIRONMENT, {site.old.name: 1.0})
    port = free_port(18_900, 18_999, seed=str(site.home))

    address = HaproxyRouter(site.home, {ENVIRONMENT: port}).ensure(ENVIRONMENT)

    assert address == f"http://127.0.0.1:{port}"
    assert get(address) == (200, site.old.name)


def test_server_that_only_haproxy_knows_is_removed(site: Site) -> None:
    path = site.home / ENVIRONMENT / "router" / "router.json"
    servers = {n: s for n, s in site.state["servers"].items() if n != site.new.name}
    path.write_text(json.dumps(site.state | {"servers": servers}))

    site.router.remove(ENVIRONMENT, site.new.name)

    assert set(site.router.shares(ENVIRONMENT)) == {site.old.name}


def test_torn_line_is_no_event_and_hides_none(site: Site) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    site.router.weights(ENVIRONMENT, {site.old.name: 1.0})
    site.get()
    eventually(lambda: len(site.router.events(ENVIRONMENT, began)) == 1)
    (file,) = (site.home / ENVIRONMENT / "router" / "events").glob("*.log")
    file.write_bytes(b"17\n\xff\xfe x y z w\n" + file.read_bytes())

    assert len(site.router.events(ENVIRONMENT, began)) == 1


def test_dead_release_leaves_traffic_without_us(site: Site) -> None:
    site.router.weights(ENVIRONMENT, {site.old.name: 0.5, site.new.name: 0.5})
    site.runtime.stop(site.new, timedelta(seconds=0))

    answers = [site.get() for _ in range(10)]

    assert set(answers) == {(200, site.old.name)}


def test_release_that_was_started_again_is_served_at_its_new_port(site: Site) -> None:
    site.runtime.stop(site.old, timedelta(seconds=0))
    again = replace(site.new, name=site.old.name)

    site.router.add(ENVIRONMENT, again, "/healthz")

    eventually(lambda: site.get() == (200, site.new.name))
    assert site.router.shares(ENVIRONMENT) == {site.old.name: 1.0, site.new.name: 0.0}


def test_health_path_of_the_service_is_what_is_checked(site: Site) -> None:
    site.router.add(ENVIRONMENT, replace(site.new, name="ccccccc-3"), "/health?deep=1")

    configuration = (site.home / ENVIRONMENT / "router" / "haproxy.cfg").read_text()
    assert "set-var proc.health str(/health?deep=1)" in configuration
    with pytest.raises(RouterError, match="health path"):
        site.router.add(ENVIRONMENT, site.new, "/x\n  bind *:80")
    running = _command(site.home / ENVIRONMENT / "router", ["get var proc.health"])
    assert "/health?deep=1" in running[0]


def test_events_come_in_order_with_release_status_and_time(site: Site) -> None:
    began = datetime.now(UTC)
    for _ in range(5):
        site.get()
    site.get("/slow")

    eventually(lambda: len(site.router.events(ENVIRONMENT, began)) == 6)

    events = site.router.events(ENVIRONMENT, began)
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert {(e.release, e.status) for e in events} == {(site.old.name, 200)}
    assert 300 <= events[-1].milliseconds < 2000
    assert site.router.events(ENVIRONMENT, events[-1].at)[-1] == events[-1]
    assert site.router.events(ENVIRONMENT, began, began) == ()
    assert site.router.n_lost(ENVIRONMENT) == 0


def test_requests_while_the_recorder_was_dead_are_known_to_be_lost(site: Site) -> None:
    began = datetime.now(UTC)
    address = site.router.ensure(ENVIRONMENT)
    get(address)
    eventually(lambda: len(site.router.events(ENVIRONMENT, began)) == 1)
    site.kill("recorder")
    eventually(lambda: not _is_up(site.state["recorder"]["process_id"]))
    for _ in range(3):
        get(address)

    site.router.ensure(ENVIRONMENT)
    get(address)

    def n_known() -> int:
        return len(site.router.events(ENVIRONMENT, began)) + site.router.n_lost(ENVIRONMENT)

    eventually(lambda: n_known() == 5)
    # HAProxy logs after it has answered, so the last line may still find the new recorder.
    assert site.router.n_lost(ENVIRONMENT) in {2, 3}


def test_no_release_answers_nothing_that_anybody_is_blamed_for(site: Site) -> None:
    began = datetime.now(UTC)
    site.router.weights(ENVIRONMENT, {})

    assert site.get()[0] == 503
    eventually(lambda: len(site.router.events(ENVIRONMENT, began)) == 1)
    assert site.router.events(ENVIRONMENT, began)[0].release == ""


def test_port_of_the_settings_is_taken(tmp_path: Path) -> None:
    from agentci_dagster.adapters.processes import free_port

    port = free_port(31_000, 31_900, str(tmp_path))
    router = HaproxyRouter(tmp_path, {ENVIRONMENT: port})
    try:
        assert router.ensure(ENVIRONMENT) == f"http://127.0.0.1:{port}"
        other = HaproxyRouter(tmp_path / "other", {ENVIRONMENT: port})
        with pytest.raises(RouterError, match="ended at once"):
            other.ensure(ENVIRONMENT)
        other.shutdown(ENVIRONMENT)
    finally:
        router.shutdown(ENVIRONMENT)


def test_unreadable_state_is_named(tmp_path: Path) -> None:
    home = tmp_path / ENVIRONMENT / "router"
    home.mkdir(parents=True)
    (home / "router.json").write_text("{")

    with pytest.raises(RouterError, match=r"router\.json"):
        HaproxyRouter(tmp_path, {}).ensure(ENVIRONMENT)


def test_events_of_an_environment_that_never_was_are_none(tmp_path: Path) -> None:
    router = HaproxyRouter(tmp_path, {})

    assert router.events("nowhere", datetime.now(UTC)) == ()
    assert router.n_lost("nowhere") == 0


def test_long_minute_is_read_from_where_it_matters(tmp_path: Path) -> None:
    folder = tmp_path / ENVIRONMENT / "router" / "events"
    folder.mkdir(parents=True)
    first_us = 29_000_000 * 60_000_000
    lines = [f"{first_us + i * 1000} a-1 200 {i}\n" for i in range(30_000)]
    (folder / "29000000.log").write_text("".join(lines) + "12345")
    router = HaproxyRouter(tmp_path, {})

    def at(i: int) -> datetime:
        return datetime.fromtimestamp((first_us + i * 1000) / 1e6, UTC)

    assert len(router.events(ENVIRONMENT, at(0))) == 30_000
    for i in (0, 1, 17, 12_345, 29_998, 29_999):
        found = router.events(ENVIRONMENT, at(i), at(i))
        assert [e.milliseconds for e in found] == [float(i)]


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        ({"a": 1.0}, {"a": 256}),
        ({"a": 0.5, "b": 0.5}, {"a": 256, "b": 256}),
        ({"a": 0.9, "b": 0.1}, {"a": 256, "b": 28}),
        ({"a": 0.9999, "b": 0.0001}, {"a": 256, "b": 1}),
        ({"a": 1.0, "b": 0.0}, {"a": 256, "b": 0}),
        ({}, {}),
    ],
)
def test_shares_become_integers_in_their_ratio(
    shares: dict[str, float], weights: dict[str, int]
) -> None:
    assert _integer_weights(shares) == weights


# ---------------------------------------------------------------- recorder


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        (b"t 7 99 a-1 200 12 --", ("99", 7, "a-1", 200, 12)),
        (b"t 7 99 <NOSRV> 503 0 SC", ("99", 7, "-", 503, 0)),
        (b"t 7 99 a-1 -1 40 CH", ("99", 7, "a-1", 499, 40)),
        (b"t 7 99 a-1 200 40 CD", ("99", 7, "a-1", 200, 40)),
        (b"t 7 99 a-1 200 40 SD", ("99", 7, "a-1", 502, 40)),
        (b"t 7 99 a-1 -1 -1 SH", ("99", 7, "a-1", 0, 0)),
        (b"x 7 99 a-1 200 12 --", None),
        (b"t 7 99 a-1 200 twelve --", None),
        (b"t 7", None),
        (b"\xff\xfe", None),
    ],
)
def test_log_line_is_parsed(line: bytes, parsed: tuple[object, ...] | None) -> None:
    assert parse(line, b"t") == parsed


def test_tally_knows_what_is_missing() -> None:
    tally = Tally({})
    for number in (0, 1, 4):
        tally.add("99", number)
    tally.add("100", 0)

    assert tally.n_lost == 2


def test_recorder_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, agentci_dagster.adapters.haproxy_recorder\n"
        "heavy = {'dagster', 'sqlalchemy', 'pydantic', 'numpy', 'pandas', 'git'} & set(sys.modules)\n"
        "sys.exit(len(heavy))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
