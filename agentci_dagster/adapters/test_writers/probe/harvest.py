# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, B905, C901, PLR0912
# mypy: ignore-errors
"""Calls as people write them, taken out of tests and doctests as single expressions.

A test says step by step how an object is made and what is asked of it. Here every call in it is
written as one expression: names are replaced by what was assigned to them, fixtures by what they
return, parameters by what the test is parametrized with. What cannot be written so is left out.
Nothing is run here; `search.py` does that.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import re

from .inlining import Names, Unknown, inlined

MAX_TEXT = 300
MAX_CALLS = 4000
MAX_DEPTH = 8
MAX_ROWS = 6
# What would end the probe, wait for somebody, or change the tree that is being looked at.
UNWANTED = re.compile(
    r"_exit|fork|\.run\(|serve_|kill|input\(|breakpoint|pytest\.|monkeypatch|capsys|signal|sleep|exec\(|eval\(|open\("
    r"|write|unlink|remove\(|mkdir|rmdir|rename|chdir|subprocess|socket|Thread|Process|environ|__import__"
)
ASKING = (ast.Call, ast.Compare, ast.BinOp, ast.Subscript, ast.Attribute)
"""Operators, items and attributes are calls as well, of methods and properties."""


class Call:
    """A call as one expression, with the imports that it needs."""

    def __init__(self, text, imports, called):
        self.text = text
        self.imports = imports
        self.called = called


class Harvest:
    """What was found: calls in their order, and expressions that make objects, by class name."""

    def __init__(self):
        self.calls = []
        self.made = {}
        self._known = set()

    def add(self, node, imports, asked):
        """Note what was written out; `asked` is how the test has it."""
        with contextlib.suppress(Exception):
            text = ast.unparse(node)
            if text in self._known or len(text) > MAX_TEXT or "\n" in text or UNWANTED.search(text):
                return
            if len(self.calls) >= MAX_CALLS:
                return
            self._known.add(text)
            if "(" not in text:
                return
            called = asked.func if isinstance(asked, ast.Call) else asked
            name = getattr(called, "attr", "") or getattr(called, "id", "")
            call = Call(text, tuple(sorted(imports)), name)
            self.calls.append(call)
            if (
                isinstance(asked, ast.Call)
                and name[:1].isupper()
                and len(self.made.setdefault(name, [])) < 12
            ):
                self.made[name].append(call)


def harvest(texts, modules):
    """Everything that can be taken out of test files (`texts`) and of the doctests of source files
    (`modules`: dotted name and text).
    """
    found = Harvest()
    trees = []
    for text in texts:
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            trees.append(ast.parse(text))
    fixtures = {}
    for tree in trees:
        names = Names(_imports(tree.body, {}), {}, fixtures)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and _is_fixture(node):
                fixtures.setdefault(node.name, []).append((node, names))
    for tree in trees:
        _file(tree, fixtures, found)
    for module, text in modules:
        _doctests(module, text, fixtures, found)
    return found


def _file(tree, fixtures, found):
    names = Names(_imports(tree.body, {}), {}, fixtures)
    _statements([n for n in tree.body if not isinstance(n, ast.ClassDef)], names, found)
    waiting = [(node, names) for node in tree.body]
    while waiting:
        node, outer = waiting.pop(0)
        if isinstance(node, ast.ClassDef):
            inner = outer.inner()
            for statement in node.body:
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    _bind_to_self(statement, inner)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name in ("setUp", "setup_method"):
                    _statements(method.body, inner, found)
            waiting += [(child, inner) for child in node.body]
        elif isinstance(node, ast.FunctionDef):
            for row in _rows(node, outer):
                _statements(node.body, row, found)


def _rows(function, outer):
    """The names of a test, once for each set of parameters (some of them)."""
    asked = [
        a.arg
        for a in (*function.args.args, *function.args.kwonlyargs)
        if a.arg not in ("self", "cls")
    ]
    # Fixtures of one name in several classes and files: each once.
    n_ways = max((len(outer.fixtures.get(name, ())) for name in asked), default=1)
    rows = []
    for way in range(min(max(n_ways, 1), 3)):
        base = outer.inner()
        for name in asked:
            base.values[name] = _fixture(name, outer, way, 0)
        rows.append(base)
    for decorator in function.decorator_list:
        given = _parametrized(decorator)
        if given is None:
            continue
        keys, values = given
        grown = []
        for row in rows[:MAX_ROWS]:
            for value in values[:MAX_ROWS]:
                inner = row.inner()
                parts = (
                    value.elts
                    if len(keys) > 1 and isinstance(value, (ast.Tuple, ast.List))
                    else [value]
                )
                with contextlib.suppress(Unknown):
                    for key, part in zip(keys, parts):
                        inner.values[key] = inlined(part, outer)
                    grown.append(inner)
        rows = grown or rows
    return rows[: MAX_ROWS * 2]


def _parametrized(decorator):
    if not isinstance(decorator, ast.Call) or len(decorator.args) < 2:
        return None
    named, rows = decorator.args[:2]
    if not ast.unparse(decorator.func).endswith("parametrize"):
        return None
    if isinstance(named, ast.Constant) and isinstance(named.value, str):
        keys = [k.strip() for k in named.value.split(",") if k.strip()]
    elif isinstance(named, (ast.Tuple, ast.List)):
        keys = [k.value for k in named.elts if isinstance(k, ast.Constant)]
    else:
        return None
    if not isinstance(rows, (ast.List, ast.Tuple)):
        return None
    return keys, [_row(value) for value in rows.elts]


def _row(value):
    """`pytest.param(a, b, id=…)` is a row as well."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("param"):
        return value.args[0] if len(value.args) == 1 else ast.Tuple(value.args, ast.Load())
    return value


