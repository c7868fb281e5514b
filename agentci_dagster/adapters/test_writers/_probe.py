# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN002, ANN202, ANN204, ARG001, B905, BLE001, C416
# ruff: noqa: C901, ICN001, N818, PERF401, PLR0911, PLR0912, PTH123
# ruff: noqa: RUF005, S102, S307, UP007
# mypy: ignore-errors
"""Calls changed functions with many inputs inside the sandbox and writes down what came out.
Imports nothing of ours.

Inputs are kept as source text and evaluated anew for each call, so that no call sees what an
earlier one did to them.
First simple boundary inputs, then what tests, doctests and literals in the code suggest, then
Hypothesis.
What it writes is read as hostile by `offline.py`: code of the commit runs in this very process.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import contextlib
import dataclasses
import datetime
import decimal
import doctest
import enum
import fractions
import importlib
import inspect
import io
import itertools
import json
import math
import os
import random
import re
import signal
import sys
import time
import types
import typing
import uuid

MAX_SOURCE = 400
ADDRESS = re.compile(r"\d{12,}|0x[0-9a-f]{6,}")
"""What looks like a place in memory is another one in the next process."""
MAX_CASES = 8
CALL_S = 0.5
CRASHES = (
    *(ZeroDivisionError, IndexError, KeyError, UnboundLocalError, NameError, AttributeError),
    *(RecursionError, TypeError),
)
PRECONDITION = re.compile(
    r"non-?\s?empty|must (be|not|have|contain)|assum|at least one|precondition|caller",
    re.IGNORECASE,
)
STATE = {"folder": "", "module": None}


class TooLong(BaseException):
    """A call that took more than its time."""


# ---------------------------------------------------------------- values as source text


LOOKED_UP = (ast.Name, ast.Attribute, ast.Dict, ast.List, ast.Tuple, ast.Call)


class NoSource(Exception):
    """A value that cannot be written down."""


def to_source(value, imports, depth=0):
    """An expression that makes an equal value; names that it needs are added to `imports`."""
    kind = type(value)
    if depth > 4:
        raise NoSource
    if value is None or kind in (bool, int, str, bytes):
        text = repr(value)
    elif kind is float:
        if not math.isfinite(value):
            raise NoSource
        text = repr(value)
    elif kind in (list, tuple, set, frozenset):
        text = _sequence(value, kind, imports, depth)
    elif kind is dict:
        pairs = (
            f"{to_source(k, imports, depth + 1)}: {to_source(v, imports, depth + 1)}"
            for k, v in value.items()
        )
        text = "{" + ", ".join(pairs) + "}"
    elif isinstance(value, enum.Enum) and value.name and kind.__qualname__ == kind.__name__:
        text = f"{_imported(kind, imports)}.{value.name}"
    elif kind in (decimal.Decimal, fractions.Fraction, complex):
        if kind is not complex:
            imports.add(f"from {kind.__module__.lstrip('_')} import {kind.__name__}")
        text = repr(value)
    elif kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta):
        imports.add("import datetime")
        text = repr(value)
    elif kind is uuid.UUID:
        imports.add("from uuid import UUID")
        text = repr(value)
    elif dataclasses.is_dataclass(value) and kind.__eq__ is not object.__eq__:
        fields = [f for f in dataclasses.fields(value) if f.init]
        inner = (
            f"{f.name}={to_source(getattr(value, f.name), imports, depth + 1)}" for f in fields
        )
        text = f"{_imported(kind, imports)}({', '.join(inner)})"
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        inner = (to_source(v, imports, depth + 1) for v in value)
        text = f"{_imported(kind, imports)}({', '.join(inner)})"
    else:
        raise NoSource
    if len(text) > MAX_SOURCE or "\n" in text:
        raise NoSource
    return text


def _sequence(value, kind, imports, depth):
    if len(value) > 40:
        raise NoSource
    items = [to_source(v, imports, depth + 1) for v in value]
    if kind in (set, frozenset):
        items.sort()
        inner = "{" + ", ".join(items) + "}" if items else "set()"
        return f"frozenset({inner if items else ''})" if kind is frozenset else inner
    if kind is tuple:
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    return f"[{', '.join(items)}]"


def _imported(kind, imports):
    """Import a class by its module; only classes that are found there under their name."""
    if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
        raise NoSource
    if kind.__module__ != "builtins":
        imports.add(f"from {kind.__module__} import {kind.__name__}")
    return kind.__name__


def namespace(imports):
    names = {}
    for line in imports:
        exec(line, names)
    return names


# ---------------------------------------------------------------- inputs for a type

INTS = ["0", "1", "-1", "2", "3", "10", "7", "100", "-5"]
FLOATS = ["0.0", "1.0", "-1.0", "0.5", "2.5", "-1.25", "100.0", "3"]
TEXTS = [
    "''",
    "'a'",
    "'abc'",
    "'A b'",
    "'1'",
    "'hello world'",
    "'a,b'",
    "'-2.5'",
    "' x '",
    "'a\\nb'",
]
BYTES = ["b''", "b'a'", "b'abc'"]
ANY = ["0", "1", "'a'", "''", "[]", "[1, 2]", "None", "1.5", "{}", "{'a': 1}", "True", "['b', 'a']"]


RICH = [
    *("'abc'", "''", "b'abc'", "[1, 2]", "['a', 'b']", "[]", "{'a': 1}", "{}", "(1, 2)", "{1, 2}"),
    *(
        "[('a', 1), ('b', 2)]",
        "{'a': [1, 2]}",
        "io.StringIO('a\\nb\\n')",
        "io.BytesIO(b'a\\nb\\n')",
    ),
    *("iter([1, 2])", "(lambda *a, **k: None)", "(lambda *a, **k: a)", "len", "str", "1.5", "2"),
]
"""Values with many abilities, for what an exception says is lacking."""


def _rich():
    return [(text, eval(text, {"io": io})) for text in RICH]


class Inputs:
    """Source texts for one function's arguments, simple ones first."""

    def __init__(self, mined, made=None):
        self.mined = mined
        self.made = made or {}
        self.imports = set()
        self.doubtful = set()
        self.stateful = set()

    def pool(self, hint, depth=0):
        """Expressions of a type; an empty list when none is known."""
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if depth > 3:
            return []
        if hint in (None, type(None)):
            return ["None"]
        if origin in (typing.Union, types.UnionType):
            return _round([self.pool(a, depth) for a in args])
        if origin is typing.Literal:
            return [repr(a) for a in args]
        if origin in (typing.Annotated, typing.Final, typing.ClassVar):
            return self.pool(args[0], depth)
        if isinstance(hint, typing.TypeVar):
            bound = hint.__constraints__ or ((hint.__bound__,) if hint.__bound__ else (int,))
            return self.pool(bound[0], depth)
        if hint in (typing.Any, object, inspect.Parameter.empty):
            self.imports.add("import io")
            literals = self.mined.get("int", []) + self.mined.get("str", [])
            return list(dict.fromkeys([*ANY, *RICH, *literals]))
        if isinstance(hint, type) and typing.is_typeddict(hint):
            return self.typed_dicts(hint, depth)
        plain = self.plain(origin or hint)
        if plain is not None:
            return plain
        return self.containers(origin or hint, args, depth) or self.objects(origin or hint, depth)

    def plain(self, kind):
        table = {
            int: INTS + self.mined.get("int", []),
            float: FLOATS + self.mined.get("float", []) + self.mined.get("int", []),
            str: TEXTS + self.mined.get("str", []),
            bytes: BYTES,
            bytearray: [f"bytearray({b})" for b in BYTES],
            bool: ["False", "True"],
            complex: ["0j", "(1+2j)"],
            type: ["int", "str"],
        }
        with contextlib.suppress(TypeError):
            if kind in table:
                return list(dict.fromkeys(table[kind]))
        standard = {
            decimal.Decimal: ("Decimal", ["Decimal('0')", "Decimal('1.5')", "Decimal('-2')"]),
            fractions.Fraction: ("Fraction", ["Fraction(0, 1)", "Fraction(1, 3)"]),
            uuid.UUID: ("UUID", [f"UUID({str(uuid.UUID(int=1))!r})"]),
        }
        with contextlib.suppress(TypeError):
            if kind in standard:
                name, texts = standard[kind]
                self.imports.add(f"from {kind.__module__} import {name}")
                return texts
        moments = {
            datetime.datetime: [
                "datetime.datetime(2024, 2, 29, 12, 30)",
                "datetime.datetime(1970, 1, 1)",
            ],
            datetime.date: ["datetime.date(2024, 2, 29)", "datetime.date(1999, 12, 31)"],
            datetime.timedelta: [
                *("datetime.timedelta(0)", "datetime.timedelta(days=1)"),
                *("datetime.timedelta(seconds=-90)", "datetime.timedelta(days=400, seconds=5)"),
            ],
            datetime.time: ["datetime.time(0, 0)", "datetime.time(23, 59, 59)"],
        }
        with contextlib.suppress(TypeError):
            if kind in moments:
                self.imports.add("import datetime")
                return moments[kind]
        if kind is not None and getattr(kind, "__module__", "") == "pathlib":
            self.imports.add("from pathlib import PurePosixPath")
            return ["PurePosixPath('a/b.txt')", "PurePosixPath('.')"]
        if kind is re.Pattern:
            self.imports.add("import re")
            return ["re.compile('a+')"]
        return None

    def containers(self, kind, args, depth):
        abc = collections.abc
        item = args[0] if args else int
        if kind in (list, abc.Sequence, abc.Iterable, abc.Collection, abc.MutableSequence):
            return [f"[{i}]" for i in self.rows(item, depth)]
        if kind in (abc.Iterator, abc.Generator):
            return [f"iter([{i}])" for i in self.rows(item, depth)]
        if kind in (set, frozenset, abc.Set, abc.MutableSet):
            rows = ["{" + i + "}" if i else "set()" for i in self.rows(item, depth)]
            return [f"frozenset({r})" for r in rows] if kind is frozenset else rows
        if kind is tuple:
            if len(args) == 2 and args[1] is Ellipsis:
                return [f"({i},)" if i else "()" for i in self.rows(item, depth)]
            return [f"({', '.join(c)},)" for c in _some([self.pool(a, depth + 1) for a in args])]
        if kind in (dict, abc.Mapping, abc.MutableMapping, collections.defaultdict):
            keys, values = (
                self.pool(a, depth + 1) for a in (args if len(args) == 2 else (str, int))
            )
            if not keys or not values:
                return ["{}"]
            pairs = [f"{k}: {values[n % len(values)]}" for n, k in enumerate(keys[:6], 1)]
            return [
                "{}",
                "{" + pairs[0] + "}",
                "{" + ", ".join(pairs[:3]) + "}",
                "{" + ", ".join(pairs) + "}",
            ]
        if kind in (abc.Callable, typing.Callable):
            return ["(lambda *a, **k: a[0] if a else None)", "(lambda *a, **k: True)"]
        if kind in (typing.IO, typing.TextIO, io.StringIO, io.TextIOBase):
            self.imports.add("import io")
            return ["io.StringIO('')", "io.StringIO('a\\nb\\n')"]
        if kind in (typing.BinaryIO, io.BytesIO, io.RawIOBase, io.BufferedIOBase):
            self.imports.add("import io")
            return ["io.BytesIO(b'')", "io.BytesIO(b'a\\nb\\n')"]
        return []

    def rows(self, item, depth):
        """Insides of containers: empty, one item, several in and out of order, doubles."""
        items = self.pool(item, depth + 1)
        if not items:
            return [""]
        rows = [
            "",
            *items[:4],
            ", ".join(items[1:3]),
            ", ".join(items[:5]),
            ", ".join(items[4:0:-1]),
        ]
        rows += [f"{items[-1]}, {items[-1]}", ", ".join(items[-3:])]
        return list(dict.fromkeys(rows))

    def typed_dicts(self, hint, depth):
        hints = typing.get_type_hints(hint)
        made = _some([self.pool(h, depth + 1) for h in hints.values()])
        return ["{" + ", ".join(f"{k!r}: {v}" for k, v in zip(hints, c)) + "}" for c in made]

    def objects(self, kind, depth):
        """Members of enums and instances of classes: by a constructor that can be given arguments
        by type, and as people make them.
        """
        own = self.by_constructor(kind, depth)
        people = self.as_people_make(kind) if depth < 2 else []
        return list(dict.fromkeys([*own[:2], *people, *own[2:]]))

    def as_people_make(self, kind):
        """Expressions of tests and doctests that make such an object."""
        texts = []
        for call in self.made.get(getattr(kind, "__name__", ""), [])[:8]:
            with contextlib.suppress(BaseException):
                if isinstance(eval(call.text, namespace(call.imports)), kind):
                    self.imports.update(call.imports)
                    self.stateful.add(call.text)
                    texts.append(call.text)
        return texts

    def by_constructor(self, kind, depth):
        # Classes of `typing` describe objects; what calling one gives is none.
        if not isinstance(kind, type) or kind.__module__ == "typing":
            return []
        try:
            name = _imported(kind, self.imports)
        except NoSource:
            return []
        if issubclass(kind, enum.Enum):
            return [f"{name}.{member}" for member in list(kind.__members__)[:8]]
        if inspect.isabstract(kind) or getattr(kind, "_is_protocol", False):
            return []
        required, optional = parameters(kind.__init__ if "__init__" in vars(kind) else kind)
        if required is None:
            return []
        pools = [self.pool(p.hint, depth + 1) for p in required]
        if not all(pools):
            return []
        made = [f"{name}({', '.join(map(written, required, c))})" for c in _some(pools)]
        if not all(p.is_declared for p in required):
            self.doubtful.update(made)
        if not dataclasses.is_dataclass(kind) and not hasattr(kind, "_fields"):
            self.stateful.update(made)
        varied = []
        for parameter in optional[:4]:
            if made and parameter.hint is not typing.Any:
                values = self.pool(parameter.hint, depth + 1)[:3]
                changed = [_with(made[0], parameter.name, value) for value in values]
                varied += changed
                self.stateful.update(changed if made[0] in self.stateful else ())
                self.doubtful.update(() if parameter.is_declared else changed)
        return list(dict.fromkeys([*made[:2], *varied, *made[2:]]))


