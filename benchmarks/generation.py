"""Offline tests for changed functions of real commits: what they cover and kill, and what they cost.

    python benchmarks/generation.py MIRRORS [--half tuning|test|all] [--repositories A,B] [--runs N]

MIRRORS holds a git repository `<owner>+<name>/repo` for each of `generation_commits.py`. Prints JSON:

- `lines`, `branches`: executable lines (and branches out of them) of the changed functions that the
  kept generated tests alone run; `of_targets` leaves out functions that are not called on purpose
  (files, network, clock, asynchronous).
- `mutants`: changes of one operator, constant, condition or result in a changed line that a kept
  test notices.
- `seconds_a_function`: wall time of the writer, its five judging runs included.
- `passed_again`: kept tests that passed in every one of N further runs in other orders.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from generation_commits import chosen

from agentci_dagster.adapters.environments import Environments
from agentci_dagster.adapters.git import GitMirrors
from agentci_dagster.adapters.pytest_runner import PytestBench
from agentci_dagster.adapters.sandbox import Sandbox
from agentci_dagster.adapters.test_writers.offline import OfflineTestWriter
from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileKind, SymbolStatus
from agentci_dagster.domain.generated_tests import Candidate
from agentci_dagster.domain.selection import is_test_file
from agentci_dagster.ports import Checkout

CPU_S_EACH = 30
MUTANTS_EACH = 10
SEED = 20_130_601
_COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COUNTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass
class Measured:
    """One commit."""

    commit: str
    functions: int = 0
    targets: int = 0
    kept: int = 0
    lines: int = 0
    covered: int = 0
    target_lines: int = 0
    target_covered: int = 0
    mutants: int = 0
    killed: int = 0
    tests: int = 0
    passed_again: int = 0
    seconds: float = 0.0
    note: str = ""
    missed: dict[str, list[int]] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("--half", choices=("tuning", "test", "all"), default="all")
    parser.add_argument("--repositories", default="", help="only these names, by commas")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-mutants", action="store_true")
    arguments = parser.parse_args()
    names = set(filter(None, arguments.repositories.split(",")))
    wanted = [
        (repository, sha)
        for repository, sha in chosen(arguments.half)
        if not names or repository.partition("/")[2] in names
    ]
    with tempfile.TemporaryDirectory(prefix="agentci-generation-") as home:
        workshop = Workshop(arguments.mirrors, Path(home), {r for r, _ in wanted})
        rows = []
        for repository, sha in wanted:
            rows.append(workshop.measure(repository, sha, arguments))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    print(
        json.dumps(
            {"half": arguments.half, **summary(rows), "commits": [vars(r) for r in rows]}, indent=1
        )
    )


class Workshop:
    """The product's writer and bench over the given repositories."""

    def __init__(self, mirrors: Path, home: Path, repositories: set[str]) -> None:
        places = {
            r.partition("/")[2]: (str(mirrors / r.replace("/", "+") / "repo"), ("*",))
            for r in repositories
        }
        self.mirrors = GitMirrors(home / "mirrors", places)
        sandbox = Sandbox()
        environments = Environments(home / "environments", home / "tools", sandbox)
        self.bench = PytestBench(self.mirrors, environments, sandbox, home / "checkouts")
        self.writer = OfflineTestWriter(self.bench, self.mirrors)

    def measure(self, repository: str, sha: str, arguments: argparse.Namespace) -> Measured:
        name = repository.partition("/")[2]
        mirror = self.mirrors.of(name)
        mirror.refresh()
        diff = mirror.diff(sha)
        row = Measured(f"{repository}@{sha[:12]}")
        with self.bench.checkout(CommitKey(name, sha)) as checkout:
            changed = _changed_functions(checkout.folder, diff)
            row.functions = len(changed)
            written = self.writer.write(
                checkout, diff, timedelta(seconds=CPU_S_EACH * max(1, len(changed)))
            )
            row.seconds = round(written.seconds, 1)
            row.note, row.targets, row.kept = written.note, len(written.targets), len(written.kept)
            self._cover(checkout, changed, written.kept, set(written.targets), row)
            if written.kept:
                self._again(checkout, written.kept, arguments.runs, row)
                if not arguments.no_mutants:
                    self._mutate(checkout, changed, written.kept, row)
        return row

    def _cover(
        self,
        checkout: Checkout,
        changed: dict[str, list[_Changed]],
        kept: tuple[Candidate, ...],
        targets: set[str],
        row: Measured,
    ) -> None:
        ran: dict[str, set[int]] = {}
        if kept:
            with self.bench.written(checkout, kept) as paths:
                session = self.bench.session(
                    checkout,
                    paths=paths,
                    files_of_interest=list(changed),
                    timeout_s=300,
                    is_bare=True,
                )
            ran = {path: set(lines) for path, lines in session.executed.items()}
        for path, functions in changed.items():
            for function in functions:
                missed = sorted(function.lines - ran.get(path, set()))
                row.lines += len(function.lines)
                row.covered += len(function.lines) - len(missed)
                if f"{path}::{function.name}" in targets:
                    row.target_lines += len(function.lines)
                    row.target_covered += len(function.lines) - len(missed)
                if missed:
                    row.missed[f"{path}::{function.name}"] = missed

    def _again(
        self, checkout: Checkout, kept: tuple[Candidate, ...], runs: int, row: Measured
    ) -> None:
        chance = random.Random(SEED)
        passed: dict[str, int] = {}
        with self.bench.written(checkout, kept) as paths:
            for seed in range(runs):
                shuffled = chance.sample(paths, len(paths))
                session = self.bench.session(
                    checkout, paths=shuffled, timeout_s=300, is_bare=True,
                    variables={"PYTHONHASHSEED": str(100 + seed)},
                )  # fmt: skip
                for test, outcome in session.outcomes.items():
                    passed[test] = passed.get(test, 0) + (outcome == "passed")
        row.tests = len(passed)
        row.passed_again = sum(n == runs for n in passed.values())

    def _mutate(
        self,
        checkout: Checkout,
        changed: dict[str, list[_Changed]],
        kept: tuple[Candidate, ...],
        row: Measured,
    ) -> None:
        chance = random.Random(SEED)
        with self.bench.written(checkout, kept) as paths:
            for path, functions in changed.items():
                place = checkout.folder / path
                text = place.read_text()
                for function in functions:
                    found = list(mutants(text, function.lines))
                    for mutant in chance.sample(found, min(MUTANTS_EACH, len(found))):
                        place.write_text(mutant)
                        session = self.bench.session(
                            checkout, paths=paths, timeout_s=30, is_bare=True
                        )
                        row.mutants += 1
                        has_passed = session.outcomes and set(session.outcomes.values()) == {
                            "passed"
                        }
                        row.killed += not (has_passed and not session.trouble)
                place.write_text(text)


