"""Which of the repository's own tests a diff asks for, and what running tests found. Writing new ones: `generated_tests.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from agentci_dagster.domain.diff import CommitDiff, FileChange, FileKind, FileStatus
from agentci_dagster.domain.import_graph import dependents
from agentci_dagster.domain.routing import Route

if TYPE_CHECKING:
    from agentci_dagster.domain.generated_tests import GeneratedTests

_TEST_FILE = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test|tests)\.py")
_MAX_UNCOVERED = 50

from agentci_dagster.domain.diff import CommitKey


class SelectionMode(StrEnum):
    """How much of the suite runs."""

    NONE = "none"
    SELECTED = "selected"
    ALL = "all"


class TestVerdict(StrEnum):
    """What the tests say. INCONCLUSIVE: they could not be run, or there are none; it is never a pass."""

    __test__: ClassVar[bool] = False

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_NEEDED = "not_needed"


class Isolation(StrEnum):
    """How well the code under test was shut in."""

    STRONG = "strong"
    WEAK = "weak"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class TestPlan:
    """The chosen test files (repository paths) and why each group is in or out."""

    __test__: ClassVar[bool] = False

    mode: SelectionMode
    test_files: tuple[str, ...]
    reasons: tuple[str, ...]
    n_known: int
    """Test files that the repository has."""
    files_of_interest: tuple[str, ...] = ()
    """Files whose lines are measured; empty measures all."""


@dataclass(frozen=True, slots=True)
class TestFailure:
    """One failing test: its node id and the end of its output, at most 4,000 characters."""

    __test__: ClassVar[bool] = False

    test: str
    message: str
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class LineCoverage:
    """Executable lines that the commit added or changed, and how many of them the tests ran."""

    n_lines: int
    n_covered: int
    uncovered: tuple[str, ...] = ()
    """`path:line` of at most 50 lines that nothing ran."""

    @property
    def share(self) -> float | None:
        return self.n_covered / self.n_lines if self.n_lines else None


@dataclass(frozen=True, slots=True)
class TestRun:
    """What one run of pytest reported; the runner's report is treated as hostile and bounded."""

    __test__: ClassVar[bool] = False

    n_passed: int
    n_failed: int
    n_skipped: int
    failures: tuple[TestFailure, ...]
    executed_lines: dict[str, tuple[int, ...]]
    """Repository path to ascending numbers of lines that ran."""
    executable_lines: dict[str, tuple[int, ...]]
    seconds: float
    isolation: Isolation
    trouble: str = ""
    """Why the run says nothing (time limit, no pytest, collection crash of the environment); empty when it counts."""
    exit_code: int = 0
    flaky: tuple[str, ...] = ()
    """Tests that failed and then passed alone on the same tree; they are not among the failures."""
    notes: tuple[str, ...] = ()
    """What was done differently from the repository's own way, in plain words."""


@dataclass(frozen=True, slots=True)
class TestReport:
    """What the repository's own and the generated tests say about the commit."""

    __test__: ClassVar[bool] = False

    key: CommitKey
    verdict: TestVerdict
    plan: TestPlan
    n_passed: int
    n_failed: int
    n_skipped: int
    n_generated: int
    failures: tuple[TestFailure, ...]
    coverage: LineCoverage | None
    seconds: float
    isolation: Isolation
    summary: str
    """One sentence for people."""
    flaky: tuple[str, ...] = ()
    """Tests that failed once and passed alone."""


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """Where the import graph is not worth its price: beyond so many Python files everything runs.

    Default: 4,000 files take about six seconds to read and parse, more than most suites of that size save.
    """

    max_python_files: int = 4000


def is_test_file(path: str) -> bool:
    """Whether pytest collects the file by its name."""
    return _TEST_FILE.fullmatch(path) is not None