def _some(pools):
    return itertools.islice(_combinations(pools), 12) if all(pools) else []


def _with(call, parameter, value):
    glue = "" if call.endswith("()") else ", "
    return f"{call[:-1]}{glue}{parameter}={value})"


def _round(pools):
    """The first of each, the second of each, and so on."""
    mixed = itertools.zip_longest(*pools)
    return list(dict.fromkeys(v for row in mixed for v in row if v is not None))


def _combinations(pools):
    """The pools side by side, each from its beginning at its own pace, then single changes of
    the first.
    """
    if not pools:
        yield ()
        return
    seen = set()
    longest = max(map(len, pools))
    first = tuple(p[0] for p in pools)
    ordinary = tuple(p[min(1, len(p) - 1)] for p in pools)
    shifted = (
        tuple(p[(n * (i + 1)) % len(p)] for i, p in enumerate(pools)) for n in range(longest)
    )
    level = (tuple(p[n % len(p)] for p in pools) for n in range(longest))
    single = (
        base[:i] + (v,) + base[i + 1 :]
        for base in (first, ordinary)
        for i, p in enumerate(pools)
        for v in p
    )
    for row in itertools.chain([first, ordinary], level, single, shifted):
        if row not in seen:
            seen.add(row)
            yield row


# ---------------------------------------------------------------- what a function wants


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


