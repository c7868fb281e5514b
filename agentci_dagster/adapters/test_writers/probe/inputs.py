# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, B905, C901, ICN001, PLR0911, RUF005, S307
# mypy: ignore-errors
"""Inputs for a type, as source text, simple ones first."""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import io
import itertools
import re
import types
import typing
import uuid

from .signatures import parameters, written
from .writing import NoSource, imported, namespace

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


def rich():
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
            name = imported(kind, self.imports)
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
    return itertools.islice(combinations(pools), 12) if all(pools) else []


def _with(call, parameter, value):
    glue = "" if call.endswith("()") else ", "
    return f"{call[:-1]}{glue}{parameter}={value})"


def _round(pools):
    """The first of each, the second of each, and so on."""
    mixed = itertools.zip_longest(*pools)
    return list(dict.fromkeys(v for row in mixed for v in row if v is not None))


def combinations(pools):
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