def _fixture(name, outer, way, depth):
    """What a fixture returns, written out; None when it cannot be."""
    known = outer.fixtures.get(name)
    if not known or depth > MAX_DEPTH:
        return None
    function, names = known[min(way, len(known) - 1)]
    inner = names.inner()
    for argument in function.args.args:
        if argument.arg not in ("self", "cls"):
            inner.values[argument.arg] = _fixture(argument.arg, outer, way, depth + 1)
    given = None
    for statement in function.body:
        _assign(statement, inner)
        value = None
        if isinstance(statement, ast.Return):
            value = statement.value
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield):
            value = statement.value.value
        if value is not None:
            with contextlib.suppress(Unknown):
                given = inner.whole(inlined(value, inner))
    return given


def _is_fixture(function):
    return any("fixture" in ast.unparse(d).split("(")[0] for d in function.decorator_list)


def _statements(statements, names, found):
    """Go through a body in its order, as if every branch were taken once."""
    for statement in statements:
        for node in _own_expressions(statement):
            for part in ast.walk(node):
                if isinstance(part, ASKING) and not isinstance(
                    getattr(part, "ctx", None), (ast.Store, ast.Del)
                ):
                    with contextlib.suppress(Unknown, RecursionError):
                        whole = names.whole(inlined(part, names))
                        found.add(whole.tree, whole.imports, part)
        _assign(statement, names)
        for inner in ("body", "orelse", "finalbody"):
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                _statements(getattr(statement, inner, []), names, found)
        for handler in getattr(statement, "handlers", []):
            _statements(handler.body, names, found)


