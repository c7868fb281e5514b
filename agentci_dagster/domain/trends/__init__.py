"""Whether delivery gets better and where it fails, from settled outcomes alone.

Every rate states numerator, denominator and interval; the value that holds it states the window.
"""

from __future__ import annotations

from agentci_dagster.domain.trends.builds import BuildMonth, BuildSavings, build_savings
from agentci_dagster.domain.trends.control import control_chart, week_of
from agentci_dagster.domain.trends.delivery import delivery_metrics, delivery_rows, reached_traffic
from agentci_dagster.domain.trends.failures import failure_trends
from agentci_dagster.domain.trends.figures import duration, rate, wilson_interval
from agentci_dagster.domain.trends.heat import heat_map
from agentci_dagster.domain.trends.risk_quality import (
    ModelQuality,
    ReliabilityBin,
    RiskQuality,
    risk_quality,
)
from agentci_dagster.domain.trends.values import (
    CauseCount,
    ControlChart,
    ControlWeek,
    DeliveryMetrics,
    Duration,
    FailureTrends,
    HeatMap,
    PathFailures,
    Rate,
    StageDuration,
    TrendPolicy,
)

__all__ = [
    "BuildMonth",
    "BuildSavings",
    "CauseCount",
    "ControlChart",
    "ControlWeek",
    "DeliveryMetrics",
    "Duration",
    "FailureTrends",
    "HeatMap",
    "ModelQuality",
    "PathFailures",
    "Rate",
    "ReliabilityBin",
    "RiskQuality",
    "StageDuration",
    "TrendPolicy",
    "build_savings",
    "control_chart",
    "delivery_metrics",
    "delivery_rows",
    "duration",
    "failure_trends",
    "heat_map",
    "rate",
    "reached_traffic",
    "risk_quality",
    "week_of",
    "wilson_interval",
]
