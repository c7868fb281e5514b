"""Values between assets are JSON, a missing one is named, and a run's process holds its lease."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.adapters.json_values import ValueFiles
from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.image import Image, nothing_to_build
from agentci_dagster.io_manager import ValueIOManager, stored_values
from agentci_dagster.run_lease import held
from tests.builders import diff, file_change, key
from tests.fakes.deploy import FakeClock
from tests.fakes.ledger import FakeLedger, FlakyLedger
from tests.waiting import eventually

TTL = timedelta(seconds=5)


@pytest.fixture
def values(tmp_path: Path) -> ValueFiles:
    return ValueFiles(tmp_path)


def input_of(asset: str, type_: type, partition: str | None) -> dg.InputContext:
    upstream = dg.build_output_context(asset_key=dg.AssetKey(asset), partition_key=partition)
    return dg.build_input_context(
        upstream_output=upstream,
        asset_key=dg.AssetKey(asset),
        dagster_type=dg.PythonObjectDagsterType(type_),
        partition_key=partition,
    )


def test_value_of_a_commit_goes_through_json(values: ValueFiles, tmp_path: Path) -> None:
    manager = ValueIOManager(values)
    value = diff(file_change("shop/ünï.py"))
    to = dg.build_output_context(asset_key=dg.AssetKey("commit_diff"), partition_key=str(key()))

    manager.handle_output(to, value)

    file = tmp_path / "commit_diff" / "shop" / f"{key().sha}.json"
    assert json.loads(file.read_text())["files"][0]["path"] == "shop/ünï.py"
    assert to.consume_logged_metadata()["value"] == dg.MetadataValue.path(str(file))
    assert manager.load_input(input_of("commit_diff", CommitDiff, str(key()))) == value


def test_unpartitioned_value_is_kept_once(values: ValueFiles, tmp_path: Path) -> None:
    manager = ValueIOManager(values)
    image = nothing_to_build("no reason")

    manager.handle_output(dg.build_output_context(asset_key=dg.AssetKey("trained")), image)

    assert (tmp_path / "trained" / "value.json").is_file()
    assert manager.load_input(input_of("trained", Image, None)) == image


def test_asset_without_a_value_stores_nothing(values: ValueFiles, tmp_path: Path) -> None:
    ValueIOManager(values).handle_output(dg.build_output_context(asset_key=dg.AssetKey("a")), None)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("partition", "said"),
    [(str(key()), f"image has no value for {key()}."), (None, "image has no value.")],
)
def test_missing_input_names_the_asset_to_make_first(
    values: ValueFiles, partition: str | None, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ValueIOManager(values).load_input(input_of("image", Image, partition))

    assert caught.value.message == said
    assert caught.value.next_step == "materialise image first"


def run_of(partition: str | None) -> dg.DagsterRun:
    tags = {"dagster/partition": partition} if partition else {}
    return dg.DagsterRun("deliver_commit", run_id="r1", tags=tags)


def init_context(partition: str | None, *, has_run: bool = True) -> dg.InitResourceContext:
    context = dg.build_init_resource_context()
    context._dagster_run = run_of(partition) if has_run else None
    return context


def test_run_of_a_commit_holds_a_lease_while_it_lives(values: ValueFiles) -> None:
    ledger = FakeLedger(FakeClock())

    with stored_values(init_context(str(key())), values, ledger):
        lease = ledger.held["run:r1"]
        assert lease.subject == str(key())

    assert ledger.held == {}


def test_lease_is_given_up_when_the_run_breaks(values: ValueFiles) -> None:
    ledger = FakeLedger(FakeClock())

    with (
        pytest.raises(ValueError, match="broken"),
        stored_values(init_context(str(key())), values, ledger),
    ):
        raise ValueError("broken")

    assert ledger.held == {}


@pytest.mark.parametrize("has_run", [True, False])
def test_run_without_a_commit_holds_none(values: ValueFiles, has_run: bool) -> None:
    ledger = FakeLedger(FakeClock())

    with stored_values(init_context(None, has_run=has_run), values, ledger) as manager:
        assert isinstance(manager, ValueIOManager)
        assert ledger.held == {}


def test_second_process_for_the_same_run_is_refused() -> None:
    ledger = FakeLedger(FakeClock())
    ledger.acquire("run:r1", "another-host:1", str(key()), TTL)

    with (
        pytest.raises(InfrastructureError, match="already being driven"),
        held(ledger, "r1", key()),
    ):
        pass

    assert ledger.held["run:r1"].holder == "another-host:1"


def test_lease_of_a_killed_process_may_be_taken() -> None:
    clock = FakeClock()
    ledger = FakeLedger(clock)
    ledger.acquire("run:r1", "another-host:1", str(key()), TTL)
    clock.sleep(6)

    with held(ledger, "r1", key()):
        assert ledger.held["run:r1"].generation == 2


def test_lease_is_renewed_while_the_run_works() -> None:
    ledger = FlakyLedger(SystemClock())

    with held(ledger, "r1", key(), ttl=TTL, renew_s=0.001):
        until = ledger.held["run:r1"].expires_at
        eventually(lambda: ledger.held["run:r1"].expires_at > until)


def test_busy_ledger_is_asked_again() -> None:
    ledger = FlakyLedger(SystemClock())

    with held(ledger, "r1", key(), ttl=TTL, renew_s=0.001):
        ledger.is_reachable = False
        n = ledger.n_asked
        eventually(lambda: ledger.n_asked > n + 1)
        n_renewed = ledger.n_renewed
        ledger.is_reachable = True
        eventually(lambda: ledger.n_renewed > n_renewed)


def test_lost_lease_is_not_renewed_and_not_released() -> None:
    ledger = FlakyLedger(SystemClock())

    with held(ledger, "r1", key(), ttl=TTL, renew_s=0.001):
        stolen = ledger.steal("run:r1", "reconcile")
        n = ledger.n_asked
        eventually(lambda: ledger.n_asked > n)

    assert ledger.held["run:r1"] == stolen
