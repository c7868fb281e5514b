"""What reuse saves in building, month by month: sums of what each commit's layers last cost.

What one layer saves is told in `domain/image`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from statistics import median

from agentci_dagster.domain.outcome import DeployOutcome

_STAGE = "image"


@dataclass(frozen=True, slots=True)
class BuildMonth:
    """The builds of the commits that were settled in one month (UTC, as 2026-03).

    `seconds_saved` is what reused layers took when they were last made, in seconds; nothing is
    saved by a layer whose making was never measured.
    """

    month: str
    n_builds: int
    n_with_reuse: int
    seconds_built: float
    median_build_s: float
    seconds_saved: float


@dataclass(frozen=True, slots=True)
class BuildSavings:
    """All months in which something was built, oldest first."""

    months: tuple[BuildMonth, ...]

    @property
    def seconds_saved(self) -> float:
        return sum(month.seconds_saved for month in self.months)

    @property
    def seconds_built(self) -> float:
        return sum(month.seconds_built for month in self.months)

    @property
    def n_builds(self) -> int:
        return sum(month.n_builds for month in self.months)


def build_savings(outcomes: Iterable[DeployOutcome]) -> BuildSavings:
    """Count the commits that came to the stage `image` and had something built there."""
    built = [(o, seconds) for o in outcomes if (seconds := _built_s(o)) is not None]
    built.sort(key=lambda pair: (pair[0].settled_at, pair[0].key))
    months = groupby(built, key=lambda pair: _month(pair[0].settled_at))
    return BuildSavings(tuple(_of_month(month, list(pairs)) for month, pairs in months))


def _of_month(month: str, built: Sequence[tuple[DeployOutcome, float]]) -> BuildMonth:
    seconds = [s for _, s in built]
    saved = [outcome.seconds_saved for outcome, _ in built]
    return BuildMonth(
        month=month,
        n_builds=len(built),
        n_with_reuse=sum(s > 0 for s in saved),
        seconds_built=sum(seconds),
        median_build_s=median(seconds),
        seconds_saved=sum(saved),
    )


def _built_s(outcome: DeployOutcome) -> float | None:
    """The seconds of its build; None when nothing was built."""
    return next((s.seconds for s in outcome.stages if s.stage == _STAGE and s.seconds > 0), None)


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"
