"""Values survive the way to a file and back, and nothing half-written is ever read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.adapters.json_values import ValueFiles, as_plain, dump_json, load_json
from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.outcome import DeployOutcome, StageTime
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import Isolation, TestRun
from tests.builders import NOON, diff, key, outcome


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    at: datetime
    colour: Colour
    share: float | None


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    count: int
    inner: Inner | None
    inners: tuple[Inner, ...]
    lines: dict[str, tuple[int, ...]]
    pair: tuple[str, int]
    is_good: bool


_ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_INSTANTS = st.datetimes(
    min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1), timezones=_ZONES
)
_INNER = st.builds(
    Inner, _INSTANTS, st.sampled_from(Colour), st.none() | st.floats(allow_nan=False)
)
_OUTER = st.builds(
    Outer,
    _TEXT,
    st.integers(),
    st.none() | _INNER,
    st.lists(_INNER, max_size=3).map(tuple),
    st.dictionaries(_TEXT, st.lists(st.integers(0, 10_000), max_size=4).map(tuple), max_size=3),
    st.tuples(_TEXT, st.integers(0, 9)),
    st.booleans(),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_OUTER)
def test_every_value_comes_back_exactly(value):
    again = load_json(Outer, dump_json(value))

    assert again == value
    assert type(again.pair) is tuple
    assert all(type(numbers) is tuple for numbers in again.lines.values())
    assert all(type(inner.colour) is Colour for inner in again.inners)
    assert [i.at.utcoffset() for i in again.inners] == [i.at.utcoffset() for i in value.inners]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CommitDiff, diff(n=3, notes=("capped",))),
        (DeployOutcome, outcome(1, route=Route.FAST, stages=(StageTime("image", 1.5),))),
        (
            TestRun,
            TestRun(
                1, 0, 2, (), {"a.py": (1, 2), "b.py": ()}, {"a.py": (3,)}, 0.1, Isolation.STRONG
            ),
        ),
        (tuple[RequestEvent, ...], (RequestEvent(NOON, "r1", 200, 3.25),)),
    ],
)
def test_domain_values_come_back_exactly(kind, value):
    assert load_json(kind, dump_json(value)) == value


def test_numbers_that_json_lacks_are_kept_and_the_text_stays_strict_json():
    text = dump_json(Inner(NOON, Colour.RED, math.inf))

    assert '"Infinity"' in text
    assert load_json(Inner, text).share == math.inf
    assert math.isnan(load_json(Inner, dump_json(Inner(NOON, Colour.RED, math.nan))).share)


def test_a_name_that_is_no_unicode_is_written_as_its_escape():
    text = dump_json({"key": key(1), "paths": ["caf\udce9.py", "é.py"], "n\udcff": 1})

    assert load_json(dict, text) == {
        "key": as_plain(key(1)),
        "paths": ["caf\\udce9.py", "é.py"],
        "n\\udcff": 1,
    }


def test_a_value_as_plain_json():
    assert as_plain(Inner(NOON, Colour.BLUE, None)) == {
        "at": "2026-03-02T12:00:00Z",
        "colour": "blue",
        "share": None,
    }


@pytest.mark.parametrize(
    "text", ["{", '{"at": "2026"}', "[]", '{"at":"x","colour":"red","share":1}']
)
def test_what_is_not_the_value_says_so_with_the_next_step(text):
    with pytest.raises(InfrastructureError, match=r"stored Inner.*Next: make the value again"):
        load_json(Inner, text)


@pytest.fixture
def files(tmp_path: Path) -> ValueFiles:
    return ValueFiles(tmp_path / "values")


def test_a_value_of_a_commit_is_stored_under_its_asset_repository_and_sha(files, tmp_path):
    path = files.store("commit_diff", diff(n=1), key(1))

    assert path == tmp_path / "values" / "commit_diff" / "shop" / f"{key(1).sha}.json"
    assert files.load("commit_diff", CommitDiff, key(1)) == diff(n=1)
    assert files.find("commit_diff", CommitDiff, key(1)) == diff(n=1)
    assert files.text("commit_diff", key(1)) == path.read_text()


def test_an_unpartitioned_value_has_one_file_and_storing_again_replaces_it(files, tmp_path):
    files.store("failure_trends", Inner(NOON, Colour.RED, 0.5))
    path = files.store("failure_trends", Inner(NOON, Colour.BLUE, 0.5))

    assert path == tmp_path / "values" / "failure_trends" / "value.json"
    assert files.load("failure_trends", Inner).colour is Colour.BLUE
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


def test_a_table_is_stored_as_parquet(files):
    import pandas as pd

    table = pd.DataFrame({"sha": ["a", "b"], "n": [1, 2]})
    path = files.store("training_set", table)

    assert path.suffix == ".parquet"
    pd.testing.assert_frame_equal(files.load("training_set", pd.DataFrame), table)
    assert files.find("training_set", pd.DataFrame) is not None


def test_a_missing_value_names_the_asset_and_the_command(files):
    import pandas as pd

    with pytest.raises(
        UsageError, match=f"agentci run {key(1).sha} --repo shop --until risk_score"
    ):
        files.load("risk_score", Inner, key(1))
    with pytest.raises(UsageError, match="no value of delivery_metrics"):
        files.load("delivery_metrics", Inner)
    with pytest.raises(UsageError, match="no value of training_set"):
        files.load("training_set", pd.DataFrame)
    assert files.find("risk_score", Inner, key(1)) is None
    assert not files.has("risk_score", key(1))


@pytest.mark.parametrize("asset", ["../etc", "a/b", "", "a b"])
def test_a_name_that_is_no_asset_is_refused(files, asset):
    with pytest.raises(UsageError, match="not the name of an asset"):
        files.store(asset, 1)


def test_a_value_that_cannot_be_written_leaves_the_old_one_and_no_rest(files):
    path = files.store("image", Inner(NOON, Colour.RED, 0.5))

    class Unserialisable:
        pass

    with pytest.raises(Exception, match="Unable to serialize"):
        files.store("image", Unserialisable())

    assert files.load("image", Inner) == Inner(NOON, Colour.RED, 0.5)
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


def test_a_folder_in_the_way_is_an_infrastructure_error(tmp_path):
    (tmp_path / "values").write_text("in the way")
    files = ValueFiles(tmp_path / "values")

    with pytest.raises(InfrastructureError, match=r"cannot be written.*Next: free space"):
        files.store("image", 1)
    with pytest.raises(InfrastructureError, match="cannot be read"):
        files.text("image")


def test_a_place_that_cannot_be_replaced_is_an_infrastructure_error(files):
    files.path("image").mkdir(parents=True)

    with pytest.raises(InfrastructureError, match="cannot be written"):
        files.store("image", 1)
    assert [p.name for p in files.path("image").parent.iterdir()] == ["value.json"]
