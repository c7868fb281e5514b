"""Which functions and classes of a Python file a diff touches, from the two versions of its
source.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentci_dagster.domain.diff.values import ChangedSymbol, Hunk, SymbolStatus


@dataclass(frozen=True, slots=True)
class _Definition:
    name: str
    is_class: bool
    first_line: int
    last_line: int


def changed_symbols(
    old_source: bytes | None, new_source: bytes | None, hunks: Sequence[Hunk]
) -> tuple[ChangedSymbol, ...]:
    """Functions and classes that were added, changed or removed, by line; decorators belong to
    what they decorate.

    Args:
        old_source: the file before, None when there was none.
        new_source: the file after, None when it was deleted.
        hunks: changed regions without context lines.

    Returns:
        One symbol per qualified name (`Class.method`, `outer.inner`). A class counts as changed
        when anything in it did.

    Raises:
        ValueError: one of the versions is not valid Python, or is nested too deeply to be read.
    """
    old, new = _definitions(old_source), _definitions(new_source)
    old_names, new_names = {d.name for d in old}, {d.name for d in new}
    old_lines = [(h.old_start, h.old_start + h.old_lines) for h in hunks if h.old_lines]
    new_lines = [(h.new_start, h.new_start + h.new_lines) for h in hunks if h.new_lines]
    lost_lines_in = {d.name for d in _touched(old, old_lines)}
    touched = {(d.name, d.first_line) for d in _touched(new, new_lines)}
    found: dict[str, ChangedSymbol] = {}
    for definition in new:
        if definition.name not in old_names:
            status = SymbolStatus.ADDED
        elif (definition.name, definition.first_line) in touched:
            status = SymbolStatus.CHANGED
        else:
            continue
        found.setdefault(definition.name, _symbol(definition, status))
    for definition in new:
        # Only lines were taken away: nothing of the new file is in a hunk.
        if definition.name in lost_lines_in:
            found.setdefault(definition.name, _symbol(definition, SymbolStatus.CHANGED))
    for definition in old:
        if definition.name not in new_names:
            found.setdefault(definition.name, _symbol(definition, SymbolStatus.REMOVED))
    return tuple(sorted(found.values(), key=_reading_order))


def _definitions(source: bytes | None) -> list[_Definition]:
    if not source:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes: the commit's business
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"not valid Python: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("nested too deeply to be read") from error
    return list(_walk(tree))


def _walk(tree: ast.Module) -> Iterator[_Definition]:
    # A stack of our own: hostile code may be nested deeper than we may recurse.
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = prefix + node.name
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            yield _Definition(
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


def _touched(
    definitions: Iterable[_Definition], spans: Sequence[tuple[int, int]]
) -> Iterator[_Definition]:
    """Definitions that share a line with one of the half-open spans, which are in ascending
    order.
    """
    starts = [start for start, _ in spans]
    for definition in definitions:
        at = bisect_right(starts, definition.last_line)
        # Spans do not overlap, so the last one that begins in or before the definition ends the
        # latest.
        if at and spans[at - 1][1] > definition.first_line:
            yield definition


def _symbol(definition: _Definition, status: SymbolStatus) -> ChangedSymbol:
    return ChangedSymbol(
        definition.name, definition.is_class, status, definition.first_line, definition.last_line
    )


def _reading_order(symbol: ChangedSymbol) -> tuple[bool, int, str]:
    return symbol.status is SymbolStatus.REMOVED, symbol.first_line, symbol.qualified_name
