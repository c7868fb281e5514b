"""The cause classes of a failure, a closed set that health, outcome and trends speak of."""

from __future__ import annotations

from enum import StrEnum


class CauseClass(StrEnum):
    """Why a commit did not make it; UNKNOWN is itself a quality figure."""

    TEST = "test"
    FLAKY = "flaky"
    BUILD = "build"
    DEPENDENCY = "dependency"
    MIGRATION = "migration"
    CONFIG = "config"
    CRASH_AT_START = "crash-at-start"
    HEALTH_ERRORS = "health-errors"
    HEALTH_LATENCY = "health-latency"
    INFRA = "infra"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
