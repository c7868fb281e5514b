"""The ledger ports on one database: events, outcomes, leases, rollouts.

Each write is one transaction together with the event that records it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Table, delete, insert, select, update

from agentci_dagster.adapters.json_values import as_plain, dump_json, load_json
from agentci_dagster.adapters.sql_ledger import tables
from agentci_dagster.adapters.sql_ledger.chain import GENESIS, canonical, digest, instant, link
from agentci_dagster.adapters.sql_ledger.database import Database
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import EnvironmentBusyError, LeaseLostError, LedgerError
from agentci_dagster.domain.outcome import DeployOutcome, is_settled_for_good
from agentci_dagster.domain.rollout import Release, Rollout
from agentci_dagster.ports import Lease, LedgerEvent


class Now(Protocol):
    """The part of a clock that the ledger needs."""

    def now(self) -> datetime: ...


class SqlLedger:
    """EventLog, Outcomes, Leases and RolloutJournal; opened at first use, safe across processes."""

    def __init__(self, url: str, clock: Now | None = None, wait_s: float = 30.0) -> None:
        """`wait_s` is how long a locked database is waited for."""
        self._database = Database(url, wait_s)
        self._clock = clock

    def close(self) -> None:
        """Give back the connections; the next use opens again."""
        self._database.close()

    # ------------------------------------------------------------ events

    def append(self, event: LedgerEvent) -> None:
        """Add the event; does nothing when its id is known."""
        self._database.write(lambda connection: _append(connection, event))

    def events(
        self, kind: str | None = None, repository: str | None = None, sha: str | None = None
    ) -> tuple[LedgerEvent, ...]:
        """Events in the order of writing."""
        wanted = select(tables.events).order_by(tables.events.c.position)
        for column, value in (("kind", kind), ("repository", repository), ("sha", sha)):
            if value is not None:
                wanted = wanted.where(tables.events.c[column] == value)
        return self._database.read(
            lambda connection: tuple(_event(row) for row in connection.execute(wanted)), ()
        )

    def verify(self) -> int:
        """Check the chain; returns the number of events, raises LedgerError at the first broken."""
        return self._database.read(_verify, 0)

    # ------------------------------------------------------------ outcomes

    def settle(self, outcome: DeployOutcome) -> DeployOutcome:
        """Record; returns what stands: the earlier outcome where it was settled for good."""
        return self._database.write(lambda connection: self._settle(connection, outcome))

    def outcome(self, key: CommitKey) -> DeployOutcome | None:
        """The settled outcome, None while open."""
        return self._database.read(lambda connection: _outcome(connection, key), None)

    def outcomes(
        self,
        repository: str | None = None,
        since: datetime | None = None,
        *,
        newest: int | None = None,
    ) -> tuple[DeployOutcome, ...]:
        """All of them, or only the `newest` ones, by time of settling (the newest last)."""
        table = tables.outcomes.c
        order = (table.settled_at, table.repository, table.sha)
        wanted = select(table.body).order_by(*(column.desc() for column in order)).limit(newest)
        if repository is not None:
            wanted = wanted.where(table.repository == repository)
        if since is not None:
            wanted = wanted.where(table.settled_at >= instant(since))
        bodies: tuple[str, ...] = self._database.read(
            lambda connection: tuple(connection.execute(wanted).scalars()), ()
        )
        return tuple(load_json(DeployOutcome, body) for body in reversed(bodies))

    # ------------------------------------------------------------ leases

    def acquire(self, name: str, holder: str, subject: str, ttl: timedelta) -> Lease | None:
        """Take a free or expired lease with the next generation; None while another holds it.

        Taking one's own lease again gives the next generation and so fences off the earlier self.
        """
        return self._database.write(
            lambda connection: self._acquire(connection, name, holder, subject, ttl)
        )

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Hold on; raises LeaseLostError when another took it."""
        return self._database.write(lambda connection: self._renew(connection, lease, ttl))

    def release(self, lease: Lease) -> None:
        """Give it up; giving up a lost one is fine. The generation stays: it only ever grows."""
        given_up = (
            update(tables.leases)
            .where(tables.leases.c.name == lease.name)
            .where(tables.leases.c.generation == lease.generation)
            .values(is_held=False)
        )
        self._database.write(lambda connection: connection.execute(given_up).rowcount)

    def expired(self) -> tuple[Lease, ...]:
        """Leases that ran out without being given up."""
        wanted = (
            select(tables.leases)
            .where(tables.leases.c.is_held)
            .where(tables.leases.c.expires_at <= instant(self._now()))
            .order_by(tables.leases.c.expires_at, tables.leases.c.name)
        )
        return self._database.read(
            lambda connection: tuple(_lease(row) for row in connection.execute(wanted)), ()
        )

    # ------------------------------------------------------------ rollouts

    def open(self, rollout: Rollout) -> Rollout:
        """Record a new rollout; raises EnvironmentBusyError while another is open there."""
        return self._database.write(lambda connection: self._open(connection, rollout))

    def advance(self, rollout: Rollout, *, live: Release | None = None) -> None:
        """Write a new state, fenced by its generation; `live` becomes last known good with it."""
        self._database.write(lambda connection: self._advance(connection, rollout, live))

    def take_over(self, rollout_id: str) -> Rollout:
        """Raise the generation, so that the earlier driver's writes are refused."""
        return self._database.write(lambda connection: self._take_over(connection, rollout_id))

    def rollouts(
        self,
        environment: str | None = None,
        key: CommitKey | None = None,
        *,
        is_open: bool | None = None,
    ) -> tuple[Rollout, ...]:
        """Rollouts by time of opening."""
        table = tables.rollouts.c
        wanted = select(table.body).order_by(table.opened_at, table.id)
        if environment is not None:
            wanted = wanted.where(table.environment == environment)
        if key is not None:
            wanted = wanted.where(table.repository == key.repository, table.sha == key.sha)
        if is_open is not None:
            wanted = wanted.where(table.is_open == is_open)
        return self._database.read(
            lambda connection: tuple(
                load_json(Rollout, body) for body in connection.execute(wanted).scalars()
            ),
            (),
        )

    def live(self, environment: str) -> Release | None:
        """Last known good."""
        table = tables.live_releases.c
        wanted = select(table.body).where(table.environment == environment)

        def ask(connection: Connection) -> Release | None:
            body = connection.execute(wanted).scalar()
            return None if body is None else load_json(Release, body)

        return self._database.read(ask, None)

    # ------------------------------------------------------------ inside a transaction

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else self._clock.now()

    def _settle(self, connection: Connection, outcome: DeployOutcome) -> DeployOutcome:
        before = _outcome(connection, outcome.key)
        if before is not None and is_settled_for_good(before):
            return before
        body = dump_json(outcome)
        place = {"repository": outcome.key.repository, "sha": outcome.key.sha}
        values = {"settled_at": instant(outcome.settled_at), "body": body}
        _put(connection, tables.outcomes, place, values)
        happened = LedgerEvent(
            id=f"outcome/{outcome.key}/{digest(body)}",
            kind="outcome_settled",
            at=self._now(),
            body=json.loads(body),
            **place,
        )
        _append(connection, happened)
        return outcome

    def _acquire(
        self, connection: Connection, name: str, holder: str, subject: str, ttl: timedelta
    ) -> Lease | None:
        now = self._now()
        wanted = select(tables.leases).where(tables.leases.c.name == name)
        row = connection.execute(wanted).one_or_none()
        is_taken = row is not None and row.is_held and row.holder != holder
        if row is not None and is_taken and row.expires_at > instant(now):
            return None
        generation = 1 if row is None else row.generation + 1
        lease = Lease(name, holder, generation, now + ttl, subject)
        values = {
            "holder": holder,
            "generation": generation,
            "expires_at": instant(lease.expires_at),
            "subject": subject,
            "is_held": True,
        }
        _put(connection, tables.leases, {"name": name}, values)
        return lease

    def _renew(self, connection: Connection, lease: Lease, ttl: timedelta) -> Lease:
        longer = replace(lease, expires_at=self._now() + ttl)
        held = (
            update(tables.leases)
            .where(tables.leases.c.name == lease.name)
            .where(tables.leases.c.generation == lease.generation)
            .where(tables.leases.c.is_held)
            .values(expires_at=instant(longer.expires_at))
        )
        if connection.execute(held).rowcount != 1:
            raise LeaseLostError(
                f"The lease {lease.name} for {lease.subject} was taken over or given up.",
                "stop driving it; whoever holds it now finishes",
            )
        return longer

    def _open(self, connection: Connection, rollout: Rollout) -> Rollout:
        table = tables.rollouts.c
        known = connection.execute(select(table.body).where(table.id == rollout.id)).scalar()
        if known is not None:
            return _reopened(load_json(Rollout, known), rollout)
        busy = connection.execute(
            select(table.id, table.repository, table.sha).where(
                table.environment == rollout.environment, table.is_open
            )
        ).one_or_none()
        if busy is not None:
            raise EnvironmentBusyError(
                f"{rollout.key} cannot be deployed to {rollout.environment}: "
                f"the rollout {busy.id} of {busy.repository}@{busy.sha} is open there.",
                f"wait for it, or end it with `agentci rollback {rollout.environment}`",
            )
        self._write_rollout(connection, rollout, "rollout_opened")
        return rollout

    def _advance(self, connection: Connection, rollout: Rollout, live: Release | None) -> None:
        stored = _rollout(connection, rollout.id)
        refuse_stale(stored, rollout)
        if live is not None:
            _put(
                connection,
                tables.live_releases,
                {"environment": rollout.environment},
                {"since": instant(self._now()), "body": dump_json(live)},
            )
        self._write_rollout(connection, rollout, "rollout_advanced", live)

    def _take_over(self, connection: Connection, rollout_id: str) -> Rollout:
        stored = _rollout(connection, rollout_id)
        taken = replace(stored, generation=stored.generation + 1)
        self._write_rollout(connection, taken, "rollout_taken_over")
        return taken

    def _write_rollout(
        self, connection: Connection, rollout: Rollout, kind: str, live: Release | None = None
    ) -> None:
        body = dump_json(rollout)
        values = {
            "environment": rollout.environment,
            "repository": rollout.key.repository,
            "sha": rollout.key.sha,
            "generation": rollout.generation,
            "opened_at": instant(rollout.opened_at),
            "is_open": not rollout.state.is_final,
            "body": body,
        }
        _put(connection, tables.rollouts, {"id": rollout.id}, values)
        happened = rollout_event(kind, rollout, live, self._now())
        _append(connection, happened)


