"""Pictures of trends as SVG text, and as Markdown that carries it. What they show is given.

Without scripts, fonts or addresses of elsewhere; the same data gives the same bytes. Dagster's UI
shows SVG data addresses in Markdown metadata: its sanitiser admits `img` with `data:` sources.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape, unescape
from typing import Any

from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.trends import ControlChart, HeatMap, ReliabilityBin

_BLUE, _RED = "#3355aa", "#b03030"
# A reader that cannot tell colours apart has the line's pattern.
_PATTERNS = ("-", "--", "-.", ":")
_MOST_ROWS = 40
_SALT = "agentci"
_PROLOGUE = re.compile(r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", re.DOTALL)


class Charts:
    """The Pictures port: Markdown images of our charts."""

    def bars(self, title: str, rows: Sequence[tuple[str, float]]) -> str:
        """One bar a row."""
        return as_markdown_image(bar_chart(title, rows))

    def lines(self, title: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
        """One line a series over the same x."""
        return as_markdown_image(line_chart(title, x, series))

    def control(self, title: str, chart: ControlChart) -> str:
        """Shares by week between the limits of chance."""
        return as_markdown_image(control_picture(title, chart))

    def heat(self, title: str, found: HeatMap) -> str:
        """Failures by folder and week."""
        return as_markdown_image(heat_picture(title, found))

    def reliability(self, title: str, models: Mapping[str, Sequence[ReliabilityBin]]) -> str:
        """What was said beside what happened, by model."""
        return as_markdown_image(reliability_diagram(title, models))


def bar_chart(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars, the first row on top; the first 40 rows are drawn."""
    shown = [(_label(name), value) for name, value in rows[:_MOST_ROWS]]

    def draw(axes: Any) -> None:
        places = range(len(shown))
        drawn = axes.barh(places, [value for _, value in shown], color=_BLUE)
        axes.set_yticks(places, [name for name, _ in shown])
        axes.bar_label(drawn, labels=[f"{value:g}" for _, value in shown], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)

    return _svg(title, _told(shown), draw if shown else _empty, 1.2 + 0.32 * max(len(shown), 2))


def line_chart(title: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """One line a series over the same x, told apart by pattern as well as by colour."""
    lines = {_label(name): values for name, values in series.items()}

    def draw(axes: Any) -> None:
        for n, (name, values) in enumerate(lines.items()):
            axes.plot(x, values, _PATTERNS[n % len(_PATTERNS)], label=name, linewidth=1.6)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)

    ends = [(name, values[-1]) for name, values in lines.items() if values]
    return _svg(title, f"last values: {_told(ends)}", draw if ends else _empty, 3.2)


