"""Values of choosing and running a repository's own tests: plan, run and report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from agentci_dagster.domain.diff import CommitKey

UNBELIEVED = "the test run itself"
"""The name of the failure of a run whose report is not believed; no test bears it."""
LACKS_FIXTURE = "fixture "
LACKS_MODULE = "module "
"""How `TestFailure.lacks` begins; the name of what is missing follows."""


class SelectionMode(StrEnum):
    """How much of the suite runs."""

    NONE = "none"
    SELECTED = "selected"
    ALL = "all"


class TestVerdict(StrEnum):
    """What the tests say. INCONCLUSIVE (not run, or there are none) is never a pass."""

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
    """Files whose lines are measured."""


@dataclass(frozen=True, slots=True)
class TestFailure:
    """One failing test: its node id and the end of its output, at most 4,000 characters."""

    __test__: ClassVar[bool] = False

    test: str
    message: str
    is_generated: bool = False
    source: str = ""
    """The ready failing test of a finding, so that later versions can be asked again."""
    lacks: str = ""
    """What is missing where that alone keeps the test from running; else empty."""


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
    """Why the run says nothing (time limit, no pytest, broken environment); else empty."""
    exit_code: int = 0
    flaky: tuple[str, ...] = ()
    """Tests that failed and then passed alone on the same tree; they are not among the failures."""
    preexisting: tuple[str, ...] = ()
    """Tests that fail on the version before in the same way; they are not among the failures."""
    notes: tuple[str, ...] = ()
    """What was done differently from the repository's own way, in plain words."""
    passed: tuple[str, ...] = ()
    """Names of the tests that passed, where the run can tell."""
    n_generated: int = 0
    """How many of the tests that passed were generated ones."""
    start_lines: dict[str, dict[int, int]] = field(default_factory=dict)
    """By repository path: the first line of the statement that a further line belongs to."""
    is_suspect: bool = False
    """Whether the trouble may be the commit's own doing: no end, or a conftest that is broken."""


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
    preexisting: tuple[str, ...] = ()
    """Tests that failed before this commit too."""
