"""Past commits from real repositories and from tables of several makers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from agentci_dagster.adapters.git import GitMirror
from agentci_dagster.adapters.git.histories import read
from agentci_dagster.adapters.past_commits import Policies, from_history, from_table
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.domain.learning import LearningPolicy, MinedCommit
from agentci_dagster.domain.routing import RiskPolicy, Route
from agentci_dagster.domain.simulate import PastCommit
from tests.adapters.repositories import Repository
from tests.builders import features
from tests.fakes.git import FakeMirror

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def written(folder: Path, **columns: list[object]) -> Path:
    path = folder / "past.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return path


POLICIES = Policies(RiskPolicy(), LearningPolicy())


def mined(repository: Repository) -> tuple[tuple[MinedCommit, ...], GitMirror]:
    mirror = repository.mirror()
    mirror.refresh()
    return tuple(read(mirror.plumbing, mirror.resolve("HEAD"))), mirror


def test_history_is_scored_labelled_and_guarded(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    first = repository.commit({"cart.py": b"x = 1\n"})
    docs = repository.commit({"README.md": b"read\n"})
    bad = repository.commit({"cart.py": b"x = 2\n"})
    ci = repository.commit({".github/workflows/ci.yml": b"on: push\n"})
    revert = repository.commit({"cart.py": b"x = 1\n"}, f"This reverts commit {bad}.")
    commits, mirror = mined(repository)
    told: list[tuple[int, int]] = []

    past = from_history(commits, mirror, 10, POLICIES, lambda *n: told.append(n))

    assert [c.name for c in past] == [first, docs, bad, ci, revert]
    assert [c.asks for c in past] == [
        Route.STANDARD, Route.SKIP, Route.FAST, Route.GUARDED, Route.FAST,
    ]  # fmt: skip
    assert [c.has_failed for c in past] == [False, False, True, False, False]
    assert past[2].known_at == past[4].at
    assert all(0 < c.probability < 1 for c in past)
    assert told[-1] == (5, 5)


def test_earlier_commits_lead_in_and_ask_for_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    shas = [repository.commit({".github/ci.yml": b"n: %d\n" % n}) for n in range(8)]
    commits, mirror = mined(repository)

    past = from_history(commits, mirror, 1, POLICIES, lambda *_: None)

    assert [c.name for c in past] == shas[-5:]
    assert {c.asks for c in past[:-1]} == {Route.FAST}
    assert past[-1].asks is not Route.FAST
    assert from_history((), mirror, 1, POLICIES, lambda *_: None) == []


def test_models_learn_from_what_was_known_then() -> None:
    mirror = FakeMirror("shop")
    begin, day = int(NOON.timestamp()), 24 * 3600
    commits = []
    for n in range(600):
        # What touches many files is fixed after a day, what touches one never.
        is_bad, at = n % 2 == 0, begin + n * day
        measures = features(files=20.0 if is_bad else 1.0)
        sha = mirror.push({"a.py": b"%d\n" % n})
        commits.append(MinedCommit(sha, at, "ada", measures, at + day if is_bad else None))
    mirror.refresh()

    past = from_history(commits, mirror, 120, POLICIES, lambda *_: None)

    assert gap(past[:250]) < gap(past[-100:]) / 2
    assert gap(past[-100:]) > 0.5


def gap(past: list[PastCommit]) -> float:
    """How far the risks of bad and of good commits are from each other."""
    bad = [c.probability for c in past if c.has_failed]
    good = [c.probability for c in past if not c.has_failed]
    return min(bad) - max(good)


def test_table_with_scores(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        sha=["a", "b"],
        project=["shop", "till"],
        committed_at=[NOON, NOON + timedelta(days=1)],
        known_at=[None, NOON + timedelta(days=2)],
        label=[0, 1],
        probability=[0.1, 0.9],
    )

    past = from_table(path)

    assert [(c.name, c.repository, c.has_failed, c.probability) for c in past] == [
        ("shop@a", "shop", False, 0.1),
        ("till@b", "till", True, 0.9),
    ]
    assert past[1].known_at == NOON + timedelta(days=2)
    assert past[0].known_at - past[0].at == timedelta(days=90)


def test_table_with_measures_of_the_field_is_scored_by_the_prior(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ts=[1_000, 2_000, 3_000],
        y=[0, 1, 0],
        is_merge=[0, 0, 1],
        la=[1.0, 900.0, 1.0],
        ld=[0.0, 300.0, 0.0],
        nf=[1.0, 20.0, 1.0],
        ent=[0.0, 3.0, 0.0],
        lt=[10.0, 2_000.0, float("nan")],
        ndev=[1.0, 9.0, 1.0],
    )

    past = from_table(path)

    assert [c.repository for c in past] == ["data", "data"]
    assert past[0].probability < past[1].probability
    assert past[0].at == datetime.fromtimestamp(1_000, UTC)


def test_table_with_our_own_measures_is_scored_by_the_prior(tmp_path: Path) -> None:
    path = written(
        tmp_path, commit=["a", "b"], ts=[1, 2], y=[0, 1], lines_added=[1.0, 900.0],
        age_days=[None, 3.0],
    )  # fmt: skip

    past = from_table(path)

    assert past[0].probability < past[1].probability


def test_a_commit_in_two_parts_of_a_table_counts_once(tmp_path: Path) -> None:
    path = written(
        tmp_path, commit=["a", "a", "b"], ts=[1, 1, 2], y=[0, 0, 1], risk=[0.1, 0.1, 0.2]
    )

    assert [c.name for c in from_table(path)] == ["data@a", "data@b"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"y": [1], "risk": [0.1]}, "no column with a time"),
        ({"ts": [1], "risk": [0.1]}, "no column with a label"),
        ({"ts": [1], "y": [1]}, "neither scores nor measures"),
    ],
)
def test_what_a_table_lacks_is_said(
    columns: dict[str, list[object]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        from_table(written(tmp_path, **columns))


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "past.parquet").write_text("no table")

    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        from_table(tmp_path / "past.parquet")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        from_table(tmp_path / "none.parquet")
