"""The front door: nothing is read before Dagster asks, and Dagster accepts what it then gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WATCH = """
import os, sys
import dagster, pydantic, tomllib
looked = []
class Watched(dict):
    def __getitem__(self, key):
        note(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        note(key)
        return super().get(key, default)
def note(key):
    if "agentci_dagster" in sys._getframe(2).f_globals.get("__name__", ""):
        looked.append(key)
def audit(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        if not arguments[0].endswith((".py", ".pyc", ".so")) and sys.argv[1] in arguments[0]:
            looked.append(arguments[0])
    if event.startswith(("socket.", "sqlite3.", "subprocess.")):
        looked.append(event)
os.environ = Watched(os.environ)
sys.addaudithook(audit)
import agentci_dagster.definitions as definitions
assert not looked, looked
try:
    definitions.defs()
except Exception as error:
    assert "agentci.toml" in str(error), error
else:
    raise SystemExit("the broken settings were not read")
assert looked
"""


def environment(home: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "AGENTCI_HOME": str(home),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def test_importing_reads_no_file_and_looks_at_no_environment(tmp_path: Path) -> None:
    (tmp_path / "agentci.toml").write_text("this is = = no TOML")

    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path),
        cwd=tmp_path,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", ["", '[[repository]]\nname = "shop"\nurl = "../shop"\n'])
def test_dagster_accepts_the_code_location(tmp_path: Path, text: str) -> None:
    (tmp_path / "agentci.toml").write_text(text)
    program = "import sys; from dagster._cli import main; sys.argv[0] = 'dagster'; main()"

    done = subprocess.run(
        [sys.executable, "-c", program, "definitions", "validate", "-w", "workspace.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path),
        cwd=ROOT,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "agentci" in done.stdout + done.stderr
