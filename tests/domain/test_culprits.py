from __future__ import annotations

from agentci_dagster.domain.culprits import named_culprits
from agentci_dagster.domain.diff import CommitKey
from tests.builders import commit

A, B = f"{'a' * 8}{'1' * 32}", f"{'a' * 8}{'2' * 32}"


def named(n: int, sha: str, message: str = "change"):
    return commit(n, key=CommitKey("shop", sha), message=message)


def test_reverts_and_fixes_name_their_culprits():
    first, second = named(1, A), named(2, "b" * 40)
    revert = named(3, "c" * 40, f'Revert "change"\n\nThis reverts commit {A}.')
    fix = named(4, "d" * 40, 'mend\n\nFixes: bbbbbbbbbbbb ("change")')

    found = named_culprits([fix, revert, second, first])

    assert found == {A: revert.committed_at, "b" * 40: fix.committed_at}


def test_the_first_who_says_so_counts():
    again = [named(n, f"{n}" * 40, f"Fixes: {A[:12]}") for n in (3, 4)]

    assert named_culprits([named(1, A), *again]) == {A: again[0].committed_at}


def test_a_name_that_fits_two_names_nobody():
    assert named_culprits([named(1, A), named(2, B), named(3, "c" * 40, "Fixes: aaaaaaaa")]) == {}


def test_a_commit_that_comes_later_is_not_blamed():
    assert named_culprits([named(1, "c" * 40, f"Fixes: {A}"), named(2, A)]) == {}
