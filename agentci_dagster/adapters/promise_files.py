"""Promises as files beside the models they belong to. Making one is `domain/promise.py`'s."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from agentci_dagster.adapters.json_values import dump_json, load_json, replace_file
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.promise import Promise

_VERSION = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")

_log = logging.getLogger(__name__)


class PromiseFiles:
    """`<model version>.promise.json` in the folder of the models."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def of(self, model_version: str) -> Promise | None:
        """The model's promise; None, with a warning, when it cannot be read."""
        path = self._path(model_version)
        try:
            return load_json(Promise, path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, InfrastructureError) as error:
            # Without a promise the fast lane ends where the policy says: never a stopped delivery.
            _log.warning("The promise of %s is not used: %s", model_version, error)
            return None

    def keep(self, promise: Promise) -> None:
        """Store it in one step: a reader sees the old promise or the new one."""
        text = dump_json(promise)
        place = self._path(promise.model_version)
        replace_file(place, lambda file: file.write_text(text, encoding="utf-8"))

    def _path(self, model_version: str) -> Path:
        if not _VERSION.fullmatch(model_version):
            raise UsageError(f"{model_version[:80]!r} is no model version.", "agentci model show")
        return self._folder / f"{model_version}.promise.json"
