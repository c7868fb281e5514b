"""`agentci mine`: measures, and on demand labels, of a whole history, as one table in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentci_dagster.cli.printing import JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from agentci_dagster.adapters.git.mining import Checked
    from agentci_dagster.domain.history import FixLabel
    from agentci_dagster.domain.learning.mined import MinedCommit

_WRITERS = {".parquet": "to_parquet", ".csv": "to_csv"}


def mine(
    repo: Annotated[str, typer.Option("--repo", help="A git repository.", metavar="PATH")],
    out: Annotated[str, typer.Option("--out", help="A .parquet or .csv file.", metavar="FILE")],
    with_labels: Annotated[
        bool, typer.Option("--labels", help="Also which commits later fixes blame.")
    ] = False,
    check: Annotated[
        int, typer.Option("--check", help="Compare so many fixes with git blame.", min=0)
    ] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure every commit of a history as of its own moment."""
    from agentci_dagster.adapters.git import mining

    target = Path(out)
    if target.suffix not in _WRITERS:
        raise UsageError(f"{out} is neither a .parquet nor a .csv file.", "name one with --out")
    with mining.opened(Path(repo)) as (plumbing, tip):
        with console(stderr=True).status("reading the history"):
            rows = list(mining.rows(plumbing, tip))
            wants_labels = with_labels or check > 0
            fixes = list(mining.labels(plumbing, tip)) if wants_labels else []
        frame = _frame(rows, fixes if wants_labels else None)
        checked = mining.check_with_blame(plumbing, fixes, check, seed=0) if check else None
    _write(frame, target)
    _tell(frame, fixes, checked, target, as_json=as_json)


def _frame(rows: list[MinedCommit], fixes: list[FixLabel] | None) -> pd.DataFrame:
    """One line for each commit; `fixed_by` and `fixed_at_s` name the first fix that blames it."""
    from dataclasses import asdict

    import pandas as pd

    lines: list[dict[str, Any]] = [
        {"sha": r.sha, "committed_s": r.committed_s, **asdict(r.features)} for r in rows
    ]
    if fixes is not None:
        first: dict[str, FixLabel] = {}
        for fix in sorted(fixes, key=lambda fix: fix.at_s):
            for sha in fix.guilty:
                first.setdefault(sha, fix)
        for line in lines:
            by = first.get(line["sha"])
            line |= {
                "is_guilty": int(by is not None),
                "fixed_by": by.sha if by else None,
                "fixed_at_s": by.at_s if by else None,
            }
    return pd.DataFrame(lines)


def _write(frame: pd.DataFrame, target: Path) -> None:
    beside = target.with_name(f".{target.name}.new")
    try:
        getattr(frame, _WRITERS[target.suffix])(beside, index=False)
        beside.replace(target)
    except OSError as error:
        raise UsageError(
            f"The table cannot be written to {target}: {error.strerror or error}.",
            "name a file in a folder that is there with --out",
        ) from error


def _tell(
    frame: pd.DataFrame,
    fixes: list[FixLabel],
    checked: Checked | None,
    target: Path,
    *,
    as_json: bool,
) -> None:
    told: dict[str, Any] = {"out": str(target), "commits": len(frame)}
    if "is_guilty" in frame:
        told |= {"fixes": len(fixes), "guilty": int(frame["is_guilty"].sum())}
    if checked is not None:
        told |= {
            "checked_fixes": checked.n_fixes,
            "checked_lines": checked.n_lines,
            "differing_lines": len(checked.differing),
        }
    if as_json:
        print_json(told)
    else:
        words = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in list(told.items())[1:])
        console().print(f"{target} written: {words}", markup=False)
