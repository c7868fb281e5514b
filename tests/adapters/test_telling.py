"""One contract for what tells people: pictures and messages, against the fakes and the real ones."""

from __future__ import annotations

import logging

import pytest

from agentci_dagster.adapters.charts import Charts
from agentci_dagster.adapters.notifier import LogNotifier
from agentci_dagster.ports import Notifier, Pictures
from tests.house import FakeNotifier, FakePictures


@pytest.fixture(params=[FakePictures, Charts], ids=["fake", "real"])
def pictures(request: pytest.FixtureRequest) -> Pictures:
    return request.param()


@pytest.fixture(params=[FakeNotifier, LogNotifier], ids=["fake", "real"])
def notifier(request: pytest.FixtureRequest) -> Notifier:
    return request.param()


def test_picture_names_its_title_and_is_one_line_of_markdown(pictures: Pictures) -> None:
    for told in (
        pictures.bars("Failures by cause", [("test", 3.0), ("migration", 1.0)]),
        pictures.lines("Failures by cause", [0.0, 1.0], {"errors": [1.0, 2.0]}),
    ):
        assert "Failures by cause" in told
        assert "\n" not in told


def test_picture_of_nothing_is_still_a_picture(pictures: Pictures) -> None:
    assert "Nothing yet" in pictures.bars("Nothing yet", [])
    assert "Nothing yet" in pictures.lines("Nothing yet", [], {})


def test_telling_never_raises(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="agentci"):
        notifier.tell("%s rolled back", "100 % of %d answers\n\x1b[31mred")
        notifier.tell("", "")
