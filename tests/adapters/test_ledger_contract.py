"""One suite for the four ledger ports, run against the fake and the real ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from agentci_dagster.adapters.sql_ledger import SqlLedger, tables
from agentci_dagster.domain.errors import EnvironmentBusyError, LeaseLostError, LedgerError
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.rollout import Release, Rollout, RolloutState, Step
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import LedgerEvent
from tests.builders import NOON, key, outcome, sha
from tests.fakes.ledger import FakeLedger

MINUTE = timedelta(minutes=1)


class SetClock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def pass_(self, span: timedelta) -> None:
        self.time += span


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def empty_database() -> str:
    """The PostgreSQL database that the environment names for tests, without our tables."""
    url = os.environ.get("AGENTCI_TEST_POSTGRES", "")
    if not url:
        pytest.skip("AGENTCI_TEST_POSTGRES names no database")
    engine = create_engine(url)
    with engine.begin() as connection:
        for name in (*tables.metadata.tables, tables.VERSION_TABLE):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    engine.dispose()
    return url


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["fake", "sqlite", POSTGRES])
def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock
) -> Iterator[FakeLedger | SqlLedger]:
    if request.param == "fake":
        yield FakeLedger(clock)
        return
    sqlite = f"sqlite:///{tmp_path}/home/ledger.db"
    real = SqlLedger(sqlite if request.param == "sqlite" else empty_database(), clock)
    yield real
    real.close()


def event(id_: str = "e1", **changes: Any) -> LedgerEvent:
    facts: dict[str, Any] = {
        "id": id_,
        "kind": "approval",
        "at": NOON,
        "repository": "shop",
        "sha": sha(1),
        "body": {"n": 1, "nested": [1.5, None, True, "é\x00\udcff"]},
    }
    return LedgerEvent(**(facts | changes))


def release(n: int = 1) -> Release:
    return Release(
        f"r{n}", key(n), "/bundle", "d" * 64, "127.0.0.1", 8000 + n, "process", 10 + n, 5
    )


def rollout(id_: str = "shop-1", n: int = 1, **changes: Any) -> Rollout:
    facts: dict[str, Any] = {
        "id": id_,
        "environment": "production",
        "key": key(n),
        "route": Route.FAST,
        "state": RolloutState.OPENED,
        "generation": 1,
        "steps": (Step(0.5, 1.0), Step(1.0, 2.5)),
        "step_index": 0,
        "canary": None,
        "baseline": None,
        "committed_at": NOON,
        "opened_at": NOON + n * MINUTE,
        "updated_at": NOON + n * MINUTE,
    }
    return Rollout(**(facts | changes))


def test_events_come_back_in_the_order_of_writing_and_unchanged(ledger):
    written = [event(f"e{n}", at=NOON - n * MINUTE) for n in range(5)]
    for one in written:
        ledger.append(one)

    assert ledger.events() == tuple(written)
    assert ledger.verify() == 5


def test_the_same_event_id_twice_is_one_event(ledger):
    ledger.append(event())
    ledger.append(event(body={"other": 1}))

    assert ledger.events() == (event(),)
    assert ledger.verify() == 1


def test_events_are_chosen_by_kind_repository_and_sha(ledger):
    ledger.append(event("a"))
    ledger.append(event("b", kind="note"))
    ledger.append(event("c", repository="bank"))
    ledger.append(event("d", sha=sha(2)))

    assert [e.id for e in ledger.events(kind="approval")] == ["a", "c", "d"]
    assert [e.id for e in ledger.events(repository="shop", sha=sha(1))] == ["a", "b"]
    assert [e.id for e in ledger.events(kind="note", repository="bank")] == []


def test_an_instant_in_another_zone_is_the_same_instant(ledger):
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    ledger.append(event(at=elsewhere))

    assert ledger.events()[0].at == NOON


@pytest.mark.parametrize(
    "wrong", [{"at": datetime(2026, 1, 1)}, {"body": {"x": {1, 2}}}, {"body": {"x": float("nan")}}]
)
def test_an_event_without_zone_or_without_json_is_refused(ledger, wrong):
    with pytest.raises(LedgerError):
        ledger.append(event(**wrong))

    assert ledger.events() == ()


def test_an_empty_ledger_answers_with_nothing(ledger):
    assert ledger.verify() == 0
    assert ledger.events() == ledger.outcomes() == ledger.rollouts() == ledger.expired() == ()
    assert ledger.outcome(key()) is None
    assert ledger.live("production") is None


def test_a_settled_outcome_is_read_back_exactly_and_recorded_as_an_event(ledger):
    settled = outcome(1, paths=("a/b.py", "ü.py"), evidence="x\x00\n<b>", probability=0.1)

    assert ledger.settle(settled) == settled
    assert ledger.outcome(key(1)) == settled
    (recorded,) = ledger.events(kind="outcome_settled")
    assert (recorded.repository, recorded.sha, recorded.at) == ("shop", sha(1), NOON)
    assert recorded.body["ending"] == "promoted"


def test_what_was_settled_for_good_stands(ledger):
    first = ledger.settle(outcome(1, Ending.ROLLED_BACK))

    assert ledger.settle(outcome(1, Ending.PROMOTED)) == first
    assert ledger.outcome(key(1)) == first
    assert len(ledger.events()) == 1


@pytest.mark.parametrize(
    "open_ending",
    [
        outcome(1, Ending.INFRASTRUCTURE, cause=CauseClass.INFRA),
        outcome(1, Ending.WITHHELD, stage="risk_score"),
    ],
)
def test_infrastructure_and_waiting_for_a_person_may_be_replaced(ledger, open_ending):
    ledger.settle(open_ending)
    later = outcome(1, settled_at=open_ending.settled_at + MINUTE)

    assert ledger.settle(later) == later
    assert ledger.outcomes() == (later,)
    assert [e.body["ending"] for e in ledger.events()] == [open_ending.ending, "promoted"]


def test_outcomes_come_by_time_of_settling(ledger):
    for n in (3, 1, 2):
        ledger.settle(outcome(n))
    ledger.settle(outcome(9, key=key(9, "bank")))

    assert [o.key.sha for o in ledger.outcomes("shop")] == [sha(1), sha(2), sha(3)]
    assert [o.key.sha for o in ledger.outcomes("shop", newest=2)] == [sha(2), sha(3)]
    assert ledger.outcomes(newest=0) == ()
    since = outcome(2).settled_at
    assert [o.key for o in ledger.outcomes(since=since)] == [key(2), key(3), key(9, "bank")]


def test_a_held_lease_is_refused_to_others(ledger):
    lease = ledger.acquire("production", "a", "shop@1", MINUTE)

    assert (lease.generation, lease.subject, lease.expires_at) == (1, "shop@1", NOON + MINUTE)
    assert ledger.acquire("production", "b", "shop@2", MINUTE) is None
    assert ledger.acquire("staging", "b", "shop@2", MINUTE).generation == 1


def test_an_expired_lease_is_listed_taken_with_the_next_generation_and_lost_to_the_first(
    ledger, clock
):
    first = ledger.acquire("production", "a", "shop@1", MINUTE)
    clock.pass_(MINUTE)
    assert ledger.expired() == (first,)

    second = ledger.acquire("production", "b", "shop@2", MINUTE)

    assert second.generation == 2
    assert ledger.expired() == ()
    with pytest.raises(LeaseLostError, match="production"):
        ledger.renew(first, MINUTE)
    ledger.release(first)
    assert ledger.acquire("production", "c", "shop@3", MINUTE) is None


def test_renewing_holds_on(ledger, clock):
    lease = ledger.acquire("production", "a", "shop@1", MINUTE)
    clock.pass_(MINUTE / 2)

    renewed = ledger.renew(lease, MINUTE)

    assert renewed == replace(lease, expires_at=NOON + 1.5 * MINUTE)
    clock.pass_(MINUTE / 2)
    assert ledger.expired() == ()
    assert ledger.acquire("production", "b", "shop@2", MINUTE) is None


def test_the_generation_grows_also_after_release(ledger, clock):
    lease = ledger.acquire("production", "a", "shop@1", MINUTE)
    ledger.release(lease)

    clock.pass_(2 * MINUTE)
    assert ledger.expired() == ()
    with pytest.raises(LeaseLostError):
        ledger.renew(lease, MINUTE)
    assert ledger.acquire("production", "b", "shop@2", MINUTE).generation == 2


def test_taking_ones_own_lease_again_fences_off_the_earlier_self(ledger):
    first = ledger.acquire("production", "a", "shop@1", MINUTE)
    second = ledger.acquire("production", "a", "shop@1", MINUTE)

    assert second.generation == 2
    with pytest.raises(LeaseLostError):
        ledger.renew(first, MINUTE)


def test_a_rollout_is_read_back_exactly_and_opening_it_twice_is_once(ledger):
    opened = rollout(canary=release(2), baseline=release(1))

    assert ledger.open(opened) == opened
    assert ledger.open(opened) == opened
    assert ledger.rollouts() == (opened,)
    assert [e.kind for e in ledger.events()] == ["rollout_opened"]


def test_a_second_rollout_in_the_environment_is_refused_until_the_first_has_ended(ledger):
    first = ledger.open(rollout("one", 1))
    with pytest.raises(EnvironmentBusyError, match="production"):
        ledger.open(rollout("two", 2))
    ledger.open(rollout("three", 3, environment="staging"))

    ledger.advance(replace(first, state=RolloutState.ROLLED_BACK))

    ledger.open(rollout("two", 2))
    assert [r.id for r in ledger.rollouts("production")] == ["one", "two"]
    assert [r.id for r in ledger.rollouts(is_open=True)] == ["two", "three"]
    assert [r.id for r in ledger.rollouts(is_open=False)] == ["one"]
    assert [r.id for r in ledger.rollouts(key=key(3))] == ["three"]


def test_another_rollout_with_a_known_id_is_refused(ledger):
    ledger.advance(replace(ledger.open(rollout()), state=RolloutState.ROLLED_BACK))

    with pytest.raises(EnvironmentBusyError):
        ledger.open(rollout(n=2))


def test_the_live_release_changes_only_with_an_advance_that_names_it(ledger):
    opened = ledger.open(rollout())
    ledger.advance(replace(opened, state=RolloutState.PROMOTING, canary=release(1)))
    assert ledger.live("production") is None

    ledger.advance(replace(opened, state=RolloutState.PROMOTED), live=release(1))

    assert ledger.live("production") == release(1)
    assert ledger.live("staging") is None
    recorded = [(e.kind, e.body["live"] and e.body["live"]["name"]) for e in ledger.events()]
    assert recorded[1:] == [("rollout_advanced", None), ("rollout_advanced", "r1")]


def test_a_fenced_driver_is_refused_and_changes_nothing(ledger):
    opened = ledger.open(rollout())
    taken = ledger.take_over(opened.id)
    n_events = len(ledger.events())

    with pytest.raises(LeaseLostError, match="taken over"):
        ledger.advance(replace(opened, state=RolloutState.PROMOTED), live=release(1))

    assert taken == replace(opened, generation=2)
    assert ledger.live("production") is None
    assert ledger.rollouts() == (taken,)
    assert len(ledger.events()) == n_events == 2


def test_an_ended_rollout_stays_ended(ledger):
    opened = ledger.open(rollout())
    ended = replace(opened, state=RolloutState.ROLLED_BACK)
    ledger.advance(ended)
    ledger.advance(ended)

    with pytest.raises(LeaseLostError, match="already ended"):
        ledger.advance(replace(opened, state=RolloutState.STEPPING))
    assert ledger.rollouts(is_open=True) == ()
    assert len(ledger.events()) == 2


def test_an_unknown_rollout_cannot_be_driven(ledger):
    with pytest.raises(LedgerError, match="nowhere"):
        ledger.take_over("nowhere")
    with pytest.raises(LedgerError, match="nowhere"):
        ledger.advance(rollout("nowhere"))
    assert ledger.events() == ()


def test_every_write_leaves_the_chain_whole(ledger):
    ledger.append(event())
    ledger.settle(outcome(1))
    opened = ledger.open(rollout())
    ledger.take_over(opened.id)
    ledger.advance(replace(opened, generation=2, state=RolloutState.ROLLED_BACK))

    assert ledger.verify() == len(ledger.events()) == 5
    assert ledger.events()[0].at.tzinfo is UTC
