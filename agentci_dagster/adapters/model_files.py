"""Models as files: trained, stored beside a manifest, refused when anything does not fit it.

What a model computes is in `anchored_model.py` and `boosted_model.py`; whether one is promoted is
decided in the domain.
Nothing here imports scikit-learn or skops before a trained model is made or read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.adapters.json_values import dump_json, load_json
from agentci_dagster.adapters.trained_models import KINDS, kind_for
from agentci_dagster.domain.errors import AgentCIError, InfrastructureError, UsageError
from agentci_dagster.domain.learning import (
    LearningPolicy,
    ModelManifest,
    TrainingRow,
    influence_weights,
    training_obstacle,
)
from agentci_dagster.domain.risk import LogisticPrior
from agentci_dagster.ports import Clock, ScoringModel

EMBEDDED_PRIOR = Path(__file__).with_name("embedded_prior.json")

_VERSION = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_LIBRARIES = ("scikit-learn", "skops", "numpy")
_PRIOR = "embedded-prior"

_log = logging.getLogger(__name__)


class ModelFiles:
    """Trained models in a folder, and the pointer to the champion among them.

    A model is trusted only as far as its manifest goes: file digest, features, prior, and the
    series of the libraries that made it must fit, and only named types are ever constructed.
    """

    def __init__(
        self, folder: Path, prior_path: Path = EMBEDDED_PRIOR, clock: Clock | None = None
    ) -> None:
        self._folder = Path(folder)
        self._prior_path = Path(prior_path)
        self._clock = clock or SystemClock()

    @cached_property
    def prior(self) -> LogisticPrior:
        """The embedded prior."""
        try:
            return LogisticPrior(json.loads(self._prior_path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"The embedded prior {self._prior_path.name} cannot be read: {error}.",
                "install agentci-dagster again",
            ) from error

    def champion(self) -> ScoringModel:
        """The champion; the prior when there is none, or, with a warning, when it does not fit."""
        try:
            version = self._champion_version()
            return self.prior if version is None else self.load(version)
        except AgentCIError as error:
            _log.warning("The embedded prior scores instead of the champion: %s", error)
            return self.prior

    def train(self, rows: Sequence[TrainingRow], policy: LearningPolicy) -> ModelManifest:
        """Train and store a candidate; the same rows and policy give the same model once."""
        obstacle = training_obstacle(rows)
        if obstacle:
            raise UsageError(f"A model cannot be trained: {obstacle}.", "wait for more outcomes")
        kind = kind_for(len(rows))
        version = f"outcomes-{len(rows)}-{self._digest_of_inputs(kind.kind, rows, policy)[:10]}"
        made = self._existing(version)
        if made is not None:
            return made

        from skops.io import dumps

        weights = influence_weights(rows, policy)
        content = dumps(kind.fit(rows, self.prior, policy.seed, weights))
        manifest = ModelManifest(
            version=version,
            digest=hashlib.sha256(content).hexdigest(),
            kind=kind.kind,
            features=kind.features(self.prior),
            trained_from=min(row.committed_at for row in rows),
            trained_to=max(row.committed_at for row in rows),
            n_rows=len(rows),
            n_failures=sum(row.label for row in rows),
            metrics=None,
            libraries=self._libraries(),
            policy=policy,
            created_at=self._clock.now(),
        )
        self._write(f"{version}.skops", content)
        self._write(f"{version}.json", dump_json(manifest).encode())
        return manifest

    def load(self, version: str) -> ScoringModel:
        """A stored model, or the prior by its own version."""
        if version == self.prior.version:
            return self.prior
        manifest = self.manifest(version)
        if manifest is None:
            raise UsageError(f"No model {version!r} is stored.", "agentci model show")
        content = self._read(f"{version}.skops")
        misfit = self._misfit(manifest, version, content)
        if misfit:
            raise _refused(version, misfit)
        kind = KINDS[manifest.kind]
        try:
            return kind(version, self.prior, _parts(content, kind.trusted_types))
        # What skops and the models raise on a file whose parts are not what they should be.
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, BadZipFile) as error:
            raise _refused(version, f"its file cannot be read: {error}") from error

    def manifest(self, version: str) -> ModelManifest | None:
        """The manifest of a stored model; None for the prior and for unknown versions."""
        if not _VERSION.fullmatch(version):
            raise UsageError(f"{version[:80]!r} is no model version.", "agentci model show")
        if not (self._folder / f"{version}.json").is_file():
            return None
        return load_json(ModelManifest, self._read(f"{version}.json"))

    def versions(self) -> tuple[str, ...]:
        """Those whose file is there, by the time of making."""
        found = sorted(self._folder.glob("*.skops"), key=lambda p: (p.stat().st_mtime, p.name))
        return tuple(path.stem for path in found if _VERSION.fullmatch(path.stem))

    def promote(self, version: str) -> None:
        """Point to a new champion, after reading it: one that cannot be loaded is not promoted."""
        self.load(version)
        self._write("champion.json", json.dumps({"version": version}).encode())

    def _champion_version(self) -> str | None:
        if not (self._folder / "champion.json").is_file():
            return None
        text = self._read("champion.json")
        try:
            version = json.loads(text)["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise InfrastructureError(
                f"The pointer to the champion cannot be read: {error!r}.",
                "agentci model promote VERSION",
            ) from error
        return str(version)

    def _misfit(self, manifest: ModelManifest, version: str, content: bytes) -> str:
        """What does not fit the manifest, in words; empty when everything does."""
        if manifest.version != version:
            return f"its manifest is that of {manifest.version!r}"
        if hashlib.sha256(content).hexdigest() != manifest.digest:
            return "its file is not the one that the manifest describes (other digest)"
        if manifest.kind not in KINDS:
            return f"its kind {manifest.kind!r} is not known here"
        if manifest.features != KINDS[manifest.kind].features(self.prior):
            return "it was trained on other features"
        here = self._libraries()
        for name, version_there in manifest.libraries.items():
            if _series(name, version_there) != _series(name, here.get(name, "none")):
                return f"it was made with {name} {version_there}, here is {here.get(name, 'none')}"
        return "" if set(here) == set(manifest.libraries) else "its manifest names other libraries"

    def _existing(self, version: str) -> ModelManifest | None:
        try:
            manifest = self.manifest(version)
            if manifest is not None:
                self.load(version)
        except InfrastructureError:
            return None
        return manifest

    def _digest_of_inputs(
        self, kind: str, rows: Sequence[TrainingRow], policy: LearningPolicy
    ) -> str:
        inputs = [kind, self._libraries(), dump_json(policy), dump_json(list(rows))]
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()

    def _libraries(self) -> dict[str, str]:
        found = {name: metadata.version(name) for name in _LIBRARIES}
        return found | {_PRIOR: self.prior.version}

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise InfrastructureError(
                f"The model file {name} cannot be read: {error.strerror}.",
                "restore it, or let the next retraining make another",
            ) from error

    def _write(self, name: str, content: bytes) -> None:
        """Beside its place, synced, renamed: a reader sees the old file or the new one, whole."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=self._folder, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(beside).replace(self._folder / name)
            finally:
                Path(beside).unlink(missing_ok=True)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise InfrastructureError(
                f"The model file {name} cannot be written: {error.strerror}.",
                "free space on the disk of the models folder or make it writable",
            ) from error


def _parts(content: bytes, trusted: tuple[str, ...]) -> dict[str, Any]:
    from skops.io import get_untrusted_types, loads

    unknown = sorted(set(get_untrusted_types(data=content)) - set(trusted))
    if unknown:
        raise TypeError(f"it holds types that are not trusted: {', '.join(unknown)}")
    parts = loads(content, trusted=list(trusted))
    if not isinstance(parts, dict):
        raise TypeError(f"it holds a {type(parts).__name__}")
    return parts


def _refused(version: str, why: str) -> InfrastructureError:
    return InfrastructureError(
        f"The model {version} is refused: {why}.", "let the next retraining make another"
    )


def _series(name: str, version: str) -> str:
    """The part of a version that must agree.

    scikit-learn promises nothing between minor versions; the others do between major ones. The
    prior must be the very same, since trained models stand on it.
    """
    if name == _PRIOR:
        return version
    return ".".join(version.split(".")[: 2 if name == "scikit-learn" else 1])
