"""The state machine: plans, transitions, and what holds over every schedule of happenings."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.rollout import (
    Happening,
    Rollout,
    RolloutState,
    plan_for,
    react,
)
from agentci_dagster.domain.routing import Route
from tests.builders import NOON, key

POLICY = CanaryPolicy()
TO_WATCHING = (
    Happening.BEGUN,
    Happening.MIGRATED,
    Happening.ANSWERED,
    Happening.STEP_PASSED,
    Happening.STEP_PASSED,
)


def rollout(route: Route = Route.STANDARD, *, is_first: bool = False) -> Rollout:
    return Rollout(
        id="production:1:1",
        environment="production",
        key=key(),
        route=route,
        state=RolloutState.OPENED,
        generation=1,
        steps=plan_for(route, POLICY, is_first=is_first),
        step_index=0,
        canary=None,
        baseline=None,
        committed_at=NOON,
        opened_at=NOON,
        updated_at=NOON,
    )


def after(*happenings: Happening, route: Route = Route.STANDARD) -> Rollout:
    reached = rollout(route)
    for happening in happenings:
        reached = react(reached, happening, NOON)
    return reached


@pytest.mark.parametrize(
    ("route", "weights", "watch_s"),
    [
        (Route.SKIP, [], None),
        (Route.FAST, [0.5, 1.0], 30.0),
        (Route.STANDARD, [0.5, 1.0], 600.0),
        (Route.GUARDED, [0.1, 0.5, 1.0], 600.0),
        (Route.HOLD, [0.1, 0.5, 1.0], 600.0),
    ],
)
def test_route_has_its_plan(route: Route, weights: list[float], watch_s: float | None) -> None:
    plan = plan_for(route, POLICY)

    assert [step.weight for step in plan] == weights
    assert [step.seconds for step in plan][-1:] == ([watch_s] if watch_s else [])


def test_first_deployment_has_only_the_watch() -> None:
    assert [s.weight for s in plan_for(Route.GUARDED, POLICY, is_first=True)] == [1.0]
    assert [s.seconds for s in plan_for(Route.FAST, POLICY, is_first=True)] == [30.0]
    assert plan_for(Route.SKIP, POLICY, is_first=True) == ()


def test_good_rollout_walks_all_states() -> None:
    assert after().state is RolloutState.OPENED
    watching = after(*TO_WATCHING)
    assert (watching.state, watching.step_index) == (RolloutState.WATCHING, 1)
    promoted = after(*TO_WATCHING, Happening.WATCH_PASSED, Happening.SETTLED)
    assert promoted.state is RolloutState.PROMOTED


def test_first_deployment_watches_at_once() -> None:
    ready = rollout(is_first=True)
    for happening in TO_WATCHING[:4]:
        ready = react(ready, happening, NOON)

    assert (ready.state, ready.step_index) == (RolloutState.WATCHING, 0)
    with pytest.raises(ValueError, match="cannot take 'suspected'"):
        react(ready, Happening.SUSPECTED, NOON)


def test_suspicion_goes_back_to_the_last_comparing_step() -> None:
    back = after(*TO_WATCHING, Happening.STEP_PASSED, Happening.SUSPECTED, route=Route.GUARDED)

    assert (back.state, back.step_index) == (RolloutState.STEPPING, 1)
    assert back.steps[back.step_index].weight == 0.5


def test_failure_carries_its_reason_and_later_ones_do_not_replace_it_by_nothing() -> None:
    back = react(
        after(*TO_WATCHING), Happening.FAILED, NOON, reason="errors", cause="health-errors"
    )
    still = react(back, Happening.FAILED, NOON)

    assert back.state is still.state is RolloutState.ROLLING_BACK
    assert (still.reason, still.cause) == ("errors", "health-errors")


def test_committed_promotion_leads_forward_only() -> None:
    promoting = after(*TO_WATCHING, Happening.WATCH_PASSED)

    assert react(promoting, Happening.FAILED, NOON).state is RolloutState.PROMOTING


@pytest.mark.parametrize(
    ("path", "happening"),
    [
        ((), Happening.MIGRATED),
        ((), Happening.WATCH_PASSED),
        ((Happening.FAILED,), Happening.WATCH_PASSED),
        ((Happening.FAILED,), Happening.STEP_PASSED),
        ((Happening.FAILED, Happening.SETTLED), Happening.FAILED),
        ((Happening.FAILED, Happening.SETTLED), Happening.SETTLED),
        ((*TO_WATCHING, Happening.WATCH_PASSED, Happening.SETTLED), Happening.FAILED),
    ],
)
def test_illegal_transition_is_refused(path: tuple[Happening, ...], happening: Happening) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        react(after(*path), happening, NOON)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Route.FAST, Route.STANDARD, Route.GUARDED]),
    st.booleans(),
    st.lists(st.sampled_from(list(Happening)), max_size=40),
)
def test_over_every_schedule(route: Route, is_first: bool, schedule: list[Happening]) -> None:
    """Never two live releases, never a promotion after a fail verdict, always an end."""
    walk(route, schedule, is_first=is_first)


def test_over_ten_thousand_random_schedules() -> None:
    generator = random.Random(20)
    likely = [*Happening, *TO_WATCHING, Happening.WATCH_PASSED, Happening.STEP_PASSED]
    endings = [
        walk(route, generator.choices(likely, k=20), is_first=generator.random() < 0.2)
        for route in generator.choices([Route.FAST, Route.STANDARD, Route.GUARDED], k=10_000)
    ]

    assert endings.count(RolloutState.PROMOTED) > 100
    assert endings.count(RolloutState.ROLLED_BACK) > 1000


def walk(route: Route, schedule: list[Happening], *, is_first: bool) -> RolloutState:
    current = rollout(route, is_first=is_first)
    live, has_failed = "old", False
    for happening in schedule:
        try:
            following = react(current, happening, NOON)
        except ValueError:
            continue
        if following.state is RolloutState.PROMOTING:
            assert not has_failed
            live = "new"
        if following.state is RolloutState.ROLLING_BACK:
            has_failed = True
        assert not current.state.is_final
        assert not (has_failed and live == "new")
        assert 0 <= following.step_index < len(following.steps)
        current = following

    # Whatever state it was left in: a fail verdict and settling always end it.
    if not current.state.is_final:
        current = react(react(current, Happening.FAILED, NOON), Happening.SETTLED, NOON)
    assert current.state is (RolloutState.PROMOTED if live == "new" else RolloutState.ROLLED_BACK)
    return current.state
