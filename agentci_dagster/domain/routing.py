"""The route of a commit: how much care it gets, from its risk, the guard rules and advice.

Scoring belongs to `risk.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agentci_dagster.domain.diff import CommitDiff, FileChange, FileKind, FileStatus

if TYPE_CHECKING:
    # `risk.py` builds its values on routes; only the type of the advice comes from there.
    from agentci_dagster.domain.risk import Advice


class Route(StrEnum):
    """How much care a commit gets, from least to most."""

    SKIP = "skip"
    FAST = "fast"
    STANDARD = "standard"
    GUARDED = "guarded"
    HOLD = "hold"

    @property
    def strictness(self) -> int:
        return _STRICTNESS[self]

    def is_stricter_than(self, other: Route) -> bool:
        return self.strictness > other.strictness

    def at_least(self, other: Route) -> Route:
        """The stricter of the two."""
        return max(self, other, key=lambda route: route.strictness)


_STRICTNESS = {route: n for n, route in enumerate(Route)}


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """Where the routes begin, as probabilities of failure.

    Defaults, measured with the embedded prior (base rate 0.10) on held-out commits of its public
    data, see docs/prior.md: two thirds of all commits score below `fast_below`; `guarded_from` is
    three times the base rate and asks for care with every 24th commit; `hold_from` is where a
    failure is likelier than not by a margin, which only a model with evidence of its own says.
    """

    fast_below: float = 0.10
    guarded_from: float = 0.30
    hold_from: float = 0.60
    advice_may_hold: bool = True
    """Whether advice of a language model may ask for a person; it can never relax a route."""
    promise: float = 0.95
    """Share of failing commits that must still get the full pipeline; 0 promises nothing. Once own
    outcomes can carry it, it sets the end of the fast lane instead of `fast_below`."""
    promise_confidence: float = 0.90
    """One-sided confidence of the promise: 45 own failures carry 95 % with it, and 0.95 would ask
    for 59. What bad luck is left shows in the audit sample."""
    fast_before_proof: bool = True
    """Whether `fast_below` opens the fast lane before own outcomes carry the promise. False is the
    safer reading: no fast lane by score alone until it is proved here."""

    audit_share: float = 0.05
    """Share of fast commits that get the full tests as well, after their delivery: what the fast
    lane misses is measured, not believed."""

    def __post_init__(self) -> None:
        if not 0 <= self.fast_below <= self.guarded_from <= self.hold_from <= 1:
            raise ValueError("need 0 <= fast_below <= guarded_from <= hold_from <= 1")
        if not 0 <= self.promise < 1:
            raise ValueError("promise is a fraction below 1; 0 promises nothing")
        if not 0 < self.promise_confidence < 1:
            raise ValueError("promise_confidence lies between 0 and 1")
        if not 0 <= self.audit_share <= 1:
            raise ValueError("audit_share is a fraction between 0 and 1")


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The route, and the rules that made it stricter than the score alone, in plain words."""

    route: Route
    guard_rules: tuple[str, ...] = ()


