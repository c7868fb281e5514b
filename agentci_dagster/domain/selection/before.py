"""Which failing tests failed before the commit too, so that they are not its failures.

Running them on the version before belongs to the shell.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from agentci_dagster.domain.selection.values import (
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


def suspects(run: TestRun) -> tuple[str, ...]:
    """Failing tests of the repository's own that the version before should be asked about.

    None where the run itself is not believed.
    """
    if any(f.test == UNBELIEVED for f in run.failures):
        return ()
    return tuple(f.test for f in run.failures if not f.is_generated)


def set_old_aside(run: TestRun, earlier: TestRun, before: TestReport | None) -> TestRun:
    """The run without the failures that the commit found already there.

    A test is set aside when the version before fails it with the same exception at the same file
    and for the same reason. It stays a failure where the version before was itself withheld for
    it: a break does not become acceptable by putting another commit on top.

    Args:
        run: what ran on the commit.
        earlier: its failing tests on the version before.
        before: what was said of the version before, None when nobody looked.
    """
    blamed = {f.test for f in before.failures} if before else set()
    then = {f.test: _sign(f) for f in earlier.failures}
    old = {
        f.test
        for f in run.failures
        if f.test in then and then[f.test] == _sign(f) and f.test not in blamed
    }
    return replace(
        run,
        failures=tuple(f for f in run.failures if f.test not in old),
        n_failed=run.n_failed - len(old),
        preexisting=tuple(f.test for f in run.failures if f.test in old),
    )


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
