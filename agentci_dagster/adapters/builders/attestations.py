"""Statements about artefacts, kept beside them and checked before anything is started from them.

    <folder>/<digest>/  statement.json  statement.sha256  sbom.cdx.json  files.json
    <folder>/environments/<digest>.json

What the texts say belongs to `domain/image/supply_chain.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from agentci_dagster.adapters.builders.docker_layers import write_beside
from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.adapters.builders.file_lists import difference, file_list
from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.errors import ArtefactChangedError, InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind, read_for_recipe
from agentci_dagster.domain.image.dockerfile import parse_dockerfile
from agentci_dagster.domain.image.supply_chain import (
    Material,
    locked_components,
    sbom_of,
    sha256_of,
    statement_of,
    subjects_of,
)
from agentci_dagster.domain.rollout import Release
from agentci_dagster.ports import ImageBuilder, MigrationRun, Mirrors, Runtime, ServicePlan

_ARTEFACT, _FILES, _ENVIRONMENT, _SBOM = "artefact", "files", "environment", "sbom"
_NEXT = "build the commit again; look for what has changed the file or the image"
_HEX = re.compile(r"[0-9a-f]{64}")


class Attestations:
    """Writes and verifies statements.

    Args:
        folder: where they are kept.
        mirrors: where locks are read from.
        docker: asked for images.
    """

    def __init__(self, folder: Path, mirrors: Mirrors, docker: Callable[[], DockerProgram]) -> None:
        self._folder = folder
        self._mirrors = mirrors
        self._docker = docker

    def attest(self, key: CommitKey, image: Image) -> None:
        """Say what the image is and is made of; one that was attested before is verified."""
        place = self._place(image.digest)
        if place.is_dir():
            self.verify(image)
            os.utime(place)
            return
        mirror = self._mirrors.of(key.repository)
        commit = mirror.commit(key.sha)
        texts = {
            path: data.decode("utf-8", "replace")
            for path, data in mirror.read_all(key.sha, _locks(mirror.files(key.sha))).items()
        }
        beside = place.with_name(f".new-{uuid.uuid4().hex}")
        try:
            beside.mkdir(parents=True)
            self._write(beside, commit, image, texts)
            beside.rename(place)
        except OSError as error:
            if not place.is_dir():
                raise InfrastructureError(
                    f"The statement about {key} could not be written: {error}.",
                    "look for free disk space, then run the image asset again",
                ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def verify(self, image: Image) -> None:
        """Check the statement and the artefact that it is about.

        Raises:
            ArtefactChangedError: they are not what was built.
        """
        place = self._place(image.digest)
        trouble = self._trouble(place, image)
        if trouble:
            raise ArtefactChangedError(
                f"{image.reference} is not what was built, so it is not started: {trouble}.", _NEXT
            )

    def _write(self, beside: Path, commit: Commit, image: Image, texts: dict[str, str]) -> None:
        sbom = sbom_of(commit, image.digest, locked_components(texts))
        subjects = [
            Material(_ARTEFACT, {"sha256": image.digest.removeprefix("sha256:")}),
            Material(_SBOM, {"sha256": sha256_of(sbom)}),
        ]
        materials = [
            Material(path, {"sha256": sha256_of(text)}) for path, text in sorted(texts.items())
        ]
        if image.kind is ImageKind.BUNDLE:
            bundle = Path(image.reference)
            files = json.dumps(file_list(bundle), indent=0)
            (beside / "files.json").write_text(files, encoding="utf-8")
            environment = self._environment(bundle)
            subjects.append(Material(_FILES, {"sha256": sha256_of(files)}))
            subjects.append(Material(_ENVIRONMENT, {"sha256": sha256_of(environment)}))
        else:
            materials += self._bases(commit.key)
        statement = statement_of(commit, subjects, materials, {"kind": image.kind.value})
        (beside / "sbom.cdx.json").write_text(sbom, encoding="utf-8")
        (beside / "statement.json").write_text(statement, encoding="utf-8")
        (beside / "statement.sha256").write_text(sha256_of(statement), encoding="utf-8")

    def _bases(self, key: CommitKey) -> list[Material]:
        """The bases of the repository's Dockerfile, as this machine has them."""
        text = self._mirrors.of(key.repository).read(key.sha, "Dockerfile")
        stages = parse_dockerfile((text or b"").decode("utf-8", "replace")).stages
        own = {stage.name for stage in stages}
        found = []
        for base in dict.fromkeys(stage.base for stage in stages if stage.base not in own):
            told = self._docker().ask("image", "inspect", "--format", "{{.Id}}", base).strip()
            if told:
                found.append(Material(base, {"sha256": told.removeprefix("sha256:")}))
        return found

    def _environment(self, bundle: Path) -> str:
        """The list of the environment's files; made once, since no environment is ever changed."""
        home = (bundle / "env").resolve()
        place = self._folder / "environments" / f"{home.parent.name}.json"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_beside(place, json.dumps(file_list(home), indent=0))
        return place.read_text(encoding="utf-8")

    def _trouble(self, place: Path, image: Image) -> str:
        try:
            statement = (place / "statement.json").read_text(encoding="utf-8")
            sbom = (place / "sbom.cdx.json").read_text(encoding="utf-8")
            if sha256_of(statement) != (place / "statement.sha256").read_text(encoding="utf-8"):
                return "the statement about it has been changed"
            said = subjects_of(statement)
            expected = {_ARTEFACT: image.digest.removeprefix("sha256:"), _SBOM: sha256_of(sbom)}
            if not expected.items() <= said.items():
                return "the statement is about another artefact or bill of materials"
            if image.kind is ImageKind.DOCKER:
                return self._trouble_of_image(image)
            return self._trouble_of_bundle(place, Path(image.reference), said)
        except FileNotFoundError as error:
            return f"there is no {error.filename}"
        except (ValueError, LookupError, OSError) as error:
            return f"the statement about it cannot be read ({error})"

    def _trouble_of_image(self, image: Image) -> str:
        asked = ("image", "inspect", "--format", "{{.Id}}", image.reference)
        found = self._docker().ask(*asked).strip()
        return "" if found == image.digest else f"its digest is {found or 'unknown to the daemon'}"

    def _trouble_of_bundle(self, place: Path, bundle: Path, said: dict[str, str]) -> str:
        files = (place / "files.json").read_text(encoding="utf-8")
        environment = self._environment(bundle)
        if said[_FILES] != sha256_of(files) or said[_ENVIRONMENT] != sha256_of(environment):
            return "the list of its files has been changed"
        return difference(bundle, json.loads(files)) or difference(
            (bundle / "env").resolve(), json.loads(environment)
        )

    def _place(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        if not _HEX.fullmatch(name):
            raise ArtefactChangedError(f"{digest[:80]!r} is no digest of an artefact.", _NEXT)
        return self._folder / name


class AttestingBuilder:
    """An `ImageBuilder` that leaves a statement about everything that can ship."""

    def __init__(self, builder: ImageBuilder, attestations: Attestations) -> None:
        self._builder = builder
        self._attestations = attestations

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        image = self._builder.build(key, diff)
        if image.digest and not image.failure:
            self._attestations.attest(key, image)
        return image


class VerifyingRuntime:
    """A `Runtime` that starts nothing which is not what was built."""

    def __init__(self, runtime: Runtime, verify: Callable[[Image], None]) -> None:
        self._runtime = runtime
        self._verify = verify
        self.is_alive = runtime.is_alive
        self.stop = runtime.stop
        self.log_tail = runtime.log_tail
        self.ask = runtime.ask
        self.releases = runtime.releases

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        self._verify(image)
        return self._runtime.migrate(service, image, timeout)

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        self._verify(image)
        return self._runtime.start(service, image, name, key)


def _locks(files: Sequence[str]) -> tuple[str, ...]:
    more = {"poetry.lock", "pdm.lock"}
    return (*read_for_recipe(files), *(path for path in files if path in more))
