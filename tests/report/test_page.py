"""The report is one page that needs nothing else, and what commits say in it is only text."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import Ending
from agentci_dagster.domain.trends import TrendPolicy
from agentci_dagster.report.page import page
from tests.builders import NOON, outcome

NOW = NOON + timedelta(days=1)
HOSTILE = "</td><script>alert(1)</script><img src=//evil.example/x>\x1b[31m\u202e"


class Addresses(HTMLParser):
    """What the tags of a page would fetch or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        leading = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}
        self.found += [value or "" for name, value in attrs if name in leading]


def history():
    bad = {"cause": CauseClass.HEALTH_ERRORS, "paths": ("shop/<b>cart.py",), "evidence": HOSTILE}
    return [
        *(outcome(n) for n in range(1, 9)),
        outcome(9, Ending.ROLLED_BACK, subject=HOSTILE, **bad),
    ]


def test_metrics_pictures_and_commits_are_on_it() -> None:
    html = page(history(), NOW, TrendPolicy(), LearningPolicy())

    assert "9 commits settled, 1 failed by their own fault, 9 reached traffic" in html
    for metric in ("change lead time", "deployment frequency", "change fail rate"):
        assert f"<td>{metric}</td>" in html
    assert html.count("<svg") == html.count("</svg>") >= 4
    assert "2026-03-02, 1 failed" in html
    assert "<td>1 of 9 deployments in 30 days</td>" in html
    assert "health-errors" in html


def test_text_of_commits_is_only_text() -> None:
    html = page(history(), NOW, TrendPolicy(), LearningPolicy())

    assert "<script" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_page_asks_nothing_of_elsewhere() -> None:
    html = page(history(), NOW, TrendPolicy(), LearningPolicy())

    addresses = Addresses()
    addresses.feed(html)
    assert [address for address in addresses.found if not address.startswith("#")] == []
    assert not re.search(r"url\((?!#)|@import", html)
    assert "default-src 'none'" in html


def test_empty_ledger_says_that_there_is_not_enough() -> None:
    html = page([], NOW, TrendPolicy(), LearningPolicy())

    assert "0 commits settled" in html
    assert html.count("not enough data") >= 5