def _is_bare(hint):
    """Whether a hint names a container without saying what is in it."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return False
    if args:
        return any(_is_bare(a) for a in args if a is not Ellipsis)
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


# ---------------------------------------------------------------- one call


@dataclasses.dataclass
class Seen:
    """One call and all that came out of it."""

    call: str
    imports: tuple
    value: object = None
    error: object = None
    frames: tuple = ()
    trail: frozenset = frozenset()
    changed: tuple = ()
    is_ordinary: bool = False
    looked_at: str = "value"
    was_generator: bool = False


class Function:
    """A target as it was found in its module."""

    def __init__(self, spec, module):
        self.spec = spec
        self.module = module
        self.file = os.path.realpath(module.__file__)
        owner, found = None, module
        for part in spec["qualified_name"].split("."):
            # A class may have taken it away again; then it is reached through others only.
            owner, found = found, inspect.getattr_static(found, part, None)
        self.owner = owner if isinstance(owner, type) else None
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
        if isinstance(found, property):
            found = found.fget
        elif spec["shape"] == "property":
            found = getattr(found, "func", found)
        self.raw = inspect.unwrap(found) if callable(found) else found
        with open(self.file, encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.splitlines()
        nodes = [
            n
            for n in ast.walk(ast.parse(self.text))
            if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
            and n.lineno == spec["first_line"]
        ]
        self.tree = nodes[0]
        self.code = self.own_code()
        self.doc = ast.get_docstring(self.tree) or ""
        # A code object begins at its first decorator.
        self.first = min([self.tree.lineno, *(d.lineno for d in self.tree.decorator_list)])

    def own_code(self):
        """The function's code as the file has it, whatever decorators made of it."""
        waiting = [compile(self.text, self.file, "exec", dont_inherit=True)]
        lines = (
            self.tree.lineno,
            min([self.tree.lineno, *(d.lineno for d in self.tree.decorator_list)]),
        )
        while waiting:
            code = waiting.pop()
            if code.co_name == self.tree.name and code.co_firstlineno in lines:
                return code
            waiting += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        return None

    def is_inside(self, file, line):
        return self.first <= line <= self.spec["last_line"] and self.same(file)

    def same(self, file):
        return file == self.file or os.path.realpath(file) == self.file


