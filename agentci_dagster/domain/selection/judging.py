"""What the results of a commit's tests mean. Which tests run is decided in `choosing.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.selection.values import (
    Isolation,
    LineCoverage,
    SelectionMode,
    TestFailure,
    TestPlan,
    TestReport,
    TestRun,
    TestVerdict,
)

if TYPE_CHECKING:
    from agentci_dagster.domain.generated_tests import GeneratedTests

_MAX_UNCOVERED = 50
_MOST_OLD = 0.5
"""Beyond this share of tests that fail before and now, those that pass prove nothing."""


def judge(
    diff: CommitDiff,
    plan: TestPlan,
    run: TestRun | None,
    generated: GeneratedTests | None = None,
    *,
    withhold_on_findings: bool = True,
) -> TestReport:
    """What the tests say about the commit.

    A generated test that was kept and fails now says that it was unstable, not that the commit is
    wrong: it was made from this very commit's behaviour. A finding, a crash on ordinary input, is
    a failure when the policy says so.

    Args:
        diff: the commit, whose added lines are looked up in the run's coverage.
        plan: what was chosen.
        run: what was run; None when nothing was.
        generated: the tests kept for the commit and the crashes found.
        withhold_on_findings: whether a finding is a failure.
    """
    run = run or TestRun(0, 0, 0, (), {}, {}, 0.0, Isolation.NOT_RUN)
    unstable = [f for f in run.failures if f.is_generated and not f.source]
    failures = [f for f in run.failures if not f.is_generated or f.source]
    findings = generated.findings if generated else ()
    if withhold_on_findings:
        failures += [
            TestFailure(
                f.target,
                f"{f.example} raises {f.exception}: {f.message}\n\n{f.test_source}"[:4000],
                is_generated=True,
                source=f.test_source,
            )
            for f in findings
        ]
    n_generated = sum(c.source.count("\ndef test_") for c in generated.kept) if generated else 0
    verdict, summary = _verdict(plan, run, failures)
    summary += _remarks(run, len(unstable), 0 if withhold_on_findings else len(findings))
    return TestReport(
        key=diff.key,
        verdict=verdict,
        plan=plan,
        n_passed=run.n_passed,
        n_failed=len(failures),
        n_skipped=run.n_skipped,
        n_generated=n_generated,
        failures=tuple(failures),
        coverage=diff_coverage(diff, run),
        seconds=run.seconds,
        isolation=run.isolation,
        summary=summary,
        flaky=run.flaky,
        preexisting=run.preexisting,
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
        return TestVerdict.INCONCLUSIVE, f"{' '.join(plan.reasons[:1])} That is not a pass."
    if run.trouble:
        return TestVerdict.INCONCLUSIVE, f"The tests say nothing: {run.trouble}."
    doubt = _doubt(run)
    if doubt:
        return TestVerdict.INCONCLUSIVE, f"{doubt} That is not a pass."
    return TestVerdict.PASSED, f"{run.n_passed} tests passed, {run.n_skipped} skipped."


def _doubt(run: TestRun) -> str:
    """Why tests of which none failed by this commit prove nothing; empty when they do."""
    n_old, n_own = len(run.preexisting), run.n_passed - run.n_generated
    if n_old > _MOST_OLD * (n_old + n_own) or run.n_failed > len(run.failures):
        return f"Most tests fail, and did so before this commit; {n_own} passed."
    if not run.n_passed:
        return f"No test ran ({run.n_skipped} skipped)."
    return "" if n_own else f"Only generated tests passed ({run.n_skipped} skipped)."


def _remarks(run: TestRun, n_unstable: int, n_findings: int) -> str:
    remarks = list(run.notes)
    if run.flaky:
        remarks.append(f"Flaky, passed when run alone: {', '.join(run.flaky[:5])}.")
    if run.preexisting:
        n_old = len(run.preexisting)
        remarks.append(
            f"{n_old} fail{'s' if n_old == 1 else ''} in the same way before this commit, so not"
            f" held against it: {', '.join(run.preexisting[:5])}."
        )
    if n_unstable:
        remarks.append(f"{n_unstable} generated tests did not hold and were dropped.")
    if n_findings:
        remarks.append(f"{n_findings} crashes on ordinary input were found, not held against it.")
    if run.isolation is Isolation.WEAK:
        remarks.append("Weak isolation: bubblewrap does not work on this machine.")
    return "".join(f" {remark}" for remark in remarks)


def diff_coverage(diff: CommitDiff, run: TestRun) -> LineCoverage | None:
    """Added or changed executable lines that ran; None when nothing measured was touched."""
    n_lines = 0
    uncovered: list[str] = []
    for file in diff.files:
        executable = set(run.executable_lines.get(file.path, ()))
        starts = run.start_lines.get(file.path, {})
        touched = dict.fromkeys(starts.get(line, line) for line in file.added_line_numbers)
        wanted = [line for line in touched if line in executable]
        executed = set(run.executed_lines.get(file.path, ()))
        n_lines += len(wanted)
        uncovered += [f"{file.path}:{line}" for line in wanted if line not in executed]
    if not n_lines:
        return None
    return LineCoverage(n_lines, n_lines - len(uncovered), tuple(uncovered[:_MAX_UNCOVERED]))