def route_of(probability: float, policy: RiskPolicy) -> Route:
    """The route that the probability of failure alone asks for.

    Raises ValueError outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"not a probability: {probability!r}")
    if probability < policy.fast_below:
        return Route.FAST
    if probability < policy.guarded_from:
        return Route.STANDARD
    return Route.GUARDED if probability < policy.hold_from else Route.HOLD


def decide_route(
    probability: float, diff: CommitDiff, advice: Advice, policy: RiskPolicy
) -> RouteDecision:
    """The care that a commit gets: its score's route, or `skip` when nothing that ships or tests
    has changed.

    Guard rules and advice can only make it stricter. The commit's own words are never read here.
    """
    route = Route.SKIP if _ships_nothing(diff) else route_of(probability, policy)
    fired = [
        rule for rule in _guard_rules(diff, advice, policy) if rule.asks.is_stricter_than(route)
    ]
    for rule in fired:
        route = route.at_least(rule.asks)
    return RouteDecision(route, tuple(f"{rule.why}: at least {rule.asks.value}" for rule in fired))


def policy_digest(policy: Any) -> str:
    """The first 12 digits of a digest over a policy's kind and numbers: same policy, same digest,
    on every machine.
    """
    text = json.dumps([type(policy).__name__, asdict(policy)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _GuardRule:
    asks: Route
    why: str


# What a wrong change of this kind breaks is not in its size: a schema, an environment, every later
# build.
_GUARDED_KINDS = {
    FileKind.MIGRATION: "changes a migration",
    FileKind.DEPENDENCY: "changes dependencies",
    FileKind.CONFIGURATION: "changes configuration",
    FileKind.CONTAINER: "changes how the image is made",
    FileKind.CI: "changes continuous integration",
}


# Words in the path of what lets people in: a wrong change there shows in no health check.
_AUTHENTICATION = frozenset(
    (
        *("auth", "auth2", "authn", "authz", "authenticate", "authentication", "authenticator"),
        *("authorization", "authorizer", "oauth", "oauth2", "oidc", "saml", "sso", "jwt"),
        *("login", "logins", "logout", "signin", "signup", "password", "passwords", "passwd"),
        *("credential", "credentials", "permission", "permissions", "acl", "rbac", "csrf"),
    )
)
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_WITHOUT_EFFECT = (FileKind.DOCS, FileKind.TEST)


def _ships_nothing(diff: CommitDiff) -> bool:
    """Documents only, or no file at all: then the tree is that of the version before.

    Never when the diff was capped or odd, or a merge brings files in.
    """
    if diff.is_capped or diff.notes or (diff.commit.is_merge and diff.files):
        return False
    return all(
        change.kind is FileKind.DOCS
        and change.status is not FileStatus.TYPE_CHANGED
        and _keeps_suffix(change)
        for change in diff.files
    )


def _keeps_suffix(change: FileChange) -> bool:
    # A module renamed to a document is a module removed.
    if change.status is not FileStatus.RENAMED or change.old_path is None:
        return True
    return _suffix(change.old_path) == _suffix(change.path)


def _suffix(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[2].lower()


def _guard_rules(diff: CommitDiff, advice: Advice, policy: RiskPolicy) -> Iterator[_GuardRule]:
    for kind, why in _GUARDED_KINDS.items():
        changes = diff.of_kind(kind)
        if changes:
            more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
            yield _GuardRule(Route.GUARDED, f"{why} ({_shown(changes[0].path)}{more})")
    doors = [f.path for f in diff.files if f.kind not in _WITHOUT_EFFECT and _lets_in(f)]
    if doors:
        more = f" and {len(doors) - 1} more" if len(doors) > 1 else ""
        yield _GuardRule(Route.GUARDED, f"changes authentication ({_shown(doors[0])}{more})")
    if diff.is_capped:
        yield _GuardRule(Route.GUARDED, "is larger than was read")
    if diff.notes:
        yield _GuardRule(Route.STANDARD, f"is odd ({_shown(diff.notes[0])})")
    if diff.commit.is_merge and not _ships_nothing(diff):
        yield _GuardRule(Route.STANDARD, f"merges {len(diff.commit.parents)} lines of history")
    if not diff.commit.parents and not _ships_nothing(diff):
        yield _GuardRule(Route.STANDARD, "is the first commit, with nothing to compare with")
    wish = advice.route
    if wish is Route.HOLD and not policy.advice_may_hold:
        wish = Route.GUARDED
    yield _GuardRule(wish, f"the language model asks for more care ({_shown(advice.source)})")


def _lets_in(change: FileChange) -> bool:
    paths = f"{change.path}/{change.old_path or ''}"
    return not _AUTHENTICATION.isdisjoint(word.lower() for word in _WORD.findall(paths))


def _shown(text: str) -> str:
    """Text from a commit for a person's eyes: one line, no control or direction signs, at most 80
    characters.
    """
    clean = "".join(c if c.isprintable() else "�" for c in text)
    return clean if len(clean) <= 80 else f"{clean[:79]}…"
