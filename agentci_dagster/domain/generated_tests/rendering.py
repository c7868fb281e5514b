"""How a written test reads: plain pytest functions whose names say what came out of which call.

What was observed comes out of a sandbox in which the commit's code ran, so every piece of text is
checked to be what it claims to be: an import, an expression, a name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from agentci_dagster.domain.generated_tests.targets import Target

_IMPORT = re.compile(r"from [\w.]+ import \w+|import [\w.]+")
_MAX_EXPRESSION = 2000
_OPERANDS = (ast.Call, ast.Attribute, ast.Subscript, ast.Name, ast.Constant)
_WORDS = re.compile(r"[A-Za-z0-9]+")


class Outcome(StrEnum):
    """What a test says about a call."""

    EQUALS = "equals"
    IS_CLOSE = "is_close"
    RAISES = "raises"
    CHANGES = "changes"
    HAS_TYPE = "has_type"


@dataclass(frozen=True, slots=True)
class Case:
    """One call and what came out of it.

    `expected` is an expression, an exception's or a type's name. For CHANGES, `changed` is what the
    call changes, an argument or the object itself; the call names it `value`, and `looked_at` is
    the expression that is looked at then.
    """

    call: str
    outcome: Outcome
    expected: str
    imports: tuple[str, ...]
    changed: str = ""
    looked_at: str = "value"

    def __post_init__(self) -> None:
        changed = (self.changed, self.looked_at) if self.changed else ()
        for text in (self.call, self.expected, *changed):
            _expect_expression(text)
        _expect_imports(self.imports)
        named = {Outcome.RAISES, Outcome.HAS_TYPE}
        if self.outcome in named and not re.fullmatch(r"[\w.]+", self.expected):
            raise ValueError(f"not a name: {self.expected[:80]!r}")


@dataclass(frozen=True, slots=True)
class Crash:
    """A call on ordinary input that ended in an exception which nobody raised on purpose."""

    call: str
    exception: str
    message: str
    imports: tuple[str, ...]

    def __post_init__(self) -> None:
        _expect_expression(self.call)
        _expect_imports(self.imports)
        if not self.exception.isidentifier():
            raise ValueError(f"not an exception's name: {self.exception[:80]!r}")


def render_module(target: Target, cases: Sequence[Case]) -> str:
    """A complete pytest module with one test per case."""
    imports = sorted({line for case in cases for line in case.imports})
    needs_pytest = any(c.outcome in {Outcome.RAISES, Outcome.IS_CLOSE} for c in cases)
    names: dict[str, int] = {}
    parts = []
    for case in cases:
        name = _test_name(target, case)
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}_{names[name]}"
        parts.append(f"\n\ndef {unique}():\n{_body(case)}")
    what = _plain(f"{target.path}, {target.qualified_name}")
    head = f'"""What {what} did when this commit was made; written by AgentCI."""\n\n'
    lines = [*(["import pytest", ""] if needs_pytest else []), *imports]
    return head + "\n".join(lines) + "\n" + "".join(parts)


def render_finding(target: Target, crash: Crash) -> str:
    """A complete pytest module whose one test fails as long as the call crashes."""
    name = f"test_{_slug(target.qualified_name)}_does_not_crash"
    what = _plain(f"{target.path}, {target.qualified_name}")
    message = _plain(crash.message)[:120]
    return (
        f'"""A crash of {what} on ordinary input; found by AgentCI."""\n\n'
        + "\n".join(sorted(set(crash.imports)))
        + f"\n\n\ndef {name}():\n    {crash.call}  # {crash.exception}: {message}\n"
    )


def _body(case: Case) -> str:
    steps, call = _steps_of(case.call)
    return "".join(f"    {step}\n" for step in steps) + _assertion(replace(case, call=call))


def _assertion(case: Case) -> str:
    if case.outcome is Outcome.RAISES:
        return f"    with pytest.raises({case.expected}):\n        {case.call}\n"
    if case.outcome is Outcome.CHANGES:
        seen = f"    assert {case.looked_at} == {case.expected}\n"
        return f"    value = {case.changed}\n    {case.call}\n{seen}"
    if case.outcome is Outcome.HAS_TYPE:
        return f"    assert type({case.call}).__name__ == {case.expected!r}\n"
    call = _as_operand(case.call)
    if case.outcome is Outcome.IS_CLOSE:
        return f"    assert {call} == pytest.approx({case.expected})\n"
    if case.expected in {"True", "False", "None"}:
        return f"    assert {call} is {case.expected}\n"
    return f"    assert {call} == {case.expected}\n"


def _steps_of(call: str) -> tuple[list[str], str]:
    """The steps of the one `(x := …, …, expression)[-1]` in a call as statements, and the call with
    that expression in its place; none where there is no such part, or more than one.
    """
    tree = ast.parse(call, mode="eval")
    parts = [node for node in ast.walk(tree) if _has_steps(node)]
    if len(parts) != 1:
        return [], call
    *before, last = parts[0].value.elts
    whole = _Instead(parts[0], last).visit(tree)
    return [_statement(node) for node in before], ast.unparse(whole)


def _has_steps(node: ast.AST) -> TypeGuard[_Stepped]:
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Tuple):
        return False
    is_last = ast.unparse(node.slice) == "-1"
    return is_last and any(isinstance(n, ast.NamedExpr) for n in node.value.elts)


class _Stepped(ast.Subscript):
    """A subscript of a tuple, for readers of types."""

    value: ast.Tuple


class _Instead(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else self.generic_visit(node)


def _statement(node: ast.expr) -> str:
    """A step as people write it: assignments of names, attributes and items, else the call."""
    if isinstance(node, ast.NamedExpr):
        return f"{node.target.id} = {ast.unparse(node.value)}"
    if not isinstance(node, ast.Call):
        return ast.unparse(node)
    called, given = ast.unparse(node.func), [ast.unparse(a) for a in node.args]
    name = node.args[1] if called == "setattr" and len(given) == 3 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.isidentifier():
        return f"{given[0]}.{name.value} = {given[2]}"
    if called.endswith(".__setitem__") and len(given) == 2:
        return f"{called.removesuffix('.__setitem__')}[{given[0]}] = {given[1]}"
    return ast.unparse(node)


def _as_operand(call: str) -> str:
    """In brackets where a comparison behind it would become part of it."""
    is_whole = isinstance(ast.parse(call, mode="eval").body, _OPERANDS)
    return call if is_whole else f"({call})"


def _test_name(target: Target, case: Case) -> str:
    name = _slug(target.qualified_name)
    given = _slug(case.call[case.call.find("(") :])[:40].strip("_") or "nothing"
    verb = {
        Outcome.RAISES: "raises",
        Outcome.CHANGES: "leaves",
        Outcome.HAS_TYPE: "gives_a",
    }.get(case.outcome, "gives")
    result = _slug(case.expected)[:30].strip("_") or "empty"
    return f"test_{name}_of_{given}_{verb}_{result}"


def _slug(text: str) -> str:
    text = text.replace("[]", " empty_list ").replace("{}", " empty_dict ")
    text = text.replace("''", " empty_text ").replace("-", " minus_")
    return "_".join(w.lower() for w in _WORDS.findall(text))


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)


def _expect_expression(text: str) -> None:
    try:
        if len(text) > _MAX_EXPRESSION or "\n" in text:
            raise ValueError("too long")
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise ValueError(f"not an expression: {text[:80]!r}") from e


def _expect_imports(lines: Sequence[str]) -> None:
    for line in lines:
        if not _IMPORT.fullmatch(line):
            raise ValueError(f"not an import: {line[:80]!r}")
