"""The values of trends: policy, rates, durations, metrics. Computing them: beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrendPolicy:
    """Windows and least counts. Days and counts."""

    window_days: float = 30.0
    """DORA's usual month."""
    min_deployments: int = 5
    """Fewer deployments give "not enough data", not a number."""
    min_recoveries: int = 1
    """Failures are rare: already one recovery is told, with its count beside it."""
    confidence: float = 0.95
    """Of every interval."""
    most_paths: int = 20
    """Folders listed, most failures first: what fits a screen."""
    weeks: int = 26
    """Of the control chart: half a year shows seasons and forgets what was long ago."""
    min_weeks: int = 8
    """Weeks with commits before limits of chance mean anything."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its counts and a Wilson score interval (Wilson, 1927).

    `value` is None when there is too little data; the window is that of the value that holds it.
    """

    numerator: int
    denominator: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Duration:
    """Median and 90th percentile in seconds with their count; None with too little data."""

    n: int
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class DeliveryMetrics:
    """The five DORA metrics over one window (dora.dev, definitions of 2024/2025)."""

    window_start: datetime
    window_end: datetime
    n_deployments: int
    deployments_per_day: float | None
    lead_time: Duration
    change_fail_rate: Rate
    recovery_time: Duration
    rework_rate: Rate
    by_day: tuple[tuple[str, int, int], ...] = ()
    """ISO day, deployments, those of them that failed; days without a deployment are left out."""


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many commits ended for one cause."""

    cause: str
    n: int


@dataclass(frozen=True, slots=True)
class PathFailures:
    """Failures among the commits that touched one folder."""

    path: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class StageDuration:
    """How long one stage takes."""

    stage: str
    duration: Duration


@dataclass(frozen=True, slots=True)
class ControlWeek:
    """One ISO week (as 2026-W09): commits that could be judged, failures, and the limits of chance,
    both as numbers of failures and both still within them.
    """

    week: str
    n: int
    n_failures: int
    low: int
    high: int

    @property
    def is_out(self) -> bool:
        return not self.low <= self.n_failures <= self.high


@dataclass(frozen=True, slots=True)
class ControlChart:
    """Weeks with commits, oldest first. `centre` is the share of failures in all of them, None with
    too few weeks or commits; then there are no limits and no signals.
    """

    weeks: tuple[ControlWeek, ...]
    centre: float | None
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Failures of the folders with most of them, by ISO week.

    `failures` and `commits` are `n_folders x n_weeks`; a commit counts in each folder that it
    touches.
    """

    folders: tuple[str, ...]
    weeks: tuple[str, ...]
    failures: tuple[tuple[int, ...], ...]
    commits: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class FailureTrends:
    """Where and why commits fail over one window."""

    window_start: datetime
    window_end: datetime
    n_commits: int
    n_failures: int
    by_cause: tuple[CauseCount, ...]
    by_path: tuple[PathFailures, ...]
    by_day: tuple[tuple[str, int, int], ...]
    """ISO day, settled commits, failures."""
    by_ending: tuple[CauseCount, ...]
    by_route: tuple[CauseCount, ...]
    stages: tuple[StageDuration, ...]
    seconds_saved: float
    control: ControlChart | None = None
    heat: HeatMap | None = None
