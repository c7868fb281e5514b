"""The driver over fakes: ten-minute watches in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import (
    EnvironmentBusyError,
    InfrastructureError,
    LeaseLostError,
    LedgerError,
    UsageError,
)
from agentci_dagster.domain.health import CanaryPolicy, HealthReport, RequestEvent, Verdict
from agentci_dagster.domain.image import Image, ImageKind
from agentci_dagster.domain.rollout import (
    Deployment,
    DeploymentStatus,
    Release,
    Rollout,
    RolloutState,
)
from agentci_dagster.domain.routing import Route
from agentci_dagster.ports import LedgerEvent, ServicePlan
from agentci_dagster.rollouts import Rollouts
from tests.builders import NOON, commit
from tests.fakes.deploy import Behaviour, FakeClock, FakeMetricSource, FakeRouter, FakeRuntime
from tests.fakes.git import FakeMirror, FakeMirrors
from tests.fakes.ledger import FakeLedger

ENVIRONMENT = "production"
SERVICE = ServicePlan(
    repository="shop",
    environment=ENVIRONMENT,
    command=("{python}", "serve.py", "{port}"),
    health_path="/healthz",
    migrate_command=(),
    variables={},
    probe_paths=("/items",),
)
POLICY = CanaryPolicy(watch_s=120)


def image(n: int) -> Image:
    sha = commit(n).key.sha
    return Image(ImageKind.BUNDLE, sha, f"sha256:{sha}", (), 0.1, "")


@dataclass
class World:
    """One machine: what survives when a driver dies."""

    clock: FakeClock
    runtime: FakeRuntime
    router: FakeRouter
    metrics: FakeMetricSource
    ledger: FakeLedger

    @classmethod
    def new(cls, **behaviours: Behaviour) -> World:
        clock = FakeClock(NOON + timedelta(hours=1))
        runtime, router = FakeRuntime(clock), FakeRouter()
        for name, behaviour in behaviours.items():
            runtime.behaviours[commit(int(name[1:])).key.sha] = behaviour
        metrics = FakeMetricSource(clock, router, runtime)
        return cls(clock, runtime, router, metrics, FakeLedger(clock))

    def driver(
        self, ledger: FakeLedger | None = None, mirrors: FakeMirrors | None = None
    ) -> Rollouts:
        memory = ledger or self.ledger
        return Rollouts(
            runtime=self.runtime,
            router=self.router,
            metrics=self.metrics,
            clock=self.clock,
            journal=memory,
            leases=memory,
            log=memory,
            mirrors=mirrors,
        )

    def deploy(
        self, n: int, route: Route = Route.STANDARD, policy: CanaryPolicy = POLICY, **facts: object
    ) -> tuple[Deployment, HealthReport]:
        driver = self.driver()
        deployment = driver.begin(SERVICE, image(n), commit(n, **facts), route, policy)
        return deployment, driver.watch(deployment, SERVICE, policy)

    def abandon(self, n: int, until: RolloutState = RolloutState.READY) -> Deployment:
        """A driver begins and dies: its lease is not renewed and runs out."""
        driver = self.driver()
        deployment = driver.begin(SERVICE, image(n), commit(n), Route.STANDARD, POLICY)
        for keeper in driver._keepers.values():
            keeper.abandon()
        if until is not RolloutState.READY:
            rollout = replace(self.rollout(deployment), state=until)
            is_live = until is RolloutState.PROMOTING
            self.ledger.advance(rollout, live=deployment.canary if is_live else None)
        self.clock.sleep(6)
        return deployment

    def rollout(self, deployment: Deployment) -> Rollout:
        return self.ledger.journal[deployment.rollout_id or ""]

    def live(self) -> Release:
        live = self.ledger.live(ENVIRONMENT)
        assert live is not None
        return live

    def names(self) -> list[str]:
        return [release.name for release in self.runtime.releases(ENVIRONMENT)]

    def assert_settled_on(self, n: int) -> None:
        live = self.live()
        assert live.key == commit(n).key
        assert self.names() == [live.name]
        assert self.router.shares(ENVIRONMENT) == {live.name: 1.0}
        assert not self.ledger.rollouts(ENVIRONMENT, is_open=True)
        assert not self.ledger.held


def test_first_deployment_without_baseline_is_promoted() -> None:
    world = World.new()

    deployment, report = world.deploy(1)

    assert deployment.status is DeploymentStatus.STARTED
    assert deployment.baseline is None
    assert report.verdict is Verdict.PASS
    assert report.decision == "promoted"
    world.assert_settled_on(1)


def test_first_deployment_that_fails_is_sent_back_to_nothing() -> None:
    world = World.new(c1=Behaviour(error_rate=0.5))

    _, report = world.deploy(1)

    assert (report.decision, report.cause) == ("rolled_back", "health-errors")
    assert world.ledger.live(ENVIRONMENT) is None
    assert world.names() == []
    assert world.router.shares(ENVIRONMENT) == {}


@pytest.mark.parametrize(
    ("route", "shares"),
    [
        (Route.FAST, [0.5, 1.0]),
        (Route.STANDARD, [0.5, 1.0]),
        (Route.GUARDED, [0.1, 0.5, 1.0]),
        (Route.HOLD, [0.1, 0.5, 1.0]),
    ],
)
def test_good_release_walks_the_plan_of_its_route(route: Route, shares: list[float]) -> None:
    world = World.new()
    world.deploy(1)

    deployment, report = world.deploy(2, route)

    name = deployment.canary.name if deployment.canary else ""
    walked = [moved[name] for moved in world.router.history if name in moved]
    assert walked == [*shares, 1.0]
    assert report.decision == "promoted"
    assert report.canary_errors == 0
    assert report.canary_requests > 100
    assert report.canary_p50_ms == pytest.approx(20, rel=0.2)
    world.assert_settled_on(2)


def test_old_release_runs_until_the_watch_has_ended() -> None:
    world = World.new()
    world.deploy(1)
    old = world.live().name
    seen: list[tuple[float, bool]] = []
    world.clock.on_sleep.append(
        lambda _: seen.append(
            (world.router.shares(ENVIRONMENT).get(old, -1.0), old in world.names())
        )
    )

    world.deploy(2)

    assert any(share == 0 for share, _ in seen)
    assert all(is_running for share, is_running in seen if share >= 0)
    assert world.runtime.stopped == [old]


def test_failing_release_is_rolled_back_within_seconds() -> None:
    world = World.new(c2=Behaviour(error_rate=0.2))
    world.deploy(1)

    deployment, report = world.deploy(2)

    assert (report.verdict, report.decision) == (Verdict.FAIL, "rolled_back")
    assert report.cause == "health-errors"
    assert report.first_bad_at is not None
    assert report.verdict_at is not None
    assert report.traffic_back_at is not None
    assert report.traffic_back_at - report.first_bad_at < timedelta(seconds=20)
    assert report.traffic_back_at == report.verdict_at
    assert report.curve[-1][1] >= 200
    assert "health-errors" in report.incident
    assert world.rollout(deployment).state is RolloutState.ROLLED_BACK
    world.assert_settled_on(1)


def test_slow_release_is_rolled_back_after_its_warm_up() -> None:
    world = World.new(c2=Behaviour(milliseconds=60.0))
    world.deploy(1)
    world.clock.sleep(60)

    _, report = world.deploy(2)

    assert (report.decision, report.cause) == ("rolled_back", "health-latency")
    assert report.seconds > POLICY.latency_warmup_s
    assert report.seconds < POLICY.latency_warmup_s + 15
    world.assert_settled_on(1)


def test_shared_outage_is_no_reason_to_roll_back() -> None:
    world = World.new()
    world.deploy(1)
    world.metrics.outage_rate = 0.6

    _, report = world.deploy(2)

    assert report.decision == "promoted"
    assert report.canary_errors > 50


def test_release_that_fails_only_at_full_weight_is_compared_again_and_rolled_back() -> None:
    world = World.new()
    world.deploy(1)
    told = world.runtime.behaviours.setdefault(commit(2).key.sha, Behaviour())

    def fail_when_full(_: float) -> None:
        shares = world.router.shares(ENVIRONMENT)
        canary = [name for name in shares if name.startswith(commit(2).key.sha[:7])]
        if len(shares) == 2 and any(shares[name] == 1.0 for name in canary):
            told.error_rate = 0.5

    world.clock.on_sleep.append(fail_when_full)

    _, report = world.deploy(2)

    assert (report.decision, report.cause) == ("rolled_back", "health-errors")
    assert "comparing side by side again" in report.incident
    world.assert_settled_on(1)


def test_release_that_looks_bad_only_without_the_old_one_beside_it_is_not_promoted() -> None:
    world = World.new()
    world.deploy(1)
    told = world.runtime.behaviours.setdefault(commit(2).key.sha, Behaviour())

    def fail_while_alone(_: float) -> None:
        shares = world.router.shares(ENVIRONMENT)
        told.error_rate = 1.0 if len(shares) == 2 and max(shares.values()) == 1.0 else 0.0
        if shares.get(world.live().name) == 1.0:
            told.error_rate = 0.0

    world.clock.on_sleep.append(fail_while_alone)

    _, report = world.deploy(2)

    assert (report.verdict, report.decision) == (Verdict.INCONCLUSIVE, "held")
    assert "at full weight answers look worse" in report.rule
    world.assert_settled_on(1)


def test_outage_in_which_nobody_answers_promotes_nobody() -> None:
    world = World.new()
    world.deploy(1)
    world.metrics.outage_rate = 1.0

    _, report = world.deploy(2)

    assert (report.verdict, report.decision) == (Verdict.INCONCLUSIVE, "held")
    assert "failed on either side" in report.rule
    world.assert_settled_on(1)


def test_outage_before_the_deploy_does_not_blind_the_test() -> None:
    world = World.new(c2=Behaviour(error_rate=0.3))
    world.deploy(1)
    world.clock.sleep(120)
    world.metrics.outage_rate = 0.9
    for _ in range(60):
        world.clock.sleep(1)
    world.metrics.outage_rate = 0.0
    world.clock.sleep(240)

    _, report = world.deploy(2)

    assert (report.decision, report.cause) == ("rolled_back", "health-errors")
    world.assert_settled_on(1)


def test_dead_baseline_is_nothing_to_compare_with() -> None:
    world = World.new()
    world.deploy(1)
    old = world.live()
    world.clock.on_sleep.append(
        lambda _: world.runtime.kill(old) if len(world.router.shares(ENVIRONMENT)) == 2 else None
    )

    _, report = world.deploy(2)

    assert report.decision == "held"
    assert "baseline's process has ended" in report.rule
    assert world.live().key == commit(1).key
    assert world.router.shares(ENVIRONMENT) == {old.name: 1.0}


def test_traffic_leaves_the_suspect_before_anything_is_written() -> None:
    world = World.new(c2=Behaviour(error_rate=0.5))
    world.deploy(1)
    old = world.live().name
    seen: list[float] = []

    class Watched(FakeLedger):
        def advance(self, rollout: Rollout, *, live: Release | None = None) -> None:
            if rollout.state is RolloutState.ROLLING_BACK:
                seen.append(world.router.shares(ENVIRONMENT)[old])
            super().advance(rollout, live=live)

    ledger = Watched(world.clock)
    ledger.__dict__.update(world.ledger.__dict__)
    driver = world.driver(ledger)
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.STANDARD, POLICY)

    report = driver.watch(deployment, SERVICE, POLICY)

    assert report.decision == "rolled_back"
    assert seen == [1.0]


def test_age_is_told_by_descent_and_not_by_clocks() -> None:
    world = World.new()
    mirror = FakeMirror("shop")
    parent = mirror.push({"a.py": b"1"}, at=NOON + timedelta(minutes=30))
    child = mirror.push({"a.py": b"2"}, at=NOON + timedelta(minutes=30))
    slow = mirror.push({"a.py": b"3"}, at=NOON)
    mirror.refresh()

    def deploy(sha: str) -> Deployment:
        driver = world.driver(mirrors=FakeMirrors(mirror))
        release = replace(image(1), reference=sha, digest=f"sha256:{sha}")
        deployment = driver.begin(SERVICE, release, mirror.commits[sha], Route.FAST, POLICY)
        driver.watch(deployment, SERVICE, POLICY)
        return deployment

    statuses = [deploy(sha).status for sha in (child, parent, slow)]

    assert statuses == [
        DeploymentStatus.STARTED,
        DeploymentStatus.SUPERSEDED,
        DeploymentStatus.STARTED,
    ]
    assert world.live().key.sha == slow


def test_mirror_that_cannot_answer_leaves_age_to_the_clocks() -> None:
    world = World.new()
    world.deploy(2)

    driver = world.driver(mirrors=FakeMirrors(FakeMirror("another")))
    deployment = driver.begin(SERVICE, image(1), commit(1), Route.FAST, POLICY)

    assert deployment.status is DeploymentStatus.SUPERSEDED


def test_release_that_dies_at_start_gets_no_traffic() -> None:
    world = World.new(c2=Behaviour(dies_at_start=True))
    world.deploy(1)
    before = list(world.router.history)

    deployment, report = world.deploy(2)

    assert deployment.status is DeploymentStatus.CRASHED_AT_START
    assert "the log of" in deployment.log_tail
    assert (report.verdict, report.decision) == (Verdict.FAIL, "not_deployed")
    assert report.cause == "crash-at-start"
    moved = world.router.history[len(before) :]
    assert all(list(shares) == [world.live().name] for shares in moved)
    world.assert_settled_on(1)


def test_release_that_never_gets_ready_meets_its_deadline() -> None:
    world = World.new(c2=Behaviour(is_ready=False))
    world.deploy(1)

    deployment, _ = world.deploy(2)

    assert deployment.status is DeploymentStatus.CRASHED_AT_START
    assert "within 30 s (status 503)" in deployment.note
    world.assert_settled_on(1)


def test_release_that_dies_under_traffic_is_rolled_back_at_once() -> None:
    world = World.new(c2=Behaviour(dies_after_s=20))
    world.deploy(1)

    _, report = world.deploy(2)

    assert "process has ended" in report.rule
    assert report.seconds < 30
    world.assert_settled_on(1)


def test_release_that_loses_its_readiness_is_rolled_back() -> None:
    world = World.new()
    world.metrics.is_silent = True
    world.deploy(1)
    told = world.runtime.behaviours.setdefault(commit(2).key.sha, Behaviour())
    began = world.clock.monotonic()

    def fail_later(_: float) -> None:
        told.is_ready = world.clock.monotonic() - began < 20

    world.clock.on_sleep.append(fail_later)

    _, report = world.deploy(2)

    assert report.decision == "rolled_back"
    assert "3 times in a row" in report.rule
    world.assert_settled_on(1)


def test_failed_migration_moves_nothing() -> None:
    world = World.new(c2=Behaviour(migration_failure="no such table: carts"))
    world.deploy(1)

    deployment, report = world.deploy(2)

    assert deployment.status is DeploymentStatus.MIGRATION_FAILED
    assert "no such table" in deployment.log_tail
    assert (report.decision, report.cause) == ("not_deployed", "migration")
    assert world.runtime.n_started == 1
    world.assert_settled_on(1)


def test_applied_migrations_are_named() -> None:
    world = World.new(c1=Behaviour(migrations=("0001_carts",)))

    deployment, _ = world.deploy(1)

    assert deployment.migrations == ("0001_carts",)


def test_quiet_service_is_judged_by_probes() -> None:
    world = World.new()
    world.metrics.is_silent = True
    world.deploy(1)

    _, report = world.deploy(2)

    assert report.decision == "promoted"


def test_no_data_is_held_and_never_promoted() -> None:
    world = World.new()
    world.deploy(1)
    world.metrics.is_broken = True
    policy = replace(POLICY, probe_every_s=10_000.0)

    _, report = world.deploy(2, policy=policy)

    assert (report.verdict, report.decision) == (Verdict.INCONCLUSIVE, "held")
    assert "are needed for a pass" in report.rule
    world.assert_settled_on(1)


def test_older_commit_never_replaces_a_newer_one() -> None:
    world = World.new()
    world.deploy(3)

    deployment, report = world.deploy(2)

    assert deployment.status is DeploymentStatus.SUPERSEDED
    assert (report.verdict, report.decision) == (Verdict.INCONCLUSIVE, "not_deployed")
    world.assert_settled_on(3)


def test_commit_from_the_future_does_not_block_those_after_it() -> None:
    world = World.new()
    world.deploy(2, committed_at=NOON + timedelta(days=400))
    world.clock.sleep(60)

    deployment, _ = world.deploy(3, committed_at=world.clock.now())

    assert deployment.status is DeploymentStatus.STARTED


def test_waiting_newer_commit_supersedes_an_older_one() -> None:
    world = World.new()
    world.deploy(1)
    newer = commit(9)
    body = {
        "environment": ENVIRONMENT,
        "committed_at": newer.committed_at.isoformat(),
        "until": (world.clock.now() + timedelta(seconds=20)).isoformat(),
    }
    world.ledger.append(
        LedgerEvent("w", "deployment_waiting", world.clock.now(), "shop", newer.key.sha, body)
    )

    assert world.deploy(2)[0].status is DeploymentStatus.SUPERSEDED
    assert world.deploy(9)[0].status is DeploymentStatus.STARTED


def test_same_commit_twice_returns_the_recorded_result() -> None:
    world = World.new()
    _, first = world.deploy(1)

    deployment, second = world.deploy(1)

    assert deployment.status is DeploymentStatus.RECORDED
    assert second == first
    assert world.runtime.n_started == 1


@pytest.mark.parametrize(
    ("route", "artefact"),
    [
        (Route.SKIP, image(1)),
        (Route.FAST, replace(image(1), kind=ImageKind.NONE)),
        (Route.FAST, replace(image(1), failure="does not build")),
    ],
)
def test_commit_that_ships_nothing_is_not_deployed(route: Route, artefact: Image) -> None:
    world = World.new()
    driver = world.driver()

    deployment = driver.begin(SERVICE, artefact, commit(1), route, POLICY)

    assert deployment.status is DeploymentStatus.NOT_NEEDED
    assert driver.watch(deployment, SERVICE, POLICY).decision == "not_deployed"
    assert world.runtime.n_started == 0


def test_busy_environment_is_waited_for_and_then_named() -> None:
    world = World.new()
    holder = world.ledger.acquire(
        f"environment:{ENVIRONMENT}", "other", "shop@x", timedelta(hours=1)
    )
    policy = replace(POLICY, environment_wait_s=20)

    with pytest.raises(EnvironmentBusyError, match="agentci rollback"):
        world.deploy(1, policy=policy)

    assert holder is not None
    world.ledger.release(holder)
    assert world.deploy(1)[1].decision == "promoted"


@pytest.mark.parametrize(
    "state",
    [
        RolloutState.OPENED,
        RolloutState.MIGRATING,
        RolloutState.STARTING,
        RolloutState.READY,
        RolloutState.STEPPING,
        RolloutState.WATCHING,
        RolloutState.ROLLING_BACK,
    ],
)
def test_rollout_of_a_dead_driver_is_reverted(state: RolloutState) -> None:
    world = World.new()
    world.deploy(1)
    deployment = world.abandon(2, state)

    settled = world.driver().reconcile((SERVICE,))

    assert [(r.key, r.state) for r in settled] == [(commit(2).key, RolloutState.ROLLED_BACK)]
    assert settled[0].cause == "infra"
    world.assert_settled_on(1)
    report = world.driver().watch(deployment, SERVICE, POLICY)
    assert (report.verdict, report.decision, report.cause) == (Verdict.FAIL, "rolled_back", "infra")
    assert world.driver().reconcile((SERVICE,)) == ()


def test_committed_promotion_of_a_dead_driver_is_finished() -> None:
    world = World.new()
    world.deploy(1)
    deployment = world.abandon(2, RolloutState.PROMOTING)

    settled = world.driver().reconcile((SERVICE,))

    assert [r.state for r in settled] == [RolloutState.PROMOTED]
    world.assert_settled_on(2)
    assert world.driver().watch(deployment, SERVICE, POLICY).decision == "promoted"


def test_watch_in_another_process_settles_instead_of_resuming() -> None:
    world = World.new()
    world.deploy(1)
    deployment = world.abandon(2)

    report = world.driver().watch(deployment, SERVICE, POLICY)

    assert (report.decision, report.cause) == ("rolled_back", "infra")
    world.assert_settled_on(1)


def test_living_driver_is_left_alone() -> None:
    world = World.new()
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.STANDARD, POLICY)

    assert world.driver().reconcile((SERVICE,)) == ()
    assert driver.watch(deployment, SERVICE, POLICY).decision == "promoted"


def test_next_deployment_settles_what_a_dead_driver_left() -> None:
    world = World.new()
    world.deploy(1)
    left = world.abandon(2)

    _, report = world.deploy(3)

    assert report.decision == "promoted"
    assert world.rollout(left).state is RolloutState.ROLLED_BACK
    world.assert_settled_on(3)


def test_dead_live_release_is_started_again_from_its_artefact() -> None:
    world = World.new()
    world.deploy(1)
    before = world.live()
    world.runtime.kill(before)

    assert world.driver().reconcile((SERVICE,)) == ()

    again = world.runtime.releases(ENVIRONMENT)[0]
    assert (again.name, again.artefact) == (before.name, before.artefact)
    assert again.port != before.port
    assert world.router.addresses[before.name] == again.port
    world.assert_settled_on(1)


def test_orphan_is_stopped() -> None:
    world = World.new()
    world.deploy(1)
    world.runtime.start(SERVICE, image(5), "0000005-9", commit(5).key)

    world.driver().reconcile((SERVICE,))

    world.assert_settled_on(1)


def test_driver_that_lost_its_lease_stops_without_effect() -> None:
    world = World.new()
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.STANDARD, POLICY)

    def steal(_: float) -> None:
        if world.clock.monotonic() - began > 30 and world.ledger.held:
            world.ledger.steal(f"environment:{ENVIRONMENT}", "x")

    began = world.clock.monotonic()
    world.clock.on_sleep.append(steal)
    with pytest.raises(LeaseLostError):
        driver.watch(deployment, SERVICE, POLICY)

    assert world.rollout(deployment).state is RolloutState.STEPPING
    world.clock.on_sleep.remove(steal)
    world.clock.sleep(10)
    world.driver().reconcile((SERVICE,))
    world.assert_settled_on(1)


class LockedLedger(FakeLedger):
    """A ledger whose journal cannot be written while it is locked."""

    is_locked = False

    def advance(self, rollout: Rollout, *, live: Release | None = None) -> None:
        if self.is_locked:
            raise LedgerError("The ledger is locked.")
        super().advance(rollout, live=live)


def locked_while_split(world: World, *, for_good: bool) -> Callable[[float], None]:
    live = world.live().name
    is_split: list[bool] = []

    def lock(_: float) -> None:
        is_now = world.router.shares(ENVIRONMENT)[live] < 1
        is_split.append(is_now)
        world.ledger.is_locked = is_now or (for_good and any(is_split))

    return lock


@pytest.mark.parametrize("for_good", [False, True])
def test_going_back_does_not_wait_for_a_locked_ledger(*, for_good: bool) -> None:
    world = World.new(c2=Behaviour(error_rate=1.0))
    world.ledger = LockedLedger(world.clock)
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.FAST, POLICY)
    world.clock.on_sleep.append(locked_while_split(world, for_good=for_good))

    if for_good:
        with pytest.raises(LedgerError):
            driver.watch(deployment, SERVICE, POLICY)
    else:
        report = driver.watch(deployment, SERVICE, POLICY)
        assert "going back all the same" in report.incident

    assert world.router.shares(ENVIRONMENT) == {world.live().name: 1.0}
    assert world.names() == [world.live().name]
    world.ledger.is_locked = False
    world.clock.on_sleep.clear()
    world.clock.sleep(6)
    world.driver().reconcile((SERVICE,))
    world.assert_settled_on(1)
    assert world.rollout(deployment).state is RolloutState.ROLLED_BACK
    assert world.driver().watch(deployment, SERVICE, POLICY).cause == "health-errors"


def test_error_of_ours_sends_the_canary_back_and_is_raised() -> None:
    world = World.new()
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.FAST, POLICY)
    asked: list[int] = []

    def interrupt(_: float) -> None:
        asked.append(1)
        if len(asked) == 10:
            raise KeyboardInterrupt

    world.clock.on_sleep.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        driver.watch(deployment, SERVICE, POLICY)

    world.assert_settled_on(1)
    assert world.rollout(deployment).cause == "infra"


def test_missing_artefact_of_the_new_release_leaves_the_live_one_as_it_was() -> None:
    world = World.new()
    world.deploy(1)
    world.runtime.is_target_missing = True

    with pytest.raises(InfrastructureError, match="is gone"):
        world.deploy(2)

    world.assert_settled_on(1)


def test_router_that_does_not_start_leaves_the_environment_free() -> None:
    world = World.new()
    world.router.is_broken = True

    with pytest.raises(InfrastructureError, match="does not start"):
        world.deploy(1)

    assert not world.ledger.held


def test_person_goes_back_to_the_release_before() -> None:
    world = World.new()
    world.deploy(1)
    world.deploy(2)
    world.deploy(3)

    world.driver().rollback(SERVICE, reason="prices are wrong")
    world.assert_settled_on(2)
    world.driver().rollback(SERVICE, reason="still wrong")
    world.assert_settled_on(1)

    with pytest.raises(UsageError, match="no record of an earlier release"):
        world.driver().rollback(SERVICE, reason="again")
    world.driver().rollback(SERVICE, commit(3).key.sha, reason="forward again")
    world.assert_settled_on(3)
    reasons = [event.body["reason"] for event in world.ledger.events("rollback")]
    assert reasons == ["prices are wrong", "still wrong", "forward again"]


def test_person_can_name_no_release_that_was_never_promoted() -> None:
    world = World.new(c2=Behaviour(dies_at_start=True))
    world.deploy(1)
    world.deploy(2)

    with pytest.raises(UsageError, match="no record"):
        world.driver().rollback(SERVICE, commit(2).key.sha, reason="?")

    world.assert_settled_on(1)


def test_person_ends_a_rollout_on_its_way() -> None:
    world = World.new()
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.STANDARD, POLICY)
    asked: list[str] = []

    def ask(_: float) -> None:
        if not asked:
            asked.append(deployment.rollout_id or "")
            world.ledger.append(
                LedgerEvent(
                    "ask",
                    "rollback_requested",
                    world.clock.now(),
                    "shop",
                    commit(2).key.sha,
                    {"rollout_id": deployment.rollout_id, "reason": "no"},
                )
            )

    world.clock.on_sleep.append(ask)

    report = driver.watch(deployment, SERVICE, POLICY)

    assert (report.decision, report.cause) == ("rolled_back", "rejected")
    assert report.seconds < 20
    world.assert_settled_on(1)


def test_person_ends_a_rollout_whose_driver_is_dead() -> None:
    world = World.new()
    world.deploy(1)
    world.abandon(2)

    live = world.driver().rollback(SERVICE, reason="stuck")

    assert live.key == commit(1).key
    world.assert_settled_on(1)


def test_live_release_whose_artefact_is_gone_keeps_nobody_from_taking_its_place() -> None:
    world = World.new(c2=Behaviour(error_rate=0.5))
    world.deploy(1)
    world.runtime.kill(world.live())
    starts = world.runtime.start

    def start(service: ServicePlan, of: Image, name: str, key: CommitKey) -> Release:
        if of.reference == commit(1).key.sha:
            raise InfrastructureError(f"The artefact {of.reference} is gone.")
        return starts(service, of, name, key)

    world.runtime.start = start  # type: ignore[method-assign]

    with pytest.raises(InfrastructureError, match=r"Nothing serves in production: .*is gone"):
        world.driver().reconcile((SERVICE,))
    _, bad = world.deploy(2)
    deployment, good = world.deploy(3)

    assert bad.decision == "rolled_back"
    assert deployment.baseline is None
    assert good.decision == "promoted"
    world.assert_settled_on(3)


def test_rollback_asked_while_a_promotion_ends_leaves_the_new_release() -> None:
    world = World.new()
    world.deploy(1)
    world.abandon(2, until=RolloutState.PROMOTING)

    live = world.driver().rollback(SERVICE, reason="wrong prices")

    assert live.key == commit(1).key
    world.assert_settled_on(1)


def test_rollback_whose_target_does_not_come_up_leaves_the_live_release() -> None:
    world = World.new()
    world.deploy(1)
    world.deploy(2)
    world.runtime.behaviours[commit(1).key.sha] = Behaviour(dies_at_start=True)

    with pytest.raises(InfrastructureError, match="cannot serve"):
        world.driver().rollback(SERVICE, reason="try")

    world.assert_settled_on(2)


def test_events_of_one_instant_are_counted_once() -> None:
    world = World.new()
    world.metrics.is_silent = True
    world.deploy(1)
    driver = world.driver()
    deployment = driver.begin(SERVICE, image(2), commit(2), Route.FAST, POLICY)
    canary = deployment.canary
    assert canary is not None
    at = world.clock.now() + timedelta(seconds=1)
    added: list[int] = []

    def same_instant(_: float) -> None:
        if len(added) < 30:
            added.append(1)
            world.metrics.add(ENVIRONMENT, RequestEvent(at, canary.name, 200, 5.0))

    world.clock.on_sleep.append(same_instant)
    policy = replace(POLICY, probe_every_s=10_000.0, min_requests=1)

    report = driver.watch(deployment, SERVICE, policy)

    # One round of probes at the start asks the health path and one other.
    assert report.canary_requests == 30 + 2
