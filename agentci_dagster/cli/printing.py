"""How verbs speak: to people with rich, to programs with one JSON document."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from agentci_dagster.domain.bounds import Share

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ConfigOption = Annotated[
    str, typer.Option("--config", help="The agentci.toml to use.", metavar="FILE")
]

# JSON itself escapes only what is below a space: not the 8-bit escapes of terminals, nor signs
# that turn the direction of writing, nor halves of surrogate pairs.
_INVISIBLE = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def console(*, stderr: bool = False) -> Console:
    """A console that colours only a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output, with nothing in it that a terminal would obey."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write(_INVISIBLE.sub(_escaped, text) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; text from commits is printed as it is, never as markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console().print(table)


def share_in_words(share: Share) -> str:
    """A share with its interval and counts."""
    if share.value is None or share.low is None or share.high is None:
        return "no data"
    counts = f"{share.n_hits:,} of {share.n:,}"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}; {counts})"


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
