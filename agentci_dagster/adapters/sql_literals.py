"""Finds SQL in Python source: string constants, f-strings and joined constants that are queries.

Only reads the syntax tree. Whether a query fits a schema belongs to `schema_probe.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_LENGTH = 50_000
_MAX_PARTS = 200
COMMENTS = r"(?:\s|--[^\n]*+(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/)*+"
"""Space and comments before a statement, without backtracking: the text is not to be trusted."""
# English sentences also begin with "Select" or "Delete": a query is all upper or all lower case,
# and has the second word that its kind needs.
_UPPER = re.compile(
    COMMENTS + r"(?:SELECT\b.+?\bFROM\b|INSERT\s+(?:OR\s+\w+\s+)?INTO\b|REPLACE\s+INTO\b"
    r"|UPDATE\b.+?\bSET\b|DELETE\s+FROM\b|WITH\b.+?\bAS\s*\()",
    re.DOTALL,
)
_LOWER = re.compile(_UPPER.pattern.lower(), re.DOTALL)
_CREATION = re.compile(COMMENTS + r"CREATE\s+(?:TEMP\w*\s+)?(?:TABLE|VIEW)\b", re.IGNORECASE)
_ASKING = re.compile(r"execute\w*|query\w*|fetch\w*|read_sql\w*|text|select\w*|raw|cursor|prepare")
_FORMAT = re.compile(r"%\(\w+\)s|%s")


@dataclass(frozen=True, slots=True)
class SqlLiteral:
    """A query as it stands in the source; what is only known at run time is a `?`. Lines from 1."""

    line: int
    text: str
    is_creation: bool = False


def sql_literals(source: str | None) -> tuple[SqlLiteral, ...]:
    """The queries of one Python file in the order of lines; none for a file that is not Python."""
    if source is None:
        return ()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(sorted(_literals(tree), key=lambda literal: literal.line))


def _literals(tree: ast.Module) -> Iterator[SqlLiteral]:
    docstrings, parts, arguments = _roles(tree)
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in parts:
            continue
        text = _text(node)
        if text is None or len(text) > _MAX_LENGTH:
            continue
        line = getattr(node, "lineno", 1)
        if _CREATION.match(text):
            yield SqlLiteral(line, text, is_creation=True)
        elif _is_query(text, is_asked=id(node) in arguments):
            yield SqlLiteral(line, _FORMAT.sub("?", text))


def _roles(tree: ast.Module) -> tuple[set[int], set[int], set[int]]:
    """Docstrings, parts of larger texts, and what a call that queries is given."""
    docstrings, parts, arguments = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            docstrings.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            parts |= {id(part) for part in node.values}
        elif isinstance(node, ast.BinOp) and _text(node) is not None:
            parts |= {id(node.left), id(node.right)}
        elif isinstance(node, ast.Call) and _ASKING.fullmatch(_called(node)):
            arguments |= {id(argument) for argument in node.args}
    return docstrings, parts, arguments


def _text(node: ast.AST) -> str | None:
    """The text of a constant, an f-string or constants joined by `+`; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "?" for part in node.values)
    if not isinstance(node, ast.BinOp):
        return None
    texts: list[str] = []
    left: ast.AST = node
    while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add) and len(texts) < _MAX_PARTS:
        right = None if isinstance(left.right, ast.BinOp) else _text(left.right)
        if right is None:
            return None
        texts.append(right)
        left = left.left
    first = None if isinstance(left, ast.BinOp) else _text(left)
    return None if first is None else "".join([first, *reversed(texts)])


def _is_query(text: str, *, is_asked: bool) -> bool:
    if is_asked:
        return bool(_UPPER.match(text) or _LOWER.match(text))
    return bool(_UPPER.match(text)) and text != text.upper()


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