def _own_expressions(statement):
    """The expressions of a statement itself, not of the statements within it."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    fields = [
        value
        for name, value in ast.iter_fields(statement)
        if name not in ("body", "orelse", "finalbody", "handlers")
    ]
    nodes = [n for value in fields for n in (value if isinstance(value, list) else [value])]
    return [n for n in nodes if isinstance(n, ast.AST)]


def _assign(statement, names):
    """Learn what names stand for from one statement."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        names.imports.update(_imports([statement], {}))
        for alias in statement.names:
            names.values.pop(alias.asname or alias.name.split(".")[0], None)
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            is_part = isinstance(target, (ast.Attribute, ast.Subscript))
            if is_part and isinstance(target.value, ast.Name):
                _set(target, statement.value, names)
            _bind(target, statement.value, names)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        _done(statement.value, names)
    elif isinstance(statement, ast.Delete):
        for target in statement.targets:
            if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                method = ast.Attribute(target.value, "__delitem__", ast.Load())
                _done(ast.Call(method, [target.slice], []), names)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        _bind(statement.target, statement.value, names)
    elif isinstance(statement, ast.AugAssign):
        _bind(statement.target, None, names)
    elif isinstance(statement, (ast.For, ast.AsyncFor)):
        is_listed = isinstance(statement.iter, (ast.List, ast.Tuple)) and statement.iter.elts
        _bind(statement.target, statement.iter.elts[0] if is_listed else None, names)
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        for item in statement.items:
            if item.optional_vars is not None:
                _bind(item.optional_vars, _entered(item.context_expr), names)
    elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        names.values[statement.name] = None
        names.imports.pop(statement.name, None)


def _set(target, value, names):
    """An attribute or an item is given to an object: as a call, which an expression can hold."""
    if isinstance(target, ast.Attribute):
        named = [target.value, ast.Constant(target.attr), value]
        call = ast.Call(ast.Name("setattr", ast.Load()), named, [])
    else:
        method = ast.Attribute(target.value, "__setitem__", ast.Load())
        call = ast.Call(method, [target.slice, value], [])
    _done(call, names, target.value.id)


def _done(call, names, name=""):
    """Something is done to an object by a method, and nobody takes the answer."""
    receiver = getattr(call.func, "value", None)
    name = name or (receiver.id if isinstance(receiver, ast.Name) else "")
    if not name or name == "self" or names.values.get(name) is None:
        return
    try:
        own = names.hold(name)
        written = inlined(call, names)
        if UNWANTED.search(ast.unparse(written.tree)):
            raise Unknown(name)
        names.do(own, written)
    except (Unknown, RecursionError):
        names.values[name] = None


def _entered(manager):
    """What `with` gives: for most objects the object itself, by its own method."""
    return ast.Call(ast.Attribute(manager, "__enter__", ast.Load()), [], [])


def _bind(target, value, names):
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
        is_whole = len(parts) == len(target.elts)
        for number, part in enumerate(target.elts):
            _bind(part, parts[number] if is_whole else None, names)
        return
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        key = f"{target.value.id}.{target.attr}" if target.value.id == "self" else None
    else:
        key = target.id if isinstance(target, ast.Name) else None
    if key is None:
        return
    try:
        names.values[key] = None if value is None else inlined(value, names)
    except (Unknown, RecursionError):
        names.values[key] = None


def _bind_to_self(statement, names):
    """A class's own attribute, which its tests know as one of the instance."""
    is_open = isinstance(statement.value, ast.Constant) and statement.value.value is None
    with contextlib.suppress(Unknown, RecursionError):
        # What a base class leaves open is given by classes that are not followed.
        if not is_open:
            names.values[f"self.{statement.targets[0].id}"] = inlined(statement.value, names)


def _imports(statements, found):
    """What imported names are: the line that imports them, and how they are written then."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                bound = alias.asname or alias.name.split(".")[0]
                found[bound] = (f"import {alias.name}", alias.name if alias.asname else bound)
        elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
            for alias in statement.names:
                if alias.name != "*" and statement.module != "__future__":
                    bound = alias.asname or alias.name
                    found[bound] = (f"from {statement.module} import {alias.name}", alias.name)
        elif isinstance(statement, (ast.Try, ast.If)):
            _imports([*statement.body, *statement.orelse], found)
            for handler in getattr(statement, "handlers", []):
                _imports(handler.body, found)
    return found


def _doctests(module, text, fixtures, found):
    """The examples of a module's texts; its own names are imported from it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    own = {
        node.name: (f"from {module} import {node.name}", node.name)
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    parser = doctest.DocTestParser()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        names = Names(dict(own), {}, fixtures)
        with contextlib.suppress(ValueError):
            for example in parser.get_examples(ast.get_docstring(node) or ""):
                with contextlib.suppress(SyntaxError, ValueError):
                    _statements(ast.parse(example.source).body, names, found)
