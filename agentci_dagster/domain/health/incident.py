"""The incident report of a rolled back release, in Markdown. Facts only; nothing in it is taken
from the commit unquoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_NEXT_STEPS = {
    "health-errors": (
        "Look for the first exception in the log below, write the test that shows it, "
        "and push a fix or a revert."
    ),
    "health-latency": (
        "Profile the changed code on the slow path; compare its queries and loops "
        "with those of the release before."
    ),
    "crash-at-start": (
        "Start the service by hand with this environment's variables; the log below ends "
        "with what it missed."
    ),
    "migration": "Mend the migration and push again; the schema was not used by any release.",
    "infra": "The commit was not judged. Run it again once the machine is well (`agentci doctor`).",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Facts of one rollback."""

    environment: str
    sha: str
    release: str
    back_on: str
    """Name of the release that serves now; empty when none does."""
    rule: str
    cause: str
    evidence: tuple[tuple[str, str], ...]
    """Name and value, for the table."""
    timeline: tuple[Moment, ...]
    log_tail: str


def incident_report(incident: Incident) -> str:
    """Word the incident: what happened, when, on which evidence, what was done and what to do
    next.
    """
    serving = f"`{incident.back_on}` serves all traffic" if incident.back_on else "nothing serves"
    lines = [
        f"# Rolled back: {incident.sha[:12]} in {incident.environment}",
        "",
        f"**Why.** {_plain(incident.rule)} (cause: {incident.cause or 'unknown'}).",
        f"**What was done.** `{incident.release}` was taken out of traffic and stopped; {serving}.",
        "",
        "## Timeline",
        "",
        *(
            f"- {m.at:%H:%M:%S}.{m.at.microsecond // 1000:03d} UTC: {_plain(m.what)}"
            for m in incident.timeline
        ),
        "",
        "## Evidence",
        "",
        "| measure | value |",
        "|---|---|",
        *(f"| {_plain(name)} | {_plain(value)} |" for name, value in incident.evidence),
        "",
        "## Next step",
        "",
        _NEXT_STEPS.get(incident.cause, "Read the log below and the evidence above."),
    ]
    if incident.log_tail.strip():
        lines += ["", "## End of its log", "", *_quoted(incident.log_tail)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return re.sub(r"[\s|<>`]+", " ", text).strip()


def _quoted(text: str) -> list[str]:
    # An indented block cannot be closed by what it holds, unlike a fence.
    return [
        f"    {line}"
        for line in re.sub(r"[^\S\n]|[^\x20-\x7e\xa0-\uffff\n]", " ", text).splitlines()
    ]
