# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, BLE001, C416, C901, PERF401, PLR0911, PLR0912, S307, UP007
# mypy: ignore-errors
"""What a function wants: its parameters, what annotations and its body say of them, and how people
call it by literals.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import contextlib
import dataclasses
import enum
import inspect
import math
import re
import sys
import typing


class Known(dict):
    """A module's names; what is imported for type checkers only may be anything."""

    USUAL: typing.ClassVar = {
        "t": typing,
        "te": typing,
        "cabc": collections.abc,
        "collections": collections,
    }

    def __missing__(self, name):
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return self.USUAL.get(name, typing.Any)


def hints_of(function):
    try:
        return typing.get_type_hints(function, include_extras=False)
    except Exception:
        found = {}
        module = sys.modules.get(getattr(function, "__module__", ""), None)
        known = Known(vars(module) if module else {})
        for name, text in getattr(function, "__annotations__", {}).items():
            with contextlib.suppress(Exception):
                found[name] = eval(text, {}, known) if isinstance(text, str) else text
        return found


@dataclasses.dataclass
class Parameter:
    """`is_declared`: an annotation says which values fit, so that any of them is ordinary input."""

    name: str
    hint: object
    is_keyword_only: bool
    is_declared: bool = False


def written(parameter, text):
    return f"{parameter.name}={text}" if parameter.is_keyword_only else text


def parameters(function):
    """Required and optional parameters; None when they cannot be known."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None, []
    hints = hints_of(function)
    required, optional = [], []
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        if position == 0 and name in ("self", "cls") and inspect.isfunction(function):
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        is_keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        default = parameter.default
        hint = hints.get(name, inspect.Parameter.empty)
        is_declared = _says_which(hint)
        if default is not inspect.Parameter.empty:
            if hint is inspect.Parameter.empty and default is not None:
                hint = type(default)
            if parameter.kind is not parameter.POSITIONAL_ONLY:
                hint = typing.Any if hint is inspect.Parameter.empty else hint
                optional.append(Parameter(name, hint, True, is_declared))
        else:
            required.append(Parameter(name, hint, is_keyword_only, is_declared))
    return required, optional


def _says_which(hint):
    """Whether a hint says which values fit; "anything", "a function", "a class" say it of none."""
    if hint in (inspect.Parameter.empty, typing.Any, object) or isinstance(hint, typing.TypeVar):
        return False
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    said_by_none = (collections.abc.Callable, typing.Callable, type)
    if hint in said_by_none or origin in said_by_none:
        return False
    if origin is typing.Literal:
        return True
    return all(_says_which(a) for a in args if a is not Ellipsis)


def is_bare(hint):
    """Whether a hint names a container without saying what is in it."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return False
    if args:
        return any(is_bare(a) for a in args if a is not Ellipsis)
    bare = inspect.isclass(hint) and issubclass(hint, collections.abc.Iterable)
    return bare and not issubclass(hint, (str, bytes, bytearray, enum.Enum))


def mine(tree):
    """Literals of a function's body, with their neighbours, as source texts by kind."""
    mined = {"int": [], "float": [], "str": []}
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docs:
            continue
        value = node.value
        if type(value) is int and abs(value) < 10**15:
            mined["int"] += [str(value), str(value + 1), str(value - 1)]
        elif type(value) is float and math.isfinite(value):
            mined["float"] += [repr(value), repr(value + 0.5), repr(value - 0.5)]
        elif type(value) is str and len(value) < 60:
            mined["str"] += [repr(value), repr(value + "x"), repr("x" + value + "1")]
    return {kind: list(dict.fromkeys(values))[:24] for kind, values in mined.items()}


STRINGY = {*dir(str)} - {"index", "count"} - {n for n in dir(object)}
LISTY = {"append", "extend", "insert", "sort", "reverse", "pop"}
DICTY = {"keys", "values", "items", "get", "setdefault", "update"}


def guess(tree, name):
    """What a parameter without a hint seems to be, from how the body uses it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is(node.value, name):
            if node.attr in DICTY:
                return dict[str, int]
            if node.attr in LISTY:
                return list[int]
            if node.attr in STRINGY:
                return str
        elif isinstance(node, (ast.For, ast.comprehension)) and _is(node.iter, name):
            return list[int]
        elif isinstance(node, ast.Call) and node.args and _is(node.args[0], name):
            called = getattr(node.func, "id", "")
            if called in ("sum", "max", "min", "sorted"):
                return list[int]
            if called in ("range", "chr", "abs", "round"):
                return int
            if called in ("len", "enumerate", "list", "set", "tuple", "reversed"):
                return typing.Union[list[int], str]
        elif isinstance(node, ast.Compare) and any(
            _is(n, name) for n in (node.left, *node.comparators)
        ):
            for other in (node.left, *node.comparators):
                if isinstance(other, ast.Constant) and type(other.value) in (int, float, str):
                    return type(other.value)
        elif isinstance(node, ast.BinOp) and (_is(node.left, name) or _is(node.right, name)):
            other = node.right if _is(node.left, name) else node.left
            if isinstance(other, ast.Constant) and type(other.value) in (int, float, str):
                return type(other.value)
            if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow)):
                return float
    if re.search(
        r"^(n|i|k|num|count|size|length|index|limit|width|year|value)$|_(count|size)$", name
    ):
        return int
    if re.search(r"name|text|string|word|path|key|^s$|line|title|message", name):
        return str
    if re.search(r"items|values|list|seq|numbers|rows|iterable|^xs$", name):
        return list[int]
    return typing.Any


def _is(node, name):
    return isinstance(node, ast.Name) and node.id == name


def written_calls(name, texts):
    """Calls of a function by literals, in tests, doctests and other code, as lists of argument
    texts.
    """
    short = name.rsplit(".", 1)[-1]
    found = []
    for text in texts:
        if f"{short}(" not in text:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        rows = [
            [ast.unparse(a) for a in decorator.args[1].elts if not isinstance(a, ast.Call)]
            for decorator in ast.walk(tree)
            if isinstance(decorator, ast.Call)
            and ast.unparse(decorator.func).endswith("parametrize")
            and len(decorator.args) > 1
            and isinstance(decorator.args[1], (ast.List, ast.Tuple))
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".", 1)[-1] == short:
                found.append(
                    (
                        [ast.unparse(a) for a in node.args],
                        {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg},
                    )
                )
        for row in rows[:20]:
            for item in row[:40]:
                with contextlib.suppress(Exception):
                    value = ast.literal_eval(item)
                    parts = list(value) if isinstance(value, tuple) else [value]
                    for length in range(1, len(parts) + 1):
                        found.append(([repr(p) for p in parts[:length]], {}))
    kept = []
    for args, keywords in found[:400]:
        with contextlib.suppress(Exception):
            for text in (*args, *keywords.values()):
                ast.literal_eval(text)
            kept.append((tuple(args), tuple(sorted(keywords.items()))))
    return list(dict.fromkeys(kept))[:80]


def parameter_names(tree):
    arguments = tree.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return names[1:] if names[:1] and names[0] in ("self", "cls") else names
