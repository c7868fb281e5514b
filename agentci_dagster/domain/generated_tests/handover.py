"""Kept tests and findings as files, for a person to take over. Nothing is committed by itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentci_dagster.domain.generated_tests.values import GeneratedTests

_MAX_NAME = 80


def as_files(written: GeneratedTests) -> Mapping[str, str]:
    """Names and texts of the test files: the kept ones, then one failing test for each crash.

    A name is made of the module that is tested, so that the same function gets the same file again.
    """
    files: dict[str, str] = {}
    for candidate in written.kept:
        files[_free(candidate.name, files)] = candidate.source
    for finding in written.findings:
        files[_free(f"test_finding_{finding.target}", files)] = finding.test_source
    return files


def as_patch(files: Mapping[str, str], folder: str = "tests/generated") -> str:
    """The files as a patch that `git apply` takes at the root of the repository."""
    parts = []
    for name, text in files.items():
        path = f"{folder}/{name}"
        lines = difflib.unified_diff(
            [], text.splitlines(), "/dev/null", f"b/{path}", lineterm="", n=0
        )
        parts.append(f"diff --git a/{path} b/{path}\nnew file mode 100644\n" + "\n".join(lines))
    return "\n".join(parts) + "\n" if parts else ""


def _free(wanted: str, taken: Mapping[str, str]) -> str:
    """A file name that no other one has, of letters, digits and underscores only."""
    stem = re.sub(r"\W+", "_", wanted.lower(), flags=re.ASCII).strip("_")[:_MAX_NAME]
    stem = stem if stem.startswith("test_") else f"test_{stem}"
    names = (f"{stem}.py", *(f"{stem}_{n}.py" for n in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
