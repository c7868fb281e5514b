"""Charts are the same bytes for the same data, say in words what they show, and carry nothing active."""

from __future__ import annotations

import base64
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from agentci_dagster.adapters.charts import (
    Charts,
    as_markdown_image,
    bar_chart,
    control_picture,
    heat_picture,
    line_chart,
    pareto,
    reliability_diagram,
)
from agentci_dagster.domain.bounds import Share
from agentci_dagster.domain.trends import ControlChart, ControlWeek, HeatMap, ReliabilityBin

_SVG = "{http://www.w3.org/2000/svg}"
WEEKS = tuple(ControlWeek(f"2026-W{n:02d}", 10, 9 if n == 3 else 1, 0, 5) for n in range(1, 9))
CONTROL = ControlChart(WEEKS, 0.2, ("2026-W03: 9 of 10 failed, chance would give 0 to 5",))
HEAT = HeatMap(("shop", "<b>"), ("2026-W01", "2026-W02"), ((0, 4), (1, 0)), ((1, 4), (1, 2)))
BINS = (ReliabilityBin(0.1, Share.of(1, 12)), ReliabilityBin(0.7, Share.of(0, 5)))
ROWS = [("test", 3.0), ("health-errors", 2.0), ("infra", 0.5)]

DRAWINGS: dict[str, Callable[[str], str]] = {
    "bars": lambda title: bar_chart(title, ROWS),
    "lines": lambda title: line_chart(title, [0, 1, 2], {"errors": [1, 2, 9], "slow": [1, 1, 1]}),
    "pareto": lambda title: pareto(title, ROWS),
    "control": lambda title: control_picture(title, CONTROL),
    "heat": lambda title: heat_picture(title, HEAT),
    "reliability": lambda title: reliability_diagram(title, {"new": BINS, "old": ()}),
    "control without limits": lambda title: control_picture(title, ControlChart(WEEKS, None, ())),
    "empty control": lambda title: control_picture(title, ControlChart((), None, ())),
    "empty heat": lambda title: heat_picture(title, HeatMap((), ("2026-W01",), (), ())),
    "empty reliability": lambda title: reliability_diagram(title, {"old": ()}),
    "empty bars": lambda title: bar_chart(title, []),
    "empty lines": lambda title: line_chart(title, [], {"errors": []}),
    "empty pareto": lambda title: pareto(title, [("test", 0.0)]),
}


TITLE = "Failures & <b>causes</b> $x$ \\1"


@cache
def drawn(kind: str) -> str:
    return DRAWINGS[kind](TITLE)


@pytest.mark.parametrize("kind", ["bars", "lines", "pareto", "control", "heat", "reliability"])
def test_the_same_data_gives_the_same_bytes(kind):
    assert DRAWINGS[kind](TITLE) == drawn(kind)


@pytest.mark.parametrize("kind", list(DRAWINGS))
def test_a_chart_has_a_title_and_a_description_and_nothing_active(kind):
    svg = drawn(kind)
    root = ET.fromstring(svg)

    assert root.find(f"{_SVG}title").text == TITLE
    assert root.find(f"{_SVG}desc").text
    tags = {element.tag.removeprefix(_SVG) for element in root.iter()}
    assert not tags & {"script", "foreignObject", "image", "a"}
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(link.startswith("#") for link in links)
    assert "http" not in svg.replace("http://www.w3.org/", "")


def test_the_description_tells_the_figures():
    assert "test: 3; health-errors: 2; infra: 0.5" in drawn("bars")
    assert "last values: errors: 9; slow: 1" in drawn("lines")
    assert "2026-W03: 0.9" in drawn("control")
    assert "9 of 10 failed, chance would give 0 to 5" in drawn("control")
    assert "shop: 4; &lt;b&gt;: 1" in drawn("heat")
    assert "new 0.10: 0.083; new 0.70: 0" in drawn("reliability")
    for kind in ("bars", "control", "heat", "reliability"):
        assert "<desc>no data</desc>" in drawn(f"empty {kind}")


def test_pareto_puts_the_largest_first():
    assert "<desc>b: 5; a: 1; c: 1</desc>" in pareto("t", [("c", 1.0), ("a", 1.0), ("b", 5.0)])


def test_hostile_names_are_only_names():
    svg = bar_chart(
        "\x1b[31mt\u202e", [("</svg><script>alert(1)</script>", 1.0), ("$\\frac$\n😀", 2.0)]
    )

    assert "<script" not in svg
    ET.fromstring(svg)


def test_only_so_many_rows_are_drawn():
    svg = bar_chart("t", [(f"row{n}", float(n)) for n in range(60)])

    assert "row39" in svg
    assert "row40" not in svg


def test_a_markdown_image_carries_the_whole_picture_and_its_title():
    svg = bar_chart("Failures (by) [cause] <b>", [])
    text = as_markdown_image(svg)

    alternative, _, rest = text.partition("](data:image/svg+xml;base64,")
    assert alternative.removeprefix("![").split() == ["Failures", "by", "cause", "b"]
    assert base64.b64decode(rest.removesuffix(")")).decode() == svg
    assert as_markdown_image("<svg/>").startswith("![chart](")


def test_the_port_gives_markdown():
    assert Charts().bars(TITLE, []) == as_markdown_image(drawn("empty bars"))
    assert Charts().lines(TITLE, [], {"errors": []}) == as_markdown_image(drawn("empty lines"))
    assert Charts().control(TITLE, CONTROL) == as_markdown_image(drawn("control"))
    assert Charts().heat(TITLE, HEAT) == as_markdown_image(drawn("heat"))
    assert Charts().reliability(TITLE, {"new": BINS}) == as_markdown_image(drawn("reliability"))


def test_importing_charts_does_not_import_matplotlib():
    program = "import sys, agentci_dagster.adapters.charts; print('matplotlib' in sys.modules)"
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )

    assert said.stdout == "False\n"
