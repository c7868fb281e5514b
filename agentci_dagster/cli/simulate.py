"""`agentci simulate`: past commits played through a policy in virtual time.

Never imports Dagster.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentci_dagster.cli.printing import (
    ConfigOption,
    JsonFlag,
    console,
    print_json,
    print_table,
    share_in_words,
)
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentci_dagster.domain.routing import RiskPolicy
    from agentci_dagster.domain.simulate import PastCommit, Replay


def simulate(  # noqa: PLR0913, PLR0917 - one option for each question
    repo: Annotated[str, typer.Option("--repo", help="A path or git address.")] = "",
    data: Annotated[str, typer.Option("--data", help="A Parquet file of past commits.")] = "",
    last: Annotated[int, typer.Option("--last", min=1, help="Commits of the history.")] = 500,
    fast_below: Annotated[
        float | None, typer.Option("--fast-below", help="What if the fast lane ended here.")
    ] = None,
    promise: Annotated[
        float | None, typer.Option("--promise", help="What if this share were promised; 0: none.")
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=64, help="What if so many commits shared a run.")
    ] = 1,
    batch_risk: Annotated[
        float | None, typer.Option("--batch-risk", min=0, help="Summed risk that fills a batch.")
    ] = None,
    run_s: Annotated[float, typer.Option("--run-s", min=0, help="Seconds of a full run.")] = 600,
    runners: Annotated[int, typer.Option("--runners", min=1, help="Full runs at a time.")] = 1,
    patience_s: Annotated[
        float, typer.Option("--patience-s", min=0, help="Longest wait for a batch to fill.")
    ] = 1800,
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Say what a policy would have saved on past commits, and which failures it would have missed.

    Plays them through the policy as it is set, and through the one that the options ask about.
    """
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.batches import BatchPolicy
    from agentci_dagster.domain.simulate import WhatIf, replay

    policy = open_resources(config).settings.policy.risk
    commits = _commits(repo, data, last, config)
    as_set = WhatIf(
        risk=policy,
        run_s=run_s,
        n_runners=runners,
        patience_s=patience_s,
        told_of=last if repo else None,
    )
    risk = _changed(policy, fast_below=fast_below, promise=promise)
    limits = BatchPolicy() if batch_risk is None else BatchPolicy(most_risk=batch_risk)
    asked = replace(as_set, risk=risk, batches=replace(limits, most_commits=batch))
    played = {"as set": replay(commits, as_set)}
    if asked != replace(as_set, batches=replace(limits, most_commits=1)):
        played["what if"] = replay(commits, asked)
    if as_json:
        print_json({name.replace(" ", "_"): asdict(result) for name, result in played.items()})
        return
    _show(played)


def _commits(repo: str, data: str, last: int, config: str) -> list[PastCommit]:
    from agentci_dagster.adapters.past_commits import Policies, from_history, from_table
    from agentci_dagster.cli.run import resources_for

    if bool(repo) == bool(data):
        raise UsageError("Either --repo or --data is needed.", "agentci simulate --repo .")
    if data:
        return from_table(Path(data))
    resources, name = resources_for(repo, config)
    mirror = resources.mirrors.of(name)
    mirror.refresh()
    policy = resources.settings.policy
    with console(stderr=True).status("reading the whole history") as status:

        def tell(n: int, n_all: int) -> None:
            status.update(f"reading {n} of the last {n_all} commits")

        commits = resources.histories.mined(name)
        return from_history(commits, mirror, last, Policies(policy.risk, policy.learning), tell)


def _changed(policy: RiskPolicy, *, fast_below: float | None, promise: float | None) -> RiskPolicy:
    changes: dict[str, Any] = {}
    if fast_below is not None:
        # A number is asked about, so no promise may move it.
        changes |= {"fast_below": fast_below, "promise": 0.0}
        changes["guarded_from"] = max(policy.guarded_from, fast_below)
        changes["hold_from"] = max(policy.hold_from, fast_below)
    if promise is not None:
        changes["promise"] = promise
    try:
        return replace(policy, **changes)
    except ValueError as error:
        raise UsageError(f"No such policy: {error}.", "agentci simulate --help") from error


def _show(played: dict[str, Replay]) -> None:
    rows = [(name, *(say(result) for result in played.values())) for name, say in _LINES.items()]
    print_table("Played in virtual time", ("", *played), rows)
    if not next(iter(played.values())).n_failures:
        console().print("No commit is known to have failed: nothing to say of what is missed.")


def _minutes(seconds: float | None) -> str:
    return "none waited" if seconds is None else f"{seconds / 60:.1f} min"


_LINES: dict[str, Callable[[Replay], str]] = {
    "commits": lambda r: f"{r.n_commits:,}",
    "failed": lambda r: f"{r.n_failures:,}",
    "nothing that ships": lambda r: f"{r.n_skipped:,}",
    "fast lane": lambda r: share_in_words(r.fast),
    "failing commits with the full pipeline": lambda r: share_in_words(r.caught),
    "the same, worst tenth of repositories": lambda r: (
        "no data" if r.worst_tenth_caught is None else f"{r.worst_tenth_caught:.1%}"
    ),
    "full runs": lambda r: f"{r.n_full_runs:,}",
    "full runs avoided": lambda r: "no data" if r.work_saved is None else f"{r.work_saved:.1%}",
    "wait for a verdict, median": lambda r: _minutes(r.waits.median_s),
    "wait for a verdict, 90th percentile": lambda r: _minutes(r.waits.p90_s),
    "audited, of them failing": lambda r: f"{r.n_audited:,}, {r.n_audited_failing:,}",
    "fast lane ends below": lambda r: f"{r.fast_below:.3f}",
}