def rollout_event(kind: str, rollout: Rollout, live: Release | None, at: datetime) -> LedgerEvent:
    """The event that records a step of a rollout; the same step twice has the same id."""
    body = {"rollout": as_plain(rollout), "live": as_plain(live)}
    return LedgerEvent(
        id=f"{kind}/{rollout.id}/{digest(canonical(body))}",
        kind=kind,
        at=at,
        repository=rollout.key.repository,
        sha=rollout.key.sha,
        body=body,
    )


def refuse_stale(stored: Rollout, rollout: Rollout) -> None:
    """Raise for a write of a fenced-off driver, or one that would reopen what has ended."""
    if rollout.generation < stored.generation:
        raise LeaseLostError(
            f"The rollout {rollout.id} in {rollout.environment} was taken over (generation "
            f"{stored.generation}, this driver has {rollout.generation}).",
            "stop driving it; whoever took it over finishes",
        )
    if stored.state.is_final and rollout.state is not stored.state:
        raise LeaseLostError(
            f"The rollout {rollout.id} in {rollout.environment} has already ended "
            f"({stored.state}), it cannot become {rollout.state}.",
            "stop driving it",
        )


def _reopened(stored: Rollout, rollout: Rollout) -> Rollout:
    if stored != rollout:
        raise EnvironmentBusyError(
            f"The rollout {rollout.id} is in the journal already ({stored.state}).",
            "open a new rollout with an id of its own",
        )
    return stored


