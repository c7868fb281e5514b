"""The contract of Promises, for the fake and the real one; then what only files can suffer."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from agentci_dagster.adapters.promise_files import PromiseFiles
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.promise import Promise
from agentci_dagster.ports import Promises
from tests.fakes.learning import FakePromises

PROMISE = Promise("prior-1-abc", 0.95, 0.9, 0.125, {"shop": 0.1}, 1_000, 100, 2, 700, 45)


@pytest.fixture(params=["fake", "files"])
def promises(request: pytest.FixtureRequest, tmp_path: Path) -> Promises:
    return FakePromises() if request.param == "fake" else PromiseFiles(tmp_path / "models")


def test_a_promise_is_kept_for_its_model(promises: Promises) -> None:
    promises.keep(PROMISE)

    assert promises.of(PROMISE.model_version) == PROMISE
    assert promises.of("outcomes-20-0123456789") is None


def test_a_newer_promise_replaces_the_older(promises: Promises) -> None:
    promises.keep(PROMISE)
    newer = replace(PROMISE, fast_below=None)

    promises.keep(newer)

    assert promises.of(PROMISE.model_version) == newer


def test_a_broken_file_is_no_promise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.promise.json").write_text('{"model_version": "m"}')

    with caplog.at_level(logging.WARNING):
        found = PromiseFiles(tmp_path).of("m")

    assert found is None
    assert "promise of m is not used" in caplog.text


@pytest.mark.parametrize("version", ["../m", "", "M", "a/b"])
def test_names_that_are_no_versions_are_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        PromiseFiles(tmp_path).of(version)


def test_a_full_disk_is_ours(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, no folder")

    with pytest.raises(InfrastructureError):
        PromiseFiles(tmp_path / "models").keep(PROMISE)
