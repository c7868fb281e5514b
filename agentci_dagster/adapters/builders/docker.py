"""Docker images by BuildKit through the docker program.

Reading BuildKit's output belongs to `buildkit_output.py`, the layers to `docker_layers.py`; whether
Docker is used to `choice.py`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from agentci_dagster.adapters.builders.buildkit_output import (
    BuildStep,
    failed_step,
    is_machine_fault,
    parse_progress,
)
from agentci_dagster.adapters.builders.docker_layers import layers_of, write_beside
from agentci_dagster.adapters.builders.docker_program import DockerProgram, find_docker
from agentci_dagster.adapters.builders.streaming import run_telling
from agentci_dagster.adapters.command import Completed, TimeLimitError
from agentci_dagster.adapters.disk_use import measure
from agentci_dagster.adapters.project_files import read_inside
from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import (
    Image,
    ImageKind,
    ImageWish,
    RecipeAnswer,
    dockerfile_of,
    read_for_recipe,
    recipe_of,
)
from agentci_dagster.ports import Mirror, Mirrors

DOCKERFILE = "Dockerfile"
MAX_CONTEXT_BYTES = 1 << 30
"""A tree of more is no source code; sending it would take minutes and the daemon's disk."""
_MAX_FILES = 1_000_000
_BUILD_TIMEOUT = timedelta(minutes=30)
_LAST = "last-image"
_TAIL = 4000
_LOG = logging.getLogger("agentci_dagster.builds")


class DockerBuilder:
    """Builds images tagged with the full sha, from the repository's Dockerfile or one of ours.

    Args:
        folder: where the costs of layers are kept, and where trees are exported to for a build.
        mirrors: where trees come from.
        candidates: docker programs to try in this order; those on PATH when left out.
        wish: what a repository's settings ask of a Dockerfile that we write.
        tell: hears the lines of a build while it runs.
        max_context_bytes: most that is sent to the daemon.
        timeout: a build that runs longer is ended.
    """

    def __init__(
        self,
        folder: Path,
        mirrors: Mirrors,
        candidates: Sequence[str] | None = None,
        *,
        wish: Callable[[str], ImageWish] = lambda _: ImageWish(),
        tell: Callable[[str], None] = _LOG.info,
        max_context_bytes: int = MAX_CONTEXT_BYTES,
        timeout: timedelta = _BUILD_TIMEOUT,
    ) -> None:
        self._folder = folder
        self._mirrors = mirrors
        self._candidates = candidates
        self._wish = wish
        self._tell = tell
        self._max_context_bytes = max_context_bytes
        self._timeout = timeout

    @cached_property
    def program(self) -> DockerProgram:
        """The first candidate whose daemon answers and that can build with BuildKit."""
        return find_docker(self._candidates)

    def has_dockerfile(self, key: CommitKey) -> bool:
        return DOCKERFILE in self._mirrors.of(key.repository).files(key.sha)

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        if self.program.trouble:
            raise InfrastructureError(
                f"No image can be built for {key}: {self.program.trouble}",
                "start Docker, or leave it to the bundle",
            )
        try:
            return self._build(key, diff)
        except OSError as error:
            raise InfrastructureError(
                f"The build of {key} could not be written: {error}.",
                "look for free disk space, then run the image asset again",
            ) from error

    def _build(self, key: CommitKey, diff: CommitDiff) -> Image:
        began = time.monotonic()
        mirror = self._mirrors.of(key.repository)
        tag = image_tag(key)
        home = self._folder / key.repository
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="context-") as scratch:
            place = Path(scratch)
            context = place / "context"
            context.mkdir()
            mirror.export(key.sha, context)
            commit = mirror.commit(key.sha)
            _date(context, commit)
            fault = self._too_large(context)
            text = "" if fault else self._dockerfile(key, mirror, context)
            if isinstance(text, RecipeAnswer):
                fault = f"there is no {DOCKERFILE}, and none can be written: {text.why_none}"
            if fault or isinstance(text, RecipeAnswer):
                return failed_image(fault, "", time.monotonic() - began)
            (place / DOCKERFILE).write_text(text, encoding="utf-8")
            try:
                done = self._run_build(place, tag, commit, home)
            except TimeLimitError as error:
                if find_docker([self.program.path]).trouble:
                    raise
                return failed_image(f"the build was ended: {error.message}", "", 0.0)
            output = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace")
            identity = place / "id"
            digest = identity.read_text().strip() if identity.exists() else ""
        steps = parse_progress(output)
        if done.returncode or not digest:
            return _failed(key, output, steps, time.monotonic() - began)
        home.mkdir(parents=True, exist_ok=True)
        write_beside(home / _LAST, tag)
        return Image(
            kind=ImageKind.DOCKER,
            reference=tag,
            digest=digest,
            layers=layers_of(self.program, home, diff, steps, digest),
            seconds=time.monotonic() - began,
            note="",
            log_tail=output[-_TAIL:],
        )

    def _too_large(self, context: Path) -> str:
        n_bytes = measure([context], _MAX_FILES).n_bytes
        if n_bytes <= self._max_context_bytes:
            return ""
        return (
            f"the tree has {n_bytes / 1e6:,.0f} MB; at most "
            f"{self._max_context_bytes / 1e6:,.0f} MB are sent to the builder"
        )

    def _dockerfile(self, key: CommitKey, mirror: Mirror, context: Path) -> str | RecipeAnswer:
        """The text to build from: the repository's where it has one, which no link leads out of."""
        files = mirror.files(key.sha)
        if DOCKERFILE in files:
            return read_inside(context, DOCKERFILE) or ""
        texts = {path: read_inside(context, path) or "" for path in read_for_recipe(files)}
        answer = recipe_of(files, texts, self._wish(key.repository))
        if answer.recipe is None:
            return answer
        return dockerfile_of(replace(answer.recipe, base=self._pinned(answer.recipe.base)))

    def _pinned(self, base: str) -> str:
        """The base by its digest where this machine has it from a registry."""
        told = self.program.ask("image", "inspect", "--format", "{{json .RepoDigests}}", base)
        try:
            found = json.loads(told or "[]") or []
        except ValueError:
            found = []
        return base if "@" in base or not found else str(found[0])

    def _run_build(self, place: Path, tag: str, commit: Commit, home: Path) -> Completed:
        at = commit.committed_at
        labels = {
            "org.opencontainers.image.revision": commit.key.sha,
            "org.opencontainers.image.source": commit.key.repository,
            "org.opencontainers.image.created": at.isoformat(),
        }
        argv = [self.program.path, "build", "--progress=plain", "--tag", tag]
        argv += ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]
        argv += ["--build-arg", f"SOURCE_DATE_EPOCH={_epoch(commit)}"]
        for name, value in labels.items():
            argv += ["--label", f"{name}={value}"]
        for last in self._last(home):
            argv += ["--cache-from", last]
        argv += ["--iidfile", str(place / "id"), "--file", str(place / DOCKERFILE)]
        argv.append(str(place / "context"))
        env = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        return run_telling(argv, self._tell, env=env, timeout=self._timeout)

    def _last(self, home: Path) -> list[str]:
        """The repository's last image, if the daemon still has it; else the network were asked."""
        try:
            tag = (home / _LAST).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return []
        return [tag] if tag and self.program.ask("image", "inspect", "-f", "{{.Id}}", tag) else []


