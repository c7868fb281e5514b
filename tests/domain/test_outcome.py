from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agentci_dagster.domain.diff import FileKind
from agentci_dagster.domain.gates import Approval
from agentci_dagster.domain.generated_tests import Candidate, Finding, Funnel, GeneratedTests
from agentci_dagster.domain.health import HealthReport, Verdict
from agentci_dagster.domain.image import Image, ImageKind, Layer, SchemaFinding
from agentci_dagster.domain.outcome import (
    CauseClass,
    Ending,
    Known,
    StageTime,
    conclude,
    is_released_by,
    is_settled_for_good,
    rejected,
    reverted_sha,
    waits_for_approval,
)
from agentci_dagster.domain.risk import Advice, RiskBand, RiskScore
from agentci_dagster.domain.rollout import Deployment, DeploymentStatus, Rollout, RolloutState
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import (
    Isolation,
    SelectionMode,
    TestFailure,
    TestPlan,
    TestReport,
    TestVerdict,
)
from tests.builders import NOON, commit, diff, features, file_change, key, outcome, sha

SETTLED = NOON + timedelta(hours=1)


def risk(route: Route = Route.STANDARD) -> RiskScore:
    return RiskScore(
        key(), 0.25, RiskBand.MEDIUM, route, ("large",), (), Advice(), "prior", features(), ()
    )


def generated(*findings: Finding) -> GeneratedTests:
    kept = (Candidate("t1", "a.py::f", "def test_f(): ...", "hypothesis"),)
    return GeneratedTests(kept, findings, Funnel(), (), Isolation.STRONG, 2.0, "")


FINDING = Finding("shop/cart.py::average", "average([])", "ZeroDivisionError", "by zero", "…")


def report(
    verdict: TestVerdict = TestVerdict.PASSED, *failures: TestFailure, n_known: int = 3
) -> TestReport:
    plan = TestPlan(SelectionMode.ALL, (), (), n_known)
    return TestReport(
        key(),
        verdict,
        plan,
        5,
        len(failures),
        0,
        1,
        failures,
        None,
        3.0,
        Isolation.STRONG,
        "the summary",
    )


def image(**changes: Any) -> Image:
    layer = Layer("environment", "d", True, "same lock", 0.1, 10, 40.0)
    return replace(Image(ImageKind.BUNDLE, "/b", "d", (layer,), 4.0, "built"), **changes)


def deployment(status: DeploymentStatus = DeploymentStatus.STARTED, **changes: Any) -> Deployment:
    facts = Deployment(
        key(), "production", status, "r1", None, None, (), 5.0, "the note", "the log"
    )
    return replace(facts, **changes)


def health(decision: str = "promoted", **changes: Any) -> HealthReport:
    facts = HealthReport(
        verdict=Verdict.PASS,
        decision=decision,
        rule="the rule",
        cause="",
        canary_requests=40,
        canary_errors=8,
        baseline_requests=50,
        baseline_errors=0,
        canary_p50_ms=1.0,
        canary_p90_ms=2.0,
        baseline_p50_ms=1.0,
        baseline_p90_ms=2.0,
        first_bad_at=None,
        verdict_at=NOON + timedelta(minutes=9),
        traffic_back_at=None,
        curve=(),
        incident="",
        seconds=6.0,
    )
    return replace(facts, **changes)


def rollout(state: RolloutState, **changes: Any) -> Rollout:
    facts = Rollout(
        "r1", "production", key(), Route.STANDARD, state, 2, (), 0, None, None, NOON, NOON, NOON
    )
    return replace(facts, **changes)


WHOLE = Known(
    key=key(),
    diff=diff(),
    risk=risk(),
    generated=generated(),
    tests=report(),
    image=image(),
    deployment=deployment(),
    health=health(),
    run_id="run-1",
    branch="main",
)


def known(**changes: Any) -> Known:
    return replace(WHOLE, **changes)


