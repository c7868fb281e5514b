"""What must not be imported: heavy modules cost seconds in every run and every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("dagster", "openai", "sklearn", "pandas", "scipy", "matplotlib", "skops", "docker", "git")

# The tree under test, whatever the environment has installed.
_TREE = str(Path(__file__).parents[1])


def _imported(code: str, home: Path, names: tuple[str, ...] = HEAVY) -> list[str]:
    program = (
        "import contextlib, io, json, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try:\n"
        f"        {code}\n"
        "    except SystemExit:\n"
        "        pass\n"
        f"print(json.dumps([n for n in {names!r} if n in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={
            "AGENTCI_HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": _TREE,
        },
        cwd=home,
        timeout=60,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["status", "--json"], ["why", "0" * 40]]
)
def test_quick_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = f"import agentci_dagster.cli as c; sys.argv = ['agentci', *{arguments!r}]; c.main()"

    assert _imported(code, tmp_path) == []


def test_the_package_imports_nothing_of_its_own(tmp_path: Path) -> None:
    code = "import agentci_dagster"

    assert _imported(code, tmp_path, ("pydantic", "sqlalchemy", "numpy", *HEAVY)) == []


def test_reading_functions_loads_no_parser_here(tmp_path: Path) -> None:
    code = (
        "from agentci_dagster.adapters.syntax.apart import Text, read_apart; "
        "assert read_apart([Text(b'int f(void) {}', ('c',))])[0].definitions"
    )

    assert _imported(code, tmp_path, ("tree_sitter", "tree_sitter_c", *HEAVY)) == []


def test_definitions_import_no_analysis_library(tmp_path: Path) -> None:
    code = "import agentci_dagster.definitions"
    heavy = ("sklearn", "pandas", "scipy", "matplotlib", "skops", "docker", "openai", "git")

    assert _imported(code, tmp_path, heavy) == []
