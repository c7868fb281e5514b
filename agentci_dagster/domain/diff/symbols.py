"""Which functions and classes a diff touches, from the definitions of the two versions of a file.

Python's are found here; those of other languages come from `adapters/syntax`.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from agentci_dagster.domain.diff.values import ChangedSymbol, Hunk, SymbolStatus


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class of one version of a file; lines are 1-based and inclusive, with the
    decorators and whatever else above belongs to it.
    """

    name: str
    is_class: bool
    first_line: int
    last_line: int


def changed_symbols(
    old_source: bytes | None, new_source: bytes | None, hunks: Sequence[Hunk]
) -> tuple[ChangedSymbol, ...]:
    """Functions and classes of a Python file that were added, changed or removed.

    Args:
        old_source: the file before, None when there was none.
        new_source: the file after, None when it was deleted.
        hunks: changed regions without context lines.

    Raises:
        ValueError: one of the versions is not valid Python, or is nested too deeply to be read.
    """
    return symbols_between(python_definitions(old_source), python_definitions(new_source), hunks)


def symbols_between(
    old: Sequence[Definition], new: Sequence[Definition], hunks: Sequence[Hunk]
) -> tuple[ChangedSymbol, ...]:
    """Functions and classes that were added, changed or removed, by line, removed ones last.

    Args:
        old: definitions of the file before, none when there was none.
        new: definitions of the file after, none when it was deleted.
        hunks: changed regions without context lines, in ascending order.

    Returns:
        One symbol per qualified name (`Class.method`, `outer.inner`), so overloads share one. A
        class counts as changed when anything in it did.
    """
    old_names, new_names = {d.name for d in old}, {d.name for d in new}
    before = _Spans([(h.old_start, h.old_start + h.old_lines, i) for i, h in enumerate(hunks)])
    after = _Spans([(h.new_start, h.new_start + h.new_lines, i) for i, h in enumerate(hunks)])
    hunks_of: dict[str, set[int]] = {}
    for definition, spans in chain(((d, before) for d in old), ((d, after) for d in new)):
        hunks_of.setdefault(definition.name, set()).update(spans.in_lines_of(definition))
    found: dict[str, ChangedSymbol] = {}

    def find(definition: Definition, status: SymbolStatus) -> None:
        touching = tuple(sorted(hunks_of[definition.name]))
        found.setdefault(definition.name, _symbol(definition, status, touching))

    for definition in new:
        if definition.name not in old_names:
            find(definition, SymbolStatus.ADDED)
        elif after.in_lines_of(definition):
            find(definition, SymbolStatus.CHANGED)
    for definition in new:
        # Only lines were taken away: nothing of the new file is in a hunk.
        if hunks_of[definition.name]:
            find(definition, SymbolStatus.CHANGED)
    for definition in old:
        if definition.name not in new_names:
            find(definition, SymbolStatus.REMOVED)
    return tuple(sorted(found.values(), key=_reading_order))


class _Spans:
    """Half-open spans of lines in ascending order, each with its hunk; empty ones are left out."""

    def __init__(self, spans: Sequence[tuple[int, int, int]]) -> None:
        kept = [span for span in spans if span[1] > span[0]]
        self._starts = [start for start, _, _ in kept]
        self._ends = [end for _, end, _ in kept]
        self._hunks = [hunk for _, _, hunk in kept]

    def in_lines_of(self, definition: Definition) -> list[int]:
        # Spans do not overlap, so their ends ascend too.
        first = bisect_right(self._ends, definition.first_line)
        return self._hunks[first : bisect_right(self._starts, definition.last_line)]


def python_definitions(source: bytes | None) -> tuple[Definition, ...]:
    """The functions and classes of a Python text, in order; decorators belong to what they
    decorate.

    Raises:
        ValueError: it is not valid Python, or is nested too deeply to be read.
    """
    if not source:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes: the commit's business
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"not valid Python: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("nested too deeply to be read") from error
    return tuple(_walk(tree))


def _walk(tree: ast.Module) -> Iterator[Definition]:
    # A stack of our own: hostile code may be nested deeper than we may recurse.
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = prefix + node.name
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            yield Definition(
                name, isinstance(node, ast.ClassDef), first, node.end_lineno or node.lineno
            )
            prefix = name + "."
        waiting.extend((child, prefix) for child in reversed(list(_statements(node))))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Only statements can hold definitions; expressions are not looked into."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        inner = getattr(node, field, None)
        if isinstance(inner, list):
            yield from inner


def _symbol(definition: Definition, status: SymbolStatus, hunks: tuple[int, ...]) -> ChangedSymbol:
    return ChangedSymbol(
        definition.name,
        definition.is_class,
        status,
        definition.first_line,
        definition.last_line,
        hunks,
    )


def _reading_order(symbol: ChangedSymbol) -> tuple[bool, int, str]:
    return symbol.status is SymbolStatus.REMOVED, symbol.first_line, symbol.qualified_name
