# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, C901, ICN001, N818, PLR0912, S102
# mypy: ignore-errors
"""Values as source text, and names from lines of imports."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import sys
import uuid

MAX_SOURCE = 400


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
        text = f"{imported(kind, imports)}.{value.name}"
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
        text = f"{imported(kind, imports)}({', '.join(inner)})"
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        inner = (to_source(v, imports, depth + 1) for v in value)
        text = f"{imported(kind, imports)}({', '.join(inner)})"
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


def imported(kind, imports):
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
