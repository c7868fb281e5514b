from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.domain.image import ImageKind
from agentci_dagster.domain.image.keeping import KeepingPolicy, StoredArtefact, needed, surplus
from agentci_dagster.domain.rollout import Release, Rollout, RolloutState
from agentci_dagster.domain.routing import Route
from tests.builders import NOON, key

POLICY = KeepingPolicy(newest=2, young_s=3600)


def release(n: int) -> Release:
    return Release(f"r{n}", key(n), f"bundles/{n}", f"d{n}", "127.0.0.1", 1, "process")


def rollout(n: int, state: RolloutState, baseline: int | None, environment="production") -> Rollout:
    return Rollout(
        id=str(n),
        environment=environment,
        key=key(n),
        route=Route.FAST,
        state=state,
        generation=1,
        steps=(),
        step_index=0,
        canary=release(n),
        baseline=None if baseline is None else release(baseline),
        committed_at=NOON,
        opened_at=NOON,
        updated_at=NOON,
    )


def artefact(n: int, *, hours: float, repository="shop") -> StoredArtefact:
    used_at = NOON - timedelta(hours=hours)
    return StoredArtefact(repository, ImageKind.BUNDLE, f"{repository}/{n}", f"d{n}", used_at)


def gone(*artefacts, needs=frozenset(), policy=POLICY):
    return [a.reference for a in surplus(artefacts, needs, NOON, policy)]


def test_what_is_live_on_its_way_or_gone_back_to_is_needed():
    history = [
        rollout(1, RolloutState.PROMOTED, None),
        rollout(2, RolloutState.PROMOTED, 1),
        rollout(3, RolloutState.PROMOTED, 2),
        rollout(4, RolloutState.ROLLED_BACK, 3),
        rollout(5, RolloutState.WATCHING, 3),
    ]

    assert needed(history, [release(3)]) == {"d2", "d3", "d5"}


def test_each_environment_needs_its_own():
    history = [
        rollout(1, RolloutState.PROMOTED, None),
        rollout(2, RolloutState.PROMOTED, None, "staging"),
    ]

    assert needed(history, [release(1), release(2)]) == {"d1", "d2"}
    assert needed([], []) == frozenset()


def test_the_oldest_beyond_the_newest_go_first():
    assert gone(*(artefact(n, hours=n) for n in range(2, 7))) == ["shop/6", "shop/5", "shop/4"]


def test_each_repository_keeps_its_own_newest():
    own = [artefact(n, hours=n) for n in (2, 3, 4)]
    others = [artefact(n, hours=100, repository="other") for n in (1, 2)]

    assert gone(*own, *others) == ["shop/4"]


def test_what_is_needed_or_young_stays():
    artefacts = [artefact(n, hours=n) for n in range(2, 7)]
    young = [artefact(n, hours=0.5 + n / 100) for n in range(4)]

    assert gone(*artefacts, needs=frozenset({"d6"})) == ["shop/5", "shop/4"]
    assert gone(*young) == []


@pytest.mark.parametrize("changes", [{"newest": 0}, {"young_s": -1}])
def test_a_policy_keeps_something(changes):
    with pytest.raises(ValueError, match="at least one"):
        KeepingPolicy(**changes)
