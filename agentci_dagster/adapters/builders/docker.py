"""Docker images from the repository's own Dockerfile, by BuildKit through the docker program.

Reading BuildKit's output belongs to `buildkit_output.py`; whether Docker is used to `choice.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from agentci_dagster.adapters.builders.buildkit_output import (
    BuildStep,
    failed_step,
    is_machine_fault,
    parse_progress,
)
from agentci_dagster.adapters.command import Completed, clean_environment, run
from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind, Layer, touched_layers
from agentci_dagster.ports import Mirrors

DOCKERFILE = "Dockerfile"
_ASK_TIMEOUT = timedelta(seconds=10)
_BUILD_TIMEOUT = timedelta(minutes=30)
_FIRST_WITHOUT_BUILDKIT = 23
"""From this version on the program builds only through the separate buildx."""
_TAIL = 4000


@dataclass(frozen=True, slots=True)
class DockerProgram:
    """A docker program that can build with BuildKit, or why there is none."""

    path: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Built:
    """A layer as the daemon knows it."""

    created_by: str
    size_bytes: int
    digest: str


class DockerBuilder:
    """Builds images tagged with the full sha.

    Args:
        folder: where the costs of layers are kept, and where trees are exported to for a build.
        mirrors: where trees come from.
        candidates: docker programs to try in this order; those on PATH when left out.
    """

    def __init__(
        self, folder: Path, mirrors: Mirrors, candidates: Sequence[str] | None = None
    ) -> None:
        self._folder = folder
        self._mirrors = mirrors
        self._candidates = candidates

    @cached_property
    def program(self) -> DockerProgram:
        """The first candidate whose daemon answers and that can build with BuildKit."""
        return find_docker(_on_path() if self._candidates is None else self._candidates)

    def has_dockerfile(self, key: CommitKey) -> bool:
        return DOCKERFILE in self._mirrors.of(key.repository).files(key.sha)

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        if self.program.trouble:
            raise InfrastructureError(
                f"No image can be built for {key}: {self.program.trouble}",
                "start Docker, or leave it to the bundle",
            )
        began = time.monotonic()
        mirror = self._mirrors.of(key.repository)
        tag = image_tag(key)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="context-") as scratch:
            context = Path(scratch) / "context"
            context.mkdir()
            mirror.export(key.sha, context)
            done = self._run_build(context, Path(scratch) / "id", tag, mirror.commit(key.sha))
            output = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace")
            identity = Path(scratch) / "id"
            digest = identity.read_text().strip() if identity.exists() else ""
        steps = parse_progress(output)
        if done.returncode or not digest:
            return _failed(key, output, steps, time.monotonic() - began)
        return Image(
            kind=ImageKind.DOCKER,
            reference=tag,
            digest=digest,
            layers=self._layers(key, diff, steps, digest),
            seconds=time.monotonic() - began,
            note="",
            log_tail=output[-_TAIL:],
        )

    def _run_build(self, context: Path, identity: Path, tag: str, commit: Commit) -> Completed:
        labels = {
            "org.opencontainers.image.revision": commit.key.sha,
            "org.opencontainers.image.source": commit.key.repository,
            "org.opencontainers.image.created": commit.committed_at.isoformat(),
        }
        argv = [self.program.path, "build", "--progress=plain", "--tag", tag]
        for name, value in labels.items():
            argv += ["--label", f"{name}={value}"]
        argv += ["--iidfile", str(identity), "--file", str(context / DOCKERFILE), str(context)]
        return run(argv, env={"DOCKER_BUILDKIT": "1"}, timeout=_BUILD_TIMEOUT)

    def _layers(
        self, key: CommitKey, diff: CommitDiff, steps: tuple[BuildStep, ...], digest: str
    ) -> tuple[Layer, ...]:
        built = self._history(digest)
        touched = [
            f"{touch.kind} {touch.why}" for touch in touched_layers(diff) if touch.is_touched
        ]
        layers = []
        for step in steps:
            name = f"{step.stage} {step.instruction}".strip()
            place = self._folder / key.repository / f"{_sha256(name)}.json"
            last_cost_s = _read_cost(place) if step.is_cached else step.seconds
            if not step.is_cached:
                _write_cost(place, step.seconds)
            known = next((b for b in built if _is_made_by(b, step)), None)
            layers.append(
                Layer(
                    name=name[:200],
                    digest=known.digest if known else "",
                    is_reused=step.is_cached,
                    why="BuildKit had it" if step.is_cached else "; ".join(touched)[:300],
                    seconds=0.0 if step.is_cached else step.seconds,
                    size_bytes=known.size_bytes if known else 0,
                    last_cost_s=last_cost_s,
                )
            )
        return tuple(layers)

    def _history(self, digest: str) -> list[_Built]:
        """The image's own layers, newest first, as far as the daemon tells."""
        rows = self._ask("history", "--no-trunc", "--human=false", "--format", "{{json .}}", digest)
        layers = self._ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", digest)
        try:
            history = [json.loads(row) for row in rows.splitlines()]
            digests = list(reversed(json.loads(layers)))
            sized = [row for row in history if int(row["Size"]) > 0]
            # Only when both lists have the same length is it clear which belongs to which.
            paired = digests if len(digests) == len(sized) else [""] * len(sized)
            return [
                _Built(row["CreatedBy"], int(row["Size"]), found)
                for row, found in zip(sized, paired, strict=True)
            ]
        except (ValueError, KeyError, TypeError):
            return []

    def _ask(self, *arguments: str) -> str:
        done = run([self.program.path, *arguments], timeout=_ASK_TIMEOUT)
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def image_tag(key: CommitKey) -> str:
    """`agentci/<repository>:<full sha>`, with the repository's name as Docker allows names."""
    return f"agentci/{re.sub('[^a-z0-9]+', '-', key.repository).strip('-')}:{key.sha}"


