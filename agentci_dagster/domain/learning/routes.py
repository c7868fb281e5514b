"""What the routes of a policy would have done with past commits: the routing table.

Choosing where the routes begin belongs to `domain/routing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentci_dagster.domain.routing import RiskPolicy, Route, route_of


@dataclass(frozen=True, slots=True)
class RouteShare:
    """One route's part of the past, as fractions; None where nothing failed."""

    route: Route
    n_commits: int
    n_failures: int
    share_of_commits: float
    share_of_failures: float | None


def routing_table(
    probabilities: Sequence[float], labels: Sequence[int], policy: RiskPolicy
) -> tuple[RouteShare, ...]:
    """The routes that scores alone ask for, guard rules left out; empty without commits."""
    if not labels:
        return ()
    routes = [route_of(p, policy) for p in probabilities]
    n_failures = sum(labels)
    table = []
    for route in (Route.FAST, Route.STANDARD, Route.GUARDED, Route.HOLD):
        mine = [label for r, label in zip(routes, labels, strict=True) if r is route]
        share = sum(mine) / n_failures if n_failures else None
        table.append(RouteShare(route, len(mine), sum(mine), len(mine) / len(labels), share))
    return tuple(table)
