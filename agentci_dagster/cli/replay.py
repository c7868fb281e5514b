"""`agentci replay`: recorded decisions made again and compared. Never imports Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentci_dagster.cli.exits import Exit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentci_dagster.domain.features import CommitFeatures
    from agentci_dagster.domain.replay import Replayed
    from agentci_dagster.domain.risk import Scored
    from agentci_dagster.resources import Resources


def replay(
    repository: Annotated[str, typer.Option("--repository", help="Only this one.")] = "",
    last: Annotated[int, typer.Option("--last", min=1, help="Newest settled commits.")] = 1_000,
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Make recorded routes and outcomes again; ends with 1 when any came out differently."""
    from agentci_dagster.adapters.json_values import dump_json
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    same: list[Replayed] = []
    different: list[Replayed] = []
    untried: list[Replayed] = []
    for made in _again(resources, repository, last):
        if made.now is None:
            untried.append(made)
        else:
            (same if dump_json(made.now) == dump_json(made.was) else different).append(made)
    if as_json:
        print_json(
            {
                "same": len(same),
                "different": [_told(made) for made in different],
                "not_replayed": [_told(made) for made in untried],
            }
        )
    else:
        out = console()
        for made in different:
            out.print(f"DIFFERENT {made.decision} of {made.key}", markup=False)
        for made in untried:
            out.print(f"not replayed: {made.decision} of {made.key}: {made.why_not}", markup=False)
        out.print(
            f"{len(same)} decisions came out the same, {len(different)} differently, "
            f"{len(untried)} could not be made again",
            markup=False,
        )
    raise typer.Exit(Exit.COMMIT_FAILED if different else Exit.DONE)


def _again(resources: Resources, repository: str, last: int) -> Iterator[Replayed]:
    from agentci_dagster.domain.replay import replay_outcome, replay_route

    outcomes = resources.ledger.outcomes(repository=repository or None, newest=last)
    for outcome in outcomes:
        known = resources.journeys.known(
            outcome.key, run_id=outcome.run_id, branch=outcome.branch, as_of=outcome.settled_at
        )
        score = _model(resources, known.risk.model_version) if known.risk else None
        route = replay_route(known, score)
        if route is not None:
            yield route
        yield replay_outcome(known, outcome)


def _model(resources: Resources, version: str) -> Callable[[CommitFeatures, str], Scored] | None:
    from agentci_dagster.domain.errors import AgentCIError

    try:
        return resources.models.load(version).score
    except AgentCIError:
        return None


def _told(made: Replayed) -> dict[str, Any]:
    return {
        "commit": str(made.key),
        "decision": made.decision.value,
        "why_not": made.why_not or None,
    }
