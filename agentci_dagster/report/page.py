"""Writes the report's page from settled outcomes. What the figures mean: `domain/trends`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from agentci_dagster.adapters.charts import (
    bar_chart,
    control_picture,
    heat_picture,
    pareto,
    reliability_diagram,
)
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.trends import (
    DeliveryMetrics,
    FailureTrends,
    RiskQuality,
    TrendPolicy,
    delivery_metrics,
    delivery_rows,
    failure_trends,
    risk_quality,
)

_COMMITS_SHOWN = 200

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #d8dee4;
         vertical-align: top; overflow-wrap: anywhere; }
td:first-child { min-width: 7rem; }
svg { max-width: 100%; height: auto; }
.note { color: #57606a; }
@media print { body { margin: 0; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; } }
"""


def page(
    outcomes: Sequence[DeployOutcome],
    now: datetime,
    policy: TrendPolicy,
    learning: LearningPolicy,
) -> str:
    """The whole page; text from commits is cleaned and escaped."""
    metrics = delivery_metrics(outcomes, now, policy)
    trends = failure_trends(outcomes, now, policy)
    newest = sorted(outcomes, key=lambda o: o.settled_at, reverse=True)[:_COMMITS_SHOWN]
    body = "\n".join(
        (
            f"<h1>Delivery from {_day(metrics.window_start)} to {_day(metrics.window_end)}</h1>",
            _summary(metrics, trends, now),
            _delivery(metrics),
            _failures(trends),
            _over_time(trends),
            _risk(risk_quality(outcomes, now, learning)),
            _commits(newest),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>AgentCI: delivery and failures</title>"
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _summary(metrics: DeliveryMetrics, trends: FailureTrends, now: datetime) -> str:
    return (
        f'<p class="note">{trends.n_commits} commits settled, {trends.n_failures} failed by their '
        f"own fault, {metrics.n_deployments} reached traffic. Made {now:%Y-%m-%d %H:%M} UTC.</p>"
    )


def _delivery(metrics: DeliveryMetrics) -> str:
    rows = [tuple(row.values()) for row in delivery_rows(metrics)]
    days = [(f"{day}, {failed} failed", float(n)) for day, n, failed in metrics.by_day]
    return (
        "<h2>The five delivery metrics</h2>"
        + _table(("metric", "value", "counts", "interval"), rows)
        + bar_chart("Deployments per day", days)
    )


def _failures(trends: FailureTrends) -> str:
    causes = [(c.cause, float(c.n)) for c in trends.by_cause]
    days = [(day, float(failed)) for day, _, failed in trends.by_day]
    stages = [
        (s.stage, round(s.duration.median_s, 2))
        for s in trends.stages
        if s.duration.median_s is not None
    ]
    paths = [
        (
            p.path,
            f"{p.rate.numerator} of {p.rate.denominator}",
            _share(p.rate.value),
            "" if p.rate.low is None else f"{_share(p.rate.low)} to {_share(p.rate.high)}",
        )
        for p in trends.by_path
    ]
    return "\n".join(
        (
            "<h2>Failures by cause</h2>",
            pareto("Failures by cause", causes),
            _table(("cause", "commits"), [(c.cause, c.n) for c in trends.by_cause]),
            "<h2>Failures per day</h2>",
            bar_chart("Failures per day", days),
            _table(("day", "commits", "failures"), trends.by_day),
            "<h2>Failures by folder</h2>",
            _table(("folder", "failures of commits", "rate", "interval"), paths),
            "<h2>Time by stage</h2>",
            bar_chart("Median seconds by stage", stages),
            f'<p class="note">{trends.seconds_saved:.0f} s of building were saved by reuse.</p>',
            "<h2>Endings and routes</h2>",
            _table(("ending", "commits"), [(c.cause, c.n) for c in trends.by_ending]),
            _table(("route", "commits"), [(c.cause, c.n) for c in trends.by_route]),
        )
    )


def _over_time(trends: FailureTrends) -> str:
    control, heat = trends.control, trends.heat
    if control is None or heat is None:
        return ""
    weeks = [(w.week, w.n, w.n_failures, f"{w.low} to {w.high}") for w in control.weeks]
    limits = (
        "not enough weeks for limits of chance"
        if control.centre is None
        else "; ".join(control.signals) or "no more and no fewer than chance would give"
    )
    folders = [
        (folder, *(f"{n} of {m}" if m else "" for n, m in zip(bad, every, strict=True)))
        for folder, bad, every in zip(heat.folders, heat.failures, heat.commits, strict=True)
    ]
    return "\n".join(
        (
            "<h2>Failures by week</h2>",
            control_picture("Share of failures by week", control),
            f'<p class="note">{escape(limits)}</p>',
            _table(("week", "commits", "failures", "within chance"), weeks),
            "<h2>Failures by folder and week</h2>",
            heat_picture("Failures by folder and week", heat),
            _table(("folder", *heat.weeks), folders),
        )
    )


def _risk(quality: RiskQuality) -> str:
    rows = [
        (
            m.model_version,
            m.n,
            m.n_failures,
            _figure(m.metrics.brier),
            _figure(m.metrics.average_precision),
            _figure(m.metrics.auc),
            _figure(m.metrics.calibration_error),
            _share(m.caught.value),
        )
        for m in quality.models
    ]
    bins = [
        (m.model_version, f"{b.mean_probability:.3f}", f"{b.failed.n_hits} of {b.failed.n}")
        for m in quality.models
        for b in m.bins
    ]
    head = ("model", "commits", "failures", "Brier", "avg. precision", "AUC", "ECE", "caught")
    return "\n".join(
        (
            "<h2>Whether risk scores kept their word</h2>",
            reliability_diagram(
                "Scores and what happened", {m.model_version: m.bins for m in quality.models}
            ),
            _table(head, rows),
            _table(("model", "mean score", "failed"), bins),
            f'<p class="note">{quality.n_censored} good outcomes are too young to count.</p>',
            '<p class="note">Caught: failing commits that got more than the fast lane.</p>',
        )
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _commits(newest: Sequence[DeployOutcome]) -> str:
    rows = [
        (
            f"{o.settled_at:%Y-%m-%d %H:%M}",
            f"{o.key.repository}@{o.key.sha[:12]}",
            clean_text(o.subject, 80),
            o.route.value if o.route else "",
            o.ending.value,
            o.cause.value if o.cause else "",
            clean_text(o.evidence.split("\n", 1)[0], 160),
        )
        for o in newest
    ]
    head = ("settled (UTC)", "commit", "title", "route", "ending", "cause", "evidence")
    return "<h2>Newest commits</h2>" + _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    if not body:
        return '<p class="note">not enough data</p>'
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _share(value: float | None) -> str:
    return "not enough data" if value is None else f"{value:.0%}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
