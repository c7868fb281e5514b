"""A bench and a writer in memory: each commit's results are set beforehand, what was asked is written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from agentci_dagster.domain.diff import CommitDiff, CommitKey
from agentci_dagster.domain.generated_tests import Candidate, Funnel, GeneratedTests
from agentci_dagster.domain.selection import Isolation, SelectionMode, TestPlan, TestRun
from agentci_dagster.ports import Checkout

PASSING = TestRun(3, 0, 0, (), {}, {}, 0.5, Isolation.STRONG)
NOTHING = GeneratedTests(
    (), (), Funnel(), (), Isolation.NOT_RUN, 0.0, "0 tests, because no function has changed."
)


@dataclass
class FakeTestBench:
    """Answers with the run set for a commit, else with one that passes."""

    __test__ = False

    runs: dict[CommitKey, TestRun] = field(default_factory=dict)
    asked: list[tuple[CommitKey, TestPlan, tuple[Candidate, ...]]] = field(default_factory=list)
    reran: list[tuple[CommitKey, tuple[str, ...]]] = field(default_factory=list)
    open_checkouts: int = 0

    @contextmanager
    def checkout(self, key: CommitKey) -> Iterator[Checkout]:
        self.open_checkouts += 1
        try:
            yield Checkout(key, Path("nowhere"), Path("python"), "e" * 64, True, 0.0, ("",))
        finally:
            self.open_checkouts -= 1

    def run(
        self, checkout: Checkout, plan: TestPlan, extra: Sequence[Candidate], timeout: timedelta
    ) -> TestRun:
        self.asked.append((checkout.key, plan, tuple(extra)))
        if plan.mode is SelectionMode.NONE and not extra:
            return TestRun(
                0, 0, 0, (), {}, {}, 0.0, Isolation.NOT_RUN, trouble="no test was asked for"
            )
        if not plan.test_files and not extra:
            return TestRun(0, 0, 0, (), {}, {}, 0.0, Isolation.NOT_RUN, trouble="no tests")
        return self.runs.get(checkout.key, PASSING)

    def rerun(self, checkout: Checkout, tests: Sequence[str], timeout: timedelta) -> TestRun:
        self.reran.append((checkout.key, tuple(tests)))
        found = self.runs.get(checkout.key, PASSING)
        failures = tuple(f for f in found.failures if f.test in tests)
        return replace(found, failures=failures, n_failed=len(failures))


@dataclass
class FakeTestWriter:
    """Answers with the tests set for a commit, else with none and a reason."""

    __test__ = False

    written: dict[CommitKey, GeneratedTests] = field(default_factory=dict)

    def write(self, checkout: Checkout, diff: CommitDiff, budget: timedelta) -> GeneratedTests:
        return self.written.get(checkout.key, NOTHING)
