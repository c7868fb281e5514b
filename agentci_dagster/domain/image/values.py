"""The deployable artefact of a commit: its layers, what was reused, and whether the schema fits.

What its Dockerfile could do better belongs to `review.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentci_dagster.domain.diff import CommitDiff, FileChange, FileKind
from agentci_dagster.domain.image.review import DockerfileReview


class ImageKind(StrEnum):
    """What the artefact is. NONE: the route ships nothing."""

    BUNDLE = "bundle"
    DOCKER = "docker"
    NONE = "none"


_NAMES = {
    ImageKind.BUNDLE: "bundle",
    ImageKind.DOCKER: "Docker image",
    ImageKind.NONE: "artefact",
}


class LayerKind(StrEnum):
    """The layers of an artefact, from the bottom."""

    BASE = "base"
    ENVIRONMENT = "environment"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the artefact.

    `seconds` is what making it took now, `last_cost_s` what it took when last made.
    """

    name: str
    digest: str
    is_reused: bool
    why: str
    seconds: float
    size_bytes: int
    last_cost_s: float

    @property
    def saved_s(self) -> float:
        return self.last_cost_s if self.is_reused else 0.0


@dataclass(frozen=True, slots=True)
class LayerTouch:
    """Whether a commit touches a layer, and why that is thought."""

    kind: LayerKind
    is_touched: bool
    why: str


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """A query in the changed code that the migrated schema cannot answer."""

    path: str
    line: int
    query: str
    problem: str


@dataclass(frozen=True, slots=True)
class Image:
    """What will be deployed.

    `failure` is the commit's own fault (its build or schema), empty when it can ship.
    """

    kind: ImageKind
    reference: str
    """Folder of the bundle, or `name:tag` of the Docker image."""
    digest: str
    layers: tuple[Layer, ...]
    seconds: float
    note: str
    failure: str = ""
    log_tail: str = ""
    schema_findings: tuple[SchemaFinding, ...] = ()
    review: DockerfileReview | None = None
    """What the repository's Dockerfile could do better; None where it has none."""

    @property
    def seconds_saved(self) -> float:
        return sum((layer.saved_s for layer in self.layers), 0.0)


def nothing_to_build(why: str) -> Image:
    """The image of a commit that ships nothing."""
    return Image(ImageKind.NONE, "", "", (), 0.0, f"nothing was built: {why}")


def touched_layers(diff: CommitDiff) -> tuple[LayerTouch, ...]:
    """Which layers the commit asks to be made anew, from the bottom; in doubt all of them.

    A layer above a touched one is made anew too, since it stands on it.
    """
    if diff.is_capped:
        why = "the diff is too large to tell, so everything counts as touched"
        return tuple(LayerTouch(kind, True, why) for kind in LayerKind)
    touches = []
    below = ""
    for kind in LayerKind:
        own = [file.path for file in diff.files if _touches(file, kind)]
        why = _paths(own) or (f"stands on the {below}" if below else "nothing in it has changed")
        touches.append(LayerTouch(kind, bool(own or below), why))
        below = kind.value if own or below else ""
    return tuple(touches)


def summary(image: Image) -> str:
    """One sentence for people: what the artefact is, what was reused and what that saved."""
    if image.kind is ImageKind.NONE:
        return f"{image.note}."
    if image.failure:
        return f"The {_NAMES[image.kind]} could not be built: {image.failure}"
    made = [
        f"{layer.name} built in {layer.seconds:.1f} s"
        for layer in image.layers
        if not layer.is_reused
    ]
    reused = [
        f"{layer.name} reused (saves {layer.saved_s:.1f} s)"
        for layer in image.layers
        if layer.is_reused
    ]
    told = ", ".join([*reused, *made]) or "no layers"
    return f"A {_NAMES[image.kind]} in {image.seconds:.1f} s: {told}."


def _touches(file: FileChange, kind: LayerKind) -> bool:
    if kind is LayerKind.BASE:
        return file.kind is FileKind.CONTAINER
    if kind is LayerKind.ENVIRONMENT:
        return file.kind is FileKind.DEPENDENCY
    return file.kind is not FileKind.CONTAINER


def _paths(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    shown = ", ".join(paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"changed: {shown}{more}"
