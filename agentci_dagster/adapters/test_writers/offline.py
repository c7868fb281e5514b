"""Writes tests without a language model: calls changed Python functions in the sandbox and keeps
what holds.

Which functions and how a test reads belong to `domain/generated_tests`; the calling itself to
`probe/`, which runs inside.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from agentci_dagster.adapters.project_files import read_inside
from agentci_dagster.adapters.pytest_runner import PytestBench, Session, read_report
from agentci_dagster.adapters.sandbox import Limits, SandboxResult
from agentci_dagster.adapters.test_writers import probe
from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileKind
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.generated_tests import (
    Candidate,
    Case,
    Crash,
    Finding,
    Funnel,
    GeneratedTests,
    Outcome,
    Target,
    Targets,
    choose_targets,
    render_finding,
    render_module,
)
from agentci_dagster.domain.selection import Isolation, is_test_file
from agentci_dagster.ports import Checkout, Mirrors

_WRITER = "offline"
_PACKAGE = "agentci_probe"
# A name that no commit has, and not the commit's folder in front of the import path.
_PROGRAM = (
    f"import sys; sys.path.insert(0, sys.argv[1]); from {_PACKAGE}.__main__ import main; "
    "main(sys.argv[2])"
)
_N_RUNS = 5
"""A test that gives chance one in three to fail passes five times in 13 % of the cases."""
_N_CONFIRMED = 2
_MAX_TARGETS = 40
_MAX_TEST_FILES = 400
_MAX_ANSWER_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the probe said about one target, checked."""

    target: Target
    cases: tuple[Case, ...]
    crash: Crash | None
    skipped: str
    n_dropped: int


