"""`agentci approve` and `agentci reject`: a person's word on one commit, with its reason."""

from __future__ import annotations

import getpass
import uuid
from typing import Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

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
    from agentci_dagster.journeys import APPROVAL
    from agentci_dagster.ports import LedgerEvent

    if not reason.strip():
        raise UsageError("A decision needs a reason.", 'add --reason "…"')
    resources = open_resources(config)
    key = find_commit(resources, rev)
    who = getpass.getuser()
    event = LedgerEvent(
        id=f"approval:{uuid.uuid4()}",
        kind=APPROVAL,
        at=resources.clock.now(),
        repository=key.repository,
        sha=key.sha,
        body={"is_approved": is_approved, "by": who, "reason": reason},
    )
    resources.ledger.append(event)
    if as_json:
        print_json({"commit": str(key), "is_approved": is_approved, "by": who, "reason": reason})
    elif is_approved:
        console().print(f"{key} approved by {who}. The daemon continues it within seconds.")
    else:
        console().print(f"{key} rejected by {who}.")
