# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, ARG002, N815, N818
# mypy: ignore-errors
"""Expressions with all their names written out: by what was assigned, given and done before.

Where names get their values belongs to `harvest.py`.
"""

from __future__ import annotations

import ast
import builtins
import copy

MAX_STEPS = 8
BUILTINS = set(dir(builtins))


class Unknown(Exception):
    """A name whose value is not written anywhere."""


class Written:
    """An expression with its imports and with the names of objects that it needs as they are by
    then (`held`).
    """

    def __init__(self, tree, imports=(), held=()):
        self.tree = tree
        self.imports = set(imports)
        self.held = set(held)


class Names:
    """What names stand for at one place of a file; `steps` are what was done to objects so far."""

    def __init__(self, imports, values, fixtures, steps=()):
        self.imports = imports
        self.values = values
        self.fixtures = fixtures
        self.steps = list(steps)

    def inner(self):
        """A place within, where names may be given other values."""
        return Names(dict(self.imports), dict(self.values), self.fixtures, self.steps)

    def hold(self, name):
        """From now on the name is one object, which things are done to; its name in a test."""
        found = self.values.get(name)
        if found is None:
            raise Unknown(name)
        if isinstance(found.tree, ast.Name) and found.tree.id in found.held:
            return found.tree.id
        taken = {step[0] for step in self.steps}
        own = next(n for n in (name, *(f"{name}_{k}" for k in range(2, 99))) if n not in taken)
        self.steps.append((own, found))
        self.values[name] = Written(ast.Name(own, ast.Load()), (), {own})
        return own

    def do(self, name, written):
        """Note what is done to a held object."""
        self.steps.append((name, written))

    def whole(self, written):
        """The expression with everything before it that made its objects what they are, as
        `(x := …, …, expression)[-1]`.
        """
        needed, chosen = set(written.held), []
        for name, step in reversed(self.steps):
            if name in needed:
                chosen.append((name, step))
                needed |= step.held
        if not chosen:
            return written
        if len(chosen) > MAX_STEPS:
            raise Unknown("too many steps")
        parts, imports, made = [], set(written.imports), set()
        for name, step in reversed(chosen):
            imports |= step.imports
            if name not in made:
                made.add(name)
                parts.append(ast.NamedExpr(ast.Name(name, ast.Store()), step.tree))
            else:
                parts.append(step.tree)
        last = ast.UnaryOp(ast.USub(), ast.Constant(1))
        every = ast.Tuple([*parts, written.tree], ast.Load())
        return Written(ast.Subscript(every, last, ast.Load()), imports)


class Inline(ast.NodeTransformer):
    """Replaces names by what they stand for; raises Unknown where that is not known."""

    def __init__(self, names):
        self.names = names
        self.imports = set()
        self.held = set()
        self.bound = []

    def _take(self, found):
        self.imports |= found.imports
        self.held |= found.held
        return copy.deepcopy(found.tree)

    def visit_Name(self, node):
        name = node.id
        if any(name in names for names in self.bound) or not isinstance(node.ctx, ast.Load):
            return node
        if name in self.names.values:
            found = self.names.values[name]
            if found is None:
                raise Unknown(name)
            return self._take(found)
        if name in self.names.imports:
            line, written = self.names.imports[name]
            self.imports.add(line)
            return ast.parse(written, mode="eval").body
        if name in ("__name__", "__file__"):
            return ast.Constant("generated" if name == "__name__" else "generated.py")
        if name in BUILTINS:
            return node
        raise Unknown(name)

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            found = self.names.values.get(f"self.{node.attr}")
            if found is None:
                raise Unknown(node.attr)
            return self._take(found)
        return self.generic_visit(node)

    def visit_Lambda(self, node):
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        names = {a.arg for a in every}
        names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
        return self._within(node, names)

    def _comprehension(self, node):
        names = {
            n.id
            for generator in node.generators
            for n in ast.walk(generator.target)
            if isinstance(n, ast.Name)
        }
        return self._within(node, names)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _within(self, node, names):
        self.bound.append(names)
        try:
            return self.generic_visit(node)
        finally:
            self.bound.pop()

    def visit_Await(self, node):
        raise Unknown("await")

    def visit_NamedExpr(self, node):
        raise Unknown("walrus")


def inlined(node, names):
    """The node with all names written out."""
    worker = Inline(names)
    tree = worker.visit(copy.deepcopy(node))
    if sum(1 for _ in ast.walk(tree)) > 160:
        raise Unknown("too long")
    return Written(tree, worker.imports, worker.held)
