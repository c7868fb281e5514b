"""Mirrors of trees held in memory, a workshop to run tests in, and a wheel made on the spot."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from agentci_dagster.adapters.environments import Environments
from agentci_dagster.adapters.pytest_runner import PytestBench
from agentci_dagster.adapters.sandbox import Limits, Sandbox
from agentci_dagster.domain.diff import (
    CommitDiff,
    FileChange,
    FileStatus,
    Hunk,
    changed_symbols,
    classify_path,
)
from tests.builders import commit, key, sha


@dataclass
class TreeMirrors:
    """As much of mirrors as the bench asks for: trees by the commit's number."""

    trees: dict[str, dict[str, str]]

    def of(self, repository: str) -> TreeMirrors:
        return self

    def export(self, sha: str, folder: Path) -> None:
        for name, text in self.trees[sha].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def files(self, sha: str) -> tuple[str, ...]:
        return tuple(sorted(self.trees[sha]))

    def read(self, sha: str, path: str) -> bytes | None:
        text = self.trees[sha].get(path)
        return None if text is None else text.encode()


@dataclass
class Workshop:
    """A bench over trees that a test sets."""

    mirrors: TreeMirrors
    bench: PytestBench

    def put(self, *trees: dict[str, str]) -> None:
        """Commits 1, 2, … with these trees."""
        self.mirrors.trees = {sha(n): tree for n, tree in enumerate(trees, 1)}

    def checkout(self, n: int = 1):
        return self.bench.checkout(key(n))

    def diff(self, n: int) -> CommitDiff:
        """What commit n changes: whole files that are new, and the lines from the first difference on."""
        before = self.mirrors.trees.get(sha(n - 1), {})
        files = []
        for path, text in self.mirrors.trees[sha(n)].items():
            if before.get(path) == text:
                continue
            old, new = before.get(path, "").splitlines(), text.splitlines()
            same = next(
                (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
                min(len(old), len(new)),
            )
            hunks = (Hunk(same + 1, len(old) - same, same + 1, len(new) - same),)
            earlier = before[path].encode() if path in before else None
            symbols = changed_symbols(earlier, text.encode(), hunks) if path.endswith(".py") else ()
            status = FileStatus.MODIFIED if path in before else FileStatus.ADDED
            counts = (len(new) - same, len(old) - same)
            files.append(
                FileChange(
                    path, None, status, classify_path(path), "python", *counts, hunks, symbols
                )
            )
        return CommitDiff(commit(n), tuple(files))


def workshop(folder: Path, home: Path, bwrap: str | None = None) -> Workshop:
    sandbox = Sandbox(bwrap)
    mirrors = TreeMirrors({})
    environments = Environments(home / "environments", home / "toolbox", sandbox)
    limits = Limits(memory_bytes=1 << 30, n_processes=40, max_file_bytes=16 << 20)
    return Workshop(mirrors, PytestBench(mirrors, environments, sandbox, folder, limits))


def make_wheel(folder: Path, name: str, version: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", text)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path
