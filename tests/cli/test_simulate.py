"""`agentci simulate`: a table or a history through the policy as set, and through what if."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.adapters.repositories import Repository
from tests.cli.conftest import Home


@pytest.fixture
def table(tmp_path: Path) -> Path:
    n = 400
    failed = [i % 20 == 0 for i in range(n)]
    path = tmp_path / "past.parquet"
    pd.DataFrame(
        {
            "ts": [60 * i for i in range(n)],
            "y": failed,
            "risk": [0.5 if bad else 0.05 + 0.2 * (i % 3 == 0) for i, bad in enumerate(failed)],
        }
    ).to_parquet(path)
    return path


def test_the_policy_as_set_is_played(home: Home, table: Path) -> None:
    played = home.agentci("simulate", "--data", str(table), "--json").json

    assert list(played) == ["as_set"]
    assert (played["as_set"]["n_commits"], played["as_set"]["n_failures"]) == (400, 20)
    assert played["as_set"]["caught"]["value"] == 1.0
    assert 0.6 < played["as_set"]["work_saved"] < 0.7


def test_what_if_is_played_beside_it(home: Home, table: Path) -> None:
    arguments = ("--fast-below", "0.4", "--batch", "10", "--runners", "2", "--batch-risk", "0.9")

    played = home.agentci("simulate", "--data", str(table), "--json", *arguments).json

    assert played["what_if"]["fast_below"] == 0.4
    assert played["what_if"]["work_saved"] > played["as_set"]["work_saved"]
    assert played["what_if"]["n_lost"] == 0


def test_people_get_a_table(home: Home, table: Path) -> None:
    done = home.agentci("simulate", "--data", str(table), "--promise", "0")

    assert done.code == 0
    assert "what if" in done.out
    assert "100.0% (83.2% to 100.0%; 20 of 20)" in done.out


def test_a_history_without_known_failures_says_so(home: Home, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "till")
    for n in range(3):
        repository.commit({"till.py": b"x = %d\n" % n})

    done = home.agentci("simulate", "--repo", str(repository.folder), "--last", "2")

    assert done.code == 0
    assert "No commit is known to have failed" in done.out


@pytest.mark.parametrize(
    "arguments",
    [(), ("--repo", ".", "--data", "x"), ("--data", "none.parquet")],
    ids=str,
)
def test_questions_that_cannot_be_asked_are_usage_errors(
    arguments: tuple[str, ...], home: Home
) -> None:
    assert home.agentci("simulate", *arguments).code == 2


def test_a_promise_that_nobody_can_keep_is_a_usage_error(home: Home, table: Path) -> None:
    done = home.agentci("simulate", "--data", str(table), "--promise", "1.5")

    assert done.code == 2
    assert "promise is a fraction" in done.err
