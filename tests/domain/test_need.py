"""Whether a commit asks for generated tests: every no says why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.domain.diff import ChangedSymbol, CommitDiff, FileKind, SymbolStatus
from agentci_dagster.domain.generated_tests.need import nothing_to_write
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import Isolation
from tests.builders import diff, file_change

MINUTE = timedelta(minutes=1)


def touching(status: SymbolStatus, *, is_class: bool = False, **facts: object) -> CommitDiff:
    symbol = ChangedSymbol("total", is_class, status, 1, 2)
    return diff(file_change(symbols=(symbol,), **facts))


@pytest.mark.parametrize("status", [SymbolStatus.ADDED, SymbolStatus.CHANGED])
@pytest.mark.parametrize("route", [r for r in Route if r is not Route.SKIP])
def test_touched_function_is_worth_writing_for(status: SymbolStatus, route: Route) -> None:
    assert nothing_to_write(touching(status), route, MINUTE) is None


@pytest.mark.parametrize(
    "untouched",
    [
        touching(SymbolStatus.REMOVED),
        touching(SymbolStatus.ADDED, is_class=True),
        touching(SymbolStatus.ADDED, language="go"),
        touching(SymbolStatus.ADDED, kind=FileKind.TEST),
        diff(),
    ],
)
def test_diff_without_a_touched_function_gives_none_and_says_so(untouched: CommitDiff) -> None:
    said = nothing_to_write(untouched, Route.FAST, MINUTE)

    assert said is not None
    assert said.note == "0 tests, because the diff adds or changes no Python function."
    assert (said.kept, said.findings, said.isolation) == ((), (), Isolation.NOT_RUN)


def test_skipped_commit_gives_none_whatever_it_touches() -> None:
    said = nothing_to_write(touching(SymbolStatus.ADDED), Route.SKIP, MINUTE)

    assert said is not None
    assert said.note == "0 tests, because nothing that ships or tests has changed."


def test_no_budget_gives_none() -> None:
    said = nothing_to_write(touching(SymbolStatus.ADDED), Route.FAST, timedelta(0))

    assert said is not None
    assert said.note == "0 tests, because the budget for generated tests is 0."
