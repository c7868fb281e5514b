"""`agentci tests`: what was written for a commit, handed over once."""

from __future__ import annotations

from pathlib import Path

from tests.builders import diff, key, sha
from tests.cli.conftest import Home
from tests.domain.test_handover import CRASH, KEPT, WRITTEN


def stored(home: Home) -> None:
    home.values.store("commit_diff", diff(), key())
    home.values.store("generated_tests", WRITTEN, key())


def test_tests_are_written_and_listed(home: Home, tmp_path: Path) -> None:
    stored(home)
    out = tmp_path / "new" / "tests"

    done = home.agentci("tests", sha(), "--out", str(out))

    assert done.code == 0
    assert (out / "test_shop_cart_total.py").read_text() == KEPT.source
    assert (out / "test_finding_shop_cart_py_mean.py").read_text() == CRASH.test_source
    assert str(out / "test_shop_cart_total.py") in done.out
    assert "1 test" in done.out


def test_what_is_there_is_not_written_over(home: Home, tmp_path: Path) -> None:
    stored(home)
    (tmp_path / "test_shop_cart_total.py").write_text("mine")

    done = home.agentci("tests", sha(), "--out", str(tmp_path))

    assert done.code == 2
    assert "nothing was written" in done.err
    assert (tmp_path / "test_shop_cart_total.py").read_text() == "mine"
    assert not (tmp_path / "test_finding_shop_cart_py_mean.py").exists()


def test_folder_that_cannot_be_made_is_said(home: Home, tmp_path: Path) -> None:
    stored(home)
    (tmp_path / "file").write_text("")

    done = home.agentci("tests", sha(), "--out", str(tmp_path / "file" / "x"))

    assert done.code == 2
    assert "--out" in done.err


def test_programs_get_one_document(home: Home, tmp_path: Path) -> None:
    stored(home)

    told = home.agentci("tests", sha(), "--out", str(tmp_path / "t"), "--json").json

    assert told["commit"] == str(key())
    assert len(told["files"]) == 2
