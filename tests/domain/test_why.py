from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.why import explain
from tests.builders import NOON, outcome, sha


def test_a_rolled_back_commit_is_explained_with_its_cause_evidence_and_speed():
    told = explain(
        outcome(
            7,
            Ending.ROLLED_BACK,
            cause=CauseClass.HEALTH_ERRORS,
            stage="health_report",
            evidence="errors rose\n\n9 of 40 failed",
            next_step="push a fix",
            failed_at=NOON,
            restored_at=NOON + timedelta(seconds=3.25),
        ),
        ("large change",),
    )

    assert told.headline == (
        f"shop@{sha(7)[:12]} (change 7) was rolled back: "
        "it answered with more errors than the release beside it."
    )
    assert (told.stage, told.cause) == ("health_report", "health-errors")
    assert told.evidence == ("errors rose", "9 of 40 failed")
    assert "3.2 s after the first bad sign" in told.what_was_done
    assert (told.risk_reasons, told.next_step) == (("large change",), "push a fix")


def test_a_release_that_never_got_traffic_is_not_said_to_have_lost_it():
    told = explain(outcome(1, Ending.ROLLED_BACK, cause=CauseClass.CRASH_AT_START))

    assert told.what_was_done == "The release never got traffic; the live release served on."


def test_a_rollback_without_a_known_end_says_no_seconds():
    told = explain(outcome(1, Ending.ROLLED_BACK, failed_at=NOON))

    assert told.what_was_done == "All traffic was sent back to the last known good release."


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_has_words(ending):
    told = explain(outcome(1, ending))

    assert told.headline.endswith(".")
    assert told.what_was_done
    assert told.cause == ""


@pytest.mark.parametrize("cause", list(CauseClass))
def test_every_cause_has_words(cause):
    assert ": " in explain(outcome(1, Ending.WITHHELD, cause=cause)).headline


def test_hostile_text_is_shown_harmlessly_and_bounded():
    evil = "\x1b]0;owned\x07" + "\n".join(f"line \u202e{n} " + "x" * 400 for n in range(99))
    told = explain(outcome(1, evidence=evil, subject="\x1b[2Jsubject\nsecond"), (evil,))

    assert "(subject)" in told.headline
    assert len(told.evidence) == 30
    assert max(map(len, told.evidence)) == 300
    assert not any(c in line for line in told.evidence for c in "\x1b\u202e\x07")


def test_a_commit_without_a_subject_has_a_headline():
    assert explain(outcome(1, subject="")).headline == f"shop@{sha(1)[:12]} was promoted."
