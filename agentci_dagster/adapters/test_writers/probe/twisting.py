# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors
"""Expressions near the ones that people wrote, and values near the ones given."""

from __future__ import annotations

import ast
import contextlib

from .inputs import ANY, INTS, TEXTS


def twisted(search, text, chance):
    """The expression with one thing changed: a literal, a text that is passed on, or what the
    function is asked beside.
    """
    tree = ast.parse(text, mode="eval")
    how = chance.random()
    if how < 0.3 and search.optional and with_option(search, tree, chance):
        return ast.unparse(tree)
    if how < 0.5 and _with_other_text(tree, chance):
        return ast.unparse(tree)
    kinds = (int, str, float, bool, bytes)
    literals = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in kinds]
    node = chance.choice(literals)
    kind = type(node.value).__name__
    near = search.inputs.mined.get(kind, []) + (INTS if kind in ("int", "float") else TEXTS)
    pool = near if chance.random() < 0.8 else ANY
    node.value = ast.literal_eval(twist(repr(node.value), pool, chance))
    return ast.unparse(tree)


def with_option(search, tree, chance):
    """Give the function one more argument that it may be given; whether that could be done."""
    spec = search.function.spec
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
    name, pool = chance.choice(search.optional)
    if not pool:
        return False
    value = ast.parse(chance.choice(pool), mode="eval").body
    call.keywords = [k for k in call.keywords if k.arg != name] + [ast.keyword(name, value)]
    return True


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


def twist(text, pool, chance):
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
