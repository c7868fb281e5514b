"""Which test files a commit asks for. What their results mean belongs to `judging.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename

from agentci_dagster.domain.diff import (
    CommitDiff,
    FileChange,
    FileKind,
    FileStatus,
    classify_path,
    language_of,
)
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection.before import is_red
from agentci_dagster.domain.selection.import_graph import dependents, dynamic_importers
from agentci_dagster.domain.selection.values import SelectionMode, TestPlan, TestReport

_TEST_FILE = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test|tests)\.py")

_PATTERNS = re.compile(r"^[ \t]*python_files[ \t]*=(.*\n?(?:[ \t\]\"'].*\n?)*)", re.MULTILINE)
_PATTERN = re.compile(r"[\w*?./\[\]-]*[\w*?]")
_EXAMPLES = re.compile(r"--doctest-(?:modules|glob|plus|continue)|^[ \t]*doctest_", re.MULTILINE)

_TESTED_BY_OTHERS = frozenset(
    (
        *("javascript", "typescript", "go", "rust", "java", "kotlin", "c", "c++", "c#", "ruby"),
        *("php", "scala", "swift", "dart", "elixir", "shell", "lua", "perl", "haskell", "zig"),
    )
)
"""Languages in which tests are written, unlike those of the data that tests read."""


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """Where the import graph is not worth its price: beyond so many Python files everything runs.

    Default: 4,000 files take about six seconds to read and parse.
    """

    max_python_files: int = 4000


def is_test_file(path: str) -> bool:
    """Whether pytest collects the file by its name."""
    return _TEST_FILE.fullmatch(path) is not None


def choose_tests(  # noqa: PLR0913 - each is one thing the choice hangs on
    diff: CommitDiff,
    files: Sequence[str],
    sources: Mapping[str, str],
    route: Route,
    policy: SelectionPolicy = SelectionPolicy(),
    before: TestReport | None = None,
    *,
    is_unjudged: bool = False,
    configuration: str = "",
) -> TestPlan:
    """The tests that a commit asks for: none, those that reach its changes, all when in doubt.

    Args:
        diff: the commit.
        files: all paths of its tree.
        sources: text of the tree's Python files; files left out of it make the choice doubtful.
        route: how much care the commit gets.
        policy: limits of the import graph.
        before: what the tests said of the version before; where they withheld it, its change is
            in this tree too.
        is_unjudged: whether versions between that one and this were never judged.
        configuration: text of the files in which the repository sets pytest.
    """
    patterns = _patterns(configuration)
    known = tuple(path for path in files if _is_known(path, patterns))
    if route is Route.SKIP:
        return _plan(SelectionMode.NONE, (), ("No tests: nothing that ships has changed.",), known)
    is_docs = bool(diff.files) and len(diff.of_kind(FileKind.DOCS)) == len(diff.files)
    if is_docs and not is_red(before) and not is_unjudged:
        return _plan(SelectionMode.NONE, (), ("No tests: only documentation has changed.",), known)
    interest = tuple(
        f.path
        for f in diff.of_kind(FileKind.SOURCE, FileKind.MIGRATION)
        if f.path.endswith(".py") and f.status is not FileStatus.DELETED
    )
    if not known:
        return _plan(SelectionMode.ALL, (), (_no_tests(files),), known, interest)
    doubts = _doubts(diff, files, sources, route, policy)
    doubts += _other_doubts(patterns, configuration, before, is_unjudged=is_unjudged)
    if not doubts:
        chosen, doubts = _reached(diff, known, sources)
        if not chosen and not doubts:
            doubts = ["All tests: no test that is left imports what was deleted."]
    if doubts:
        return _plan(SelectionMode.ALL, known, tuple(doubts[:10]), known, interest)
    n_out = len(known) - len(chosen)
    reasons = [f"{len(chosen)} of {len(known)} test files import what has changed or have changed."]
    if n_out:
        reasons.append(f"{n_out} test files import nothing that has changed.")
    return _plan(SelectionMode.SELECTED, chosen, tuple(reasons), known, interest)


def _patterns(configuration: str) -> tuple[str, ...]:
    found = _PATTERNS.search(configuration)
    wanted = tuple(_PATTERN.findall(found[1])) if found else ()
    return () if set(wanted) <= {"test_*.py", "*_test.py", "tests.py"} else wanted


def _is_known(path: str, patterns: Collection[str]) -> bool:
    if not patterns:
        return is_test_file(path)
    names = (path, basename(path))
    return path.endswith(".py") and any(fnmatchcase(n, p) for n in names for p in patterns)


def all_tests(files: Sequence[str], why: str) -> TestPlan:
    """Every test file of the tree, whatever has changed."""
    known = tuple(path for path in files if is_test_file(path))
    return _plan(SelectionMode.ALL, known, (why if known else _no_tests(files),), known)


def _no_tests(files: Sequence[str]) -> str:
    """What there is instead of tests that pytest can run."""
    code = [path for path in files if classify_path(path) is FileKind.TEST]
    languages = sorted({language_of(path) for path in code} & _TESTED_BY_OTHERS)
    if not languages:
        return "The repository has no tests that pytest can run."
    return (
        f"The repository has no tests that pytest can run; those in {', '.join(languages)} are left"
        " to its own pipeline."
    )


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


def _other_doubts(
    patterns: Collection[str], configuration: str, before: TestReport | None, *, is_unjudged: bool
) -> list[str]:
    """Reasons to run everything that lie in the repository's settings and in what came before."""
    reasons = (
        (patterns, "the repository names its test files by patterns of its own"),
        (_EXAMPLES.search(configuration), "pytest also runs examples that no import shows"),
        (is_red(before), "the version before was withheld by its tests"),
        (is_unjudged, "the version before was never judged"),
    )
    return [f"All tests: {reason}." for holds, reason in reasons if holds]


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
    # Whoever imports by names made at run time may import what has changed.
    chosen |= dependents(dynamic_importers(sources), sources) & set(known)
    return tuple(path for path in known if path in chosen), doubts
