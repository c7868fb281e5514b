"""The layers of a built image: what BuildKit said of each step, and what the daemon has of it.

Building belongs to `docker.py`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentci_dagster.adapters.builders.buildkit_output import BuildStep
from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.image import Layer, touched_layers


@dataclass(frozen=True, slots=True)
class _Built:
    """A layer as the daemon knows it."""

    created_by: str
    size_bytes: int
    digest: str


def layers_of(
    program: DockerProgram, costs: Path, diff: CommitDiff, steps: Sequence[BuildStep], digest: str
) -> tuple[Layer, ...]:
    """One layer a step; `costs` is the folder that remembers what each took when last made."""
    built = _history(program, digest)
    touched = [f"{touch.kind} {touch.why}" for touch in touched_layers(diff) if touch.is_touched]
    layers = []
    for step in steps:
        name = f"{step.stage} {step.instruction}".strip()
        place = costs / f"{hashlib.sha256(name.encode()).hexdigest()}.json"
        last_cost_s = _read_cost(place) if step.is_cached else step.seconds
        if not step.is_cached:
            _write_cost(place, step.seconds)
        known = next((b for b in built if _is_made_by(b, step)), None)
        if known is not None:
            # Two copies of the same words from two stages are told apart by their order only.
            built.remove(known)
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


def _history(program: DockerProgram, digest: str) -> list[_Built]:
    """The image's own layers with content, from the bottom, as far as the daemon tells."""
    asked = ("history", "--no-trunc", "--human=false", "--format", "{{json .}}", digest)
    rows = program.ask(*asked)
    layers = program.ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", digest)
    try:
        history = [json.loads(row) for row in rows.splitlines()]
        digests = list(reversed(json.loads(layers)))
        sized = [row for row in history if int(row["Size"]) > 0]
        # Only when both lists have the same length is it clear which belongs to which.
        paired = digests if len(digests) == len(sized) else _past_empty_ones(history, digests)
        return [
            _Built(row["CreatedBy"], int(row["Size"]), found)
            for row, found in zip(reversed(sized), reversed(paired), strict=True)
        ]
    except (ValueError, KeyError, TypeError):
        return []


def _past_empty_ones(history: Sequence[dict[str, str]], digests: Sequence[str]) -> list[str]:
    """Digests of the layers with content, where WORKDIR has made layers without any."""
    made = [row for row in history if int(row["Size"]) > 0 or "WORKDIR " in row["CreatedBy"]]
    if len(made) != len(digests):
        return [""] * sum(int(row["Size"]) > 0 for row in history)
    return [d for row, d in zip(made, digests, strict=True) if int(row["Size"]) > 0]


def _is_made_by(built: _Built, step: BuildStep) -> bool:
    made = built.created_by.removesuffix("# buildkit").strip()
    if made == step.instruction:
        return True
    words = step.instruction.split()
    # Options such as --from and --mount are not told by the history.
    while len(words) > 1 and words[1].startswith("--"):
        del words[1]
    # A RUN is told with the arguments that it saw and the shell that it ran in.
    said, ran = made.split("/bin/sh -c ", 1)[-1].split(), words[1:]
    return words[0] == made.split()[0] and said[-len(ran) :] == ran if made and ran else False


def _read_cost(place: Path) -> float:
    try:
        return float(json.loads(place.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return 0.0


def _write_cost(place: Path, seconds: float) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_beside(place, json.dumps(seconds))


def write_beside(place: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(place)