def observe(function, call, imports, changeable=(), is_ordinary=False):
    """Evaluate a call, with a time limit, and follow the lines of the function that it runs."""
    seen = Seen(call, tuple(sorted(imports)), is_ordinary=is_ordinary)
    names = namespace(imports)
    trail = set()
    known = {}

    def follow(frame, event, _):
        code = frame.f_code
        inside = known.get(code)
        if inside is None:
            inside = known[code] = function.is_inside(code.co_filename, code.co_firstlineno)
        if not inside:
            return None
        last = [0]

        def step(frame, event, _):
            if event == "line":
                trail.add(frame.f_lineno)
                trail.add((last[0], frame.f_lineno))
                last[0] = frame.f_lineno
            return step

        return step

    for name, text in changeable:
        names[name] = eval(text, names)
    signal.setitimer(signal.ITIMER_REAL, CALL_S)
    sys.settrace(follow)
    try:
        seen.value = eval(compile(call, "<call>", "eval"), names)
        if isinstance(seen.value, types.GeneratorType):
            seen.value = list(itertools.islice(seen.value, 30))
            seen.was_generator = True
    except BaseException as e:
        seen.error = e
    finally:
        sys.settrace(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
    seen.trail = frozenset(trail)
    seen.changed = tuple((name, text, names[name]) for name, text in changeable)
    if seen.error is not None:
        seen.frames = frames(seen.error)
    return seen


def frames(error):
    found, trace = [], error.__traceback__
    while trace is not None and len(found) < 2000:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return tuple(found)


def _alarm(_signal, _frame):
    raise TooLong


# ---------------------------------------------------------------- all calls of one function


class Search:
    """Looks for inputs that run different lines of one function, and for ordinary ones that
    crash it.
    """

    def __init__(self, function, texts, parent, budget_s, people=None):
        self.people = people
        self.function = function
        self.parent = parent
        self.ends = time.process_time() + budget_s
        self.inputs = Inputs(mine(function.tree), people.made if people else None)
        self.seen = []
        self.crashes = []
        self.covered = set()
        self.declared = set()
        self.has_bare = False
        self.texts = texts
        self.required = []
        self.kept_rows = ()
        self.calls = set()
        self.grown = []
        self.asked = {}
        self.optional = []

    def is_over(self):
        is_stuck = sum(isinstance(s.error, TooLong) for s in self.seen[-50:]) > 4
        return is_stuck or time.process_time() > self.ends or len(self.seen) > 5000

    def run(self):
        """Look; returns why the function could not be called by itself, empty when it could."""
        self.as_people_call(is_direct=True)
        why = self.by_itself()
        self.as_people_call(is_direct=False)
        self.twist_what_people_call()
        return "" if self.seen else why

    def as_people_call(self, *, is_direct):
        """Calls of tests and doctests: of this function by its name, or of anything through which
        it is reached.
        """
        spec = self.function.spec
        short = spec["qualified_name"].rsplit(".", 1)[-1]
        owner = self.function.owner.__name__ if self.function.owner else short
        called = owner if spec["shape"] == "constructor" else short
        calls = [
            c
            for c in (self.people.calls if self.people else [])
            if (c.called == called) is is_direct
        ]
        if not is_direct:
            # What speaks of the class or the module comes first.
            words = (owner, spec["module"].rsplit(".", 1)[-1], short.strip("_"))
            # A comparison says less than what is compared.
            calls.sort(key=lambda c: (-sum(word in c.text for word in words), not c.called))
        until = (
            self.ends if is_direct else time.process_time() + (self.ends - time.process_time()) / 2
        )
        for call in calls[: 120 if is_direct else 600]:
            if time.process_time() > until or (not is_direct and self.is_done()):
                return
            self.try_out(call.text, call.imports)

    def try_out(self, text, imports):
        """Evaluate a whole expression; it counts where it runs the function."""
        if text in self.calls or len(text) > MAX_SOURCE:
            return
        self.calls.add(text)
        try:
            seen = observe(self.function, text, imports)
        except (SyntaxError, NameError, ImportError):
            return
        if not seen.trail:
            return
        self.seen.append(seen)
        if seen.trail - self.covered:
            self.covered |= seen.trail
            self.grown.append((text, imports))

    def twist_what_people_call(self):
        """Change one literal of the expressions that ran something new, as long as lines are
        missing.
        """
        chance = random.Random(1)
        n_in_vain = 0
        while n_in_vain < 600:
            if self.is_over() or self.is_done() or not self.grown:
                return
            before = len(self.grown)
            text, imports = chance.choice(self.grown[-20:])
            with contextlib.suppress(Exception):
                self.try_out(self.twisted(text, chance), imports)
            n_in_vain = 0 if len(self.grown) > before else n_in_vain + 1

    def twisted(self, text, chance):
        """The expression with one thing changed: a literal, a text that is passed on, or what the
        function is asked beside.
        """
        tree = ast.parse(text, mode="eval")
        how = chance.random()
        if how < 0.3 and self.optional and self.with_option(tree, chance):
            return ast.unparse(tree)
        if how < 0.5 and _with_other_text(tree, chance):
            return ast.unparse(tree)
        kinds = (int, str, float, bool, bytes)
        literals = [
            n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in kinds
        ]
        node = chance.choice(literals)
        kind = type(node.value).__name__
        near = self.inputs.mined.get(kind, []) + (INTS if kind in ("int", "float") else TEXTS)
        pool = near if chance.random() < 0.8 else ANY
        node.value = ast.literal_eval(_twist(repr(node.value), pool, chance))
        return ast.unparse(tree)

    def with_option(self, tree, chance):
        """Give the function one more argument that it may be given; whether that could be done."""
        spec = self.function.spec
        short = spec["qualified_name"].rsplit(".", 1)[-1]
        asked = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Call)
            and short in (getattr(n.func, "attr", ""), getattr(n.func, "id", ""))
        ]
        if not asked:
            return False
        call = chance.choice(asked)
        name, pool = chance.choice(self.optional)
        if not pool:
            return False
        value = ast.parse(chance.choice(pool), mode="eval").body
        call.keywords = [k for k in call.keywords if k.arg != name] + [ast.keyword(name, value)]
        return True

    def by_itself(self):
        function = self.function
        if not callable(function.raw):
            return "that cannot be found by their name"
        shape = function.spec["shape"]
        receivers = [""]
        name = function.spec["qualified_name"].split(".")[0]
        self.inputs.imports.add(f"from {function.spec['module']} import {name}")
        if function.owner is not None:
            if _imported(function.owner, self.inputs.imports) != function.owner.__name__:
                raise NoSource
            if shape in ("method", "property"):
                receivers = self.that_can_be_made(self.inputs.objects(function.owner, 0))
                if not receivers:
                    return "whose class cannot be made from simple arguments"
        required, optional = parameters(function.raw)
        if required is None:
            return "whose signature is unknown"
        names = _names(function.tree)
        calls = written_calls(function.spec["qualified_name"], [*self.texts, self.doctests()])
        known = {n: _type_of(calls, i, n) for i, n in enumerate(names)}
        self.required = required
        self.declared = {p.name for p in (*required, *optional) if p.is_declared}
        self.has_bare = any(_is_bare(p.hint) for p in (*required, *optional) if p.is_declared)
        for parameter in required:
            if parameter.hint is inspect.Parameter.empty:
                parameter.hint = known.get(parameter.name) or guess(function.tree, parameter.name)
        pools = [self.inputs.pool(p.hint) for p in required]
        if not all(pools):
            return "whose arguments cannot be made from simple values"
        # Calls that people wrote come after the simplest inputs, and before everything else.
        rows = [(row, {}) for row in itertools.islice(_combinations(pools), 400)]
        seeds = [(args, dict(kw)) for args, kw in calls if len(args) + len(kw) >= len(required)]
        extra = [(p.name, self.inputs.pool(p.hint)[:12]) for p in optional]
        self.optional = extra
        varied = [
            (row, {n: v})
            for n, pool in extra
            for v in pool
            for row, _ in [rows[min(i, len(rows) - 1)] for i in (0, 1, 2, 5)]
        ]
        plan = itertools.chain(
            ((r, False) for r in rows[:12]),
            ((s, True) for s in seeds),
            ((r, False) for r in _mixed(varied, rows[12:])),
        )
        for (row, keywords), is_seed in plan:
            for receiver in receivers if len(self.seen) < 60 else receivers[:2]:
                if self.is_over():
                    return ""
                self.attempt(receiver, row, keywords, is_seed)
        self.give_what_was_asked()
        self.mutate(receivers, pools)
        self.with_hypothesis(receivers, [p.hint for p in required])
        return ""

    def that_can_be_made(self, texts):
        """The first of these expressions that end in no exception."""
        names = namespace(self.inputs.imports)
        made = []
        for text in texts[:60]:
            signal.setitimer(signal.ITIMER_REAL, CALL_S)
            with contextlib.suppress(BaseException):
                eval(text, names)
                made.append(text)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if len(made) == 6:
                break
        return made

    def doctests(self):
        with contextlib.suppress(Exception):
            examples = doctest.DocTestParser().get_examples(self.function.doc)
            return "\n".join(e.source for e in examples)
        return ""

    def mutate(self, receivers, pools):
        """Change one argument of the inputs that ran something new, as long as that finds more."""
        chance = random.Random(0)
        n_in_vain = 0
        while n_in_vain < 400:
            kept = [s for s in self.kept_rows if s]
            if self.is_over() or self.is_done() or not (kept or self.optional):
                return
            before = len(self.covered)
            row = list(chance.choice(kept)) if kept else []
            if len(row) == len(pools) and row:
                place = chance.randrange(len(row))
                row[place] = _twist(row[place], pools[place], chance)
            options = chance.sample(self.optional, min(len(self.optional), chance.randrange(4)))
            keywords = {name: chance.choice(pool) for name, pool in options if pool}
            self.attempt(chance.choice(receivers), tuple(row), keywords, True)
            n_in_vain = 0 if len(self.covered) > before else n_in_vain + 1

    def is_done(self):
        lines = {line for line in self.covered if isinstance(line, int)}
        return set(self.function.spec["changed_lines"]) & self.executable() <= lines

    def executable(self):
        found, waiting = set(), [self.function.code] if self.function.code else []
        while waiting:
            code = waiting.pop()
            found |= {line for _, _, line in code.co_lines() if line}
            waiting += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        return found

    def with_hypothesis(self, receivers, hints):
        """Values that Hypothesis makes for the types, small and always the same ones."""
        if not hints or self.is_over() or (self.is_done() and len(self.covered) > 40):
            return
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st

        try:
            strategy = st.tuples(*(_strategy(h, st) for h in hints))
        except Exception:
            return

        @settings(
            max_examples=60,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(strategy)
        def one(values):
            if self.is_over():
                return
            imports = set()
            try:
                row = tuple(to_source(v, imports) for v in values)
            except NoSource:
                return
            self.inputs.imports |= imports
            # Texts and bytes out of the blue are no ordinary input.
            is_odd = any(quote in text for text in row for quote in "'\"")
            self.attempt(receivers[0], row, {}, is_odd)

        with contextlib.suppress(Exception):
            one()

    def attempt(self, receiver, row, keywords, is_odd):
        function = self.function
        spec = function.spec
        short = spec["qualified_name"].rsplit(".", 1)[-1]
        shape = spec["shape"]
        extra = [f"{k}={v}" for k, v in keywords.items()]
        texts = [
            written(self.required[i], t) if i < len(self.required) else t for i, t in enumerate(row)
        ]
        head = {
            "function": short,
            "constructor": function.owner.__name__ if function.owner else "",
            "method": f"{receiver}.{short}",
            "property": f"{receiver}.{short}",
        }.get(shape, f"{function.owner.__name__ if function.owner else ''}.{short}")
        call = head if shape == "property" else f"{head}({', '.join([*texts, *extra])})"
        if isinstance(function.tree, ast.AsyncFunctionDef):
            self.inputs.imports.add("import asyncio")
            call = f"asyncio.run({call})"
        if len(call) > MAX_SOURCE or call in self.calls:
            return
        self.calls.add(call)
        try:
            seen = observe(
                function,
                call,
                self.inputs.imports,
                is_ordinary=not is_odd and self.is_ordinary(row, receiver, keywords),
            )
        except (SyntaxError, NameError):
            return
        self.seen.append(seen)
        new = seen.trail - self.covered
        if new:
            self.covered |= new
            self.kept_rows = (*self.kept_rows[-30:], row)
        if new or len(self.asked) < 40:
            self.ask_for(seen, receiver, row, keywords)
        if seen.error is None and seen.value is None and any(_is_changeable(t) for t in row):
            self.note_changes(head, row, extra)
        if seen.error is None and seen.value is None and shape == "method" and new:
            self.note_state(receiver, short, [*texts, *extra])
        if self.is_crash(seen):
            self.crashes.append(seen)

    def ask_for(self, seen, receiver, row, keywords):
        """What an exception says that a value lacks is given to it the next time: an attribute, a
        key, items, a way to be called.
        """
        error, wanted = seen.error, []
        if isinstance(error, AttributeError) and error.name:
            wanted = [t for t, value in _rich() if hasattr(value, error.name)]
        elif isinstance(error, KeyError) and error.args and type(error.args[0]) in (str, int):
            wanted = [f"{{{error.args[0]!r}: {v}}}" for v in ("1", "'a'", "[1]")]
        elif isinstance(error, TypeError):
            said = str(error)
            kinds = {
                "iterable": collections.abc.Iterable,
                "subscriptable": collections.abc.Sequence,
                "callable": collections.abc.Callable,
                "bytes-like": bytes,
                "str": str,
                "mapping": dict,
            }
            wanted = [
                t
                for t, v in _rich()
                for word, k in kinds.items()
                if word in said and isinstance(v, k)
            ]
        for place, old in enumerate(row):
            for text in wanted[:6]:
                asked = (
                    receiver,
                    row[:place] + (text,) + row[place + 1 :],
                    tuple(keywords.items()),
                )
                if text != old and len(self.asked) < 200 and asked not in self.asked:
                    self.asked[asked] = None
                    self.inputs.imports.add("import io")

    def give_what_was_asked(self):
        """Try what earlier exceptions asked for; trying may ask for more."""
        done = 0
        while done < len(self.asked) and not self.is_over() and not self.is_done():
            receiver, row, keywords = list(self.asked)[done]
            done += 1
            self.attempt(receiver, row, dict(keywords), True)

    def note_changes(self, head, row, extra):
        """The same call with its changeable argument by name, so that what became of it can be
        asserted.
        """
        place = next(i for i, t in enumerate(row) if _is_changeable(t))
        texts = ["value" if i == place else t for i, t in enumerate(row)]
        call = f"{head}({', '.join([*texts, *extra])})"
        with contextlib.suppress(Exception):
            seen = observe(self.function, call, self.inputs.imports, (("value", row[place]),))
            if seen.error is None and repr(seen.changed[0][2]) != repr(eval(row[place])):
                self.seen.append(seen)

    def note_state(self, receiver, short, texts):
        """The same call on an object by name, so that what it did to the object can be asserted."""
        with contextlib.suppress(Exception):
            before = eval(receiver, namespace(self.inputs.imports))
            call = f"value.{short}({', '.join(texts)})"
            seen = observe(self.function, call, self.inputs.imports, (("value", receiver),))
            after = seen.changed[0][2]
            for name, value in sorted(vars(after).items())[:20]:
                was = vars(before).get(name, before)
                if seen.error is None and not name.startswith("__") and repr(was) != repr(value):
                    self.seen.append(dataclasses.replace(seen, looked_at=f"value.{name}"))
                    return

    def is_ordinary(self, row, receiver, keywords):
        """Whether annotations say of every value in the call that it fits. What people call a
        function with is theirs to test; what is guessed may not fit.
        """
        given = {p.name for p in self.required} | set(keywords)
        values = (*row, receiver, *keywords.values())
        # Nothing given and nothing annotated: nobody has said that it can be called like this.
        is_said = self.function.tree.returns is not None or bool(given)
        return (is_said and given <= self.declared) and not any(
            made in value for made in self.inputs.doubtful for value in values
        )

    def is_crash(self, seen):
        """An exception that nobody raised on purpose, from the function's own lines, on input
        that fits.
        """
        error, function = seen.error, self.function
        if error is None or type(error) not in CRASHES or not seen.is_ordinary:
            return False
        if function.spec["is_private"] or not seen.frames:
            return False
        file, line = seen.frames[-1]
        if not function.is_inside(file, line):
            return False
        text = self.function.lines[line - 1].strip()
        if text.startswith(("raise", "assert")) or type(error).__name__ in function.doc:
            return False
        if PRECONDITION.search(function.doc):
            return False
        if isinstance(error, AttributeError) and "'NoneType'" not in str(error):
            return False
        if isinstance(error, (KeyError, IndexError)) and (self.looks_up(line) or self.is_held()):
            return False
        if isinstance(error, (TypeError, AttributeError)) and self.is_loose(seen.call):
            return False
        return not self.parent_crashes(seen)

    def is_loose(self, call):
        """Whether a type in the call is only half known: of an object that may be filled later
        (only records are whole from the start), of what is in a container, of what is passed on.
        """
        passes_on = self.function.tree.args.vararg or self.function.tree.args.kwarg
        is_unfinished = any(made in call for made in self.inputs.stateful)
        return bool(passes_on) or is_unfinished or self.has_bare

    def is_held(self):
        """Whether an object was asked for what it holds: an empty one says so by these errors."""
        return self.function.spec["shape"] in ("method", "property")

    def looks_up(self, line):
        """Whether the line takes an item of one parameter by another: then absent ones are the
        caller's business.
        """
        names = set(_names(self.function.tree))
        for node in ast.walk(self.function.tree):
            if isinstance(node, ast.Subscript) and node.lineno <= line <= (node.end_lineno or line):
                inner = {n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)}
                if inner & names and isinstance(node.value, LOOKED_UP):
                    return True
        return False

    def parent_crashes(self, seen):
        """Whether the version before the commit ends in the same exception on the same input."""
        if self.parent is None:
            return False
        names = {**namespace(seen.imports)}
        names.update({k: v for k, v in vars(self.parent).items() if not k.startswith("__")})
        signal.setitimer(signal.ITIMER_REAL, CALL_S)
        try:
            found = eval(seen.call, names)
            if isinstance(found, types.GeneratorType):
                list(itertools.islice(found, 30))
        except BaseException as e:
            return type(e) is type(seen.error) or isinstance(e, (TooLong, NameError, SyntaxError))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False


