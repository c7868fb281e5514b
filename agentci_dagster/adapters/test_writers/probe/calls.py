# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, ARG001, BLE001, PTH123, S307
# mypy: ignore-errors
"""One call: evaluated with a time limit, while the lines that it runs are followed."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import os
import signal
import sys
import types

from .writing import namespace

CALL_S = 0.5
STATE = {"folder": "", "module": None}


class TooLong(BaseException):
    """A call that took more than its time."""


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


def alarm(_signal, _frame):
    raise TooLong
