"""The hash chain of the event log: what is hashed and how. Not where events are kept."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from agentci_dagster.domain.errors import LedgerError
from agentci_dagster.ports import LedgerEvent

GENESIS = "0" * 64
"""The hash before the first event."""


def canonical(body: Any) -> str:
    """The one JSON text of a body: sorted, no spaces, ASCII; raises LedgerError for no JSON."""
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"An event's body is not JSON: {error}.", "hand in JSON values only (dump_json helps)"
        ) from error


def instant(at: datetime) -> str:
    """The instant in UTC as text that sorts by time; raises LedgerError without a zone."""
    if at.tzinfo is None:
        raise LedgerError(f"The instant {at.isoformat()} has no time zone.", "hand in UTC")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def link(previous: str, event: LedgerEvent) -> str:
    """SHA-256 over the previous hash and the event in canonical JSON."""
    facts = {
        "id": event.id,
        "kind": event.kind,
        "at": instant(event.at),
        "repository": event.repository,
        "sha": event.sha,
        "body": event.body,
    }
    return hashlib.sha256(f"{previous}\n{canonical(facts)}".encode()).hexdigest()


def digest(text: str) -> str:
    """A short digest that makes an event's id differ when its content does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