def _names(tree):
    arguments = tree.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return names[1:] if names[:1] and names[0] in ("self", "cls") else names


def _type_of(calls, place, name):
    """The type that people's own calls give a parameter, when they agree."""
    found = []
    for args, keywords in calls:
        text = args[place] if place < len(args) else dict(keywords).get(name)
        if text is not None:
            with contextlib.suppress(Exception):
                found.append(ast.literal_eval(text))
    kinds = sorted({type(v) for v in found}, key=lambda k: k.__name__)
    if not 0 < len(kinds) < 4:
        return None
    union = [_kind_of(kind, [v for v in found if type(v) is kind]) for kind in kinds]
    return typing.Union[tuple(union)]


def _kind_of(kind, found):
    if kind in (list, tuple, set):
        inner = {type(i) for v in found for i in v}
        item = inner.pop() if len(inner) == 1 else (float if inner == {int, float} else int)
        return kind[item, ...] if kind is tuple else kind[item]
    if kind is dict:
        pairs = {(type(k), type(v)) for d in found for k, v in d.items()}
        return dict[pairs.pop()] if len(pairs) == 1 else dict[str, int]
    return kind


def _with_other_text(tree, chance):
    """Cut or lengthen what a call is given, where it is no literal; whether that could be done."""
    places = [
        (call, n)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for n, argument in enumerate(call.args)
        if isinstance(argument, (ast.Call, ast.BinOp, ast.Subscript, ast.Attribute))
    ]
    if not places:
        return False
    call, n = chance.choice(places)
    way = chance.choice(
        ["({})[:-1]", "({})[1:]", "({}) + 'x'", "({}) + b'x'", "({})[::-1]", "({}) * 2"]
    )
    call.args[n] = ast.parse(way.format(ast.unparse(call.args[n])), mode="eval").body
    return True


