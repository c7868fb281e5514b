"""Explains a settled commit to a person: what happened, on which evidence, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentci_dagster.domain.outcome import CauseClass, DeployOutcome, Ending
from agentci_dagster.domain.plain_text import clean_text

_MOST_LINES = 30
_LINE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Explanation:
    """One commit's fate in plain words, safe to print; `cause` is empty when nothing failed."""

    headline: str
    stage: str
    cause: str
    what_was_done: str
    """What the system did about it."""
    evidence: tuple[str, ...]
    """Lines, at most 30."""
    risk_reasons: tuple[str, ...]
    next_step: str


def explain(outcome: DeployOutcome, risk_reasons: Sequence[str] = ()) -> Explanation:
    """The explanation of an outcome; `risk_reasons` are those of its score, strongest first."""
    lines = clean_text(outcome.evidence).splitlines()
    shown = [clean_text(line, _LINE_CHARACTERS) for line in lines if line.strip()][:_MOST_LINES]
    return Explanation(
        headline=_headline(outcome),
        stage=outcome.stage,
        cause=outcome.cause.value if outcome.cause else "",
        what_was_done=_what_was_done(outcome),
        evidence=tuple(shown),
        risk_reasons=tuple(clean_text(reason, _LINE_CHARACTERS) for reason in risk_reasons),
        next_step=clean_text(outcome.next_step, _LINE_CHARACTERS),
    )


def _headline(outcome: DeployOutcome) -> str:
    name = f"{outcome.key.repository}@{outcome.key.sha[:12]}"
    subject = clean_text(outcome.subject.split("\n", 1)[0], 80)
    because = f": {_CAUSES[outcome.cause]}" if outcome.cause else ""
    title = f" ({subject})" if subject else ""
    return f"{name}{title} {_ENDINGS[outcome.ending]}{because}."


def _what_was_done(outcome: DeployOutcome) -> str:
    if outcome.ending is not Ending.ROLLED_BACK:
        return _ACTIONS[outcome.ending]
    if outcome.failed_at is None:
        return "The release never got traffic; the live release served on."
    if outcome.restored_at is None:
        return "All traffic was sent back to the last known good release."
    seconds = (outcome.restored_at - outcome.failed_at).total_seconds()
    return (
        "All traffic was sent back to the last known good release, "
        f"{max(seconds, 0.0):.1f} s after the first bad sign."
    )


_ENDINGS = {
    Ending.PROMOTED: "was promoted",
    Ending.DELIVERED: "was delivered",
    Ending.SKIPPED: "was skipped",
    Ending.WITHHELD: "was withheld",
    Ending.ROLLED_BACK: "was rolled back",
    Ending.SUPERSEDED: "was superseded by a newer commit",
    Ending.REJECTED: "was rejected",
    Ending.INFRASTRUCTURE: "could not be judged",
}

_CAUSES = {
    CauseClass.TEST: "a test fails",
    CauseClass.FLAKY: "a test is not reliable",
    CauseClass.BUILD: "it cannot be built",
    CauseClass.DEPENDENCY: "its dependencies cannot be installed",
    CauseClass.MIGRATION: "code and database schema do not fit",
    CauseClass.CONFIG: "a setting is missing or wrong",
    CauseClass.CRASH_AT_START: "it dies at start",
    CauseClass.HEALTH_ERRORS: "it answered with more errors than the release beside it",
    CauseClass.HEALTH_LATENCY: "it answered more slowly than the release beside it",
    CauseClass.INFRA: "something of ours broke, the commit is not to blame",
    CauseClass.REJECTED: "a person said no",
    CauseClass.UNKNOWN: "the cause is not known",
}

_ACTIONS = {
    Ending.PROMOTED: "All traffic goes to the new release.",
    Ending.DELIVERED: "Every gate passed; there is no service to deploy.",
    Ending.SKIPPED: "Nothing was built or deployed.",
    Ending.WITHHELD: "It was stopped before any traffic; the live release served on.",
    Ending.SUPERSEDED: "It was not deployed, because a newer commit was.",
    Ending.REJECTED: "It was stopped before any traffic; the live release served on.",
    Ending.INFRASTRUCTURE: "The live release served on; the commit is no lesson for the model.",
}
