"""Runtime: one contract for the fake, processes and containers, and what only real processes can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.processes import find, free_port, identity_of, is_running, locked
from agentci_dagster.adapters.runtimes.docker import DockerRuntime
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import Runtime, ServicePlan
from tests import docker_serving
from tests.builders import key
from tests.conftest import docker_answers
from tests.fakes.deploy import Behaviour, FakeClock, FakeRuntime
from tests.serving import COMMAND, bundle
from tests.waiting import eventually

GRACE = timedelta(seconds=1)
ASK = timedelta(seconds=1)


def service(environment: str = "production", **changes: object) -> ServicePlan:
    plan = ServicePlan(
        repository="shop",
        environment=environment,
        command=COMMAND,
        health_path="/healthz",
        migrate_command=("{python}", "migrate.py"),
        variables={"GREETING": "hello"},
        probe_paths=(),
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A runtime with a good and a crashing image."""

    runtime: Runtime
    good: Image
    crashing: Image
    bad_migration: Image
    plan: ServicePlan


@pytest.fixture(params=["fake", "process", pytest.param("docker", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeRuntime(FakeClock())
        images = [Image(ImageKind.BUNDLE, key(n).sha, "sha256:x", (), 0.0, "") for n in (1, 2, 3)]
        fake.behaviours[key(1).sha] = Behaviour(migrations=("0001_first",))
        fake.behaviours[key(2).sha] = Behaviour(dies_at_start=True)
        fake.behaviours[key(3).sha] = Behaviour(migration_failure="no such column")
        yield Bench(fake, *images, service())
        return
    failing = "print('applied 0001_first')\nraise SystemExit('no such column')"
    if request.param == "docker":
        if not docker_answers():
            pytest.skip("no Docker daemon answers")
        containers = DockerRuntime(tmp_path / "environments")
        plan = service(command=docker_serving.COMMAND, migrate_command=("{python}", "/migrate.py"))
        made = [
            docker_serving.image(),
            docker_serving.image("crash"),
            docker_serving.image(migrations=failing),
        ]
        yield Bench(containers, *made, plan)
        stop_all(containers)
        docker_serving.remove(*made)
        return
    runtime = ProcessRuntime(tmp_path / "environments")
    yield Bench(
        runtime,
        bundle(tmp_path / "good"),
        bundle(tmp_path / "crash", "crash"),
        bundle(tmp_path / "failing", migrations=failing),
        service(),
    )
    stop_all(runtime)


def stop_all(runtime: Runtime) -> None:
    for environment in ("production", "staging"):
        for release in runtime.releases(environment):
            runtime.stop(release, timedelta(seconds=0))


def answers(runtime: Runtime, release: Release) -> bool:
    return runtime.ask(release, "/healthz", ASK).status == 200


# ---------------------------------------------------------------- contract


def test_started_release_lives_answers_and_is_found(bench: Bench) -> None:
    release = bench.runtime.start(bench.plan, bench.good, "aaaaaaa-1", key(1))

    eventually(lambda: answers(bench.runtime, release))
    assert bench.runtime.is_alive(release)
    assert bench.runtime.releases("production") == (release,)
    assert bench.runtime.releases("staging") == ()
    assert (release.key, release.artefact) == (key(1), bench.good.reference)


def test_stopped_release_is_gone_and_stopping_twice_is_fine(bench: Bench) -> None:
    release = bench.runtime.start(bench.plan, bench.good, "aaaaaaa-1", key(1))

    bench.runtime.stop(release, GRACE)
    bench.runtime.stop(release, GRACE)

    assert not bench.runtime.is_alive(release)
    assert bench.runtime.releases("production") == ()
    assert bench.runtime.ask(release, "/healthz", ASK).status == 0


def test_two_releases_run_beside_each_other(bench: Bench) -> None:
    one = bench.runtime.start(bench.plan, bench.good, "aaaaaaa-1", key(1))
    two = bench.runtime.start(bench.plan, bench.good, "bbbbbbb-2", key(1))

    bench.runtime.stop(one, GRACE)

    assert one.port != two.port
    assert bench.runtime.releases("production") == (two,)


def test_release_that_crashes_is_dead_and_has_a_log(bench: Bench) -> None:
    release = bench.runtime.start(bench.plan, bench.crashing, "ccccccc-1", key(2))

    eventually(lambda: not bench.runtime.is_alive(release))
    assert bench.runtime.log_tail(release)
    assert bench.runtime.releases("production") == ()


def test_migrations_are_named_and_failures_explained(bench: Bench) -> None:
    good = bench.runtime.migrate(bench.plan, bench.good, timedelta(seconds=20))
    bad = bench.runtime.migrate(bench.plan, bench.bad_migration, timedelta(seconds=20))

    assert (good.applied, good.failure) == (("0001_first",), "")
    assert "no such column" in bad.failure


# ---------------------------------------------------------------- real processes only


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(tmp_path / "environments")
    yield runtime
    stop_all(runtime)


def test_crash_leaves_its_last_words(runtime: ProcessRuntime, tmp_path: Path) -> None:
    release = runtime.start(service(), bundle(tmp_path / "c", "crash"), "ccccccc-1", key())

    eventually(lambda: not runtime.is_alive(release))

    assert "no setting PAYMENT_URL" in runtime.log_tail(release)


def test_command_that_does_not_exist_is_a_release_dead_from_the_start(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    plan = service(command=("no-such-program", "{port}"), migrate_command=("no-such-program",))
    image = bundle(tmp_path / "b")

    release = runtime.start(plan, image, "aaaaaaa-1", key())

    assert not runtime.is_alive(release)
    assert "cannot start" in runtime.log_tail(release)
    assert "cannot start" in runtime.migrate(plan, image, GRACE).failure


def test_release_is_adopted_by_another_process_of_ours(tmp_path: Path) -> None:
    first = ProcessRuntime(tmp_path / "environments")
    release = first.start(service(), bundle(tmp_path / "b"), "aaaaaaa-1", key())
    try:
        script = (
            "import sys; from pathlib import Path; from datetime import timedelta\n"
            "from agentci_dagster.adapters.runtimes.process import ProcessRuntime\n"
            "r = ProcessRuntime(Path(sys.argv[1])); found = r.releases('production')\n"
            "print(found[0].name, found[0].port, r.is_alive(found[0]))\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "environments")],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        assert out.stdout.split() == ["aaaaaaa-1", str(release.port), "True"]
    finally:
        stop_all(first)


def test_orphan_is_found_when_every_file_about_it_is_lost(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    release = runtime.start(service(), bundle(tmp_path / "b"), "aaaaaaa-1", key())
    for file in (tmp_path / "environments").rglob("*.json"):
        file.unlink()

    # The kernel shows the environment of a program a moment after it was started.
    eventually(lambda: runtime.releases("production") == (release,))
    assert ProcessRuntime(tmp_path / "elsewhere").releases("production") == ()


def test_broken_state_file_does_not_hide_the_others(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    release = runtime.start(service(), bundle(tmp_path / "b"), "aaaaaaa-1", key())
    (tmp_path / "environments/production/releases/zz-1.json").write_text('{"key": 5')

    assert runtime.releases("production") == (release,)


def test_another_process_with_its_number_is_not_the_release(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    release = runtime.start(service(), bundle(tmp_path / "b"), "aaaaaaa-1", key())
    impostor = replace(release, started_ticks=(release.started_ticks or 0) + 1)

    assert runtime.is_alive(release)
    assert not runtime.is_alive(impostor)


def test_children_of_a_release_end_with_it(runtime: ProcessRuntime, tmp_path: Path) -> None:
    image = bundle(tmp_path / "b")
    (tmp_path / "b/app/forks.py").write_text(
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " start_new_session=True)\ntime.sleep(60)\n"
    )
    plan = service(command=("{python}", "forks.py"))
    release = runtime.start(plan, image, "aaaaaaa-1", key())
    marks = {"AGENTCI_RELEASE": "aaaaaaa-1", "AGENTCI_PORT": str(release.port)}
    eventually(lambda: len(find(marks)) == 2)

    assert len(runtime.releases("production")) == 1
    runtime.stop(release, timedelta(seconds=1))

    assert find(marks) == ()


def test_child_that_outlives_its_release_is_not_taken_for_it(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b")
    (tmp_path / "b/app/leaves.py").write_text(
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " start_new_session=True)\nprint('left', flush=True)\ntime.sleep(60)\n"
    )
    plan = service(command=("{python}", "leaves.py"))
    release = runtime.start(plan, image, "aaaaaaa-1", key())
    eventually(lambda: "left" in runtime.log_tail(release))
    os.kill(release.process_id or 0, signal.SIGKILL)
    eventually(lambda: not runtime.is_alive(release))

    (found,) = runtime.releases("production")

    assert found == release
    assert not runtime.is_alive(found)
    runtime.stop(found, timedelta(0))
    assert runtime.releases("production") == ()


def test_answer_that_drips_is_none(runtime: ProcessRuntime, tmp_path: Path) -> None:
    image = bundle(tmp_path / "b")
    (tmp_path / "b/app/drips.py").write_text(
        "import socket, sys, time\n"
        "inlet = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "print('open', flush=True)\n"
        "while True:\n"
        "    peer, _ = inlet.accept()\n"
        "    try:\n"
        "        peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 99999\\r\\n\\r\\n')\n"
        "        while True:\n"
        "            peer.sendall(b'x')\n"
        "            time.sleep(0.05)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    plan = service(command=("{python}", "drips.py", "{port}"))
    release = runtime.start(plan, image, "aaaaaaa-1", key())
    eventually(lambda: "open" in runtime.log_tail(release))

    answer = runtime.ask(release, "/", timedelta(seconds=0.3))

    assert answer.status == 0


def test_release_that_ignores_the_polite_word_is_killed(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b")
    (tmp_path / "b/app/deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\ntime.sleep(60)\n"
    )
    release = runtime.start(service(command=("{python}", "deaf.py")), image, "aaaaaaa-1", key())
    eventually(lambda: "deaf" in runtime.log_tail(release))

    runtime.stop(release, timedelta(seconds=0.1))

    assert not runtime.is_alive(release)


def test_namesake_in_another_environment_is_left_alone(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b")
    here = runtime.start(service(), image, "aaaaaaa-1", key())
    there = runtime.start(service("staging"), image, "aaaaaaa-1", key())

    runtime.stop(here, GRACE)

    assert runtime.releases("staging") == (there,)


def test_migration_that_hangs_is_ended_at_its_deadline(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b", migrations="import time; time.sleep(60)")

    ran = runtime.migrate(service(), image, timedelta(seconds=0.3))

    assert "did not end within 0.3 s" in ran.failure
    assert runtime.releases("production") == ()
    assert runtime.migrate(service(migrate_command=()), image, GRACE).seconds == 0


def test_service_gets_its_own_variables_and_none_of_ours(
    runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCI_LLM_API_KEY", "not-for-services")
    image = bundle(tmp_path / "b")
    (tmp_path / "b/app/env.py").write_text("import os; print(sorted(os.environ.items()))\n")

    plan = service(
        command=("{python}", "env.py"), variables={"GREETING": "hi", "AGENTCI_RELEASE": "x"}
    )
    release = runtime.start(plan, image, "aaaaaaa-1", key())

    eventually(lambda: "GREETING" in runtime.log_tail(release))
    assert "not-for-services" not in runtime.log_tail(release)
    assert "('AGENTCI_RELEASE', 'aaaaaaa-1')" in runtime.log_tail(release)


def test_artefact_that_is_gone_is_named(runtime: ProcessRuntime, tmp_path: Path) -> None:
    image = bundle(tmp_path / "b")

    with pytest.raises(InfrastructureError, match="no app folder"):
        runtime.start(service(), replace(image, reference=str(tmp_path / "x")), "aaaaaaa-1", key())
    with pytest.raises(InfrastructureError, match="runs bundles"):
        runtime.start(service(), replace(image, kind=ImageKind.DOCKER), "aaaaaaa-1", key())
    with pytest.raises(ValueError, match="not a release name"):
        runtime.start(service(), image, "../evil", key())


def test_interpreter_of_a_linked_virtual_environment_finds_its_packages(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    link = tmp_path / "b/env/bin/python"
    link.unlink()
    link.symlink_to(venv / "bin" / "python")
    (tmp_path / "b/app/prefix.py").write_text("import sys; print('prefix', sys.prefix)\n")

    plan = service(command=("{python}", "prefix.py"))
    release = runtime.start(plan, image, "aaaaaaa-1", key())

    eventually(lambda: f"prefix {venv}" in runtime.log_tail(release))


def test_a_release_imports_what_its_tests_did_and_nothing_outside_its_bundle(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    image = bundle(tmp_path / "b")
    home = tmp_path / "b"
    for folder in ("app/src/shop", "overlay/shop-1.5.dist-info", "app/a:b", "outside"):
        (home / folder).mkdir(parents=True)
    (home / "app/src/shop/__init__.py").touch()
    (home / "overlay/shop-1.5.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: shop\nVersion: 1.5\n"
    )
    (home / "app" / "link").symlink_to("../outside")
    roots = ["src", "../outside", "/tmp", "link", "a:b", "none"]
    (home / "bundle.json").write_text(json.dumps({"import_roots": roots}))
    (home / "app/say.py").write_text(
        "import importlib.metadata, os, shop\n"
        "print('version', importlib.metadata.version('shop'), os.environ['PYTHONPATH'])\n"
    )

    release = runtime.start(service(command=("{python}", "say.py")), image, "aaaaaaa-1", key())

    said = f"version 1.5 {home / 'overlay'}:{home / 'app/src'}\n"
    eventually(lambda: said in runtime.log_tail(release))


def test_a_damaged_manifest_is_ours(runtime: ProcessRuntime, tmp_path: Path) -> None:
    image = bundle(tmp_path / "b")
    (tmp_path / "b" / "bundle.json").write_text('{"import_roots": 1}')

    with pytest.raises(InfrastructureError, match="is damaged"):
        runtime.start(service(), image, "aaaaaaa-1", key())


# ---------------------------------------------------------------- processes


def test_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = identity_of(child.pid)
    eventually(lambda: identity_of(child.pid) is None)

    assert identity is None or not is_running(identity)
    child.wait()


def test_port_that_is_taken_is_passed_over() -> None:
    import socket

    port = free_port(30_000, 30_050, "x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(30_000, 30_050, "x") != port
        with pytest.raises(InfrastructureError, match="No port between"):
            free_port(port, port, "x")


def test_lock_is_let_go_when_its_holder_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from agentci_dagster.adapters.processes import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()

    with locked(tmp_path / "lock"):
        pass
