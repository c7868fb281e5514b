"""Which requests the UI answers, as plain rules on plain values.

Dagster's own server executes a mutation that comes as a GET, with any Host and any Origin, and
takes a body of type `text/plain; application/json` for JSON: any web page that somebody visits
could deploy. The rules follow OWASP's "Cross-Site Request Forgery Prevention" (verifying the
origin, Fetch Metadata, a content type that needs a preflight) and refuse names that are not ours,
against DNS rebinding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

GRAPHQL = "/graphql"


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the UI answers to. Names are lower-case, without ports; IPv6 without brackets."""

    names: frozenset[str] = LOOPBACK_NAMES
    is_read_only: bool = False
    max_body_bytes: int = 20 * 1024 * 1024
    """A run configuration of 10 MB is the largest that anybody has been seen to send."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without its body. Header names are lower-case; those that came twice have their
    values joined by a comma, as HTTP has it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"
    is_socket: bool = False

    def header(self, name: str) -> str:
        return self.headers.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: status of HTTP, and a sentence for people."""

    status: int
    words: str


def refusal(asked: Asked, policy: GuardPolicy) -> Refusal | None:
    """Why the request may not reach Dagster; None when it may."""
    return (
        _of_name(asked, policy)
        or _of_method(asked)
        or _of_origin(asked)
        or _of_form(asked)
        or _of_read_only(asked, policy)
    )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def mutates(query: object) -> bool:
    """Whether a GraphQL text holds a mutation, or cannot be read."""
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    if not isinstance(query, str):
        return True
    try:
        document = parse(query)
    except (GraphQLError, RecursionError):
        return True
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return any(o.operation is OperationType.MUTATION for o in operations)


def name_of(host: str) -> str:
    """The name in a Host header, without port and brackets; empty when it is none."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or "]" in port:
        name = host.strip().lower()
    elif not port.isdigit():
        return ""
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    return "" if set(name) & set(":,/@ []") else name


def _of_name(asked: Asked, policy: GuardPolicy) -> Refusal | None:
    name = name_of(asked.header("host"))
    if name in policy.names:
        return None
    return Refusal(
        421,
        "This UI does not answer to that name. "
        "Next: add the name to trusted_hosts in [ui] of agentci.toml.",
    )


def _of_method(asked: Asked) -> Refusal | None:
    if asked.is_socket or asked.method in {"GET", "HEAD", "POST"}:
        return None
    return Refusal(405, f"{asked.method[:20]} is not used here.")


def _of_origin(asked: Asked) -> Refusal | None:
    """Browsers name the page that asks; programs do not, and carry nobody's rights."""
    if not (asked.is_socket or asked.method == "POST" or _is_graphql(asked)):
        return None
    site = asked.header("sec-fetch-site")
    origin = asked.header("origin").lower()
    is_ours = origin in {f"{scheme}://{asked.header('host').lower()}" for scheme in _schemes(asked)}
    if site in {"", "same-origin", "none"} and (not origin or is_ours):
        return None
    return Refusal(403, "This was asked by a page of another site.")


def _schemes(asked: Asked) -> set[str]:
    # Behind a proxy that ends TLS we are asked by http while the page came by https.
    return {"http", "https"} if asked.scheme in {"http", "ws"} else {"https"}


def _of_form(asked: Asked) -> Refusal | None:
    if asked.is_socket:
        return None
    if asked.method == "POST":
        form = asked.header("content-type").partition(";")[0].strip().lower()
        if form != "application/json":
            return Refusal(415, "Send it as application/json.")
    elif _is_graphql(asked) and "text/html" not in asked.header("accept"):
        # What asks for HTML gets the page of the query editor, and nothing is executed.
        return Refusal(405, "Queries are taken by POST as application/json only.")
    return None


def _of_read_only(asked: Asked, policy: GuardPolicy) -> Refusal | None:
    is_report = asked.method == "POST" and not _is_graphql(asked)
    if policy.is_read_only and is_report and not asked.is_socket:
        return READ_ONLY
    return None


def _is_graphql(asked: Asked) -> bool:
    return asked.path.rstrip("/") == GRAPHQL


READ_ONLY = Refusal(403, "This UI is read-only. Next: agentci up without --read-only.")