@dataclass(frozen=True)
class _Changed:
    """A changed function and its changed executable lines; all of them where lines were only taken away."""

    name: str
    lines: frozenset[int]


def _changed_functions(folder: Path, diff: CommitDiff) -> dict[str, list[_Changed]]:
    found: dict[str, list[_Changed]] = {}
    for file in diff.of_kind(FileKind.SOURCE):
        if not file.path.endswith(".py") or is_test_file(file.path):
            continue
        touched = {
            s.qualified_name
            for s in file.symbols
            if not s.is_class and s.status is not SymbolStatus.REMOVED
        }
        text = (folder / file.path).read_text(errors="replace")
        executable = _executable(text)
        for name, node in _functions(ast.parse(text)):
            if name not in touched or _is_stub(node):
                continue
            body = {n for n in executable if node.body[0].lineno <= n <= (node.end_lineno or 0)}
            added = body & set(file.added_line_numbers)
            if added or body:
                found.setdefault(file.path, []).append(_Changed(name, frozenset(added or body)))
    return found


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """What is written for type checkers and readers only, and never runs."""
    names = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
    return bool(names & {"overload", "abstractmethod"})


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    waiting: list[tuple[ast.AST, str]] = [(node, "") for node in tree.body]
    while waiting:
        node, prefix = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting += [(n, f"{prefix}{node.name}.") for n in node.body]
        elif isinstance(node, ast.If | ast.Try):
            waiting += [(n, prefix) for n in ast.iter_child_nodes(node)]


def _executable(text: str) -> set[int]:
    """Lines that byte-code begins on, as coverage tools count them; texts that stand alone are none."""
    lines: set[int] = set()
    waiting = [compile(text, "x", "exec")]
    while waiting:
        code = waiting.pop()
        lines |= {line for _, _, line in code.co_lines() if line}
        waiting += [c for c in code.co_consts if hasattr(c, "co_lines")]
    return lines


def mutants(text: str, lines: frozenset[int]) -> Iterator[str]:
    """The file with one small change in one of the lines."""
    tree = ast.parse(text)
    for number, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", None) not in lines:
            continue
        for changed in _changes(node):
            whole = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(ast.walk(whole)) if i == number)
            if isinstance(changed, ast.AST) and type(changed) is type(twin):
                twin.__dict__.update(changed.__dict__)
            else:
                _Replace(twin, changed).visit(whole)
            yield ast.unparse(ast.fix_missing_locations(whole))


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        yield ast.Compare(
            node.left, [_COMPARED[type(node.ops[0])](), *node.ops[1:]], node.comparators
        )
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        yield ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in {int, bool}:
        yield ast.Constant(not node.value if type(node.value) is bool else node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is str and node.value:
        yield ast.Constant(f"{node.value}x")
    elif isinstance(node, ast.Return) and node.value is not None:
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        yield ast.Return(ast.Constant(1 if is_none else None))
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and not isinstance(
        getattr(node, "value", None), ast.Constant | ast.Yield | ast.YieldFrom
    ):
        yield ast.Pass()
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        twin = copy.copy(node)
        twin.test = ast.UnaryOp(ast.Not(), node.test)
        yield twin


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self._new if node is self._old else self.generic_visit(node)


def summary(rows: list[Measured]) -> dict[str, Any]:
    each = sorted(r.seconds / r.targets for r in rows if r.targets)
    tests = sum(r.tests for r in rows)
    return {
        "n_commits": len(rows),
        "n_functions": sum(r.functions for r in rows),
        "n_targets": sum(r.targets for r in rows),
        "lines": _share(sum(r.covered for r in rows), sum(r.lines for r in rows)),
        "lines_of_targets": _share(
            sum(r.target_covered for r in rows), sum(r.target_lines for r in rows)
        ),
        "mutants": _share(sum(r.killed for r in rows), sum(r.mutants for r in rows)),
        "commits_without_a_kept_test": sum(not r.kept for r in rows if r.functions),
        "passed_again": _share(sum(r.passed_again for r in rows), tests),
        "seconds_a_function": {
            "median": round(statistics.median(each), 1) if each else None,
            "p90": round(each[int(0.9 * (len(each) - 1))], 1) if each else None,
        },
        "machine": {"cpus": os.cpu_count(), "python": sys.version.split()[0]},
    }


def _share(n: int, of: int) -> dict[str, Any]:
    return {"n": n, "of": of, "share": round(n / of, 4) if of else None}


def _line(row: Measured) -> str:
    return (
        f"{row.commit}: {row.covered}/{row.lines} lines, {row.killed}/{row.mutants} mutants, "
        f"{row.kept} modules, {row.seconds} s; {row.note}"
    )


if __name__ == "__main__":
    main()
