from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from agentci_dagster.adapters.builders.choice import ImageBuilders
from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import DockerUse, Image, ImageKind
from tests.builders import diff, key
from tests.fakes.image import FakeImageBuilder


@dataclass
class FakeDocker:
    program: DockerProgram = field(default_factory=lambda: DockerProgram("/usr/bin/docker"))
    is_there: bool = True

    def has_dockerfile(self, key):
        return self.is_there

    def build(self, key, diff):
        return Image(ImageKind.DOCKER, "agentci/shop:1", "sha256:1", (), 1.0, "two steps")


def build(docker, *, needs_bundle=False, use=DockerUse.AUTO):
    builders = ImageBuilders(FakeImageBuilder(), docker, lambda _: needs_bundle, lambda _: use)
    return builders.build(key(), diff())


def test_docker_is_used_where_it_is_possible():
    image = build(FakeDocker())

    assert image.kind is ImageKind.DOCKER
    assert image.note == (
        "Docker image by /usr/bin/docker from the repository's Dockerfile; two steps"
    )


@pytest.mark.parametrize(
    ("docker", "needs_bundle", "why"),
    [
        (FakeDocker(), True, "its service runs as a process"),
        (FakeDocker(is_there=False), False, "the repository has no Dockerfile at its root"),
        (FakeDocker(DockerProgram("", "no daemon answers")), False, "no daemon answers"),
    ],
)
def test_else_the_bundle_says_why(docker, needs_bundle, why):
    image = build(docker, needs_bundle=needs_bundle)

    assert image.kind is ImageKind.BUNDLE
    assert image.note == f"bundle, because {why}"


def test_a_registry_out_of_reach_leaves_it_to_the_bundle():
    class Offline(FakeDocker):
        def build(self, key, diff):
            raise InfrastructureError("no such host", "look at the network")

    image = build(Offline())

    assert (image.kind, image.note) == (ImageKind.BUNDLE, "bundle, because no such host")


def test_docker_that_is_always_wanted_needs_no_dockerfile_and_is_waited_for():
    class Offline(FakeDocker):
        def build(self, key, diff):
            raise InfrastructureError("no such host", "look at the network")

    image = build(FakeDocker(is_there=False), use=DockerUse.ALWAYS)

    assert image.note.startswith("Docker image by /usr/bin/docker from a generated Dockerfile")
    with pytest.raises(InfrastructureError, match="no such host"):
        build(Offline(), use=DockerUse.ALWAYS)


def test_docker_that_is_never_wanted_is_not_used():
    assert build(FakeDocker(), use=DockerUse.NEVER).note == (
        "bundle, because the settings want no Docker"
    )


def test_docker_is_not_even_asked_when_a_bundle_is_needed():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    assert build(Untouchable(), needs_bundle=True).kind is ImageKind.BUNDLE


def test_only_the_note_is_changed():
    plain = FakeImageBuilder().build(key(), diff())

    assert replace(build(FakeDocker(is_there=False)), note="") == plain