class OfflineTestWriter:
    """Writes tests by calling functions with inputs drawn from types, literals, people's own
    calls and Hypothesis.

    Args:
        bench: runs candidates.
        mirrors: where the version before the commit comes from.
    """

    __test__: ClassVar[bool] = False

    def __init__(self, bench: PytestBench, mirrors: Mirrors) -> None:
        self._bench = bench
        self._mirrors = mirrors

    def write(self, checkout: Checkout, diff: CommitDiff, budget: timedelta) -> GeneratedTests:
        """Candidates for the changed functions, each run five times before it is kept.

        Args:
            checkout: the commit's tree.
            diff: the commit.
            budget: CPU seconds for calling functions, shared by them; the runs of
                candidates come on top and
                take at most as long again.
        """
        started = time.monotonic()
        targets = self._targets(checkout, diff)
        if not targets.chosen or not budget:
            why = _why_none(diff, targets) if budget else "the budget is 0"
            return _nothing(f"0 tests, because {why}.", started)
        chosen = targets.chosen[:_MAX_TARGETS]
        answers, isolation, trouble = self._probe(checkout, diff, chosen, budget)
        if trouble and not answers:
            return replace(_nothing(f"0 tests, because {trouble}.", started), isolation=isolation)
        proposed = [a for a in answers if a.cases]
        left_s = max(10.0, budget.total_seconds())
        passed, stable = self._judged_anew(checkout.key, proposed, left_s)
        kept = tuple(_candidate(a) for a in stable)
        crashes = [a for a in answers if a.crash]
        findings = self._confirmed(checkout, diff, crashes, left_s)
        n_doubtful = len(crashes) - len(findings)
        n_left = len(targets.chosen) - len(chosen)
        return GeneratedTests(
            kept=kept,
            findings=findings,
            funnel=Funnel(
                n_proposed=len(proposed) + sum(not a.cases and a.n_dropped > 0 for a in answers),
                n_parsed=len(proposed),
                n_passed=passed,
                n_stable=len(stable),
                n_kept=len(kept),
            ),
            targets=tuple(t.name for t in chosen),
            isolation=isolation,
            seconds=time.monotonic() - started,
            note=_note(kept, findings, answers, targets, n_left, n_doubtful, trouble),
        )

    def _targets(self, checkout: Checkout, diff: CommitDiff) -> Targets:
        sources = {}
        for file in diff.of_kind(FileKind.SOURCE):
            text = read_inside(checkout.folder, file.path) if file.path.endswith(".py") else None
            if text is not None:
                sources[file.path] = text
        paths = frozenset(self._mirrors.of(checkout.key.repository).files(checkout.key.sha))
        return choose_targets(diff, sources, paths, checkout.import_roots)

    def _probe(
        self,
        checkout: Checkout,
        diff: CommitDiff,
        targets: Sequence[Target],
        budget: timedelta,
    ) -> tuple[list[_Answer], Isolation, str]:
        """Ask the probe about every target, inside the sandbox; also how well it was shut in,
        and what went wrong.
        """
        place = checkout.folder.parent / f"probe-{uuid.uuid4().hex[:12]}"
        inside, out = place / "in", place / "out"
        inside.mkdir(parents=True)
        out.mkdir()
        total_s = budget.total_seconds()
        try:
            ours = Path(str(probe.__file__)).parent
            shutil.copytree(ours, inside / _PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
            spec = {
                "folder": str(checkout.folder),
                "out": str(out / "answers.jsonl"),
                "parents": self._parents(diff, targets, inside),
                "tests": self._test_files(checkout),
                "targets": [asdict(t) for t in targets],
                "modules": sorted({(t.module, str(checkout.folder / t.path)) for t in targets}),
                "cpu_s_each": min(8.0, total_s / len(targets)),
                "wall_s": total_s,
            }
            (inside / "spec.json").write_text(json.dumps(spec))
            result = self._bench.run_inside(
                checkout,
                ["-c", _PROGRAM, str(inside), str(inside / "spec.json")],
                writable=[out],
                read_only=[inside],
                variables={"PYTHONDONTWRITEBYTECODE": "1"},
                limits=Limits(
                    timeout_s=total_s + 15, cpu_s=int(total_s) + 20, memory_bytes=2 << 30
                ),
            )
            answers = _read_answers(out / "answers.jsonl", targets)
            return answers, result.isolation, _trouble(result, len(answers), len(targets))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _parents(self, diff: CommitDiff, targets: Sequence[Target], folder: Path) -> dict[str, str]:
        """The version before the commit of each file with a target, outside the tree."""
        mirror = self._mirrors.of(diff.key.repository)
        before = {f.path: f.old_path or f.path for f in diff.files}
        written: dict[str, str] = {}
        for number, path in enumerate(sorted({t.path for t in targets if not t.is_new})):
            parent = diff.commit.parents[0] if diff.commit.parents else None
            content = mirror.read(parent, before[path]) if parent else None
            if content is not None:
                (folder / f"before_{number}.py").write_bytes(content)
                written[path] = str(folder / f"before_{number}.py")
        return written

    def _test_files(self, checkout: Checkout) -> list[str]:
        """Test files, whose calls show how people use the functions."""
        names = self._mirrors.of(checkout.key.repository).files(checkout.key.sha)
        return [str(checkout.folder / n) for n in names if is_test_file(n)][:_MAX_TEST_FILES]

    def _confirmed(
        self, checkout: Checkout, diff: CommitDiff, crashes: Sequence[_Answer], left_s: float
    ) -> tuple[Finding, ...]:
        """The crashes that come again in fresh processes and that the version before has not."""
        moved = self._moved(checkout, diff, [a.target for a in crashes])
        found = [
            _finding(a.target, a.crash) for a in crashes if a.crash and a.target.name not in moved
        ]
        if not found:
            return ()
        deadline = time.monotonic() + left_s
        for seed in range(1, _N_CONFIRMED + 1):
            ends = self._end_in_crashes(checkout, found, seed, deadline)
            found = [f for f, end in zip(found, ends, strict=True) if end]
        if not found or not diff.commit.parents:
            return tuple(found)
        try:
            with self._bench.checkout(
                CommitKey(diff.key.repository, diff.commit.parents[0])
            ) as before:
                old = self._end_in_crashes(before, found, 1, time.monotonic() + left_s)
        except GitError:
            # A shallow clone has no version before.
            return tuple(found)
        return tuple(f for f, end in zip(found, old, strict=True) if not end)

    def _end_in_crashes(
        self, checkout: Checkout, findings: Sequence[Finding], seed: int, deadline: float
    ) -> list[bool]:
        if not findings:
            return []
        candidates = [
            Candidate(f"test_finding_{n}", f.target, f.test_source, _WRITER)
            for n, f in enumerate(findings)
        ]
        with self._bench.written(checkout, candidates) as names:
            session = self._bench.session(
                checkout,
                paths=names,
                timeout_s=deadline - time.monotonic(),
                variables={"PYTHONHASHSEED": str(seed)},
                is_bare=True,
            )
        return _crashing(session, names, findings)

    def _moved(
        self, checkout: Checkout, diff: CommitDiff, targets: Sequence[Target]
    ) -> frozenset[str]:
        """New names of functions that the version before had elsewhere or by another name."""
        new = [t for t in targets if t.is_new]
        if not new or not diff.commit.parents:
            return frozenset()
        mirror = self._mirrors.of(diff.key.repository)
        before: set[str] = set()
        for file in diff.files:
            path = file.old_path or file.path
            content = mirror.read(diff.commit.parents[0], path) if path.endswith(".py") else None
            before |= _bodies(content.decode(errors="replace")) if content else set()
        texts = {t.path: read_inside(checkout.folder, t.path) or "" for t in new}
        return frozenset(t.name for t in new if _own_body(texts[t.path], t) in before)

    def _judged_anew(
        self, key: CommitKey, proposed: Sequence[_Answer], left_s: float
    ) -> tuple[int, list[_Answer]]:
        """Judge in a copy of the tree that no call of the search has touched."""
        if not proposed:
            return 0, []
        with self._bench.checkout(key) as untouched:
            return self._judge(untouched, proposed, left_s)

    def _judge(
        self, checkout: Checkout, proposed: Sequence[_Answer], left_s: float
    ) -> tuple[int, list[_Answer]]:
        """Run all candidates five times in fresh processes; keep the tests that passed every
        time.
        """
        if not proposed:
            return 0, []
        deadline = time.monotonic() + left_s
        candidates = [_candidate(a) for a in proposed]

        def one_run(seed: int) -> dict[str, str]:
            session = self._bench.session(
                checkout,
                paths=names,
                timeout_s=deadline - time.monotonic(),
                variables={"PYTHONHASHSEED": str(seed)},
                is_bare=True,
            )
            return {} if session.trouble or session.cheating else session.outcomes

        # Two at a time: enough to use a second processor, not enough to disturb others.
        with self._bench.written(checkout, candidates) as names, ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(one_run, range(1, _N_RUNS + 1)))
        n_passed = 0
        stable = []
        for answer, candidate, name in zip(proposed, candidates, names, strict=True):
            tests = [f"{name}::{test}" for test in _test_names(candidate.source)]
            n_passed += any(runs[0].get(test) == "passed" for test in tests)
            holds = [all(run.get(test) == "passed" for run in runs) for test in tests]
            cases = tuple(c for c, h in zip(answer.cases, holds, strict=True) if h)
            if cases:
                stable.append(replace(answer, cases=cases))
        return n_passed, stable


