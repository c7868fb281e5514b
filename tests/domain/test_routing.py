from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import CommitDiff, FileKind, FileStatus
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.promise import Promise, fast_lane
from agentci_dagster.domain.risk import Advice
from agentci_dagster.domain.routing import (
    RiskPolicy,
    Route,
    decide_route,
    policy_digest,
    route_of,
)
from tests.builders import commit, diff, file_change, sha

untimed = settings(deadline=None)
"""A busy machine is no failure."""

POLICY = RiskPolicy()
LATER = 5
"""A commit number that has a parent."""


def change(kind: FileKind, path: str = "some/file", **facts):
    return file_change(path, kind=kind, **facts)


def routed(*files, probability: float = 0.01, advice: Advice | None = None, **facts) -> Route:
    return decide_route(
        probability, diff(*files, n=LATER, **facts), advice or Advice(), POLICY
    ).route


def test_the_routes_begin_where_the_policy_says():
    edges = [0.0, 0.0999, 0.10, 0.2999, 0.30, 0.5999, 0.60, 1.0]

    routes = [route_of(p, POLICY).value for p in edges]

    assert routes == [
        "fast", "fast", "standard", "standard", "guarded", "guarded", "hold", "hold",
    ]  # fmt: skip


@pytest.mark.parametrize("nonsense", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_gets_no_route(nonsense):
    with pytest.raises(ValueError, match="not a probability"):
        route_of(nonsense, POLICY)


def test_documents_alone_are_skipped_whatever_the_score():
    assert routed(change(FileKind.DOCS, "README.md"), probability=0.99) is Route.SKIP


def test_a_commit_without_files_is_skipped():
    empty = CommitDiff(commit=commit(LATER), files=())

    assert decide_route(0.5, empty, Advice(), POLICY).route is Route.SKIP


def test_a_document_beside_source_is_not_skipped():
    assert routed(change(FileKind.DOCS), change(FileKind.SOURCE)) is Route.FAST


def test_a_capped_diff_of_documents_is_guarded():
    assert routed(change(FileKind.DOCS), is_capped=True) is Route.GUARDED


def test_an_odd_diff_of_documents_is_not_skipped():
    decision = decide_route(
        0.01, diff(change(FileKind.DOCS), n=LATER, notes=("a name\nis odd",)), Advice(), POLICY
    )

    assert decision.route is Route.STANDARD
    assert decision.guard_rules == ("is odd (a name�is odd): at least standard",)


def test_a_module_renamed_to_a_document_is_not_skipped():
    renamed = change(
        FileKind.DOCS, "shop/cart.md", old_path="shop/cart.py", status=FileStatus.RENAMED
    )

    assert routed(renamed) is Route.FAST


def test_a_document_renamed_to_a_document_is_skipped():
    renamed = change(FileKind.DOCS, "new.md", old_path="old.MD", status=FileStatus.RENAMED)

    assert routed(renamed) is Route.SKIP


def test_a_document_that_becomes_a_link_is_not_skipped():
    assert routed(change(FileKind.DOCS, status=FileStatus.TYPE_CHANGED)) is Route.FAST


@pytest.mark.parametrize(
    "kind",
    [
        FileKind.MIGRATION,
        FileKind.DEPENDENCY,
        FileKind.CONFIGURATION,
        FileKind.CONTAINER,
        FileKind.CI,
    ],
)
def test_kinds_that_break_more_than_their_size_are_guarded(kind):
    assert routed(change(FileKind.SOURCE), change(kind)) is Route.GUARDED


def test_a_guard_rule_names_its_first_file_and_counts_the_rest():
    files = [change(FileKind.MIGRATION, f"migrations/{n}.sql") for n in range(3)]

    rules = decide_route(0.01, diff(*files, n=LATER), Advice(), POLICY).guard_rules

    assert rules == ("changes a migration (migrations/0.sql and 2 more): at least guarded",)


def test_a_guard_rule_shows_hostile_names_harmlessly():
    hostile = change(FileKind.CI, "\u202etxt.\x1b[31m" + "x" * 500)

    (rule,) = decide_route(0.01, diff(hostile, n=LATER), Advice(), POLICY).guard_rules

    assert rule.isprintable()
    assert len(rule) < 160


def test_a_guard_rule_that_changes_nothing_is_not_told():
    decision = decide_route(0.9, diff(change(FileKind.CI), n=LATER), Advice(), POLICY)

    assert decision.route is Route.HOLD
    assert decision.guard_rules == ()


def test_a_merge_is_at_least_standard_even_with_documents_only():
    merge = CommitDiff(
        commit=commit(LATER, parents=(sha(1), sha(2))), files=(change(FileKind.DOCS),)
    )

    assert decide_route(0.01, merge, Advice(), POLICY).route is Route.STANDARD


def test_a_merge_that_changes_nothing_is_skipped():
    merge = CommitDiff(commit=commit(LATER, parents=(sha(1), sha(2))), files=())

    decision = decide_route(0.5, merge, Advice(), POLICY)

    assert (decision.route, decision.guard_rules) == (Route.SKIP, ())


@pytest.mark.parametrize(
    "path",
    [
        "shop/auth.py",
        "src/OAuth2Client.ts",
        "app/LoginController.rb",
        "auth/rules.bin",
        "users/JWT.go",
    ],
)
def test_what_lets_people_in_is_guarded(path):
    decision = decide_route(0.01, diff(change(FileKind.SOURCE, path), n=LATER), Advice(), POLICY)

    assert decision.route is Route.GUARDED
    assert decision.guard_rules == (f"changes authentication ({path}): at least guarded",)


@pytest.mark.parametrize(
    "path", ["shop/author.py", "shop/authority.py", "docs/tokens.py", "oauthor.py"]
)
def test_words_that_only_look_alike_are_not(path):
    assert routed(change(FileKind.SOURCE, path)) is Route.FAST


def test_tests_and_documents_about_authentication_are_not_guarded():
    files = change(FileKind.TEST, "tests/test_login.py"), change(FileKind.DOCS, "docs/login.md")

    assert routed(*files) is Route.FAST


def test_authentication_that_is_moved_away_is_guarded():
    moved = change(
        FileKind.SOURCE, "shop/a.py", old_path="shop/login.py", status=FileStatus.RENAMED
    )
    more = change(FileKind.SOURCE, "shop/password.py")

    (rule,) = decide_route(0.01, diff(moved, more, n=LATER), Advice(), POLICY).guard_rules

    assert rule == "changes authentication (shop/a.py and 1 more): at least guarded"


def test_the_first_commit_is_at_least_standard():
    first = diff(change(FileKind.SOURCE), n=1)

    assert decide_route(0.01, first, Advice(), POLICY).route is Route.STANDARD


def test_a_first_commit_of_documents_only_is_skipped():
    assert (
        decide_route(0.01, diff(change(FileKind.DOCS), n=1), Advice(), POLICY).route is Route.SKIP
    )


def test_a_feature_with_its_tests_goes_by_its_score():
    files = change(FileKind.SOURCE), change(FileKind.TEST)

    assert routed(*files, probability=0.05) is Route.FAST
    assert routed(*files, probability=0.15) is Route.STANDARD


def test_advice_asks_for_more_care():
    asked = Advice(Route.GUARDED, ("touches money",), "a-model")

    decision = decide_route(0.01, diff(n=LATER), asked, POLICY)

    assert decision.route is Route.GUARDED
    assert decision.guard_rules == (
        "the language model asks for more care (a-model): at least guarded",
    )


def test_advice_may_be_forbidden_to_hold():
    asked = Advice(Route.HOLD, (), "a-model")

    decision = decide_route(0.01, diff(n=LATER), asked, replace(POLICY, advice_may_hold=False))

    assert decision.route is Route.GUARDED


ADVICE = st.builds(
    Advice,
    route=st.sampled_from(Route),
    reasons=st.lists(st.text(max_size=40), max_size=3).map(tuple),
    source=st.text(max_size=40),
)
FILES = st.lists(
    st.builds(
        change,
        kind=st.sampled_from(FileKind),
        path=st.text(min_size=1, max_size=30),
        status=st.sampled_from(FileStatus),
        old_path=st.none() | st.text(min_size=1, max_size=10),
    ),
    max_size=4,
)


@untimed
@given(probability=st.floats(0, 1), files=FILES, advice=ADVICE, is_capped=st.booleans())
def test_advice_never_makes_a_route_laxer(probability, files, advice, is_capped):
    change_set = CommitDiff(commit=commit(LATER), files=tuple(files), is_capped=is_capped)

    without = decide_route(probability, change_set, Advice(), POLICY).route
    with_advice = decide_route(probability, change_set, advice, POLICY).route

    assert not without.is_stricter_than(with_advice)


@untimed
@given(
    probability=st.floats(0, 1), files=FILES, more=FILES, advice=ADVICE, is_merge=st.booleans(),
    is_capped=st.booleans(), notes=st.lists(st.text(max_size=20), max_size=2).map(tuple),
)  # fmt: skip
def test_nothing_that_is_added_makes_a_route_laxer(
    probability, files, more, advice, is_merge, is_capped, notes
):
    made = commit(LATER, parents=(sha(1), sha(2)) if is_merge else (sha(1),))
    less = CommitDiff(commit=made, files=tuple(files))
    whole = CommitDiff(commit=made, files=(*files, *more), is_capped=is_capped, notes=notes)

    before = decide_route(probability, less, Advice(), POLICY).route

    assert not before.is_stricter_than(decide_route(probability, whole, advice, POLICY).route)


@untimed
@given(
    probability=st.floats(0, 1), files=FILES, advice=ADVICE, fast=st.floats(0, 0.3),
    promised=st.none() | st.floats(0, 1),
)  # fmt: skip
def test_guard_rules_hold_wherever_the_fast_lane_ends(probability, files, advice, fast, promised):
    policy = replace(POLICY, fast_below=fast)
    change_set = CommitDiff(commit=commit(LATER), files=tuple(files))
    promise = Promise("m", policy.promise, policy.promise_confidence, promised, {}, 9, 9, 0, 0, 9)

    lane = fast_lane(policy, promise, "m", "shop").policy
    with_lane = decide_route(probability, change_set, advice, lane).route

    # At a score that decides nothing, what is left is what the guard rules and the advice ask for.
    asked = decide_route(0.0, change_set, advice, POLICY).route
    assert not asked.is_stricter_than(with_lane)


@untimed
@given(probability=st.floats(0, 1), files=FILES, message=st.text(max_size=200))
def test_no_message_makes_a_route_laxer(probability, files, message):
    plain = CommitDiff(commit=commit(LATER), files=tuple(files))
    ordering = CommitDiff(commit=commit(LATER, message=message), files=tuple(files))

    assert (
        decide_route(probability, ordering, Advice(), POLICY)
        == decide_route(probability, plain, Advice(), POLICY)
    )  # fmt: skip


@untimed
@given(low=st.floats(0, 1), high=st.floats(0, 1), files=FILES)
def test_a_higher_score_never_gets_a_laxer_route(low, high, files):
    low, high = sorted((low, high))
    change_set = CommitDiff(commit=commit(LATER), files=tuple(files))

    laxer = decide_route(low, change_set, Advice(), POLICY).route

    assert not laxer.is_stricter_than(decide_route(high, change_set, Advice(), POLICY).route)


def test_thresholds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="fast_below <= guarded_from"):
        RiskPolicy(fast_below=0.5, guarded_from=0.2)


def test_a_policys_digest_is_stable_and_tells_policies_apart():
    assert policy_digest(RiskPolicy()) == policy_digest(RiskPolicy())
    assert policy_digest(RiskPolicy()) != policy_digest(RiskPolicy(fast_below=0.2))
    assert policy_digest(RiskPolicy()) != policy_digest(LearningPolicy())
    assert policy_digest(RiskPolicy(0.1, 0.3, 0.6)) == "f31e3c2e9863"
