"""Whether a commit asks for generated tests at all, before anything is checked out."""

from __future__ import annotations

from datetime import timedelta

from agentci_dagster.domain.diff import CommitDiff, FileKind, SymbolStatus
from agentci_dagster.domain.generated_tests.values import Funnel, GeneratedTests
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import Isolation


def nothing_to_write(diff: CommitDiff, route: Route, budget: timedelta) -> GeneratedTests | None:
    """The value that says why no test is written; None when there is something to write."""
    if route is Route.SKIP:
        return _none("nothing that ships or tests has changed")
    if budget <= timedelta(0):
        return _none("the budget for generated tests is 0")
    touched = [
        symbol
        for file in diff.of_kind(FileKind.SOURCE)
        if file.language == "python"
        for symbol in file.symbols
        if symbol.status is not SymbolStatus.REMOVED and not symbol.is_class
    ]
    return None if touched else _none("the diff adds or changes no Python function")


def _none(why: str) -> GeneratedTests:
    return GeneratedTests((), (), Funnel(), (), Isolation.NOT_RUN, 0.0, f"0 tests, because {why}.")
