"""`commit_diff`: what was read of a commit, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentci_dagster.assets.diff import commit_diff
from agentci_dagster.domain.errors import GitError
from tests.builders import key
from tests.house import House, house, metadata


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def test_diff_is_the_mirrors_and_its_counts_are_told(world: House) -> None:
    commit = world.push("mend the total", files={"cart.py": b"def total(items):\n    return 7\n"})

    made = commit_diff(world.context(commit), mirrors=world.mirrors)

    assert made.value == world.mirror.diff(commit.sha)
    told = metadata(made)
    assert told["subject"] == "mend the total"
    assert (told["n_files"], told["lines_added"], told["lines_deleted"]) == (1, 1, 1)
    assert (told["is_capped"], told["notes"]) == (False, "none")
    (row,) = [record.data for record in dict(made.metadata)["files"].records]
    assert row == {
        "path": "cart.py",
        "status": "modified",
        "kind": "source",
        "lines_added": 1,
        "lines_deleted": 1,
        "functions": "total",
    }


def test_functions_that_come_and_go_are_marked(world: House) -> None:
    world.push("first", files={"cart.py": b"def total():\n    return 7\n\n\ndef mean(): ...\n"})
    commit = world.push(
        "second", files={"cart.py": b"def total():\n    return 8\n\n\ndef median(): ...\n"}
    )

    made = commit_diff(world.context(commit), mirrors=world.mirrors)

    (row,) = [record.data for record in dict(made.metadata)["files"].records]
    assert row["functions"] == "total, +median, -mean"


def test_words_of_the_commit_are_made_harmless(world: House) -> None:
    commit = world.push(
        "\x1b]0;owned\x07\x1b[31mred\u202e\nbody", files={"a\x1b[2Jb.py": b"x = 1\n"}
    )

    made = commit_diff(world.context(commit), mirrors=world.mirrors)

    assert metadata(made)["subject"] == "red"
    assert dict(made.metadata)["files"].records[0].data["path"] == "ab.py"


def test_table_is_bounded(world: House) -> None:
    commit = world.push(files={f"f{n}.txt": b"x\n" for n in range(300)})

    made = commit_diff(world.context(commit), mirrors=world.mirrors)

    assert metadata(made)["n_files"] == 300
    assert len(dict(made.metadata)["files"].records) == 200


def test_git_that_cannot_answer_is_an_error(world: House) -> None:
    with pytest.raises(GitError, match="no object"):
        commit_diff(world.context(world.live_key(key(77))), mirrors=world.mirrors)
