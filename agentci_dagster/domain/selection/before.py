"""Which failing tests failed before the commit too, so that they are not its failures.

Running them on the version before belongs to the shell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.generated_tests.values import Candidate
from agentci_dagster.domain.selection.values import (
    LACKS_FIXTURE,
    LACKS_MODULE,
    UNBELIEVED,
    TestFailure,
    TestReport,
    TestRun,
    TestVerdict,
)

_REASONS = re.compile(r"^E\s+(.*)(?:\nE.*)*", re.MULTILINE)
"""Blocks of lines, told by their first; in a chain of exceptions the last one is the failure."""
_PLACE = re.compile(r"^(\S+?):\d+: (\w[\w.]*)$", re.MULTILINE)
_CHANCE = re.compile(r"0x[0-9a-f]+|(?:/[^\s/'\":]+)+/|\d+", re.IGNORECASE)
_PLUGIN_FIXTURES = frozenset(
    (
        *("mocker", "benchmark", "codspeed_benchmark", "httpx_mock", "requests_mock", "respx_mock"),
        *("freezer", "testdir", "subtests", "qtbot", "aiohttp_client", "django_db_blocker"),
        *("event_loop", "httpserver"),
    )
)
"""Fixtures of plugins, without the names that repositories like to define themselves."""


_OPEN = "test_still_open_"
_GONE = re.compile(r"cannot import name|No module named|has no attribute")


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the versions before a commit."""

    report: TestReport | None
    """The newest one that says something."""
    base: CommitKey | None
    """The version that failing tests are run on for comparison."""
    is_unjudged: bool = False
    """Whether versions between that report and the commit were never judged."""
    is_first: bool = False
    """Whether no version before is known to have passed its gate."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The Python files, by path, of the commit and of the version before; and what it touches."""

    now: Mapping[str, str]
    then: Mapping[str, str] = field(default_factory=dict)
    changed: Collection[str] = ()


def suspects(run: TestRun) -> tuple[str, ...]:
    """Failing tests of the repository's own that the version before should be asked about.

    None where the run itself is not believed.
    """
    if any(f.test == UNBELIEVED for f in run.failures):
        return ()
    return tuple(f.test for f in run.failures if not f.is_generated)


def set_old_aside(
    run: TestRun, earlier: TestRun, before: TestReport | None, *, is_first: bool = False
) -> TestRun:
    """The run without the failures that the commit found already there.

    A test is set aside when the version before fails it with the same exception at the same file
    and for the same reason. It stays a failure where the version before was itself withheld for
    it: a break does not become acceptable by putting another commit on top.

    Args:
        run: what ran on the commit.
        earlier: its failing tests on the version before.
        before: what was said of the version before, None when nobody looked.
        is_first: whether no version before is known to have passed, which is then said.
    """
    blamed = {f.test for f in before.failures} if before else set()
    then = {f.test: _sign(f) for f in earlier.failures}
    old = {
        f.test
        for f in run.failures
        if f.test in then and then[f.test] == _sign(f) and f.test not in blamed
    }
    note = "No version before was judged here, so nobody knows whose the old failures are."
    return replace(
        run,
        notes=(*run.notes, note) if old and is_first else run.notes,
        failures=tuple(f for f in run.failures if f.test not in old),
        n_failed=run.n_failed - len(old),
        preexisting=tuple(f.test for f in run.failures if f.test in old),
    )


def set_gaps_aside(
    run: TestRun, earlier: TestRun | None, before: TestReport | None, versions: Versions
) -> TestRun:
    """The run without the tests that a gap of the environment, not the commit, kept from running.

    A plugin or a package is missing, and either was missing before too, or never was the
    repository's own and nobody can have taken it away.

    Args:
        run: what ran on the commit.
        earlier: its failing tests on the version before; None when there is none.
        before: what was said of the version before; what it was withheld for is no gap.
        versions: the texts of both.
    """
    blamed = {f.test for f in before.failures} if before else set()
    gaps = [
        f
        for f in run.failures
        if f.lacks and f.test not in blamed and _is_gap(f, earlier, versions)
    ]
    if not gaps:
        return run
    left = tuple(f for f in run.failures if f not in gaps)
    lacking = ", ".join(sorted({_told(f.lacks) for f in gaps})[:10])
    has_proof = bool(left) or run.n_passed > run.n_generated
    note = f"Not run, because the environment lacks {lacking}."
    return replace(
        run,
        failures=left,
        n_failed=run.n_failed - len(gaps),
        n_skipped=run.n_skipped + sum("::" in f.test for f in gaps),
        trouble=run.trouble or ("" if has_proof else f"the environment lacks {lacking}"),
        notes=(*run.notes, note) if has_proof else run.notes,
    )


