from __future__ import annotations

from agentci_dagster.domain.savings import is_audited
from tests.builders import sha


def test_the_sample_has_its_share_and_is_always_the_same():
    drawn = [sha(n) for n in range(4_000) if is_audited(sha(n), 0.05)]

    assert 150 < len(drawn) < 250
    assert drawn == [sha(n) for n in range(4_000) if is_audited(sha(n), 0.05)]


def test_a_larger_sample_holds_the_smaller():
    small = {n for n in range(500) if is_audited(sha(n), 0.05)}

    assert small < {n for n in range(500) if is_audited(sha(n), 0.5)}


def test_none_and_all_can_be_asked_for():
    assert not any(is_audited(sha(n), 0.0) for n in range(100))
    assert all(is_audited(sha(n), 1.0) for n in range(100))