def pareto(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Bars, largest first, with the running share of the total as a line."""
    shown = sorted(((_label(n), v) for n, v in rows), key=lambda row: (-row[1], row[0]))
    shown = shown[:_MOST_ROWS]
    total = sum(value for _, value in shown)
    running = [sum(v for _, v in shown[: n + 1]) / total for n in range(len(shown)) if total]

    def draw(axes: Any) -> None:
        places = range(len(shown))
        axes.bar(places, [value for _, value in shown], color=_BLUE)
        axes.set_xticks(places, [name for name, _ in shown], rotation=30, ha="right")
        share = axes.twinx()
        share.plot(places, running, "o--", color=_RED, markersize=3)
        share.set_ylim(0, 1.05)
        share.set_ylabel("running share")

    return _svg(title, _told(shown), draw if total else _empty, 3.4)


def control_picture(title: str, chart: ControlChart) -> str:
    """Shares of failures by week, limits of chance as steps, weeks outside of them as crosses."""
    weeks = chart.weeks
    shares = [w.n_failures / w.n for w in weeks]
    told = [(w.week, round(share, 3)) for w, share in zip(weeks, shares, strict=True)]

    def draw(axes: Any) -> None:
        places = list(range(len(weeks)))
        axes.plot(places, shares, "o-", color=_BLUE, markersize=4, label="failed")
        if chart.centre is not None:
            axes.axhline(chart.centre, color="#57606a", linewidth=1, label="usual")
            for limits in ([w.low / w.n for w in weeks], [w.high / w.n for w in weeks]):
                axes.step(places, limits, "--", where="mid", color=_RED, linewidth=1)
            outside = [n for n in places if weeks[n].is_out]
            axes.plot(outside, [shares[n] for n in outside], "x", color=_RED, markersize=10)
        axes.set_xticks(places, [w.week for w in weeks], rotation=60, ha="right", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)

    signals = f"; {'; '.join(chart.signals)}" if chart.signals else ""
    return _svg(title, _told(told) + signals, draw if weeks else _empty, 3.6)


def heat_picture(title: str, found: HeatMap) -> str:
    """One square for each folder and week, with its number of failures."""
    totals = [(_label(f), sum(row)) for f, row in zip(found.folders, found.failures, strict=True)]

    def draw(axes: Any) -> None:
        # Squares as shapes: an image would be a picture in the picture.
        axes.pcolor(found.failures, cmap="Reds", vmin=0, edgecolors="white")
        axes.invert_yaxis()
        weeks, folders = range(len(found.weeks)), range(len(totals))
        axes.set_xticks([n + 0.5 for n in weeks], found.weeks, rotation=60, ha="right", fontsize=8)
        axes.set_yticks([n + 0.5 for n in folders], [name for name, _ in totals], fontsize=8)
        most = max(max(row) for row in found.failures)
        for y, row in enumerate(found.failures):
            for x, n in enumerate(row):
                if n:
                    colour = "white" if n > most / 2 else "black"
                    place = (x + 0.5, y + 0.5)
                    axes.text(*place, n, ha="center", va="center", color=colour, fontsize=8)

    return _svg(title, _told(totals), draw if totals else _empty, 1.6 + 0.3 * max(len(totals), 3))


def reliability_diagram(title: str, models: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Mean score against share of failures with its interval; on the diagonal a score keeps its
    word.
    """
    shown = {_label(name): bins for name, bins in models.items() if bins}
    told = [
        (f"{name} {b.mean_probability:.2f}", round(b.failed.value or 0.0, 3))
        for name, bins in shown.items()
        for b in bins
    ]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], ":", color="#57606a", linewidth=1)
        for n, (name, bins) in enumerate(shown.items()):
            said = [b.mean_probability for b in bins]
            happened = [b.failed.value or 0.0 for b in bins]
            below = [h - (b.failed.low or 0.0) for h, b in zip(happened, bins, strict=True)]
            above = [(b.failed.high or 1.0) - h for h, b in zip(happened, bins, strict=True)]
            line = f"o{_PATTERNS[n % len(_PATTERNS)]}"
            axes.errorbar(
                said, happened, (below, above), fmt=line, markersize=4, capsize=2, label=name
            )
        axes.set_xlabel("probability that was told")
        axes.set_ylabel("share that failed")
        axes.legend(frameon=False)

    return _svg(title, _told(told), draw if shown else _empty, 4.2)


def as_markdown_image(svg: str) -> str:
    """The picture as a Markdown image with its title as the text alternative."""
    found = re.search(r"<title[^>]*>(.*?)</title>", svg, re.DOTALL)
    alternative = re.sub(r"[\[\]()!\\`<>&\n]", " ", unescape(found[1]) if found else "chart")
    return f"![{alternative}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _svg(title: str, described: str, draw: Callable[[Any], None], height: float) -> str:
    # The figure's own classes, not pyplot, which keeps every figure until it is told not to.
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    title = clean_text(title, 120)
    with mpl.rc_context(), warnings.catch_warnings():
        # A sign that the measuring font lacks is drawn by the viewer's font all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # A user's matplotlibrc must not change the bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(
            {"svg.hashsalt": _SALT, "svg.fonttype": "none", "text.parse_math": False}
        )
        figure = Figure(figsize=(7.0, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _accessible(_PROLOGUE.sub("", file.getvalue()), title, described)


def _accessible(svg: str, title: str, described: str) -> str:
    alternative = f"<title>{escape(title)}</title><desc>{escape(described)}</desc>"
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" \1>{_literal(alternative)}', svg, count=1)


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")


def _empty(axes: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)


def _label(name: str) -> str:
    return " ".join(clean_text(name, 48).split())


def _told(rows: Sequence[tuple[str, float]]) -> str:
    return "; ".join(f"{name}: {value:g}" for name, value in rows) or "no data"
