"""`agentci tests`: the tests written for a commit, as files for a person. Never imports Dagster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentci_dagster.cli.commits import find_commit
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError


def hand_over(
    rev: Annotated[str, typer.Argument(help="A commit.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write them to.", metavar="DIR")],
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Write the tests that were kept for a commit, and those of its crashes, into a folder."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.generated_tests import GeneratedTests, as_files

    resources = open_resources(config)
    key = find_commit(resources, rev)
    written = resources.values.load("generated_tests", GeneratedTests, key)
    files = as_files(written)
    _write(Path(out), dict(files))
    if as_json:
        print_json({"commit": str(key), "out": out, "files": list(files), "note": written.note})
        return
    told = console()
    for name in files:
        told.print(f"{Path(out) / name}", markup=False)
    told.print(written.note, markup=False)


def _write(folder: Path, files: dict[str, str]) -> None:
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise UsageError(
            f"{folder} has {', '.join(taken[:3])} already, and nothing was written.",
            "name another folder with --out, or remove them",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The tests cannot be written to {folder}: {error.strerror or error}.",
            "name a folder that you may write to with --out",
        ) from error
