"""Whether delivery gets better and where it fails, from settled outcomes alone.

Every rate states numerator, denominator and interval; the value that holds it states the window.
"""

from __future__ import annotations

from agentci_dagster.domain.trends.builds import BuildMonth, BuildSavings, build_savings
from agentci_dagster.domain.trends.delivery import delivery_metrics, delivery_rows, reached_traffic
from agentci_dagster.domain.trends.failures import failure_trends
from agentci_dagster.domain.trends.figures import duration, rate, wilson_interval
from agentci_dagster.domain.trends.values import (
    CauseCount,
    DeliveryMetrics,
    Duration,
    FailureTrends,
    PathFailures,
    Rate,
    StageDuration,
    TrendPolicy,
)

__all__ = [
    "BuildMonth",
    "BuildSavings",
    "CauseCount",
    "DeliveryMetrics",
    "Duration",
    "FailureTrends",
    "PathFailures",
    "Rate",
    "StageDuration",
    "TrendPolicy",
    "build_savings",
    "delivery_metrics",
    "delivery_rows",
    "duration",
    "failure_trends",
    "rate",
    "reached_traffic",
    "wilson_interval",
]
