"""Mined histories of real mirrors, kept beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.git import GitMirror, histories
from agentci_dagster.adapters.git.histories import FILE, MinedHistories
from tests.adapters.repositories import Repository
from tests.builders import NOON


@dataclass
class OneMirror:
    mirror: GitMirror

    def of(self, repository: str) -> GitMirror:
        assert repository == "shop"
        return self.mirror


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "shop")
    repository.commit({"cart.py": b"a = 1\nb = 2\n"}, at=NOON)
    repository.commit({"cart.py": b"a = 1\nb = 3\n"}, at=NOON + timedelta(days=1))
    repository.commit({"README.md": b"read\n"}, at=NOON + timedelta(days=2))
    return repository


def test_commits_come_with_the_first_fix_that_blames_them(repository: Repository) -> None:
    at = NOON + timedelta(days=3)
    repository.commit({"cart.py": b"a = 1\nb = 4\n"}, "Fix a bug in b", at=at)
    mirror = repository.mirror()
    mirror.refresh()

    found = MinedHistories(OneMirror(mirror)).mined("shop")

    assert [c.fixed_s for c in found] == [None, int(at.timestamp()), None, None]
    assert [c.features.lines_added for c in found] == [2, 1, 1, 1]
    assert len({c.author for c in found}) == 1
    assert "ada" not in found[0].author


def test_what_was_read_is_kept_until_the_history_has_grown(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = repository.mirror()
    mirror.refresh()
    mined = MinedHistories(OneMirror(mirror))
    first = mined.mined("shop")
    with monkeypatch.context() as patched:
        patched.setattr(histories, "read", lambda *_: pytest.fail("read again"))
        assert MinedHistories(OneMirror(mirror)).mined("shop") == first
    repository.commit({"cart.py": b"a = 5\n"})
    mirror.refresh()

    assert len(mined.mined("shop")) == len(first) + 1


@pytest.mark.parametrize("content", [b"", b"no table"])
def test_what_cannot_be_read_any_more_is_made_anew(content: bytes, repository: Repository) -> None:
    mirror = repository.mirror()
    mirror.refresh()
    (mirror.folder / FILE).write_bytes(content)

    assert len(MinedHistories(OneMirror(mirror)).mined("shop")) == 3


def test_other_measures_are_not_believed(repository: Repository) -> None:
    import pyarrow.parquet as pq

    mirror = repository.mirror()
    mirror.refresh()
    found = MinedHistories(OneMirror(mirror)).mined("shop")
    table = pq.read_table(mirror.folder / FILE)
    pq.write_table(table.drop_columns(["lines_added"]), mirror.folder / FILE)

    assert MinedHistories(OneMirror(mirror)).mined("shop") == found


def test_repository_that_was_never_looked_at_teaches_nothing(repository: Repository) -> None:
    assert MinedHistories(OneMirror(repository.mirror())).mined("shop") == ()


def test_table_that_cannot_be_kept_is_said_and_used(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = repository.mirror()
    mirror.refresh()
    (mirror.folder / FILE).mkdir()

    assert len(MinedHistories(OneMirror(mirror)).mined("shop")) == 3
    assert "the mined history is not kept" in caplog.text
