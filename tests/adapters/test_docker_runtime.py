"""What only containers can show: how they are confined, found again, ended and put away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import docker
import pytest

from agentci_dagster.adapters.runtimes.choice import Runtimes
from agentci_dagster.adapters.runtimes.docker import DockerRuntime
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.ports import ServicePlan
from tests import docker_serving
from tests.adapters.test_process_runtime import answers, service, stop_all
from tests.builders import key
from tests.conftest import docker_answers
from tests.fakes.deploy import FakeClock, FakeRuntime
from tests.waiting import eventually

PLAN: ServicePlan = service(
    command=docker_serving.COMMAND, migrate_command=("{python}", "/migrate.py")
)


def test_environment_has_the_runtime_of_its_target() -> None:
    process, containers = FakeRuntime(FakeClock()), FakeRuntime(FakeClock())
    runtimes = Runtimes({"process": process, "docker": containers}, {"production": "docker"})
    image = Image(ImageKind.DOCKER, "shop:1", "sha256:x", (), 0.0, "")

    one = runtimes.start(service("production"), image, "aaaaaaa-1", key(1))
    two = runtimes.start(service("staging"), image, "bbbbbbb-1", key(1))

    assert containers.releases("production") == (one,) == runtimes.releases("production")
    assert process.releases("staging") == (two,) == runtimes.releases("staging")


@pytest.mark.docker
def test_bundle_is_refused(tmp_path: Path) -> None:
    if not docker_answers():
        pytest.skip("no Docker daemon answers")
    bundle = Image(ImageKind.BUNDLE, "/somewhere", "sha256:x", (), 0.0, "")

    with pytest.raises(InfrastructureError, match=r"not a bundle"):
        DockerRuntime(tmp_path).start(PLAN, bundle, "aaaaaaa-1", key(1))


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    made = docker_serving.image()
    yield made
    docker_serving.remove(made)


@pytest.mark.docker
@pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers")
class TestContainers:
    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Iterator[DockerRuntime]:
        runtime = DockerRuntime(tmp_path / "environments")
        yield runtime
        stop_all(runtime)

    def test_container_is_confined(self, runtime: DockerRuntime, image: Image) -> None:
        release = runtime.start(PLAN, image, "aaaaaaa-1", key(1))

        told = docker.from_env().containers.get(release.container_id or "").attrs["HostConfig"]

        assert told["ReadonlyRootfs"]
        assert told["CapDrop"] == ["ALL"]
        assert told["SecurityOpt"] == ["no-new-privileges"]
        assert (told["Memory"], told["MemorySwap"]) == (1 << 30, 1 << 30)
        assert (told["NanoCpus"], told["PidsLimit"]) == (1_000_000_000, 512)
        ports = told["PortBindings"]
        assert [bound[0]["HostIp"] for bound in ports.values()] == ["127.0.0.1"]

    def test_restarted_installation_finds_its_own_only(
        self, runtime: DockerRuntime, image: Image, tmp_path: Path
    ) -> None:
        release = runtime.start(PLAN, image, "aaaaaaa-1", key(1))

        again = DockerRuntime(tmp_path / "environments")

        assert again.releases("production") == (release,)
        assert DockerRuntime(tmp_path / "other").releases("production") == ()
        eventually(lambda: answers(again, release))

    def test_killed_container_is_put_away_with_its_log(
        self, runtime: DockerRuntime, image: Image
    ) -> None:
        release = runtime.start(PLAN, image, "aaaaaaa-1", key(1))
        eventually(lambda: answers(runtime, release))
        client = docker.from_env()

        client.containers.get(release.container_id or "").kill()
        eventually(lambda: not runtime.is_alive(release))

        assert runtime.releases("production") == ()
        assert client.containers.list(all=True, filters={"id": release.container_id}) == []
        assert "serving hello" in runtime.log_tail(release)

    def test_image_that_is_gone_is_our_trouble(self, runtime: DockerRuntime) -> None:
        gone = Image(ImageKind.DOCKER, "shop:1", f"sha256:{'0' * 64}", (), 0.0, "")

        with pytest.raises(InfrastructureError, match=r"shop:1 is gone"):
            runtime.start(PLAN, gone, "aaaaaaa-1", key(1))

    def test_command_that_is_not_there_is_the_commit_s_fault(
        self, runtime: DockerRuntime, image: Image
    ) -> None:
        release = runtime.start(service(command=("/no/such/program",)), image, "aaaaaaa-1", key(1))

        assert not runtime.is_alive(release)
        assert "cannot start" in runtime.log_tail(release)
        assert runtime.releases("production") == ()

    def test_migration_that_takes_too_long_is_ended(
        self, runtime: DockerRuntime, image: Image
    ) -> None:
        slow = service(migrate_command=("{python}", "-c", "import time; time.sleep(60)"))

        run = runtime.migrate(slow, image, timedelta(seconds=1))

        assert run.failure.startswith("did not end within 1 s")
        marks = {"label": f"agentci.folder={runtime._folder}"}
        assert docker.from_env().containers.list(all=True, filters=marks) == []
