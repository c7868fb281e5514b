"""In-memory answers to the ports of the build agent, and a mirror of plain dictionaries for its tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.domain.image import Image, ImageKind, Layer, SchemaFinding
from agentci_dagster.domain.image.keeping import StoredArtefact
from tests.builders import commit


@dataclass
class TreeMirror:
    """The part of a mirror that the build agent asks: trees by sha, as dictionaries of path to text."""

    trees: dict[str, dict[str, str]] = field(default_factory=dict)

    def commit(self, sha: str) -> Commit:
        tree = hashlib.sha1(repr(sorted(self.trees[sha].items())).encode()).hexdigest()
        return commit(key=CommitKey("shop", sha), tree=tree)

    def files(self, sha: str) -> tuple[str, ...]:
        return tuple(sorted(self.trees[sha]))

    def read(self, sha: str, path: str) -> bytes | None:
        text = self.trees[sha].get(path)
        return None if text is None else text.encode("utf-8", "surrogateescape")

    def read_all(self, sha: str, paths: Sequence[str]) -> dict[str, bytes]:
        found = {path: self.read(sha, path) for path in paths}
        return {path: data for path, data in found.items() if data is not None}

    def export(self, sha: str, folder: Path) -> None:
        for path, text in self.trees[sha].items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


@dataclass
class TreeMirrors:
    """One repository named `shop`."""

    mirror: TreeMirror = field(default_factory=TreeMirror)

    def of(self, repository: str) -> TreeMirror:
        if repository != "shop":
            raise UsageError(f"no repository {repository!r}")
        return self.mirror


@dataclass
class FakeImageBuilder:
    """Builds bundles out of nothing: a layer is reused when one of the same digest was built before."""

    failures: Mapping[str, str] = field(default_factory=dict)
    """By sha: why its build fails."""
    environments: Mapping[str, str] = field(default_factory=dict)
    """By sha: digest of its environment; one for all when left out."""
    built: list[CommitKey] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        self.built.append(key)
        failure = self.failures.get(key.sha, "")
        if failure:
            return Image(ImageKind.BUNDLE, "", "", (), 0.1, "", failure=failure, log_tail=failure)
        layers = (
            self._layer("environment", self.environments.get(key.sha, "e" * 64), 5.0),
            self._layer("application", diff.commit.tree, 0.1),
        )
        digest = hashlib.sha256("".join(layer.digest for layer in layers).encode()).hexdigest()
        seconds = sum(layer.seconds for layer in layers)
        return Image(ImageKind.BUNDLE, f"bundles/{digest}", digest, layers, seconds, "")

    def _layer(self, name: str, digest: str, cost_s: float) -> Layer:
        is_reused = digest in self._known
        self._known.add(digest)
        why = "its digest was built before" if is_reused else "new"
        return Layer(name, digest, is_reused, why, 0.0 if is_reused else cost_s, 10, cost_s)


@dataclass
class FakeSchemaProbe:
    """Says what it was told to say."""

    by_sha: Mapping[str, tuple[SchemaFinding, ...]] = field(default_factory=dict)
    asked: list[CommitDiff] = field(default_factory=list)

    def findings(self, key: CommitKey, diff: CommitDiff) -> tuple[SchemaFinding, ...]:
        self.asked.append(diff)
        return self.by_sha.get(key.sha, ())


@dataclass
class FakeArtefactStore:
    """Holds what it was given."""

    stored: list[StoredArtefact] = field(default_factory=list)
    asked_before: list[datetime] = field(default_factory=list)

    def artefacts(self) -> tuple[StoredArtefact, ...]:
        return tuple(self.stored)

    def remove(self, artefact: StoredArtefact) -> None:
        self.stored = [other for other in self.stored if other != artefact]

    def remove_environments(self, before: datetime) -> int:
        self.asked_before.append(before)
        return 0
