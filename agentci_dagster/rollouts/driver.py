"""The driver of rollouts: begin, watch, reconcile, roll back by a person."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agentci_dagster.domain.diff import Commit, CommitKey
from agentci_dagster.domain.errors import (
    EnvironmentBusyError,
    InfrastructureError,
    LeaseLostError,
    UsageError,
)
from agentci_dagster.domain.health import CanaryPolicy, HealthReport
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.outcome import CauseClass
from agentci_dagster.domain.rollout import (
    Deployment,
    DeploymentStatus,
    Happening,
    Release,
    Rollout,
    RolloutState,
    Step,
    plan_for,
    react,
)
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import (
    Clock,
    EventLog,
    Leases,
    LedgerEvent,
    MetricSource,
    Mirrors,
    RolloutJournal,
    Router,
    Runtime,
    ServicePlan,
)
from agentci_dagster.rollouts import reports
from agentci_dagster.rollouts.lease import LeaseKeeper
from agentci_dagster.rollouts.site import Ports, Site, artefact_of
from agentci_dagster.rollouts.watch import ROLLBACK_REQUESTED, Watch

_WAITING = "deployment_waiting"
_SIGN_OF_WAITING_S = 30.0
_LOOK_S = 0.25
_REQUEST_S = 60.0
_COLD_START_S = 10.0
_WARM_UP_ROUNDS = 3
_ASK = timedelta(seconds=2)


class Rollouts:
    """Drives rollouts of all environments; safe to be killed at any instant."""

    def __init__(  # noqa: PLR0913 -- one argument for each port; all by name
        self,
        *,
        runtime: Runtime,
        router: Router,
        metrics: MetricSource,
        clock: Clock,
        journal: RolloutJournal,
        leases: Leases,
        log: EventLog,
        mirrors: Mirrors | None = None,
        lease_ttl: timedelta = timedelta(seconds=5),
    ) -> None:
        """`mirrors` tell which of two commits is the older one; without them their times do."""
        self._ports = Ports(runtime, router, metrics, clock, journal, leases, log)
        self._clock = clock
        self._mirrors = mirrors
        self._lease_ttl = lease_ttl
        self._keepers: dict[str, LeaseKeeper] = {}

    # ------------------------------------------------------------ begin

    def begin(
        self,
        service: ServicePlan | None,
        image: Image,
        commit: Commit,
        route: Route,
        policy: CanaryPolicy,
    ) -> Deployment:
        """Bring the commit's release up beside the live one, ready and without traffic.

        Waits at most `policy.environment_wait_s` for the environment. After STARTED the environment
        stays leased to this object until `watch` ends it.

        Raises:
            EnvironmentBusyError: another commit's rollout did not end in time.
            InfrastructureError: a machine of ours failed; the live release was left as it was.
        """
        began = self._clock.monotonic()
        if service is None:
            empty = _no_deployment(commit.key, "")
            return replace(empty, note="a library: there is no service to deploy")
        site = Site(self._ports, service)
        empty = _no_deployment(commit.key, service.environment)
        if route is Route.SKIP or image.kind is ImageKind.NONE or image.failure:
            return replace(empty, note="nothing to deploy: the commit ships nothing")
        committed_at = min(commit.committed_at, self._clock.now())
        keeper = self._lease_for(site, commit, committed_at, policy)
        if isinstance(keeper, Deployment):
            return replace(keeper, seconds=self._clock.monotonic() - began)
        try:
            self._settle_open(site, keeper)
            early = self._recorded(site, empty) or self._superseded(site, empty, committed_at)
            if early is not None:
                keeper.release()
                return replace(early, seconds=self._clock.monotonic() - began)
            restored = site.restore(keeper.wait, drain_s=0, ready_deadline_s=_COLD_START_S)
            plan = plan_for(route, policy, is_first=restored.live is None)
            rollout = self._open(site, commit.key, committed_at, route, plan, restored.live, keeper)
        except BaseException:
            keeper.release()
            raise
        deployment = self._bring_up(site, image, rollout, policy, keeper)
        return replace(deployment, seconds=self._clock.monotonic() - began)

    def _lease_for(
        self, site: Site, commit: Commit, committed_at: datetime, policy: CanaryPolicy
    ) -> LeaseKeeper | Deployment:
        """The environment's lease, or the deployment that makes it unnecessary."""
        empty = _no_deployment(commit.key, site.environment)
        until = self._clock.monotonic() + policy.environment_wait_s
        signed: float | None = None
        while True:
            early = self._recorded(site, empty) or self._superseded(site, empty, committed_at)
            if early is not None:
                return early
            keeper = self._acquire(site, str(commit.key))
            if keeper is not None:
                return keeper
            now = self._clock.monotonic()
            if now >= until:
                raise EnvironmentBusyError(
                    f"{commit.key} cannot be deployed to {site.environment}: another one did not "
                    f"end within {policy.environment_wait_s:g} s.",
                    f"wait for it, or end it with `agentci rollback {site.environment}`",
                )
            if signed is None or now - signed >= _SIGN_OF_WAITING_S / 2:
                signed = now
                self._sign_waiting(site, commit.key, committed_at)
            self._clock.sleep(_LOOK_S)

    def _acquire(self, site: Site, subject: str) -> LeaseKeeper | None:
        lease = self._ports.leases.acquire(
            f"environment:{site.environment}", uuid.uuid4().hex, subject, self._lease_ttl
        )
        if lease is None:
            return None
        heartbeat_s = min(1.0, self._lease_ttl.total_seconds() / 4)
        return LeaseKeeper(self._ports.leases, lease, self._lease_ttl, self._clock, heartbeat_s)

    def _recorded(self, site: Site, empty: Deployment) -> Deployment | None:
        promoted = [
            r
            for r in self._ports.journal.rollouts(site.environment, empty.key, is_open=False)
            if r.state is RolloutState.PROMOTED
        ]
        if not promoted:
            return None
        last = promoted[-1]
        return replace(
            empty,
            status=DeploymentStatus.RECORDED,
            rollout_id=last.id,
            canary=last.canary,
            baseline=last.baseline,
            note=f"already promoted at {last.updated_at:%Y-%m-%d %H:%M:%S} UTC",
        )

    def _superseded(
        self, site: Site, empty: Deployment, committed_at: datetime
    ) -> Deployment | None:
        others = [*self._live_commit(site), *self._waiting(site, empty.key)]
        if not any(self._is_older(empty.key, committed_at, *other) for other in others):
            return None
        note = "a newer commit is live or on its way; an older one never replaces it"
        return replace(empty, status=DeploymentStatus.SUPERSEDED, note=note)

    def _is_older(self, own: CommitKey, at: datetime, other: CommitKey, other_at: datetime) -> bool:
        """Whether the other commit is the newer one: by descent where one descends from the other,
        because clocks of authors differ and a rebase gives many commits one second; else by time.
        """
        if own == other:
            return False
        if self._descends(other, own):
            return True
        return other_at > at and not self._descends(own, other)

    def _descends(self, younger: CommitKey, older: CommitKey) -> bool:
        if self._mirrors is None or younger.repository != older.repository:
            return False
        try:
            mirror = self._mirrors.of(younger.repository)
            left, _ = mirror.new_commits((older.sha,), (younger.sha,), 1)
        except (InfrastructureError, UsageError):
            return False
        return not left

    def _live_commit(self, site: Site) -> list[tuple[CommitKey, datetime]]:
        """The live commit with its time; empty when nothing is live."""
        live = self._ports.journal.live(site.environment)
        if live is None:
            return []
        made = self._ports.journal.rollouts(site.environment, live.key)
        promoted = [r for r in made if r.state in {RolloutState.PROMOTING, RolloutState.PROMOTED}]
        return [(live.key, r.committed_at) for r in promoted[-1:]]

    def _sign_waiting(self, site: Site, key: CommitKey, committed_at: datetime) -> None:
        now = self._clock.now()
        self._ports.log.append(
            LedgerEvent(
                id=f"waiting/{site.environment}/{key}/{uuid.uuid4().hex[:12]}",
                kind=_WAITING,
                at=now,
                repository=key.repository,
                sha=key.sha,
                body={
                    "environment": site.environment,
                    "committed_at": committed_at.isoformat(),
                    "until": (now + timedelta(seconds=_SIGN_OF_WAITING_S)).isoformat(),
                },
            )
        )

    def _waiting(self, site: Site, own: CommitKey) -> list[tuple[CommitKey, datetime]]:
        """The commits that wait for this environment now, with their times, without those that had
        their turn.
        """
        now = self._clock.now()
        found = []
        for event in self._ports.log.events(_WAITING, own.repository):
            body = event.body
            if body["environment"] != site.environment or event.sha == own.sha:
                continue
            key = CommitKey(event.repository, event.sha)
            is_fresh = datetime.fromisoformat(body["until"]) > now
            if is_fresh and not self._ports.journal.rollouts(site.environment, key):
                found.append((key, datetime.fromisoformat(body["committed_at"])))
        return found

    def _open(
        self,
        site: Site,
        key: CommitKey,
        committed_at: datetime,
        route: Route,
        plan: tuple[Step, ...],
        baseline: Release | None,
        keeper: LeaseKeeper,
    ) -> Rollout:
        now = self._clock.now()
        rollout = Rollout(
            id=f"{site.environment}:{key.sha[:12]}:{keeper.generation}",
            environment=site.environment,
            key=key,
            route=route,
            state=RolloutState.OPENED,
            generation=keeper.generation,
            steps=plan,
            step_index=0,
            canary=None,
            baseline=baseline,
            committed_at=committed_at,
            opened_at=now,
            updated_at=now,
        )
        return self._ports.journal.open(rollout)

    def _bring_up(
        self,
        site: Site,
        image: Image,
        rollout: Rollout,
        policy: CanaryPolicy,
        keeper: LeaseKeeper,
    ) -> Deployment:
        deployment = replace(
            _no_deployment(rollout.key, site.environment),
            status=DeploymentStatus.STARTED,
            rollout_id=rollout.id,
            baseline=rollout.baseline,
        )
        try:
            rollout = self._advance(rollout, Happening.BEGUN)
            keeper.beat(policy.migrate_deadline_s + 30)
            ran = self._ports.runtime.migrate(
                site.service, image, timedelta(seconds=policy.migrate_deadline_s)
            )
            keeper.beat()
            deployment = replace(deployment, migrations=ran.applied)
            if ran.failure:
                failed = replace(
                    deployment,
                    status=DeploymentStatus.MIGRATION_FAILED,
                    note="the migrations failed before any traffic",
                    log_tail=ran.failure[-4000:],
                )
                return self._send_back(site, rollout, failed, CauseClass.MIGRATION, keeper)
            rollout = self._advance(rollout, Happening.MIGRATED)
            name = f"{rollout.key.sha[:7]}-{keeper.generation}"
            canary = self._ports.runtime.start(site.service, image, name, rollout.key)
            rollout = replace(rollout, canary=canary)
            self._ports.journal.advance(rollout)
            deployment = replace(deployment, canary=canary)
            trouble = site.wait_ready(canary, policy.ready_deadline_s, keeper.wait)
            if trouble:
                failed = replace(
                    deployment,
                    status=DeploymentStatus.CRASHED_AT_START,
                    note=f"the new release did not come up: {trouble}",
                    log_tail=self._ports.runtime.log_tail(canary),
                )
                return self._send_back(site, rollout, failed, CauseClass.CRASH_AT_START, keeper)
            note = self._warm_up(site, canary, keeper)
            self._ports.router.add(site.environment, canary, site.service.health_path)
            self._advance(rollout, Happening.ANSWERED)
        except LeaseLostError:
            keeper.abandon()
            raise
        except BaseException as error:
            self._give_up(site, rollout, error, keeper)
            raise
        self._keepers[rollout.id] = keeper
        return replace(deployment, note=note)

    def _advance(self, rollout: Rollout, happening: Happening) -> Rollout:
        following = react(rollout, happening, self._clock.now())
        self._ports.journal.advance(following)
        return following

    def _warm_up(self, site: Site, canary: Release, keeper: LeaseKeeper) -> str:
        paths = (site.service.health_path, *site.service.probe_paths)
        bad = 0
        for _ in range(_WARM_UP_ROUNDS):
            for path in paths:
                bad += self._ports.runtime.ask(canary, path, _ASK).is_error
                keeper.beat()
        asked = _WARM_UP_ROUNDS * len(paths)
        return f"ready and warm: {asked - bad} of {asked} probes answered well"

    def _send_back(
        self,
        site: Site,
        rollout: Rollout,
        deployment: Deployment,
        cause: CauseClass,
        keeper: LeaseKeeper,
    ) -> Deployment:
        self._end_back(site, rollout, deployment.note, cause, keeper)
        return deployment

    def _give_up(
        self, site: Site, rollout: Rollout, error: BaseException, keeper: LeaseKeeper
    ) -> None:
        reason = f"bringing up broke off: {type(error).__name__}: {str(error)[:300]}"
        try:
            self._end_back(site, rollout, reason, CauseClass.INFRA, keeper)
        except InfrastructureError:
            keeper.abandon()

    def _end_back(
        self, site: Site, rollout: Rollout, reason: str, cause: CauseClass, keeper: LeaseKeeper
    ) -> None:
        back = react(rollout, Happening.FAILED, self._clock.now(), reason=reason, cause=cause.value)
        self._ports.journal.advance(back)
        site.restore(keeper.wait, drain_s=0, ready_deadline_s=_COLD_START_S)
        self._advance(back, Happening.SETTLED)
        keeper.release()

    # ------------------------------------------------------------ watch

    def watch(
        self, deployment: Deployment, service: ServicePlan | None, policy: CanaryPolicy
    ) -> HealthReport:
        """Walk the canary through its plan and promote it or send it back, all inside this call.

        Called again after a crash of ours it settles what is left and returns the recorded report.
        """
        rollout = self._find(deployment)
        if deployment.status is DeploymentStatus.RECORDED and rollout is not None:
            kept = reports.recorded(self._ports.log, rollout)
            if kept is not None:
                return kept
        if service is None or deployment.status is not DeploymentStatus.STARTED:
            return reports.undeployed(deployment, self._clock.now())
        if rollout is None:
            raise UsageError(f"The journal knows no rollout {deployment.rollout_id}.")
        keeper = self._keepers.pop(rollout.id, None)
        if keeper is None or rollout.state is not RolloutState.READY or rollout.canary is None:
            return self._settled_report(service, rollout, keeper, policy)
        try:
            keeper.beat()
        except LeaseLostError:
            return self._settled_report(service, rollout, keeper, policy)
        site = Site(self._ports, service)
        return Watch(site, rollout, rollout.canary, keeper, policy).walk()

    def _find(self, deployment: Deployment) -> Rollout | None:
        known = self._ports.journal.rollouts(deployment.environment, deployment.key)
        return next((r for r in known if r.id == deployment.rollout_id), None)

    def _settled_report(
        self,
        service: ServicePlan,
        rollout: Rollout,
        keeper: LeaseKeeper | None,
        policy: CanaryPolicy,
    ) -> HealthReport:
        """The report of a rollout whose driver is gone; waits until its lease has expired and it
        is settled.
        """
        if keeper is not None:
            keeper.release()
        until = self._clock.monotonic() + policy.environment_wait_s
        while not rollout.state.is_final:
            self.reconcile((service,))
            known = self._ports.journal.rollouts(rollout.environment, rollout.key)
            rollout = next(r for r in known if r.id == rollout.id)
            if not rollout.state.is_final:
                if self._clock.monotonic() >= until:
                    raise EnvironmentBusyError(
                        f"{rollout.key} in {rollout.environment} is still driven by another.",
                        "wait for it and rerun this step",
                    )
                self._clock.sleep(_LOOK_S)
        return reports.recorded(self._ports.log, rollout) or reports.settled(rollout)

    # ------------------------------------------------------------ reconcile

    def reconcile(self, services: Sequence[ServicePlan]) -> tuple[Rollout, ...]:
        """Finish or revert what dead drivers left behind, and bring every environment back to its
        one live release.

        Environments that a living driver holds are left alone. Returns the rollouts settled now.
        """
        done: list[Rollout] = []
        for service in services:
            site = Site(self._ports, service)
            is_open = bool(self._ports.journal.rollouts(site.environment, is_open=True))
            if not is_open and site.is_as_it_should_be():
                continue
            keeper = self._acquire(site, "reconcile")
            if keeper is None:
                continue
            try:
                done += self._settle_open(site, keeper)
                restored = site.restore(keeper.wait, drain_s=0, ready_deadline_s=_COLD_START_S)
            finally:
                keeper.release()
            if restored.trouble:
                raise InfrastructureError(
                    f"Nothing serves in {site.environment}: {restored.trouble}",
                    f"push a commit, or agentci rollback {site.environment} --to SHA",
                )
        return tuple(done)

    def _settle_open(self, site: Site, keeper: LeaseKeeper) -> list[Rollout]:
        still_open = self._ports.journal.rollouts(site.environment, is_open=True)
        return [self._settle(site, rollout, keeper) for rollout in still_open]

    def _settle(self, site: Site, rollout: Rollout, keeper: LeaseKeeper) -> Rollout:
        """End a rollout whose driver is gone: an expired lease is a fail verdict unless the
        promotion is committed.
        """
        taken = self._ports.journal.take_over(rollout.id)
        reason, cause = taken.reason, taken.cause
        if taken.state is not RolloutState.PROMOTING and not reason:
            reason = f"the process that drove it died in state {taken.state.value}"
            cause = CauseClass.INFRA.value
        settling = react(taken, Happening.FAILED, self._clock.now(), reason=reason, cause=cause)
        self._ports.journal.advance(settling)
        restored = site.restore(keeper.wait, drain_s=0, ready_deadline_s=_COLD_START_S)
        final = react(settling, Happening.SETTLED, self._clock.now())
        report = reports.settled(final)
        if final.state is RolloutState.ROLLED_BACK:
            report = replace(report, traffic_back_at=restored.traffic_at)
            log_tail = self._ports.runtime.log_tail(final.canary) if final.canary else ""
            report = replace(report, incident=reports.incident_of(final, report, (), log_tail))
        reports.record(self._ports.log, final, report, self._clock.now())
        self._ports.journal.advance(final)
        return final

    # ------------------------------------------------------------ a person's rollback

    def rollback(self, service: ServicePlan, to: str | None = None, *, reason: str) -> Release:
        """A person's word: leave the release on its way, or go back to the one that was live
        before.

        Args:
            service: the environment's service.
            to: beginning of the sha to go to; left out, the open rollout is ended, or else the
                release before is taken.
            reason: recorded.

        Raises:
            UsageError: there is no release to go to.
            EnvironmentBusyError: the driver of an open rollout did not obey in time.
        """
        site = Site(self._ports, service)
        live = self._end_open(site, reason)
        if live is not None and to is None:
            return live
        keeper = self._acquire_soon(site)
        try:
            self._settle_open(site, keeper)
            target, committed_at = self._target(site, to)
            return self._go_to(site, target, committed_at, reason, keeper)
        finally:
            keeper.release()

    def _end_open(self, site: Site, reason: str) -> Release | None:
        """End an open rollout; the live release when it was sent back, None when nothing was open
        or what was open could not be stopped any more.
        """
        ended: list[str] = []
        until = self._clock.monotonic() + _REQUEST_S
        while still_open := self._ports.journal.rollouts(site.environment, is_open=True):
            rollout = still_open[0]
            ended.append(rollout.id)
            self._ports.log.append(
                LedgerEvent(
                    id=f"{ROLLBACK_REQUESTED}/{rollout.id}",
                    kind=ROLLBACK_REQUESTED,
                    at=self._clock.now(),
                    repository=rollout.key.repository,
                    sha=rollout.key.sha,
                    body={"rollout_id": rollout.id, "reason": reason},
                )
            )
            if self._clock.monotonic() >= until:
                raise EnvironmentBusyError(
                    f"The driver of {rollout.id} did not end it within {_REQUEST_S:g} s.",
                    "stop its run in the Dagster UI; its lease then expires and it is rolled back",
                )
            self._clock.sleep(_LOOK_S)
            self.reconcile((site.service,))
        # A promotion that was committed already runs to its end; what it made live is to be left.
        is_back = any(
            r.id in ended and r.state is RolloutState.ROLLED_BACK
            for r in self._ports.journal.rollouts(site.environment, is_open=False)
        )
        return site.live() if is_back else None

    def _acquire_soon(self, site: Site) -> LeaseKeeper:
        until = self._clock.monotonic() + _REQUEST_S
        while (keeper := self._acquire(site, "rollback")) is None:
            if self._clock.monotonic() >= until:
                raise EnvironmentBusyError(
                    f"{site.environment} is driven by another process.", "try again in a minute"
                )
            self._clock.sleep(_LOOK_S)
        return keeper

    def _target(self, site: Site, to: str | None) -> tuple[Release, datetime]:
        live = self._ports.journal.live(site.environment)
        promoted = [
            r
            for r in self._ports.journal.rollouts(site.environment, is_open=False)
            if r.state is RolloutState.PROMOTED and r.canary is not None
        ]
        if to is None and live is not None:
            # What was live before the live one first was: going back twice goes further back, not
            # forth again.
            first = next((i for i, r in enumerate(promoted) if r.key == live.key), 0)
            promoted = promoted[:first]
        elif to is not None:
            promoted = [r for r in promoted if len(to) >= 4 and r.key.sha.startswith(to)]
        for rollout in reversed(promoted):
            if rollout.canary is not None and (live is None or rollout.key != live.key):
                return rollout.canary, rollout.committed_at
        wanted = f"a release of {to}" if to else "an earlier release"
        raise UsageError(
            f"{site.environment} has no record of {wanted} that was promoted and is not live now.",
            "see `agentci status` for its releases",
        )

    def _go_to(
        self,
        site: Site,
        target: Release,
        committed_at: datetime,
        reason: str,
        keeper: LeaseKeeper,
    ) -> Release:
        now = self._clock.now()
        left = site.live()
        rollout = Rollout(
            id=f"{site.environment}:{target.key.sha[:12]}:{keeper.generation}",
            environment=site.environment,
            key=target.key,
            route=Route.FAST,
            state=RolloutState.OPENED,
            generation=keeper.generation,
            steps=(Step(1.0, 0.0),),
            step_index=0,
            canary=None,
            baseline=left,
            committed_at=committed_at,
            opened_at=now,
            updated_at=now,
            reason=f"rolled back by a person: {reason[:500]}",
        )
        rollout = self._ports.journal.open(rollout)
        try:
            running = self._ports.runtime.releases(site.environment)
            release = next((r for r in running if r.name == target.name), None)
            if release is None:
                name = f"{target.key.sha[:7]}-{keeper.generation}"
                release = self._ports.runtime.start(
                    site.service, artefact_of(target), name, target.key
                )
            trouble = site.wait_ready(release, _COLD_START_S, keeper.wait)
            if trouble:
                raise InfrastructureError(
                    f"{target.key} cannot serve in {site.environment}: {trouble}. "
                    "The live release was left as it was.",
                    "name another release with --to",
                )
        except BaseException:
            self._end_back(site, rollout, "its target did not come up", CauseClass.INFRA, keeper)
            raise
        rollout = replace(rollout, canary=release)
        for happening in (
            Happening.BEGUN,
            Happening.MIGRATED,
            Happening.ANSWERED,
            Happening.STEP_PASSED,
            Happening.WATCH_PASSED,
        ):
            rollout = react(rollout, happening, self._clock.now())
        keeper.beat()
        self._ports.journal.advance(rollout, live=release)
        site.restore(keeper.wait, drain_s=0, ready_deadline_s=_COLD_START_S)
        self._ports.log.append(
            LedgerEvent(
                id=f"rollback/{rollout.id}",
                kind="rollback",
                at=self._clock.now(),
                repository=target.key.repository,
                sha=left.key.sha if left else target.key.sha,
                body={
                    "environment": site.environment,
                    "from": left.name if left else "",
                    "to": release.name,
                    "reason": reason[:500],
                },
            )
        )
        self._advance(rollout, Happening.SETTLED)
        return release


def _no_deployment(key: CommitKey, environment: str) -> Deployment:
    return Deployment(
        key=key,
        environment=environment,
        status=DeploymentStatus.NOT_NEEDED,
        rollout_id=None,
        canary=None,
        baseline=None,
        migrations=(),
        seconds=0.0,
        note="",
    )