def _mixed(*rows):
    for row in itertools.zip_longest(*rows):
        yield from (r for r in row if r is not None)


def _is_changeable(text):
    return text[:1] in "[{" and text[-1:] in "]}"


def _twist(text, pool, chance):
    """Another value near the one given."""
    with contextlib.suppress(Exception):
        value = ast.literal_eval(text)
        if type(value) is int and chance.random() < 0.6:
            return str(value + chance.choice([1, -1, 10, -10, value, 100]))
        if type(value) is str and value and chance.random() < 0.6:
            place = chance.randrange(len(value))
            letter = chance.choice('a1 -_.,:/("')
            return repr(value[:place] + chance.choice(["", letter, value]) + value[place:])[:100]
        if type(value) is list and value and chance.random() < 0.6:
            return repr(chance.choice([value[::-1], value * 2, value[1:], sorted(value, key=repr)]))
    return chance.choice(pool)


def _strategy(hint, st):
    """A bounded strategy for a type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    simple = {
        int: lambda: st.integers(-1000, 1000),
        float: lambda: st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False, width=32),
        str: lambda: st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
        bytes: lambda: st.binary(max_size=8),
        typing.Any: lambda: st.one_of(st.integers(-9, 9), st.text("ab1 ", max_size=3)),
    }
    with contextlib.suppress(TypeError):
        if hint in simple:
            return simple[hint]()
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable) and args:
        return st.lists(_strategy(args[0], st), max_size=6)
    if origin in (set, frozenset) and args:
        kind = st.sets if origin is set else st.frozensets
        return kind(_strategy(args[0], st), max_size=5)
    if origin in (dict, collections.abc.Mapping) and len(args) == 2:
        return st.dictionaries(_strategy(args[0], st), _strategy(args[1], st), max_size=5)
    if origin is tuple and args and args[-1] is not Ellipsis:
        return st.tuples(*(_strategy(a, st) for a in args))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(_strategy(a, st) for a in args))
    return st.from_type(hint)


# ---------------------------------------------------------------- from calls to tests


def as_cases(function, seen):
    """What tests can say about a call, strongest first; empty when nothing that will hold."""
    imports = set(seen.imports)
    call = seen.call
    if seen.error is not None:
        case = _raising(function, seen, imports)
        return [case] if case else []
    if seen.changed:
        name, before, after = seen.changed[0]
        with contextlib.suppress(Exception):
            found = eval(seen.looked_at, {name: after})
            expected = to_source(found, imports)
            return [_case(call, "changes", expected, imports, before, seen.looked_at)]
        return []
    if seen.was_generator:
        call = _listed(seen)
    with contextlib.suppress(NoSource):
        expected = to_source(seen.value, imports)
        return [
            _case(call, "is_close" if _is_measured(seen.value) else "equals", expected, imports)
        ]
    return _views(call, seen.value, imports)


def _listed(seen):
    """A generator's call with what makes a list of it, or takes its first item."""
    if len(seen.value) < 30:
        return f"list({seen.call})"
    seen.value = seen.value[0]
    return f"next({seen.call})"


