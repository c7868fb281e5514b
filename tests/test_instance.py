"""The Dagster instance of a home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentci_dagster.instance import prepare_instance


def test_sensors_may_take_as_long_as_a_first_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._grpc.utils import default_sensor_grpc_timeout

    name = "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"
    monkeypatch.delenv(name, raising=False)

    monkeypatch.setenv(name, prepare_instance(tmp_path)[name])

    assert default_sensor_grpc_timeout() > 15 * 60


def test_a_time_that_the_user_gives_sensors_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "100")

    assert prepare_instance(tmp_path)["DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"] == "100"