def _crashing(session: Session, names: Sequence[str], findings: Sequence[Finding]) -> list[bool]:
    """Whether each ready test ends in its finding's exception, in a run of its own."""
    ends = []
    for name, finding in zip(names, findings, strict=True):
        (test,) = _test_names(finding.test_source)
        message = session.messages.get(f"{name}::{test}", "")
        ends.append(
            re.search(rf"^E\s+(?:\w+\.)*{finding.exception}\b", message, re.MULTILINE) is not None
        )
    return ends


def _bodies(text: str) -> set[str]:
    """What the functions of a file do, apart from their names."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    return {_body(function) for function in functions}


def _body(function: ast.FunctionDef) -> str:
    told = ast.dump(ast.Module([function.args, *function.body], []))  # type: ignore[list-item]
    return told.replace(repr(function.name), "''")


def _own_body(text: str, target: Target) -> str:
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef))
    return next((_body(f) for f in functions if f.lineno == target.first_line), "")


def _test_names(source: str) -> list[str]:
    lines = (line for line in source.splitlines() if line.startswith("def test_"))
    return [line[4 : line.index("(")] for line in lines]


def _candidate(answer: _Answer) -> Candidate:
    stem = "_".join((*answer.target.module.split("."), *answer.target.qualified_name.split(".")))
    return Candidate(
        name=f"test_{stem}",
        target=answer.target.name,
        source=render_module(answer.target, answer.cases),
        writer=_WRITER,
    )


def _finding(target: Target, crash: Crash) -> Finding:
    return Finding(
        target=target.name,
        example=crash.call,
        exception=crash.exception,
        message=crash.message,
        test_source=render_finding(target, crash),
    )


def _read_answers(path: Path, targets: Sequence[Target]) -> list[_Answer]:
    """The probe's lines that are what they should be; the others are left out."""
    found: dict[int, _Answer] = {}
    for raw in (read_report(path, _MAX_ANSWER_BYTES) or b"").splitlines():
        try:
            line = json.loads(raw)
            number = line["number"]
            if type(number) is int and 0 <= number < len(targets):
                found.setdefault(number, _answer(targets[number], line))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return [found[number] for number in sorted(found)]