def choose_tests(
    diff: CommitDiff,
    files: Sequence[str],
    sources: Mapping[str, str],
    route: Route,
    policy: SelectionPolicy = SelectionPolicy(),
) -> TestPlan:
    """The tests that a commit asks for: none, those that reach what it changes, or all when in doubt.

    Args:
        diff: the commit.
        files: all paths of its tree.
        sources: text of the tree's Python files; files left out of it make the choice doubtful.
        route: how much care the commit gets.
        policy: limits of the import graph.
    """
    known = tuple(path for path in files if is_test_file(path))
    if route is Route.SKIP:
        return _plan(SelectionMode.NONE, (), ("No tests: nothing that ships has changed.",), known)
    if diff.files and len(diff.of_kind(FileKind.DOCS)) == len(diff.files):
        return _plan(SelectionMode.NONE, (), ("No tests: only documentation has changed.",), known)
    interest = tuple(
        f.path
        for f in diff.of_kind(FileKind.SOURCE, FileKind.MIGRATION)
        if f.path.endswith(".py") and f.status is not FileStatus.DELETED
    )
    doubts = _doubts(diff, files, sources, route, policy)
    if not doubts:
        chosen, doubts = _reached(diff, known, sources)
    if doubts:
        return _plan(SelectionMode.ALL, known, tuple(doubts[:10]), known, interest)
    n_out = len(known) - len(chosen)
    reasons = [
        f"{len(chosen)} of {len(known)} test files import what has changed or have changed."
    ]
    if n_out:
        reasons.append(f"{n_out} test files import nothing that has changed.")
    return _plan(SelectionMode.SELECTED, chosen, tuple(reasons), known, interest)


def _plan(
    mode: SelectionMode,
    chosen: tuple[str, ...],
    reasons: tuple[str, ...],
    known: tuple[str, ...],
    interest: tuple[str, ...] = (),
) -> TestPlan:
    return TestPlan(mode, chosen, reasons, len(known), interest)


def _doubts(
    diff: CommitDiff,
    files: Sequence[str],
    sources: Mapping[str, str],
    route: Route,
    policy: SelectionPolicy,
) -> list[str]:
    """Reasons to run everything without looking at imports."""
    doubts = []
    if route in {Route.GUARDED, Route.HOLD}:
        doubts.append(f"All tests: the route is {route.value}.")
    if diff.is_capped or not diff.files:
        doubts.append("All tests: the diff could not be read whole.")
    for file in diff.files:
        reason = _doubt(file)
        if reason:
            doubts.append(f"All tests: {file.path[:120]} {reason}.")
    python_files = [path for path in files if path.endswith(".py")]
    if len(python_files) > policy.max_python_files:
        doubts.append(f"All tests: {len(python_files)} Python files are too many to follow.")
    elif any(path not in sources for path in python_files if not _is_hidden(path)):
        doubts.append("All tests: some Python files could not be read.")
    return doubts


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _doubt(file: FileChange) -> str:
    if file.kind is FileKind.DOCS:
        return ""
    if file.kind not in {FileKind.SOURCE, FileKind.TEST}:
        return f"is {file.kind.value}, which no import shows"
    if not file.path.endswith(".py"):
        return "is not Python, so no import shows who uses it"
    return "is read by all tests below it" if file.path.endswith("conftest.py") else ""


def _reached(
    diff: CommitDiff, known: Collection[str], sources: Mapping[str, str]
) -> tuple[tuple[str, ...], list[str]]:
    """Test files that reach a changed file, and doubts that arose on the way."""
    changed = [f for f in diff.files if f.kind is not FileKind.DOCS]
    chosen: set[str] = set()
    doubts = []
    for file in changed:
        paths = {file.path} if file.old_path is None else {file.path, file.old_path}
        try:
            reached = dependents(paths, sources) & set(known)
        except ValueError as e:
            return (), [f"All tests: {e}, so its imports are unknown."]
        is_gone = file.status is FileStatus.DELETED
        if not reached and not (is_gone and is_test_file(file.path)):
            doubts.append(f"All tests: no test is seen to import {file.path[:120]}.")
        chosen |= reached
    return tuple(path for path in known if path in chosen), doubts