def _epoch(commit: Commit) -> int:
    return max(0, int(commit.committed_at.timestamp()))


def _date(context: Path, commit: Commit) -> None:
    """Give all files the commit's time, so that another day gives the same layers."""
    at = _epoch(commit)
    for folder, _, names in os.walk(context, topdown=False):
        for name in (*names, ""):
            os.utime(Path(folder, name), (at, at), follow_symlinks=False)


def image_tag(key: CommitKey) -> str:
    """`agentci/<repository>:<full sha>`, with the repository's name as Docker allows names."""
    return f"agentci/{re.sub('[^a-z0-9]+', '-', key.repository).strip('-')}:{key.sha}"


def _failed(key: CommitKey, output: str, steps: tuple[BuildStep, ...], seconds: float) -> Image:
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("#")]
    last = lines[-1].strip() if lines else "the docker program said nothing"
    if is_machine_fault(output):
        raise InfrastructureError(
            f"The image of {key} could not be built: {last[:500]}",
            "look at the daemon, the network and the disk, then run the image asset again",
        )
    step = failed_step(steps)
    where = f"step {step.number}/{step.of} `{step.instruction[:200]}` failed: " if step else ""
    tail = "\n".join(step.output[-50:]) if step and step.output else output
    return failed_image(f"{where}{(step.error if step else last)[:500]}", tail, seconds)


def failed_image(failure: str, log: str, seconds: float) -> Image:
    """The image of a commit that cannot be built, by its own fault."""
    return Image(
        kind=ImageKind.DOCKER,
        reference="",
        digest="",
        layers=(),
        seconds=seconds,
        note="",
        failure=failure,
        log_tail=log[-_TAIL:],
    )
