"""`agentci approve` and `agentci reject`: a person's word on one commit, with its reason."""

from __future__ import annotations

import getpass
import os
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from agentci_dagster.resources import Resources

Commit = Annotated[str, typer.Argument(help="The commit: a sha, a part of it, or repository@sha.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]


def approve(
    rev: Commit, reason: Reason, as_json: JsonFlag = False, config: ConfigOption = ""
) -> None:
    """Let a held commit go on. The approval is bound to this one commit."""
    _record(rev, reason, config, is_approved=True, as_json=as_json)


def reject(
    rev: Commit, reason: Reason, as_json: JsonFlag = False, config: ConfigOption = ""
) -> None:
    """Refuse a held commit for good."""
    _record(rev, reason, config, is_approved=False, as_json=as_json)


def _record(rev: str, reason: str, config: str, *, is_approved: bool, as_json: bool) -> None:
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.outcome import is_settled_for_good, rejected, waits_for_approval
    from agentci_dagster.journeys import APPROVAL
    from agentci_dagster.ports import LedgerEvent

    if not reason.strip():
        raise UsageError("A decision needs a reason.", 'add --reason "…"')
    resources = open_resources(config)
    key = find_commit(resources, rev)
    outcome = resources.ledger.outcome(key)
    if outcome is not None and is_settled_for_good(outcome):
        raise UsageError(
            f"{key} was {outcome.ending.value} already; it waits for nobody's word.",
            f"agentci why {key.sha[:12]}",
        )
    who = _user()
    event = LedgerEvent(
        id=f"approval:{uuid.uuid4()}",
        kind=APPROVAL,
        at=resources.clock.now(),
        repository=key.repository,
        sha=key.sha,
        body={"is_approved": is_approved, "by": who, "reason": reason},
    )
    resources.ledger.append(event)
    is_waiting = outcome is not None and waits_for_approval(outcome)
    if outcome is not None and is_waiting and not is_approved:
        resources.ledger.settle(rejected(outcome, who, reason, event.at))
    if as_json:
        print_json({"commit": str(key), "is_approved": is_approved, "by": who, "reason": reason})
        return
    word = "approved" if is_approved else "rejected"
    follows = _follows(resources, is_waiting=is_waiting, is_approved=is_approved)
    console().print(f"{key} {word} by {who}. {follows}", markup=False)


def _follows(resources: Resources, *, is_waiting: bool, is_approved: bool) -> str:
    from agentci_dagster.instance import daemon_state

    if not is_waiting:
        return "It is not held now: this counts when it comes to its gate."
    if not is_approved:
        return "It stays undelivered."
    if daemon_state(resources.settings.home) == "running":
        return "The daemon continues it within seconds."
    return "It goes on once a daemon runs: agentci up"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        return f"uid:{os.getuid()}"
