"""Rules of the whole suite: what is required may not be skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is no failure: properties are about answers, not about time. The same examples
# everywhere: what fails here fails there.
settings.register_profile("agentci", deadline=None, derandomize=True)
settings.load_profile("agentci")

REQUIRED = frozenset(filter(None, os.environ.get("AGENTCI_REQUIRE", "").split(",")))
"""Markers whose tests must run: CI names those for which it has installed the program."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[None]:
    report = yield
    needed = {mark.name for mark in item.iter_markers()} & REQUIRED
    if report.skipped and needed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{', '.join(sorted(needed))} is required here, but: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTCI_HOME", "AGENTCI_CONFIG", "AGENTCI_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def docker_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    done = subprocess.run([docker, "info"], capture_output=True, timeout=20, check=False)
    return done.returncode == 0
