"""Which builder makes a commit's artefact: Docker where possible and wanted, else the bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from agentci_dagster.adapters.builders.docker import DOCKERFILE
from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.domain.diff import CommitDiff, CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import DockerUse, Image
from agentci_dagster.ports import ImageBuilder


class BuildsWithDocker(ImageBuilder, Protocol):
    """A builder that knows whether it can work; `docker.DockerBuilder` does."""

    @property
    def program(self) -> DockerProgram: ...
    def has_dockerfile(self, key: CommitKey) -> bool: ...


class ImageBuilders:
    """The `ImageBuilder` of an installation.

    Args:
        bundle: builds without Docker.
        docker: builds with it.
        needs_bundle: whether a repository is run from a bundle (its target is a process).
        use: when a repository gets a Docker image.
    """

    def __init__(
        self,
        bundle: ImageBuilder,
        docker: BuildsWithDocker,
        needs_bundle: Callable[[str], bool],
        use: Callable[[str], DockerUse] = lambda _: DockerUse.AUTO,
    ) -> None:
        self._bundle = bundle
        self._docker = docker
        self._needs_bundle = needs_bundle
        self._use = use

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        why_bundle = self._why_bundle(key)
        if not why_bundle:
            try:
                image = self._docker.build(key, diff)
            except InfrastructureError as error:
                if self._use(key.repository) is DockerUse.ALWAYS:
                    raise
                # Nothing runs from images yet, so a registry out of reach need not stop the commit.
                why_bundle = error.message
            else:
                path = self._docker.program.path
                of = "the repository's" if self._docker.has_dockerfile(key) else "a generated"
                return _noted(image, f"Docker image by {path} from {of} {DOCKERFILE}")
        return _noted(self._bundle.build(key, diff), f"bundle, because {why_bundle}")

    def _why_bundle(self, key: CommitKey) -> str:
        if self._needs_bundle(key.repository):
            return "its service runs as a process"
        use = self._use(key.repository)
        if use is DockerUse.ALWAYS:
            return ""
        if use is DockerUse.NEVER:
            return "the settings want no Docker"
        if not self._docker.has_dockerfile(key):
            return f"the repository has no {DOCKERFILE} at its root"
        return self._docker.program.trouble


def _noted(image: Image, why: str) -> Image:
    return replace(image, note="; ".join(filter(None, [why, image.note])))