def test_a_promoted_commit_is_a_success_with_everything_learning_needs():
    settled = conclude(WHOLE, SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (Ending.PROMOTED, None, 0)
    assert settled.deployed_at == NOON + timedelta(minutes=9)
    assert settled.settled_at == SETTLED
    assert settled.committed_at == WHOLE.diff.commit.committed_at
    assert (settled.route, settled.probability, settled.model_version) == (
        Route.STANDARD,
        0.25,
        "prior",
    )
    assert settled.features == features()
    assert (settled.subject, settled.branch, settled.run_id) == ("change 1", "main", "run-1")
    assert settled.paths == ("shop/cart.py",)
    assert (settled.seconds_saved, settled.n_generated_tests) == (40.0, 1)
    assert settled.stages == tuple(
        StageTime(stage, seconds)
        for stage, seconds in (
            ("generated_tests", 2.0),
            ("test_report", 3.0),
            ("image", 4.0),
            ("deployment", 5.0),
            ("health_report", 6.0),
        )
    )


def test_a_promotion_without_the_verdicts_instant_is_live_when_settled():
    assert conclude(known(health=health(verdict_at=None)), SETTLED).deployed_at == SETTLED


def test_documentation_is_skipped_without_a_label():
    settled = conclude(known(risk=risk(Route.SKIP), health=health("not_deployed")), SETTLED)

    assert (settled.ending, settled.label, settled.stage) == (Ending.SKIPPED, None, "risk_score")


def test_a_skipped_commit_whose_run_broke_is_infrastructure():
    broken = known(
        risk=risk(Route.SKIP), image=None, deployment=None, health=None, error="disk full"
    )

    assert conclude(broken, SETTLED).ending is Ending.INFRASTRUCTURE


def test_a_held_commit_waits_for_a_person_and_stays_open():
    settled = conclude(known(risk=risk(Route.HOLD), tests=None, error="check failed"), SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (Ending.WITHHELD, None, None)
    assert settled.stage == "risk_score"
    assert f"agentci approve {key()} --reason" in settled.next_step
    assert not is_settled_for_good(settled)


def test_a_rejected_commit_has_the_persons_reason_and_no_label():
    no = Approval(is_approved=False, by="ada", reason="not on friday")
    settled = conclude(known(risk=risk(Route.HOLD), approval=no), SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (
        Ending.REJECTED,
        CauseClass.REJECTED,
        None,
    )
    assert "not on friday" in settled.evidence
    assert is_settled_for_good(settled)


def test_an_approved_commit_goes_on():
    yes = Approval(is_approved=True, by="ada", reason="looked at it")

    assert conclude(known(risk=risk(Route.HOLD), approval=yes), SETTLED).ending is Ending.PROMOTED


def test_a_failing_test_is_the_commits_fault_with_the_test_as_evidence():
    failure = TestFailure("tests/test_cart.py::test_sum", "assert 3 == 4")
    red = known(tests=report(TestVerdict.FAILED, failure), image=None, error="check failed")
    settled = conclude(red, SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (Ending.WITHHELD, CauseClass.TEST, 1)
    assert settled.stage == "test_report"
    assert settled.evidence == "tests/test_cart.py::test_sum\nassert 3 == 4"
    assert is_settled_for_good(settled)


def test_a_generated_finding_shows_its_example():
    failure = TestFailure("generated::t", "long output", is_generated=True)
    red = known(tests=report(TestVerdict.FAILED, failure), generated=generated(FINDING))

    assert conclude(red, SETTLED).evidence == (
        "average([]) raises ZeroDivisionError: by zero (shop/cart.py::average)"
    )
    without_finding = conclude(replace(red, generated=None), SETTLED)
    assert without_finding.evidence == "generated::t\nlong output"


def test_red_without_a_named_test_shows_the_summary():
    red = known(tests=report(TestVerdict.FAILED))

    assert conclude(red, SETTLED).evidence == "the summary"


def test_tests_that_could_not_be_run_are_no_lesson_and_may_be_settled_again():
    settled = conclude(known(tests=report(TestVerdict.INCONCLUSIVE), image=None), SETTLED)

    assert (settled.ending, settled.cause) == (Ending.INFRASTRUCTURE, CauseClass.INFRA)
    assert (settled.label, settled.stage) == (None, "test_report")
    assert not is_settled_for_good(settled)


def test_a_repository_without_tests_goes_on():
    settled = conclude(known(tests=report(TestVerdict.INCONCLUSIVE, n_known=0)), SETTLED)

    assert settled.ending is Ending.PROMOTED


@pytest.mark.parametrize(
    ("changes", "diff_", "cause"),
    [
        ({"failure": "wheel of shop: SyntaxError"}, diff(), CauseClass.BUILD),
        (
            {"failure": "x", "log_tail": "No solution found when resolving"},
            diff(),
            CauseClass.DEPENDENCY,
        ),
        (
            {"failure": "the environment cannot be made"},
            diff(file_change("uv.lock", kind=FileKind.DEPENDENCY)),
            CauseClass.DEPENDENCY,
        ),
        (
            {"failure": "compiler error"},
            diff(file_change("uv.lock", kind=FileKind.DEPENDENCY)),
            CauseClass.BUILD,
        ),
        ({"failure": "the environment cannot be made"}, None, CauseClass.BUILD),
    ],
)
def test_a_failed_build_tells_dependencies_from_code(changes, diff_, cause):
    settled = conclude(known(image=image(**changes), diff=diff_, deployment=None), SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (Ending.WITHHELD, cause, 1)
    assert settled.stage == "image"
    assert changes["failure"] in settled.evidence


def test_a_query_without_its_migration_is_withheld_with_place_and_query():
    finding = SchemaFinding(
        "shop/db.py", 12, "SELECT discount FROM products", "no such column: discount"
    )
    settled = conclude(known(image=image(schema_findings=(finding,))), SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (
        Ending.WITHHELD,
        CauseClass.MIGRATION,
        1,
    )
    assert settled.evidence == (
        "shop/db.py:12: no such column: discount\nSELECT discount FROM products"
    )


@pytest.mark.parametrize(
    ("status", "ending", "cause", "label"),
    [
        (DeploymentStatus.CRASHED_AT_START, Ending.ROLLED_BACK, CauseClass.CRASH_AT_START, 1),
        (DeploymentStatus.MIGRATION_FAILED, Ending.ROLLED_BACK, CauseClass.MIGRATION, 1),
        (DeploymentStatus.SUPERSEDED, Ending.SUPERSEDED, None, None),
    ],
)
def test_a_deployment_that_never_got_traffic(status, ending, cause, label):
    settled = conclude(known(deployment=deployment(status), health=health("not_deployed")), SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (ending, cause, label)
    assert settled.stage == "deployment"
    assert settled.evidence.startswith("the note")
    assert settled.failed_at is None
    assert settled.deployed_at is None


def test_a_sick_release_is_rolled_back_with_the_times_of_its_failure():
    sick = health(
        "rolled_back",
        cause="health-errors",
        first_bad_at=NOON,
        traffic_back_at=NOON + timedelta(seconds=4),
    )
    settled = conclude(known(health=sick), SETTLED)

    assert (settled.ending, settled.cause) == (Ending.ROLLED_BACK, CauseClass.HEALTH_ERRORS)
    assert (settled.label, settled.deployed_at) == (1, None)
    assert (settled.failed_at, settled.restored_at) == (NOON, NOON + timedelta(seconds=4))
    assert "8 of 40 answers of the new release failed, 0 of 50 of the old" in settled.evidence


@pytest.mark.parametrize(
    ("said", "cause"),
    [("", CauseClass.UNKNOWN), ("nonsense", CauseClass.UNKNOWN), ("infra", CauseClass.INFRA)],
)
def test_a_rollback_without_the_commits_fault_is_no_lesson(said, cause):
    settled = conclude(known(health=health("rolled_back", cause=said)), SETTLED)

    assert (settled.cause, settled.label) == (cause, None)
    assert settled.failed_at == NOON + timedelta(minutes=9)


def test_a_release_held_in_its_watch_waits_for_a_person():
    settled = conclude(known(health=health("held")), SETTLED)

    assert (settled.ending, settled.label, settled.stage) == (
        Ending.WITHHELD,
        None,
        "health_report",
    )
    assert "agentci approve" in settled.next_step


def test_a_library_is_delivered():
    library = known(
        deployment=deployment(DeploymentStatus.NOT_NEEDED), health=health("not_deployed")
    )
    settled = conclude(library, SETTLED)

    assert (settled.ending, settled.label, settled.deployed_at) == (Ending.DELIVERED, 0, None)
    assert conclude(replace(library, error="broke"), SETTLED).ending is Ending.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("gone", "stage"),
    [
        (("diff", "risk", "generated", "tests", "image", "deployment", "health"), "commit_diff"),
        (("risk", "generated", "tests", "image", "deployment", "health"), "risk_score"),
        (("generated", "tests", "image", "deployment", "health"), "generated_tests"),
        (("tests", "image", "deployment", "health"), "test_report"),
        (("image", "deployment", "health"), "image"),
        (("deployment", "health"), "deployment"),
        (("health",), "health_report"),
    ],
)
def test_a_broken_run_is_infrastructure_at_the_first_stage_without_a_value(gone, stage):
    broken = replace(WHOLE, error="Killed", **dict.fromkeys(gone))
    settled = conclude(broken, SETTLED)

    assert (settled.ending, settled.cause, settled.label) == (
        Ending.INFRASTRUCTURE,
        CauseClass.INFRA,
        None,
    )
    assert (settled.stage, settled.evidence) == (stage, "Killed")
    assert not is_settled_for_good(settled)


def test_a_run_that_says_nothing_is_infrastructure_too():
    settled = conclude(Known(key()), SETTLED)

    assert settled.evidence == "the run ended without a value of commit_diff"
    assert (settled.committed_at, settled.route, settled.subject) == (SETTLED, None, "")


def test_a_promotion_in_the_journal_stands_when_the_process_died_before_its_report():
    died = known(
        health=None, error="Killed", rollout=rollout(RolloutState.PROMOTED, updated_at=SETTLED)
    )
    settled = conclude(died, SETTLED)

    assert (settled.ending, settled.label, settled.deployed_at) == (Ending.PROMOTED, 0, SETTLED)


def test_a_rollback_in_the_journal_counts_when_the_release_was_at_fault():
    back = rollout(RolloutState.ROLLED_BACK, cause="health-latency", reason="slower")
    settled = conclude(known(health=None, error="Killed", rollout=back), SETTLED)

    assert (settled.ending, settled.cause) == (Ending.ROLLED_BACK, CauseClass.HEALTH_LATENCY)
    assert (settled.label, settled.evidence, settled.restored_at) == (1, "slower", NOON)


def test_a_release_that_died_at_start_with_its_run_never_had_traffic():
    back = rollout(RolloutState.ROLLED_BACK, cause="crash-at-start", reason="it died")
    settled = conclude(known(health=None, error="Killed", rollout=back), SETTLED)

    assert (settled.ending, settled.stage, settled.label) == (Ending.ROLLED_BACK, "deployment", 1)
    assert (settled.failed_at, settled.restored_at) == (None, None)


@pytest.mark.parametrize(
    "journaled",
    [rollout(RolloutState.ROLLED_BACK, cause="infra"), rollout(RolloutState.WATCHING), None],
)
def test_a_killed_rollout_is_infrastructure(journaled):
    settled = conclude(known(health=None, error="Killed", rollout=journaled), SETTLED)

    assert settled.ending is Ending.INFRASTRUCTURE


def test_evidence_subject_and_paths_are_bounded():
    long = known(
        diff=diff(
            *(file_change(f"f{n}.py") for n in range(300)),
            is_capped=True,
        ),
        tests=report(TestVerdict.FAILED, TestFailure("t", "x" * 9_000)),
    )
    long = replace(long, diff=replace(long.diff, commit=commit(1, message="s" * 900)))
    settled = conclude(long, SETTLED)

    assert (len(settled.evidence), len(settled.subject), len(settled.paths)) == (2_000, 500, 200)


@pytest.mark.parametrize(
    ("message", "reverted"),
    [
        (f'Revert "x"\n\nThis reverts commit {sha(7)}.\n', sha(7)),
        (
            f"Back it out\n\nThis reverts commit {sha(7)}, reversing\nchanges made to {sha(6)}.",
            sha(7),
        ),
        (f"says: This reverts commit {sha(7)}.", None),
        ("This reverts commit abc1234.", None),
        (f"This reverts commit {sha(7)}0.", None),
        ("", None),
    ],
)
def test_a_revert_is_known_by_gits_own_words(message, reverted):
    assert reverted_sha(message) == reverted


def test_the_outcome_of_a_revert_names_what_it_reverts():
    reverting = diff()
    reverting = replace(
        reverting, commit=commit(1, message=f'Revert "x"\n\nThis reverts commit {sha(9)}.')
    )

    assert conclude(known(diff=reverting), SETTLED).reverts == sha(9)


@pytest.mark.parametrize(
    "ending", [e for e in Ending if e not in {Ending.INFRASTRUCTURE, Ending.WITHHELD}]
)
def test_every_other_ending_is_for_good(ending):
    assert is_settled_for_good(outcome(1, ending))


def test_hold_at_the_risk_gate_is_released_by_any_approval():
    held = outcome(1, Ending.WITHHELD, stage="risk_score")

    assert is_released_by(held, held.settled_at - timedelta(seconds=5))
    assert is_released_by(held, held.settled_at + timedelta(days=5))


def test_hold_after_the_watch_is_released_only_by_an_answer_to_it():
    held = outcome(1, Ending.WITHHELD, stage="health_report")

    assert not is_released_by(held, held.settled_at - timedelta(seconds=5))
    assert is_released_by(held, held.settled_at + timedelta(seconds=5))


def test_approval_that_outran_the_settling_of_the_hold_counts():
    looks_broken = outcome(1, Ending.INFRASTRUCTURE, stage="generated_tests")

    assert is_released_by(looks_broken, looks_broken.settled_at)


@pytest.mark.parametrize("ending", [e for e in Ending if e is not Ending.INFRASTRUCTURE])
def test_what_a_gate_or_a_verdict_stopped_is_not_released(ending):
    stopped = outcome(1, ending, cause=CauseClass.TEST, stage="test_report")

    assert not is_released_by(stopped, stopped.settled_at + timedelta(days=1))


def test_a_persons_no_ends_the_waiting_and_teaches_nothing():
    held = outcome(1, Ending.WITHHELD, stage="risk_score")
    settled = rejected(held, "ada", "too much at once", SETTLED)

    assert waits_for_approval(held)
    assert not waits_for_approval(settled)
    assert is_settled_for_good(settled)
    assert (settled.ending, settled.cause, settled.label) == (
        Ending.REJECTED,
        CauseClass.REJECTED,
        None,
    )
    assert settled.evidence == "rejected by ada: too much at once"
    assert settled.settled_at == SETTLED