def judge(
    diff: CommitDiff,
    plan: TestPlan,
    run: TestRun | None,
    generated: GeneratedTests | None = None,
    *,
    withhold_on_findings: bool = True,
) -> TestReport:
    """What the tests say about the commit.

    A generated test that was kept and fails now says that it was unstable, not that the commit is wrong: it was made
    from this very commit's behaviour. A finding, a crash on ordinary input, is a failure when the policy says so.

    Args:
        diff: the commit, whose added lines are looked up in the run's coverage.
        plan: what was chosen.
        run: what was run; None when nothing was.
        generated: the tests kept for the commit and the crashes found.
        withhold_on_findings: whether a finding is a failure.
    """
    run = run or TestRun(0, 0, 0, (), {}, {}, 0.0, Isolation.NOT_RUN)
    unstable = [f for f in run.failures if f.is_generated]
    failures = [f for f in run.failures if not f.is_generated]
    findings = generated.findings if generated else ()
    if withhold_on_findings:
        failures += [
            TestFailure(
                f.target,
                f"{f.example} raises {f.exception}: {f.message}\n\n{f.test_source}"[:4000],
                is_generated=True,
            )
            for f in findings
        ]
    verdict, summary = _verdict(plan, run, failures)
    summary += _remarks(run, len(unstable), 0 if withhold_on_findings else len(findings))
    return TestReport(
        verdict=verdict,
        plan=plan,
        n_passed=run.n_passed,
        n_failed=len(failures),
        n_skipped=run.n_skipped,
        n_generated=sum(c.source.count("\ndef test_") for c in generated.kept) if generated else 0,
        failures=tuple(failures),
        coverage=diff_coverage(diff, run),
        seconds=run.seconds,
        isolation=run.isolation,
        summary=summary,
        flaky=run.flaky,
    )


def _verdict(
    plan: TestPlan, run: TestRun, failures: Sequence[TestFailure]
) -> tuple[TestVerdict, str]:
    if failures:
        first = failures[0].test
        rest = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        how = "A generated test found a crash in" if failures[0].is_generated else "Failed:"
        return TestVerdict.FAILED, f"{how} {first}{rest}."
    if plan.mode is SelectionMode.NONE:
        return TestVerdict.NOT_NEEDED, plan.reasons[0] if plan.reasons else "No tests were needed."
    if not plan.n_known:
        return TestVerdict.INCONCLUSIVE, "The repository has no tests, which is not a pass."
    if run.trouble:
        return TestVerdict.INCONCLUSIVE, f"The tests say nothing: {run.trouble}."
    if not run.n_passed:
        return TestVerdict.INCONCLUSIVE, f"No test ran ({run.n_skipped} skipped), which is not a pass."
    return TestVerdict.PASSED, f"{run.n_passed} tests passed, {run.n_skipped} skipped."


def _remarks(run: TestRun, n_unstable: int, n_findings: int) -> str:
    remarks = list(run.notes)
    if run.flaky:
        remarks.append(f"Flaky, passed when run alone: {', '.join(run.flaky[:5])}.")
    if n_unstable:
        remarks.append(f"{n_unstable} generated tests did not hold and were dropped.")
    if n_findings:
        remarks.append(f"{n_findings} crashes on ordinary input were found, not held against it.")
    if run.isolation is Isolation.WEAK:
        remarks.append("Weak isolation: bubblewrap does not work on this machine.")
    return "".join(f" {remark}" for remark in remarks)


def diff_coverage(diff: CommitDiff, run: TestRun) -> LineCoverage | None:
    """Added or changed executable lines that ran (diff coverage); None when nothing measured was touched."""
    n_lines = 0
    uncovered: list[str] = []
    for file in diff.files:
        executable = set(run.executable_lines.get(file.path, ()))
        wanted = [line for line in file.added_line_numbers if line in executable]
        executed = set(run.executed_lines.get(file.path, ()))
        n_lines += len(wanted)
        uncovered += [f"{file.path}:{line}" for line in wanted if line not in executed]
    if not n_lines:
        return None
    return LineCoverage(n_lines, n_lines - len(uncovered), tuple(uncovered[:_MAX_UNCOVERED]))
