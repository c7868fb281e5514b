# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, BLE001, PLR0911, S307
# mypy: ignore-errors
"""Which exceptions are crashes: nobody raised them on purpose, the input fits, and the version
before has them not.
"""

from __future__ import annotations

import ast
import itertools
import re
import signal
import types

from .calls import CALL_S, TooLong
from .signatures import parameter_names
from .writing import namespace

CRASHES = (
    *(ZeroDivisionError, IndexError, KeyError, UnboundLocalError, NameError, AttributeError),
    *(RecursionError, TypeError),
)
PRECONDITION = re.compile(
    r"non-?\s?empty|must (be|not|have|contain)|assum|at least one|precondition|caller",
    re.IGNORECASE,
)

LOOKED_UP = (ast.Name, ast.Attribute, ast.Dict, ast.List, ast.Tuple, ast.Call)


def is_crash(search, seen):
    """An exception that nobody raised on purpose, from the function's own lines, on input
    that fits.
    """
    error, function = seen.error, search.function
    if error is None or type(error) not in CRASHES or not seen.is_ordinary:
        return False
    if function.spec["is_private"] or not seen.frames:
        return False
    file, line = seen.frames[-1]
    if not function.is_inside(file, line):
        return False
    text = search.function.lines[line - 1].strip()
    if text.startswith(("raise", "assert")) or type(error).__name__ in function.doc:
        return False
    if PRECONDITION.search(function.doc):
        return False
    if isinstance(error, AttributeError) and "'NoneType'" not in str(error):
        return False
    if isinstance(error, (KeyError, IndexError)) and (looks_up(search, line) or is_held(search)):
        return False
    if isinstance(error, (TypeError, AttributeError)) and is_loose(search, seen.call):
        return False
    return not parent_crashes(search, seen)


def is_loose(search, call):
    """Whether a type in the call is only half known: of an object that may be filled later
    (only records are whole from the start), of what is in a container, of what is passed on.
    """
    passes_on = search.function.tree.args.vararg or search.function.tree.args.kwarg
    is_unfinished = any(made in call for made in search.inputs.stateful)
    return bool(passes_on) or is_unfinished or search.has_bare


def is_held(search):
    """Whether an object was asked for what it holds: an empty one says so by these errors."""
    return search.function.spec["shape"] in ("method", "property")


def looks_up(search, line):
    """Whether the line takes an item of one parameter by another: then absent ones are the
    caller's business.
    """
    names = set(parameter_names(search.function.tree))
    for node in ast.walk(search.function.tree):
        if isinstance(node, ast.Subscript) and node.lineno <= line <= (node.end_lineno or line):
            inner = {n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)}
            if inner & names and isinstance(node.value, LOOKED_UP):
                return True
    return False


def parent_crashes(search, seen):
    """Whether the version before the commit ends in the same exception on the same input."""
    if search.parent is None:
        return False
    names = {**namespace(seen.imports)}
    names.update({k: v for k, v in vars(search.parent).items() if not k.startswith("__")})
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