def _answer(target: Target, line: Mapping[str, Any]) -> _Answer:
    cases = []
    proposed = line.get("cases") or []
    for proposal in proposed[:20]:
        try:
            cases.append(
                Case(
                    call=str(proposal["call"]),
                    outcome=Outcome(proposal["outcome"]),
                    expected=str(proposal["expected"]),
                    imports=tuple(map(str, proposal["imports"])),
                    changed=str(proposal["changed"]),
                    looked_at=str(proposal.get("looked_at", "value")),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue
    crash = line.get("crash")
    return _Answer(
        target=target,
        cases=tuple(cases),
        crash=Crash(
            call=str(crash["call"]),
            exception=str(crash["exception"]),
            message=str(crash["message"])[:300],
            imports=tuple(map(str, crash["imports"])),
        )
        if crash
        else None,
        skipped=str(line.get("skipped") or "")[:200],
        n_dropped=len(proposed) - len(cases),
    )


def _trouble(result: SandboxResult, n_answers: int, n_targets: int) -> str:
    if n_answers == n_targets:
        return ""
    if result.stopped_for:
        return f"the calls were stopped by the limit on {result.stopped_for}"
    last = result.stderr_tail.strip().splitlines()[-1:] or ["nothing was said"]
    return f"the calling process ended early with code {result.returncode} ({last[0][:200]})"


def _nothing(note: str, started: float) -> GeneratedTests:
    return GeneratedTests((), (), Funnel(), (), Isolation.NOT_RUN, time.monotonic() - started, note)


def _why_none(diff: CommitDiff, targets: Targets) -> str:
    if targets.skipped:
        return f"the changed functions are {_listed(targets.skipped)}"
    if not any(f.path.endswith(".py") for f in diff.of_kind(FileKind.SOURCE)):
        return "no Python source has changed"
    return "no function has changed"


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({n})" for reason, n in sorted(reasons.items()))


def _note(
    kept: Sequence[Candidate],
    findings: Sequence[Finding],
    answers: Sequence[_Answer],
    targets: Targets,
    n_left: int,
    n_doubtful: int,
    trouble: str,
) -> str:
    n_tests = sum(len(_test_names(c.source)) for c in kept)
    skipped = dict(targets.skipped)
    for answer in answers:
        if answer.skipped:
            skipped[answer.skipped] = skipped.get(answer.skipped, 0) + 1
    parts = [f"{n_tests} tests for {len(kept)} of {len(targets.chosen)} functions"]
    if not n_tests:
        parts = ["0 tests, because no call gave a result that holds"]
    if findings:
        parts.append(f"{len(findings)} crashes on ordinary input")
    if n_doubtful:
        parts.append(f"{n_doubtful} crashes that did not come again or are no news")
    if skipped:
        parts.append(f"left out: functions {_listed(skipped)}")
    if n_left:
        parts.append(f"{n_left} functions beyond the first {_MAX_TARGETS}")
    if trouble:
        parts.append(trouble)
    return "; ".join(parts) + "."
