"""Walking a canary through its plan: look, judge, and promote or send back at once, all in one
call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentci_dagster.domain.errors import InfrastructureError, LeaseLostError
from agentci_dagster.domain.health import (
    CanaryPolicy,
    HealthReport,
    Judgement,
    Moment,
    RequestEvent,
    Verdict,
    Vitals,
    e_value,
    is_suspicious,
    judge,
    observe,
    start_evidence,
)
from agentci_dagster.domain.outcome import CauseClass
from agentci_dagster.domain.rollout import (
    Happening,
    Release,
    Rollout,
    RolloutState,
    Step,
    react,
)
from agentci_dagster.rollouts import reports
from agentci_dagster.rollouts.lease import LeaseKeeper
from agentci_dagster.rollouts.site import Site

ROLLBACK_REQUESTED = "rollback_requested"
_ASK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How the dwelling at one step ended: with what happened, on which judgement."""

    happening: Happening
    judgement: Judgement


class Watch:
    """One walk of one canary; used once."""

    def __init__(
        self,
        site: Site,
        rollout: Rollout,
        canary: Release,
        keeper: LeaseKeeper,
        policy: CanaryPolicy,
    ) -> None:
        self._site = site
        self._ports = site.ports
        self._clock = site.ports.clock
        self._rollout = rollout
        self._canary = canary
        self._baseline = rollout.baseline
        self._keeper = keeper
        self._policy = policy
        self._began_at = self._clock.now()
        self._began = self._clock.monotonic()
        self._full_since: float | None = None
        self._n_step_backs = 0
        self._losses = 0
        self._n_probe_rounds = 0
        self._probed = self._began - policy.probe_every_s
        self._seen_at = self._began_at
        self._n_seen_then = 0
        self._curve: list[tuple[float, float, float]] = []
        self._timeline: list[Moment] = []
        self._lost_before = self._n_lost()
        before = self._events(self._began_at - timedelta(seconds=policy.lookback_s))
        self._evidence = start_evidence(
            canary.name,
            self._baseline.name if self._baseline else None,
            self._began_at,
            before,
            policy,
        )
        self._seen_at = before[-1].at if before else self._began_at
        self._n_seen_then = sum(event.at == self._seen_at for event in before)

    def walk(self) -> HealthReport:
        """Walk to the end; an error of ours sends the canary back before it is raised."""
        try:
            ending = self._walk_steps()
        except LeaseLostError:
            self._keeper.abandon()
            raise
        except BaseException as error:
            self._retreat(error)
            raise
        try:
            if ending.happening is Happening.WATCH_PASSED:
                return self._promote(ending.judgement)
            return self._roll_back(ending.judgement)
        except BaseException:
            # The journal says what is left to do; whoever finds the lease expired does it.
            self._keeper.abandon()
            raise

    # ------------------------------------------------------------ walking

    def _walk_steps(self) -> _Ending:
        self._take(Happening.STEP_PASSED)
        while True:
            self._enter()
            ending = self._dwell(self._step)
            if ending.happening in {Happening.WATCH_PASSED, Happening.FAILED}:
                return ending
            self._note(f"{self._step.weight:.0%}: {ending.judgement.rule}")
            self._take(ending.happening)

    @property
    def _step(self) -> Step:
        return self._rollout.steps[self._rollout.step_index]

    @property
    def _is_full(self) -> bool:
        return self._rollout.state is RolloutState.WATCHING

    def _take(self, happening: Happening, judgement: Judgement | None = None) -> None:
        reason = judgement.rule if judgement else ""
        cause = judgement.cause.value if judgement and judgement.cause else ""
        self._rollout = react(
            self._rollout, happening, self._clock.now(), reason=reason, cause=cause
        )

    def _enter(self) -> None:
        self._keeper.beat()
        self._ports.journal.advance(self._rollout)
        share = self._step.weight
        shares = {self._canary.name: share}
        if self._baseline is not None:
            shares[self._baseline.name] = 1 - share
        self._ports.router.weights(self._site.environment, shares)
        self._note(f"{share:.0%} of the traffic to {self._canary.name}")
        if self._is_full and self._full_since is None:
            self._full_since = self._clock.monotonic()

    def _dwell(self, step: Step) -> _Ending:
        began = entered = self._clock.monotonic()
        if self._is_full and self._full_since is not None:
            # Time at full weight goes on while the watch goes back to compare.
            began = self._full_since
        allowed_s = step.seconds
        # After a comparison suspicion begins anew, and must get the time to rise again.
        least_s = min(step.seconds, self._policy.step_s) if self._n_step_backs else 0.0
        while True:
            self._clock.sleep(self._policy.poll_s)
            self._keeper.beat()
            self._look()
            judgement = self._judge(step)
            if judgement.verdict is Verdict.FAIL:
                return _Ending(Happening.FAILED, judgement)
            if self._should_compare_again():
                self._n_step_backs += 1
                rule = "answers look worse than the old release's: comparing side by side again"
                return _Ending(Happening.SUSPECTED, replace(judgement, rule=rule))
            if judgement.verdict is Verdict.PASS and self._is_suspicious:
                # Side by side there was no difference, but at full weight there is one to before.
                rule = "at full weight answers look worse than the old release's did"
                judgement = Judgement(Verdict.INCONCLUSIVE, rule)
            now = self._clock.monotonic()
            if now - began < allowed_s or now - entered < least_s:
                continue
            if judgement.verdict is Verdict.PASS:
                passed = Happening.WATCH_PASSED if self._is_full else Happening.STEP_PASSED
                return _Ending(passed, judgement)
            if allowed_s > step.seconds:
                return _Ending(Happening.FAILED, judgement)
            allowed_s = now - began + self._policy.extend_s
            self._note(f"inconclusive, extended once: {judgement.rule}")

    def _should_compare_again(self) -> bool:
        return (
            self._rollout.step_index > 0
            and self._n_step_backs < self._policy.max_step_backs
            and self._is_suspicious
        )

    @property
    def _is_suspicious(self) -> bool:
        return self._is_full and is_suspicious(self._evidence, self._policy)

    # ------------------------------------------------------------ looking

    def _look(self) -> None:
        # A router that has died comes back with the shares that it had.
        self._ports.router.ensure(self._site.environment)
        self._observe_new()
        if self._clock.monotonic() - self._probed >= self._policy.probe_every_s:
            self._probed = self._clock.monotonic()
            self._probe()
        self._curve.append(
            (
                round(self._clock.monotonic() - self._began, 3),
                e_value(self._evidence.log_e_errors),
                e_value(self._evidence.log_e_slow),
            )
        )

    def _observe_new(self) -> None:
        events = self._events(self._seen_at)
        # The source only ever appends: what has the last instant that we saw and stands first was
        # counted already.
        new = events[self._n_seen_then :]
        if not new:
            return
        self._seen_at = new[-1].at
        self._n_seen_then = sum(event.at == self._seen_at for event in events)
        self._evidence = observe(
            self._evidence,
            new,
            self._policy,
            is_full=self._is_full and self._baseline is not None,
        )

    def _events(self, since: datetime) -> tuple[RequestEvent, ...]:
        try:
            return self._ports.metrics.events(self._site.environment, since)
        except LeaseLostError:
            raise
        except InfrastructureError:
            # Errors of measuring never vote; without events there is no pass.
            return ()

    def _probe(self) -> None:
        service = self._site.service
        self._n_probe_rounds += 1
        sides = [r for r in (self._canary, self._baseline) if r is not None]
        if self._n_probe_rounds % 2:
            sides.reverse()
        runtime = self._ports.runtime
        health = {r.name: runtime.ask(r, service.health_path, _ASK) for r in sides}
        answers = list(health.values())
        if service.probe_paths:
            path = service.probe_paths[self._n_probe_rounds % len(service.probe_paths)]
            answers += [runtime.ask(r, path, _ASK) for r in sides]
        self._keeper.beat()
        is_ready = {name: 200 <= event.status < 400 for name, event in health.items()}
        if is_ready[self._canary.name]:
            self._losses = 0
        elif self._baseline is None or is_ready[self._baseline.name]:
            self._losses += 1
        self._evidence = observe(self._evidence, answers, self._policy, are_probes=True)

    def _judge(self, step: Step) -> Judgement:
        if self._n_probe_rounds % 2 and self._is_unwanted():
            return Judgement(Verdict.FAIL, "a person asked for the rollback", CauseClass.REJECTED)
        runtime, baseline = self._ports.runtime, self._baseline
        vitals = Vitals(
            is_alive=runtime.is_alive(self._canary),
            readiness_losses=self._losses,
            is_baseline_alive=baseline is None or runtime.is_alive(baseline),
        )
        return judge(self._evidence, self._policy, vitals, step.weight)

    def _is_unwanted(self) -> bool:
        key = self._rollout.key
        asked = self._ports.log.events(ROLLBACK_REQUESTED, key.repository, key.sha)
        return any(event.body.get("rollout_id") == self._rollout.id for event in asked)

    def _n_lost(self) -> int:
        try:
            return self._ports.metrics.n_lost(self._site.environment)
        except InfrastructureError:
            return 0

    def _note(self, what: str) -> None:
        self._timeline.append(Moment(self._clock.now(), what))

    # ------------------------------------------------------------ ending

    def _promote(self, judgement: Judgement) -> HealthReport:
        verdict_at = self._clock.now()
        self._take(Happening.WATCH_PASSED, judgement)
        self._keeper.beat()
        self._ports.journal.advance(self._rollout, live=self._canary)
        self._restore()
        report = reports.measured(self._evidence, judgement, "promoted")
        return self._settle(replace(report, verdict_at=verdict_at))

    def _roll_back(self, judgement: Judgement) -> HealthReport:
        verdict_at = self._clock.now()
        self._note(f"verdict: {judgement.rule}")
        left_at = self._leave()
        self._take(Happening.FAILED, judgement)
        try:
            self._ports.journal.advance(self._rollout)
        except LeaseLostError:
            raise
        except InfrastructureError as error:
            # Back to last known good is right whatever happens next: it does not wait for the
            # ledger.
            self._note(
                f"the journal could not be written ({error.message}); going back all the same"
            )
        restored_at = self._restore()
        back_at = left_at or restored_at
        self._note("all traffic back, the canary stopped")
        self._observe_new()
        decision = "held" if judgement.verdict is Verdict.INCONCLUSIVE else "rolled_back"
        report = replace(
            reports.measured(self._evidence, judgement, decision),
            verdict_at=verdict_at,
            traffic_back_at=back_at,
        )
        incident = reports.incident_of(
            self._rollout,
            report,
            self._timeline,
            self._ports.runtime.log_tail(self._canary),
            self._evidence,
            self._n_lost() - self._lost_before,
        )
        return self._settle(replace(report, incident=incident))

    def _leave(self) -> datetime | None:
        """Take the canary out of traffic before anything is written: a ledger that is locked must
        not keep the suspect there. Every way on from here leads back, whoever walks it.
        """
        if self._baseline is None:
            return None
        try:
            self._ports.router.weights(self._site.environment, {self._baseline.name: 1.0})
        except InfrastructureError as error:
            self._note(f"the traffic could not be moved at once: {error.message}")
            return None
        return self._clock.now()

    def _restore(self) -> datetime:
        return self._site.restore(
            self._keeper.wait,
            drain_s=self._policy.drain_s,
            ready_deadline_s=self._policy.ready_deadline_s,
        ).traffic_at

    def _settle(self, report: HealthReport) -> HealthReport:
        seconds = self._clock.monotonic() - self._began
        whole = replace(report, curve=reports.thinned(self._curve), seconds=round(seconds, 3))
        # The report first: a rollout that is final always has one.
        stands = reports.record(self._ports.log, self._rollout, whole, self._clock.now())
        self._take(Happening.SETTLED)
        self._ports.journal.advance(self._rollout)
        self._keeper.release()
        return stands

    def _retreat(self, error: BaseException) -> None:
        rule = f"the watch broke off: {type(error).__name__}: {str(error)[:300]}"
        try:
            self._roll_back(Judgement(Verdict.FAIL, rule, CauseClass.INFRA))
        except InfrastructureError:
            self._keeper.abandon()
