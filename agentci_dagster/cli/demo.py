"""`agentci demo`: the scripted commits, played through the real daemon, their fates checked."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentci_dagster.cli.exits import Exit
from agentci_dagster.cli.printing import JsonFlag, console, print_json

if TYPE_CHECKING:
    from agentci_dagster.demo.play import Played, Result
    from agentci_dagster.resources import Resources

_COLUMNS = "{number:>3}  {title:48.48}  {route:9} {ending:12} {cause:15} {seconds:5.1f} s"


def demo(
    home: Annotated[str, typer.Option("--home", help="Folder of the demo.", metavar="DIR")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Play fourteen commits of a sample service; ends with 1 when any fate is not as expected."""
    from agentci_dagster.demo.play import play, prepare, stop_services

    folder = Path(home or os.environ.get("AGENTCI_HOME", "~/.agentci/demo")).expanduser().absolute()
    out = console(stderr=True)
    resources = prepare(folder)
    out.print(f"Playing 14 commits in {folder} (real daemon, sensor and graph; 2 to 5 minutes)")
    try:
        with out.status("a sensor looks every 5 seconds") as status:

            def tell(played: Played) -> None:
                out.print(_line(played), markup=False)
                for difference in played.differences:
                    out.print(f"     DIFFERENT: {difference}", markup=False, style="red")
                status.update(f"after commit {played.step.number}")

            result = play(resources, tell)
    finally:
        stop_services(resources)
    written = _write_report(resources)
    if as_json:
        print_json(_document(result))
    else:
        _print_summary(result, folder)
        console().print(f"report: {written}", markup=False)
    raise typer.Exit(Exit.DONE if result.is_as_expected else Exit.COMMIT_FAILED)


def _write_report(resources: Resources) -> Path:
    from agentci_dagster.report.page import page

    policy = resources.settings.policy
    path = resources.settings.home / "report.html"
    outcomes, now = resources.ledger.outcomes(), resources.clock.now()
    html = page(outcomes, now, policy.trends, policy.learning)
    path.write_text(html, encoding="utf-8")
    return path


def _line(played: Played) -> str:
    outcome = played.outcome
    return _COLUMNS.format(
        number=played.step.number,
        title=played.step.title,
        route=outcome.route.value if outcome and outcome.route else "",
        ending=outcome.ending.value if outcome else "not settled",
        cause=outcome.cause.value if outcome and outcome.cause else "",
        seconds=played.seconds or 0.0,
    )


def _print_summary(result: Result, folder: Path) -> None:
    out = console()
    traffic = result.traffic
    out.print(
        f"traffic: {traffic.n_answers} answers, {traffic.n_errors} errors (the bad releases'), "
        f"{traffic.n_lost} lost"
    )
    if result.promotion:
        out.print(f"retrained: {result.promotion.reason}", markup=False)
    for difference in result.differences:
        out.print(f"DIFFERENT: {difference}", markup=False)
    good = sum(not p.differences for p in result.played)
    out.print(f"{good} of {len(result.played)} commits ended as expected")
    out.print(f"look at it: AGENTCI_HOME={folder} agentci up", markup=False)


def _document(result: Result) -> dict[str, object]:
    return {
        "is_as_expected": result.is_as_expected,
        "commits": [
            {
                "number": p.step.number,
                "title": p.step.title,
                "commit": str(p.key),
                "seconds": p.seconds,
                "outcome": asdict(p.outcome) if p.outcome else None,
                "differences": list(p.differences),
            }
            for p in result.played
        ],
        "promotion": asdict(result.promotion) if result.promotion else None,
        "traffic": asdict(result.traffic),
        "differences": list(result.differences),
    }
