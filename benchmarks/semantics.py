"""Measures the reading of changed functions on real commits and prints JSON.

    python benchmarks/semantics.py REPOSITORY... [--commits N] [--show N]

REPOSITORY is a git directory. Each changed source file of its newest commits is read before and
after; times are processor milliseconds a file (both versions). Pairs of a hunk and a function that
it touches are compared with an independent reading: Python's own `ast`; for other languages
universal-ctags where it is on PATH, functions only and by last name, because it names scopes
otherwise, and only where it knows the ends. Ctags is no truth (it misses macros, closures and some syntax), so look at `--show`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentci_dagster.adapters.syntax.apart import Text, read_apart
from agentci_dagster.adapters.syntax.languages import grammars_for
from agentci_dagster.adapters.syntax.walking import UnreadableError, definitions_in, load
from agentci_dagster.domain.diff import (
    Definition,
    Hunk,
    language_of,
    parse_diff,
    python_definitions,
    symbols_between,
)

_DIFF = (
    "diff-tree",
    "-r",
    "-z",
    "--raw",
    "--numstat",
    "-U0",
    "-p",
    "--no-abbrev",
    "--full-index",
    "-M",
)
_MAX_BYTES = 512 * 1024
_NO_BLOB = "0" * 40


@dataclass
class Tally:
    ms: list[float] = field(default_factory=list)
    n_bytes: int = 0
    unreadable: Counter = field(default_factory=Counter)
    n_both: int = 0
    only_ours: list[str] = field(default_factory=list)
    only_theirs: list[str] = field(default_factory=list)
    their_ms: list[float] = field(default_factory=list)

    def compare(self, where: str, ours: set, theirs: set) -> None:
        self.n_both += len(ours & theirs)
        self.only_ours += [f"{where} {pair}" for pair in sorted(ours - theirs)]
        self.only_theirs += [f"{where} {pair}" for pair in sorted(theirs - ours)]

    def told(self, n_shown: int) -> dict:
        ours, theirs = self.n_both + len(self.only_ours), self.n_both + len(self.only_theirs)
        told = {
            "files": len(self.ms),
            "ms_median": round(statistics.median(self.ms), 1) if self.ms else None,
            "ms_p95": round(sorted(self.ms)[int(0.95 * len(self.ms))], 1) if self.ms else None,
            "ms_max": round(max(self.ms), 1) if self.ms else None,
            "mb_per_s": round(self.n_bytes / 1e3 / sum(self.ms), 2) if self.ms else None,
            "unreadable": dict(self.unreadable),
            "pairs": ours,
            "precision": round(self.n_both / ours, 4) if theirs and ours else None,
            "recall": round(self.n_both / theirs, 4) if theirs else None,
        }
        if self.their_ms:
            told["ast_ms_median"] = round(statistics.median(self.their_ms), 1)
        if n_shown:
            told["only_ours"] = self.only_ours[:n_shown]
            told["only_theirs"] = self.only_theirs[:n_shown]
        return told


@dataclass(frozen=True)
class Changed:
    where: str
    path: str
    language: str
    old: bytes | None
    new: bytes | None
    hunks: tuple[Hunk, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", type=Path, nargs="+")
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--show", type=int, default=0)
    arguments = parser.parse_args()
    tallies: dict[str, Tally] = defaultdict(Tally)
    apart_ms, ctags = [], shutil.which("ctags")
    for repository in arguments.repositories:
        for commit in _commits(repository, arguments.commits):
            texts = []
            for file in _changed(repository, commit):
                _measure(file, tallies[file.language], ctags)
                if file.language != "python":
                    grammars = grammars_for(file.language, file.path)
                    texts += [Text(t, grammars) for t in (file.old, file.new) if t is not None]
            if texts and len(apart_ms) < 50:
                began = time.perf_counter()
                read_apart(texts)
                apart_ms.append(1_000 * (time.perf_counter() - began))
    told = {language: tally.told(arguments.show) for language, tally in sorted(tallies.items())}
    apart = round(statistics.median(apart_ms)) if apart_ms else None
    truth = {"python": "ast", "others": "universal-ctags" if ctags else None}
    print(
        json.dumps(
            {"truth": truth, "commit_in_worker_wall_ms_median": apart, "languages": told}, indent=2
        )
    )


def _measure(file: Changed, tally: Tally, ctags: str | None) -> None:
    grammars = list(grammars_for(file.language, file.path))
    load(grammars)
    began = time.process_time()
    try:
        old, new = (_definitions(text, grammars) for text in (file.old, file.new))
    except UnreadableError as error:
        tally.unreadable[str(error)] += 1
        return
    finally:
        tally.ms.append(1_000 * (time.process_time() - began))
        tally.n_bytes += len(file.old or b"") + len(file.new or b"")
    if file.language == "python":
        began = time.process_time()
        try:
            theirs = [python_definitions(text) for text in (file.old, file.new)]
        except ValueError:
            tally.unreadable["by ast, read by tree-sitter"] += 1
            return
        tally.their_ms.append(1_000 * (time.process_time() - began))
        tally.compare(file.where, _pairs(old, new, file.hunks), _pairs(*theirs, file.hunks))
    elif ctags:
        theirs = [_by_ctags(ctags, file, text) for text in (file.old, file.new)]
        if None in theirs:
            tally.unreadable["by ctags, which gives no ends"] += 1
            return
        mine = [_functions(old), _functions(new)]
        tally.compare(file.where, _pairs(*mine, file.hunks), _pairs(*theirs, file.hunks))


def _definitions(text: bytes | None, grammars: list[str]) -> list[Definition]:
    found = definitions_in(text, grammars, cpu_s=10) if text else []
    return [Definition(f.name, f.is_type, f.first_line, f.last_line) for f in found]


def _pairs(old: list[Definition], new: list[Definition], hunks: tuple[Hunk, ...]) -> set:
    symbols = symbols_between(old, new, hunks)
    return {(n, s.qualified_name) for s in symbols for n in s.hunks}


def _functions(definitions: list[Definition]) -> list[Definition]:
    return [
        Definition(d.name.rpartition(".")[2], False, d.first_line, d.last_line)
        for d in definitions
        if not d.is_class
    ]


def _by_ctags(ctags: str, file: Changed, text: bytes | None) -> list[Definition] | None:
    if not text:
        return []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / Path(file.path).name
        place.write_bytes(text)
        argv = [
            ctags,
            "--options=NONE",
            "--output-format=json",
            "--fields=+neK",
            "--sort=no",
            "-o",
            "-",
            str(place),
        ]
        output = subprocess.run(argv, capture_output=True, check=False, timeout=60).stdout
    tags = [json.loads(line) for line in output.splitlines()]
    kinds = ("function", "method", "func", "singletonMethod", "generator", "getter", "setter")
    tags = [t for t in tags if t.get("kind") in kinds]
    if any("end" not in t for t in tags):
        return None
    lines = text.split(b"\n")
    return [Definition(t["name"], False, _first_line(lines, t["line"]), t["end"]) for t in tags]


def _first_line(lines: list[bytes], line: int) -> int:
    """Ctags starts at the name; what stands above counts for us, so it is given that too."""
    while line > 1 and _belongs_below(lines[line - 2].strip()):
        line -= 1
    return line


def _belongs_below(text: bytes) -> bool:
    return text.startswith((b"//", b"/*", b"*", b"#[", b"@", b"# ", b"template"))


def _commits(repository: Path, n: int) -> list[str]:
    return _git(repository, "log", "--format=%H", "--no-merges", f"-n{n}").decode().split()


def _changed(repository: Path, commit: str) -> Iterator[Changed]:
    parents = _git(repository, "log", "-1", "--format=%P", commit).decode().split()
    if not parents:
        return
    try:
        raw = parse_diff(_git(repository, *_DIFF, parents[0], commit))
    except subprocess.CalledProcessError:
        return  # a partial clone misses some objects
    for change, hunks in zip(raw.changes, raw.hunks, strict=True):
        language = language_of(change.path)
        modes = {change.old_mode, change.new_mode} - {"000000", "100644", "100755"}
        if not grammars_for(language, change.path) or change.lines_added is None or modes:
            continue
        old, new = (_blob(repository, name) for name in (change.old_blob, change.new_blob))
        if max(len(old or b""), len(new or b"")) <= _MAX_BYTES:
            where = f"{repository.parent.name} {commit[:10]} {change.path}"
            yield Changed(where, change.path, language, old, new, hunks)


def _blob(repository: Path, name: str) -> bytes | None:
    return None if name == _NO_BLOB else _git(repository, "cat-file", "blob", name)


def _git(repository: Path, *arguments: str) -> bytes:
    argv = ["git", "-C", str(repository), *arguments]
    return subprocess.run(argv, capture_output=True, check=True, timeout=120).stdout


if __name__ == "__main__":
    main()
