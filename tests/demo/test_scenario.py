"""Every scripted commit has the property that the demo expects of it, seen with plain git, pytest and HTTP."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentci_dagster.demo.expected import Seen
from agentci_dagster.demo.scenario import STEPS, Archive, Scenario, play
from agentci_dagster.demo.vendored import lock, wheel, wheel_name
from agentci_dagster.domain.image import Image, ImageKind, Layer
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.rollout import Deployment, DeploymentStatus
from agentci_dagster.domain.routing import Route
from tests.builders import NOON, key, outcome

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Played:
    scenario: Scenario
    folder: Path

    def sha(self, number: int) -> str:
        return self.scenario.shas[number]

    def git(self, *arguments: str) -> bytes:
        command = ["git", "-C", str(self.scenario.origin), *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout

    def checkout(self, number: int) -> Path:
        """The tree of a step with its vendored wheel unpacked beside it."""
        folder = self.folder / f"step-{number}"
        if not folder.exists():
            with tarfile.open(fileobj=io.BytesIO(self.git("archive", self.sha(number)))) as tar:
                tar.extractall(folder, filter="data")
            (vendored,) = (folder / "vendor").glob("*.whl")
            zipfile.ZipFile(vendored).extractall(folder / "site")
        return folder

    def environment(self, number: int, database: Path) -> dict[str, str]:
        folder = self.checkout(number)
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "SHOP_DATABASE": str(database),
        }

    def run(self, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.checkout(number),
            env=self.environment(number, self.folder / f"step-{number}.db"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def service(self, number: int) -> Iterator[Client]:
        """The service of a step over a freshly migrated database."""
        assert self.run(number, "-m", "shop.migrate").returncode == 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "shop", "--port", str(port)],
            cwd=self.checkout(number),
            env=self.environment(number, self.folder / f"step-{number}.db"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout
            process.stdout.readline()
            yield Client(port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, target: str) -> tuple[int, object]:
        self.connection.request("GET", target)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def median_ms(self, target: str, n: int = 15) -> float:
        times = []
        for _ in range(n):
            began = time.perf_counter()
            self.get(target)
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    scenario = Scenario(folder, START)
    assert [step.number for step, _ in play(scenario)] == list(range(1, 15))
    return Played(scenario, folder)


def test_playing_twice_gives_the_same_commits(played, tmp_path):
    again = Scenario(tmp_path, START)

    for _ in play(again):
        pass

    assert again.shas == played.scenario.shas


def test_commits_have_the_decided_topology(played):
    parents = {
        step.number: played.git("log", "-1", "--format=%P", played.sha(step.number))
        .decode()
        .strip()
        for step in STEPS
    }

    assert parents.pop(1) == ""
    assert parents == {step.number: played.sha(step.base) for step in STEPS if step.base}


def test_branches_end_where_their_last_step_put_them(played):
    refs = played.git("for-each-ref", "--format=%(refname:short) %(objectname)").decode()

    assert dict(line.split() for line in refs.splitlines()) == {
        "main": played.sha(14),
        "team/comments": played.sha(13),
        "team/faster-search": played.sha(11),
        "team/settings": played.sha(12),
    }


def test_commit_times_strictly_increase(played):
    times = [
        int(played.git("log", "-1", "--format=%ct", played.sha(step.number))) for step in STEPS
    ]

    assert times == sorted(set(times))


def test_each_step_writes_only_what_it_is_about(played):
    changed = {
        n: played.git("diff", "--name-only", played.sha(STEPS[n - 1].base), played.sha(n))
        .decode()
        .split()
        for n in (2, 4, 8, 13)
    }

    assert changed == {
        2: ["README.md"],
        4: ["shop/search.py"],
        8: ["requirements.lock", f"vendor/{wheel_name('1.0.0')}", f"vendor/{wheel_name('1.1.0')}"],
        13: ["shop/prices.py"],
    }


def test_the_revert_is_a_true_one(played):
    tree = [played.git("rev-parse", f"{played.sha(n)}^{{tree}}") for n in (8, 14)]
    message = played.git("log", "-1", "--format=%B", played.sha(14)).decode()

    assert tree[0] == tree[1]
    assert f"This reverts commit {played.sha(10)}." in message
    assert message.startswith('Revert "')


@pytest.mark.parametrize("number", [1, 4, 6, 7, 9, 10, 11, 12])
def test_its_own_tests_pass(played, number):
    ran = played.run(number, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert ran.returncode == 0, ran.stdout


def test_step_5_breaks_a_test_that_was_there_before(played):
    ran = played.run(5, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert ran.returncode == 1
    assert "FAILED tests/test_prices.py::test_tax_is_rounded_half_up" in ran.stdout


def test_step_6_fails_on_the_database_that_its_migrations_make(played):
    with played.service(6) as client:
        assert client.get("/products")[0] == 500


def test_step_7_brings_the_column(played):
    with played.service(7) as client:
        status, products = client.get("/products")

    assert (status, len(products)) == (200, 12)


def test_the_version_before_works_on_the_database_after(played):
    database = played.folder / "shared.db"
    for number in (4, 7):
        subprocess.run(
            [sys.executable, "-m", "shop.migrate"],
            cwd=played.checkout(number),
            env=played.environment(number, database),
            check=True,
            capture_output=True,
        )

    code = f"from shop.api import Shop; print(Shop({str(database)!r}).answer('/products').status)"
    old = subprocess.run(
        [sys.executable, "-c", code],
        cwd=played.checkout(4),
        env=played.environment(4, database),
        capture_output=True,
        text=True,
        check=False,
    )

    assert old.stdout == "200\n", old.stderr


def test_migrations_say_what_they_applied(played):
    first = played.run(13, "-m", "shop.migrate").stdout
    second = played.run(13, "-m", "shop.migrate").stdout

    assert first.splitlines()[-1] in {"applied 0003_discount", "nothing to apply"}
    assert second == "nothing to apply\n"


def test_two_migrations_at_once_apply_each_file_once(played):
    database = played.folder / "race.db"
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "shop.migrate"],
            cwd=played.checkout(8),
            env=played.environment(8, database),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    said = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]

    applied = sorted(line for lines in said for line in lines if line.startswith("applied"))
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert applied == ["applied 0001_products", "applied 0002_ratings", "applied 0003_discount"]


def test_step_9_divides_by_zero_where_nobody_looked(played):
    code = "from shop.ratings import average_rating; average_rating([])"

    assert "ZeroDivisionError" in played.run(9, "-c", code).stderr


def test_step_10_fails_every_fifth_search_and_nothing_else(played):
    with played.service(10) as client:
        searches = [client.get("/search?q=hat")[0] for _ in range(15)]
        others = {client.get(target)[0] for target in ("/products", "/products/1", "/healthz")}

    assert searches == [200, 200, 200, 200, 500] * 3
    assert others == {200}


def test_step_11_is_at_least_three_times_slower(played):
    with played.service(8) as before, played.service(11) as after:
        for target in ("/search?q=wool", "/products", "/products/3"):
            assert after.median_ms(target) >= 3 * before.median_ms(target)


def test_step_12_dies_at_start(played):
    ran = played.run(12, "-m", "shop", "--port", "0")

    assert ran.returncode == 1
    assert "KeyError: 'SHOP_CURRENCY'" in ran.stderr


@pytest.mark.parametrize("number", [1, 8, 14])
def test_the_service_answers_on_one_kept_alive_connection(played, number):
    with played.service(number) as client:
        found = client.get("/search?q=WOOL+hat")
        missing = client.get("/products/99")
        health = client.get("/healthz")

    assert found == (200, [{"id": 10, "name": "Wool hat", "cents": 2142, "price": "21.42"}])
    assert missing[0] == 404
    assert health == (200, {"status": "ok", "products": 12})


def test_wheels_of_both_versions_tax_alike():
    taxed = {}
    for version in ("1.0.0", "1.1.0"):
        names: dict[str, object] = {}
        with zipfile.ZipFile(io.BytesIO(wheel(version))) as archive:
            assert archive.testzip() is None
            exec(archive.read("shoptax/__init__.py"), names)
        taxed[version] = [names["add"](cents, 190) for cents in (0, 1, 50, 99, 1800, 10**40)]

    assert taxed["1.0.0"] == taxed["1.1.0"]


def test_the_lock_names_the_hash_of_the_wheel():
    assert wheel("1.0.0") == wheel("1.0.0")
    assert lock("1.0.0") != lock("1.1.0")
    assert lock("1.0.0").startswith("--no-index\n--find-links vendor\n")


def test_an_archive_is_a_message_and_files():
    archive = Archive.parse("Subject\n\nBody\n-- a/b.py --\nx = 1\n-- c.md --\n")

    assert archive == Archive("Subject\n\nBody\n", {"a/b.py": "x = 1\n", "c.md": ""})


def seen_as_expected(number: int) -> Seen:
    """What a perfect run of the step would leave behind."""
    expected = STEPS[number - 1].expected
    done = outcome(
        number,
        expected.ending,
        cause=expected.cause,
        route=expected.route or expected.at_least or Route.STANDARD,
        stage=expected.stage or "deploy_outcome",
        evidence=" ".join(expected.evidence),
        failed_at=NOON if expected.records_recovery else None,
        restored_at=NOON if expected.records_recovery else None,
        reverts="abc" if expected.reverts else None,
    )
    deployment = Deployment(
        key=key(number),
        environment="production",
        status=DeploymentStatus.CRASHED_AT_START
        if expected.never_gets_traffic
        else DeploymentStatus.STARTED,
        rollout_id=None,
        canary=None,
        baseline=None,
        migrations=expected.migrations,
        seconds=1.0,
        note="",
    )
    layer = Layer("environment", "d", not expected.is_environment_rebuilt, "", 0.1, 1, 0.1)
    image = Image(ImageKind.BUNDLE, "r", "d", (layer,), 0.1, "")
    return Seen(done, image, deployment, "abc" if expected.reverts else None)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.number))
def test_a_run_as_expected_has_no_differences(step, tmp_path):
    assert Scenario(tmp_path, START).check(step, seen_as_expected(step.number)) == []


@pytest.mark.parametrize(
    ("number", "changes", "said"),
    [
        (1, {"ending": Ending.WITHHELD}, "expected promoted, was withheld"),
        (1, {"cause": CauseClass.TEST}, "expected cause none, was test"),
        (1, {"deployed_at": None}, "was live for all traffic: False"),
        (2, {"route": Route.FAST}, "expected route skip, was fast"),
        (5, {"stage": "image"}, "expected to end at test_report, ended at image"),
        (8, {"route": Route.STANDARD}, "expected route guarded or stricter, was standard"),
        (8, {"route": None}, "expected route guarded or stricter, was none"),
        (9, {"evidence": "average_rating([])"}, "'ZeroDivisionError'"),
        (10, {"restored_at": None}, "expected a recovery time"),
        (14, {"reverts": None}, "expected a revert of abc, recorded was None"),
    ],
)
def test_a_difference_in_the_outcome_is_said(number, changes, said, tmp_path):
    seen = seen_as_expected(number)
    seen = replace(seen, outcome=replace(seen.outcome, **changes))

    found = Scenario(tmp_path, START).check(STEPS[number - 1], seen)

    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("number", "changes", "said"),
    [
        (1, {"outcome": None}, "never settled"),
        (7, {"deployment": None}, "expected migrations"),
        (8, {"image": None}, "expected a rebuilt environment"),
        (12, {"deployment": seen_as_expected(1).deployment}, "expected no traffic ever"),
    ],
)
def test_a_difference_in_the_artefacts_is_said(number, changes, said, tmp_path):
    seen = replace(seen_as_expected(number), **changes)

    (found,) = Scenario(tmp_path, START).check(STEPS[number - 1], seen)

    assert said in found
