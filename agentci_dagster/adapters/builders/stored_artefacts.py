"""Bundles, images and environments that are stored, and their removal.

Which of them can go is decided in `domain/image/keeping.py`.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.domain.image import ImageKind
from agentci_dagster.domain.image.keeping import StoredArtefact

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"agentci/(?P<repository>[a-z0-9-]+):[0-9a-f]{40}")


class StoredArtefacts:
    """What one installation has stored.

    Args:
        bundles: folder of `BundleBuilder`.
        environments: folder of `Environments`.
        attestations: folder of `Attestations`; only images with a statement there are ours, since
            another installation may use the same daemon.
        docker: asked for images.
    """

    def __init__(
        self,
        bundles: Path,
        environments: Path,
        attestations: Path,
        docker: Callable[[], DockerProgram],
    ) -> None:
        self._bundles = bundles
        self._environments = environments
        self._attestations = attestations
        self._docker = docker

    def artefacts(self) -> tuple[StoredArtefact, ...]:
        """All bundles and images."""
        return (*self._all_bundles(), *self._all_images())

    def remove(self, artefact: StoredArtefact) -> None:
        """Take it away with its statement; what is half removed does not bear its name any more."""
        if artefact.kind is ImageKind.DOCKER:
            self._docker().ask("image", "rm", artefact.reference)
            if any(image.digest == artefact.digest for image in self._all_images()):
                return
        else:
            _remove(Path(artefact.reference))
        _remove(self._attestations / artefact.digest.removeprefix("sha256:"))

    def remove_environments(self, before: datetime) -> int:
        """Remove environments on which no bundle stands and that were not used since; how many."""
        stood_on = {(bundle / "env").resolve().parent.name for bundle in self._bundles.glob("*/*/")}
        n = 0
        for home in self._environments.glob("*/"):
            is_kept = home.name in stood_on or not _HEX.fullmatch(home.name)
            if not is_kept and _used_at(home) < before:
                _remove(home)
                (self._attestations / "environments" / f"{home.name}.json").unlink(missing_ok=True)
                n += 1
        return n

    def _all_bundles(self) -> list[StoredArtefact]:
        return [
            StoredArtefact(
                bundle.parent.name,
                ImageKind.BUNDLE,
                str(bundle),
                f"sha256:{bundle.name}",
                _used_at(bundle),
            )
            for bundle in self._bundles.glob("*/*/")
            if _HEX.fullmatch(bundle.name)
        ]

    def _all_images(self) -> list[StoredArtefact]:
        program = self._docker()
        if program.trouble:
            return []
        form = "{{.Repository}}:{{.Tag}} {{.ID}}"
        rows = program.ask(
            "image", "ls", "--no-trunc", "--filter", "reference=agentci/*", "--format", form
        )
        found = []
        for row in rows.splitlines():
            reference, _, digest = row.strip().partition(" ")
            named = _NAME.fullmatch(reference)
            statement = self._attestations / digest.removeprefix("sha256:")
            if named and statement.is_dir():
                used = _used_at(statement)
                kind = ImageKind.DOCKER
                found.append(StoredArtefact(named["repository"], kind, reference, digest, used))
        return found


def _used_at(folder: Path) -> datetime:
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    except FileNotFoundError:
        # Gone meanwhile: as young as can be, so that nobody removes it again.
        return datetime.max.replace(tzinfo=UTC)


def _remove(folder: Path) -> None:
    beside = folder.with_name(f".old-{uuid.uuid4().hex}")
    try:
        folder.rename(beside)
    except FileNotFoundError:
        return
    shutil.rmtree(beside, ignore_errors=True)
