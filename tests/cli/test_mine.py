"""`agentci mine` on a real repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentci_dagster.cli.app import app
from agentci_dagster.domain.errors import UsageError
from tests.adapters.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "watched")
    made.commit({"a.py": b"x = 1\ny = 2\n"}, "begin")
    made.commit({"a.py": b"x = 1\ny = 3\n"}, "change y", author="bob@x")
    made.commit({"a.py": b"x = 1\ny = 4\n"}, "Fix y")
    return made


def mine(*arguments: str):
    return CliRunner().invoke(app, ["mine", *arguments], catch_exceptions=False)


def test_history_becomes_a_table_with_labels(repository: Repository, tmp_path: Path) -> None:
    import pandas as pd

    out = tmp_path / "rows.parquet"

    done = mine("--repo", str(repository.folder), "--out", str(out), "--check", "5", "--json")

    assert json.loads(done.stdout) == {
        "out": str(out),
        "commits": 3,
        "fixes": 1,
        "guilty": 1,
        "checked_fixes": 1,
        "checked_lines": 1,
        "differing_lines": 0,
    }
    frame = pd.read_parquet(out)
    assert list(frame["is_guilty"]) == [0, 1, 0]
    assert frame["fixed_by"][1] == frame["sha"][2]
    assert list(frame["experience"]) == [0, 0, 1]


def test_measures_alone_can_be_written_as_text(repository: Repository, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"

    done = mine("--repo", str(repository.folder), "--out", str(out))

    assert "3 commits" in done.stdout
    assert out.read_text().startswith("sha,committed_s,lines_added")


@pytest.mark.parametrize("out", ["rows.txt", "nowhere/rows.csv"])
def test_a_place_that_cannot_be_written_is_refused(
    repository: Repository, tmp_path: Path, out: str
) -> None:
    with pytest.raises(UsageError):
        mine("--repo", str(repository.folder), "--out", str(tmp_path / out))


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git repository"):
        mine("--repo", str(tmp_path), "--out", "x.csv")
    Repository(tmp_path / "empty")
    with pytest.raises(UsageError, match="no commit"):
        mine("--repo", str(tmp_path / "empty"), "--out", "x.csv")