def _is_gap(failure: TestFailure, earlier: TestRun | None, versions: Versions) -> bool:
    then = {f.test: f.lacks for f in earlier.failures} if earlier else {}
    if failure.test in then:
        return then[failure.test] == failure.lacks
    if earlier and failure.test in earlier.passed:
        return False
    name = failure.lacks.removeprefix(LACKS_FIXTURE)
    if name != failure.lacks:
        is_own = any(
            _defines(name, text) for v in (versions.now, versions.then) for text in v.values()
        )
        return name in _PLUGIN_FIXTURES and not is_own
    if failure.test in versions.then and failure.test not in versions.changed:
        return False  # The version before could collect this very file.
    name = failure.lacks.removeprefix(LACKS_MODULE)
    return not any(name in path.removesuffix(".py").split("/") for path in versions.then)


def _defines(fixture: str, text: str) -> bool:
    pattern = rf"\bdef {re.escape(fixture)}\b|\bname\s*=\s*[\"']{re.escape(fixture)}[\"']"
    return re.search(pattern, text) is not None


def _told(lacks: str) -> str:
    name = lacks.removeprefix(LACKS_FIXTURE)
    return f"the plugin with the fixture {name}" if name != lacks else f"the {lacks}"


def blame_for_trouble(run: TestRun, earlier: TestRun) -> TestRun:
    """The run whose trouble is the commit's failure, since the version before ends normally."""
    if earlier.trouble:
        return run
    message = f"{run.trouble}; on the version before they ended in {earlier.seconds:.0f} s."
    return replace(
        run,
        failures=(*run.failures, TestFailure(UNBELIEVED, message[:4000])),
        n_failed=run.n_failed + 1,
        trouble="",
    )


def open_findings(before: TestReport | None) -> tuple[Candidate, ...]:
    """The ready tests of the crashes for which the version before was withheld."""
    found = _findings_of(before)
    return tuple(Candidate(f"{_OPEN}{n}", f.test, f.source, "finding") for n, f in enumerate(found))


def keep_open_findings(
    run: TestRun, asked: Collection[Candidate], before: TestReport | None
) -> TestRun:
    """The run with the crashes of the version before that are still there.

    One is closed when its test passes, fails in another way or has lost its function; a test that
    did not run closes nothing.
    """
    if not asked:
        return run
    theirs = [f for f in run.failures if f.is_generated and f"/{_OPEN}" in f.test]
    still = [
        finding
        for n, finding in enumerate(_findings_of(before))
        if not _is_closed(finding, f"/{_OPEN}{n}__", run)
    ]
    return replace(
        run,
        failures=(*(f for f in run.failures if f not in theirs), *still),
        n_failed=run.n_failed - len(theirs) + len(still),
    )


def _findings_of(before: TestReport | None) -> list[TestFailure]:
    return [f for f in before.failures if f.is_generated and f.source] if before else []


def _is_closed(finding: TestFailure, file: str, run: TestRun) -> bool:
    if any(file in test for test in run.passed):
        return True
    exception = re.search(r" raises (\w+): ", finding.message)
    failure = next((f for f in run.failures if file in f.test), None)
    if failure is None:
        return False
    reason = (_REASONS.findall(failure.message) or [""])[-1]
    name = reason.partition(":")[0].rpartition(".")[2]
    is_other = "::" in failure.test and exception is not None and name != exception[1]
    return is_other or _GONE.search(reason) is not None


def is_red(before: TestReport | None) -> bool:
    """Whether the version before was withheld by its tests, so that its change rides along."""
    if before is None:
        return False
    is_doubtful = before.verdict is TestVerdict.INCONCLUSIVE and before.plan.n_known > 0
    return is_doubtful or before.verdict is TestVerdict.FAILED


def _sign(failure: TestFailure) -> tuple[str, Collection[str]]:
    """What is alike in two runs of one failure: reason and place, without numbers and folders."""
    reasons = _REASONS.findall(failure.message)
    places = _PLACE.findall(failure.message)
    return _CHANCE.sub("", reasons[-1]) if reasons else "", places[-1] if places else ()