def _raising(function, seen, imports):
    if isinstance(seen.error, (TooLong, SystemExit, KeyboardInterrupt)) or not seen.frames:
        return None
    if not isinstance(seen.error, Exception) or not _is_meant(function, seen):
        return None
    try:
        return _case(seen.call, "raises", _imported(type(seen.error), imports), imports)
    except NoSource:
        return None


def _views(call, value, imports):
    """An object that cannot be written down, looked at from sides that can: as a mapping, a list, a
    text, by its attributes; its type where there is none.
    """
    looks = []
    if isinstance(value, collections.abc.Mapping):
        looks.append(f"dict({call})")
    elif isinstance(value, (collections.abc.Sequence, collections.abc.Set)):
        looks.append(f"list({call})")
    if type(value).__str__ is not object.__str__ or type(value).__repr__ is not object.__repr__:
        looks.append(f"str({call})")
    with contextlib.suppress(Exception):
        names = [n for n in sorted(vars(value)) if not n.startswith("_")]
        looks += [f"{call}.{name}" for name in names[:12]]
    cases = []
    for look in looks:
        with contextlib.suppress(BaseException):
            found = eval(look, namespace(imports))
            expected = to_source(found, imports)
            if not ADDRESS.search(expected):
                outcome = "is_close" if _is_measured(found) else "equals"
                cases.append(_case(look, outcome, expected, imports))
        if len(cases) == 3:
            return cases
    name = type(value).__name__
    return cases or ([_case(call, "has_type", name, imports)] if name.isidentifier() else [])


