"""The deployable artefact of a commit: its layers, what was reused, and whether the schema fits the code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ImageKind(StrEnum):
    """What the artefact is. NONE: the route ships nothing."""

    BUNDLE = "bundle"
    DOCKER = "docker"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the artefact. `seconds` is what making it took now, `last_cost_s` what it took when last made."""

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
class SchemaFinding:
    """A query in the changed code that the migrated schema cannot answer."""

    path: str
    line: int
    query: str
    problem: str


@dataclass(frozen=True, slots=True)
class Image:
    """What will be deployed. `failure` is the commit's own fault (its build or schema), empty when it can ship."""

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

    @property
    def seconds_saved(self) -> float:
        return sum(layer.saved_s for layer in self.layers)
