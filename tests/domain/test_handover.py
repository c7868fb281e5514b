"""Kept tests as files and as a patch, whatever their names are."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from agentci_dagster.domain.generated_tests import (
    Candidate,
    Finding,
    Funnel,
    GeneratedTests,
    as_files,
    as_patch,
)
from agentci_dagster.domain.selection import Isolation

KEPT = Candidate("test_shop_cart_total", "shop/cart.py::total", "def test_a():\n    pass\n", "x")
CRASH = Finding("shop/cart.py::mean", "mean([])", "ZeroDivisionError", "", "def test_b(): ...\n")
WRITTEN = GeneratedTests((KEPT,), (CRASH,), Funnel(), (), Isolation.STRONG, 1.0, "1 test")


def test_kept_tests_and_crashes_get_files_of_their_own() -> None:
    assert as_files(WRITTEN) == {
        "test_shop_cart_total.py": KEPT.source,
        "test_finding_shop_cart_py_mean.py": CRASH.test_source,
    }


def test_names_are_plain_and_none_is_given_twice() -> None:
    odd = replace(KEPT, name="../../Etc/passwd\n")
    files = as_files(replace(WRITTEN, kept=(odd, odd, odd), findings=()))

    assert list(files) == ["test_etc_passwd.py", "test_etc_passwd_2.py", "test_etc_passwd_3.py"]


def test_patch_is_what_git_applies(tmp_path: Path) -> None:
    patch = as_patch(as_files(WRITTEN))
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch.encode(), check=True)

    made = tmp_path / "tests/generated/test_shop_cart_total.py"
    assert made.read_text() == KEPT.source
    assert as_patch({}) == ""