def _case(call, outcome, expected, imports, changed="", looked_at="value"):
    used = " ".join((call, expected, changed))
    # Only what this test names; the search itself imported more.
    needed = sorted(i for i in imports if re.search(rf"\b{i.split()[-1].split('.')[0]}\b", used))
    return {
        "call": call,
        "outcome": outcome,
        "expected": expected,
        "imports": needed,
        "changed": changed,
        "looked_at": looked_at,
    }


def _is_measured(value):
    if type(value) is float:
        return True
    if type(value) in (list, tuple) and value:
        return all(type(v) in (int, float) for v in value) and any(type(v) is float for v in value)
    return False


def _is_meant(function, seen):
    """Whether the exception was raised on purpose: by a `raise` in the repository, or as
    documented.
    """
    if type(seen.error).__name__ in function.doc:
        return True
    for file, line in reversed(seen.frames):
        if os.path.realpath(file).startswith(STATE["folder"]):
            with contextlib.suppress(OSError, IndexError), open(file, encoding="utf-8") as source:
                return source.read().splitlines()[line - 1].strip().startswith("raise")
    return False


def choose(search):
    """The few calls that together run all that was run, plainest first; then some of other
    outcomes.
    """
    function = search.function
    wanted = set(function.spec["changed_lines"])
    # In the order of the search, which is from simple to odd.
    ranked = sorted(
        (s for s in search.seen if s.trail), key=lambda s: (s.error is not None, not s.changed)
    )
    chosen, covered, shapes = [], set(), set()

    def take(seen):
        again = []
        with contextlib.suppress(Exception):
            names = [(n, t) for n, t, _ in seen.changed]
            second = observe(function, seen.call, seen.imports, names)
            second.looked_at = seen.looked_at
            again = as_cases(function, second)
        cases = [
            case
            for case in as_cases(function, seen)
            if case in again
            and not set(ADDRESS.findall(case["expected"])) - set(ADDRESS.findall(case["call"]))
        ]
        for case in cases[: MAX_CASES - len(chosen)]:
            case["lines"] = sorted(x for x in seen.trail if isinstance(x, int))
            chosen.append(case)
        if cases:
            covered.update(seen.trail)
        return bool(cases)

    while len(chosen) < MAX_CASES and ranked:
        best = max(ranked[:400], key=lambda s: (_gain(s, covered, wanted), s.error is None))
        if not _gain(best, covered, wanted):
            break
        ranked.remove(best)
        take(best)
    for seen in sorted(ranked[:60], key=lambda s: -len(s.call)):
        shape = _shape_of(seen)
        if len(chosen) >= MAX_CASES - 2 or shape in shapes or len(seen.call) > 160:
            continue
        shapes.add(shape)
        take(seen)
    return chosen


def _shape_of(seen):
    """What kind of answer it is; some objects cannot even say what they are."""
    if seen.error is not None:
        return type(seen.error).__name__
    try:
        return repr(seen.value)[:40]
    except BaseException:
        return type(seen.value).__name__


def _gain(seen, covered, wanted):
    new = seen.trail - covered
    return sum(3 if x in wanted else 1 for x in new)


# ---------------------------------------------------------------- the whole run


def load_parent(path, module):
    """The file before the commit, as a module of its own in the same package."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    parent = types.ModuleType(f"{module.__name__}__before")
    parent.__package__ = module.__package__
    parent.__file__ = path
    sys.modules[parent.__name__] = parent
    exec(compile(text, path, "exec"), vars(parent))
    return parent


def has(parent, qualified_name):
    for part in qualified_name.split("."):
        parent = getattr(parent, part, None)
    return parent is not None


def probe(spec, target, texts, budget_s, people=None):
    """Everything about one target, as one JSON value."""
    try:
        module = importlib.import_module(target["module"])
        function = Function(target, module)
    except BaseException as e:
        return {"skipped": "that could not be imported", "detail": f"{type(e).__name__}: {e}"[:300]}
    parent = None
    before = spec["parents"].get(target["path"])
    if before and not target["is_new"]:
        with contextlib.suppress(BaseException):
            parent = load_parent(before, module)
            parent = parent if has(parent, target["qualified_name"]) else None
    search = Search(function, texts, parent, budget_s, people)
    try:
        skipped = search.run()
        cases = choose(search)
    except BaseException as e:
        return {"skipped": "that could not be called", "detail": f"{type(e).__name__}: {e}"[:300]}
    crash = min(search.crashes, key=lambda s: (len(s.call), s.call), default=None)
    answer = {"skipped": skipped, "cases": cases, "n_calls": len(search.seen), "crash": None}
    if crash is not None:
        imports = _case(crash.call, "", "", crash.imports)["imports"]
        answer["crash"] = {
            "call": crash.call,
            "exception": type(crash.error).__name__,
            "message": str(crash.error)[:200],
            "imports": imports,
        }
    return answer


def what_people_wrote(spec, texts):
    """The calls of tests and doctests; None where they cannot be read."""
    try:
        import agentci_harvest

        modules = []
        for name, path in spec.get("modules", []):
            with (
                contextlib.suppress(OSError),
                open(path, encoding="utf-8", errors="replace") as file,
            ):
                modules.append((name, file.read(400_000)))
        return agentci_harvest.harvest(texts, modules)
    except Exception:
        return None


def main(path):
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    STATE["folder"] = os.path.realpath(spec["folder"]) + os.sep
    signal.signal(signal.SIGALRM, _alarm)
    started = time.monotonic()
    texts = []
    for name in spec["tests"]:
        with contextlib.suppress(OSError), open(name, encoding="utf-8", errors="replace") as file:
            texts.append(file.read(200_000))
    people = what_people_wrote(spec, texts)
    out = os.open(spec["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number, target in enumerate(spec["targets"]):
        if time.monotonic() - started > spec["wall_s"]:
            answer = {"skipped": "for which no time was left"}
        else:
            answer = probe(spec, target, texts, spec["cpu_s_each"], people)
        answer["number"] = number
        os.write(out, json.dumps(answer).encode() + b"\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