def _append(connection: Connection, event: LedgerEvent) -> None:
    known = select(tables.events.c.position).where(tables.events.c.id == event.id)
    if connection.execute(known).first() is not None:
        return
    head = connection.execute(select(tables.chain_head)).one()
    following = link(head.hash, event)
    row = {
        "position": head.position + 1,
        "id": event.id,
        "kind": event.kind,
        "at": instant(event.at),
        "repository": event.repository,
        "sha": event.sha,
        "body": canonical(event.body),
        "hash": following,
    }
    connection.execute(insert(tables.events).values(row))
    connection.execute(update(tables.chain_head).values(position=row["position"], hash=following))


def _verify(connection: Connection) -> int:
    previous, n = GENESIS, 0
    for row in _in_order(connection):
        n += 1
        if row.position != n or link(previous, _event(row)) != row.hash:
            raise LedgerError(
                f"The ledger's chain is broken at event {n} ({row.id}): "
                "it was changed, removed or put in.",
                "restore a copy of the ledger from before; keep this one as evidence",
            )
        previous = row.hash
    head = connection.execute(select(tables.chain_head)).one()
    if (head.position, head.hash) != (n, previous):
        raise LedgerError(
            f"The ledger's chain ends at event {n}, but {head.position} were written.",
            "restore a copy of the ledger from before; keep this one as evidence",
        )
    return n


def _in_order(connection: Connection) -> Iterator[Row[Any]]:
    wanted = select(tables.events).order_by(tables.events.c.position)
    yield from connection.execution_options(yield_per=1000).execute(wanted)


def _event(row: Row[Any]) -> LedgerEvent:
    return LedgerEvent(
        id=row.id,
        kind=row.kind,
        at=datetime.fromisoformat(row.at),
        repository=row.repository,
        sha=row.sha,
        body=json.loads(row.body),
    )


def _lease(row: Row[Any]) -> Lease:
    expires_at = datetime.fromisoformat(row.expires_at)
    return Lease(row.name, row.holder, row.generation, expires_at, row.subject)


def _outcome(connection: Connection, key: CommitKey) -> DeployOutcome | None:
    table = tables.outcomes.c
    wanted = select(table.body).where(table.repository == key.repository, table.sha == key.sha)
    body = connection.execute(wanted).scalar()
    return None if body is None else load_json(DeployOutcome, body)


def _rollout(connection: Connection, rollout_id: str) -> Rollout:
    table = tables.rollouts.c
    body = connection.execute(select(table.body).where(table.id == rollout_id)).scalar()
    if body is None:
        raise LedgerError(f"The journal holds no rollout {rollout_id}.", "agentci status")
    return load_json(Rollout, body)


def _put(
    connection: Connection, table: Table, place: dict[str, Any], values: dict[str, Any]
) -> None:
    # Delete and insert, because every dialect has another upsert; no other writer is let in.
    here = [table.c[name] == value for name, value in place.items()]
    connection.execute(delete(table).where(*here))
    connection.execute(insert(table).values({**place, **values}))
