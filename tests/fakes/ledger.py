"""The ledger in memory: EventLog, Outcomes, Leases and RolloutJournal with the same rules as the real one."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from agentci_dagster.adapters.json_values import as_plain, dump_json
from agentci_dagster.adapters.sql_ledger.chain import GENESIS, digest, link
from agentci_dagster.adapters.sql_ledger.ledger import refuse_stale, rollout_event
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import EnvironmentBusyError, LeaseLostError, LedgerError
from agentci_dagster.domain.outcome import DeployOutcome, is_settled_for_good
from agentci_dagster.domain.rollout import Release, Rollout
from agentci_dagster.ports import Lease, LedgerEvent


class Now(Protocol):
    def now(self) -> datetime: ...


class FakeLedger:
    """All four ledger ports; public lists may be looked at (and broken) by tests."""

    def __init__(self, clock: Now) -> None:
        self.clock = clock
        self.log: list[LedgerEvent] = []
        self.hashes: list[str] = []
        self.settled: dict[CommitKey, DeployOutcome] = {}
        self.held: dict[str, Lease] = {}
        self.generations: dict[str, int] = {}
        self.journal: dict[str, Rollout] = {}
        self.last_known_good: dict[str, Release] = {}
        # Leases are renewed by threads; the real ledger's transactions are atomic, so these are.
        self.lease_lock = threading.RLock()

    def close(self) -> None:
        """Nothing is open."""

    def append(self, event: LedgerEvent) -> None:
        if all(known.id != event.id for known in self.log):
            self.hashes.append(link(self.hashes[-1] if self.hashes else GENESIS, event))
            self.log.append(event)

    def events(
        self, kind: str | None = None, repository: str | None = None, sha: str | None = None
    ) -> tuple[LedgerEvent, ...]:
        return tuple(
            event
            for event in self.log
            if kind in {None, event.kind}
            and repository in {None, event.repository}
            and sha in {None, event.sha}
        )

    def verify(self) -> int:
        previous = GENESIS
        for event, stored in zip(self.log, self.hashes, strict=True):
            if link(previous, event) != stored:
                raise LedgerError(f"The ledger's chain is broken at event {event.id}.")
            previous = stored
        return len(self.log)

    def settle(self, outcome: DeployOutcome) -> DeployOutcome:
        before = self.settled.get(outcome.key)
        if before is not None and is_settled_for_good(before):
            return before
        self.settled[outcome.key] = outcome
        self.append(
            LedgerEvent(
                id=f"outcome/{outcome.key}/{digest(dump_json(outcome))}",
                kind="outcome_settled",
                at=self.clock.now(),
                repository=outcome.key.repository,
                sha=outcome.key.sha,
                body=as_plain(outcome),
            )
        )
        return outcome

    def outcome(self, key: CommitKey) -> DeployOutcome | None:
        return self.settled.get(key)

    def outcomes(
        self,
        repository: str | None = None,
        since: datetime | None = None,
        *,
        newest: int | None = None,
    ) -> tuple[DeployOutcome, ...]:
        found = (
            outcome
            for outcome in self.settled.values()
            if repository in {None, outcome.key.repository}
            and (since is None or outcome.settled_at >= since)
        )
        every = sorted(found, key=lambda outcome: (outcome.settled_at, outcome.key))
        return tuple(every if newest is None else every[max(0, len(every) - newest) :])

    def acquire(self, name: str, holder: str, subject: str, ttl: timedelta) -> Lease | None:
        with self.lease_lock:
            now = self.clock.now()
            held = self.held.get(name)
            if held is not None and held.holder != holder and held.expires_at > now:
                return None
            return self._give(name, holder, subject, now + ttl)

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        with self.lease_lock:
            held = self.held.get(lease.name)
            if held is None or held.generation != lease.generation:
                raise LeaseLostError(f"The lease {lease.name} for {lease.subject} was taken over.")
            self.held[lease.name] = replace(lease, expires_at=self.clock.now() + ttl)
            return self.held[lease.name]

    def release(self, lease: Lease) -> None:
        with self.lease_lock:
            held = self.held.get(lease.name)
            if held is not None and held.generation == lease.generation:
                del self.held[lease.name]

    def expired(self) -> tuple[Lease, ...]:
        now = self.clock.now()
        ran_out = (lease for lease in self.held.values() if lease.expires_at <= now)
        return tuple(sorted(ran_out, key=lambda lease: (lease.expires_at, lease.name)))

    def steal(self, name: str, holder: str) -> Lease:
        """What a taker finds after the lease ran out, without waiting for that."""
        with self.lease_lock:
            held = self.held[name]
            return self._give(name, holder, held.subject, held.expires_at)

    def _give(self, name: str, holder: str, subject: str, expires_at: datetime) -> Lease:
        self.generations[name] = self.generations.get(name, 0) + 1
        self.held[name] = Lease(name, holder, self.generations[name], expires_at, subject)
        return self.held[name]

    def open(self, rollout: Rollout) -> Rollout:
        known = self.journal.get(rollout.id)
        if known == rollout:
            return rollout
        if known is not None or self.rollouts(rollout.environment, is_open=True):
            raise EnvironmentBusyError(f"A rollout is open in {rollout.environment}.")
        self._write(rollout, "rollout_opened")
        return rollout

    def advance(self, rollout: Rollout, *, live: Release | None = None) -> None:
        refuse_stale(self._stored(rollout.id), rollout)
        if live is not None:
            self.last_known_good[rollout.environment] = live
        self._write(rollout, "rollout_advanced", live)

    def take_over(self, rollout_id: str) -> Rollout:
        stored = self._stored(rollout_id)
        taken = replace(stored, generation=stored.generation + 1)
        self._write(taken, "rollout_taken_over")
        return taken

    def rollouts(
        self,
        environment: str | None = None,
        key: CommitKey | None = None,
        *,
        is_open: bool | None = None,
    ) -> tuple[Rollout, ...]:
        found = (
            rollout
            for rollout in self.journal.values()
            if environment in {None, rollout.environment}
            and key in {None, rollout.key}
            and is_open in {None, not rollout.state.is_final}
        )
        return tuple(sorted(found, key=lambda rollout: (rollout.opened_at, rollout.id)))

    def live(self, environment: str) -> Release | None:
        return self.last_known_good.get(environment)

    def _stored(self, rollout_id: str) -> Rollout:
        if rollout_id not in self.journal:
            raise LedgerError(f"The journal holds no rollout {rollout_id}.")
        return self.journal[rollout_id]

    def _write(self, rollout: Rollout, kind: str, live: Release | None = None) -> None:
        self.journal[rollout.id] = rollout
        self.append(rollout_event(kind, rollout, live, self.clock.now()))


class FlakyLedger(FakeLedger):
    """Counts how often a lease is renewed, and may be out of reach."""

    is_reachable = True
    n_asked = 0
    n_renewed = 0

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        self.n_asked += 1
        if not self.is_reachable:
            raise LedgerError("The ledger is locked.")
        renewed = super().renew(lease, ttl)
        self.n_renewed += 1
        return renewed