def find_docker(candidates: Sequence[str]) -> DockerProgram:
    """The first of the programs that can build with BuildKit; asks each for its daemon."""
    troubles = []
    for path in candidates:
        trouble = _trouble_of(path)
        if not trouble:
            return DockerProgram(path)
        troubles.append(f"{path}: {trouble}")
    return DockerProgram("", "; ".join(troubles) or "there is no docker program on PATH")


def _trouble_of(path: str) -> str:
    try:
        versions = run(
            [path, "version", "--format", "{{.Server.Version}} {{.Client.Version}}"],
            timeout=_ASK_TIMEOUT,
        )
        server, _, client = versions.stdout.decode("utf-8", "replace").strip().partition(" ")
        if versions.returncode or not server:
            said = versions.stderr.decode("utf-8", "replace").strip().splitlines()
            return said[-1][:200] if said else "no daemon answers"
        major = re.match(r"\d+", client)
        if major and int(major[0]) < _FIRST_WITHOUT_BUILDKIT:
            return ""
        buildx = run([path, "buildx", "version"], timeout=_ASK_TIMEOUT)
        return "buildx is missing" if buildx.returncode else ""
    except InfrastructureError as error:
        return error.message


def _on_path() -> list[str]:
    """Every docker program on PATH, each once."""
    found: dict[str, str] = {}
    for folder in clean_environment().get("PATH", "").split(os.pathsep):
        path = Path(folder or ".") / "docker"
        if path.is_absolute() and os.access(path, os.X_OK):
            found.setdefault(str(path.resolve()), str(path))
    return list(found.values())


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
    return Image(
        kind=ImageKind.DOCKER,
        reference="",
        digest="",
        layers=(),
        seconds=seconds,
        note="",
        failure=f"{where}{(step.error if step else last)[:500]}",
        log_tail=tail[-_TAIL:],
    )


def _is_made_by(built: _Built, step: BuildStep) -> bool:
    made = built.created_by.removesuffix("# buildkit").replace("/bin/sh -c ", "").strip()
    return made == step.instruction


def _read_cost(place: Path) -> float:
    try:
        return float(json.loads(place.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return 0.0


def _write_cost(place: Path, seconds: float) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
    beside.write_text(json.dumps(seconds), encoding="utf-8")
    beside.replace(place)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
