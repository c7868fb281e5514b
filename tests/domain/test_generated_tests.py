"""Which functions tests are written for, and how the tests read."""

from __future__ import annotations

import ast

import pytest

from agentci_dagster.domain.diff import ChangedSymbol, FileKind, FileStatus, Hunk, SymbolStatus
from agentci_dagster.domain.generated_tests import (
    Case,
    Crash,
    Outcome,
    Shape,
    Target,
    choose_targets,
    render_finding,
    render_module,
)
from tests.builders import diff, file_change

IMPORTS = ("from shop.cart import total",)
TARGET = Target(
    "shop/cart.py", "shop.cart", "total", Shape.FUNCTION, 1, 2, (2,), False, True, False
)


def targets(source, *names, path="shop/cart.py", roots=("",), hunks=None, paths=(), **changes):
    symbols = tuple(ChangedSymbol(n, False, SymbolStatus.ADDED, 1, 9) for n in names)
    change = file_change(
        path, symbols=symbols, hunks=hunks or (Hunk(0, 0, 1, source.count("\n")),), **changes
    )
    return choose_targets(diff(change), {path: source}, frozenset(paths), roots)


def test_added_function_is_a_target_with_its_changed_lines():
    found = targets("x = 1\n\ndef f(a):\n    return a\n", "f")

    (target,) = found.chosen
    assert target.name == "shop/cart.py::f"
    assert (target.module, target.changed_lines) == ("shop.cart", (4,))
    assert target.is_new
    assert not target.is_private
    assert found.skipped == {}


def test_function_that_only_lost_lines_is_changed_as_a_whole():
    (target,) = targets(
        "def f(a):\n    a += 1\n    return a\n", "f", hunks=(Hunk(3, 1, 9, 0),)
    ).chosen

    assert target.changed_lines == (2, 3)


def test_untouched_removed_and_class_symbols_are_no_targets():
    removed = ChangedSymbol("f", False, SymbolStatus.REMOVED, 1, 1)
    whole = ChangedSymbol("g", True, SymbolStatus.ADDED, 1, 1)
    change = file_change(symbols=(removed, whole))

    found = choose_targets(
        diff(change), {"shop/cart.py": "def f(): pass\ndef g(): pass\n"}, frozenset(), ("",)
    )

    assert found.chosen == ()


@pytest.mark.parametrize(
    ("decorator", "name", "shape"),
    [
        ("", "m", Shape.METHOD),
        ("@staticmethod", "m", Shape.STATIC_METHOD),
        ("@classmethod", "m", Shape.CLASS_METHOD),
        ("@property", "m", Shape.PROPERTY),
        ("@functools.cached_property", "m", Shape.PROPERTY),
        ("", "__init__", Shape.CONSTRUCTOR),
    ],
)
def test_shape_follows_from_class_and_decorator(decorator, name, shape):
    source = f"class A:\n    {decorator}\n    def {name}(self):\n        return 1\n"

    (target,) = targets(source, f"A.{name}").chosen

    assert target.shape is shape


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        ("async def f(): yield 1\n", "f", "asynchronous generators"),
        ("def g():\n    def f(): pass\n", "g.f", "inside another function"),
        ("@overload\ndef f(): pass\n", "f", "overloads"),
        ("def f(): open('x')\n", "f", "files"),
        ("def f(): os.system('x')\n", "f", "files"),
        ("def f(): subprocess.run('x')\n", "f", "files"),
        ("def f(p): p.write_text('x')\n", "f", "files"),
    ],
)
def test_functions_that_cannot_be_called_safely_are_counted_by_reason(source, name, reason):
    found = targets(source, name)

    assert found.chosen == ()
    assert [n for r, n in found.skipped.items() if reason in r] == [1]


def test_file_that_cannot_be_imported_by_name_is_left_out():
    found = targets("def f(): pass\n", "f", path="my-tool/run.py")

    assert list(found.skipped) == ["in a file that cannot be imported by name"]


def test_file_that_cannot_be_parsed_counts_its_functions():
    assert targets("def (", "f", "g").skipped == {"in files that cannot be parsed": 2}


def test_files_that_are_not_python_or_were_not_read_are_passed_over():
    assert targets("", "f", path="a.js").chosen == ()
    unread = choose_targets(diff(), {}, frozenset(), ("",))
    tests = targets("def f(): pass\n", "f", kind=FileKind.TEST, status=FileStatus.ADDED)
    assert unread.chosen == tests.chosen == ()


def test_module_name_follows_the_import_roots():
    source = "def f(): pass\n"

    by_root = targets(source, "f", path="src/shop/cart.py", roots=("src", "")).chosen[0]
    package = targets(source, "f", path="src/shop/__init__.py", roots=("src",)).chosen[0]
    by_look = targets(source, "f", path="a/b.py", roots=("src",), paths=("a/__init__.py",)).chosen[
        0
    ]

    assert (by_root.module, package.module, by_look.module) == ("shop.cart", "shop", "a.b")


def test_functions_under_a_condition_are_found_and_generators_known():
    source = (
        "if True:\n    def f():\n        yield 1\n"
        "def _g():\n    def h():\n        yield 2\n    return h\n"
    )

    f, g = sorted(targets(source, "f", "_g").chosen, key=lambda t: t.is_private)

    assert f.is_generator
    assert not g.is_generator
    assert g.is_private


def test_module_reads_as_plain_pytest():
    cases = [
        Case("total([1])", Outcome.EQUALS, "1", IMPORTS),
        Case("total([])", Outcome.EQUALS, "None", IMPORTS),
        Case("total([0.5])", Outcome.IS_CLOSE, "0.5", IMPORTS),
        Case("total(None)", Outcome.RAISES, "ValueError", IMPORTS),
        Case("total(value)", Outcome.CHANGES, "[1, 2]", IMPORTS, changed="[2, 1]"),
        Case("total(3)", Outcome.HAS_TYPE, "Basket", IMPORTS),
        Case("total((1,))", Outcome.EQUALS, "1", IMPORTS),
    ]

    source = render_module(TARGET, cases)

    names = [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    assert names[:2] == ["test_total_of_1_gives_1", "test_total_of_empty_list_gives_none"]
    assert len(set(names)) == len(cases)
    assert "assert total([]) is None" in source
    assert "assert total([0.5]) == pytest.approx(0.5)" in source
    assert "with pytest.raises(ValueError):\n        total(None)" in source
    assert "value = [2, 1]\n    total(value)\n    assert value == [1, 2]" in source
    assert "assert type(total(3)).__name__ == 'Basket'" in source


def test_steps_before_a_call_are_written_as_statements():
    steps = "(c := Cart()), c.__setitem__('a', 1), setattr(c, 'tax', 2), c.clear(), setattr(c, k, 3), c.size"
    case = Case(f"({steps}, c.total())[-1]", Outcome.EQUALS, "2", IMPORTS)

    source = render_module(TARGET, [case])

    told = source[source.index("def test_") :].splitlines()[1:]
    assert [line.strip() for line in told] == [
        "c = Cart()", "c['a'] = 1", "c.tax = 2", "c.clear()", "setattr(c, k, 3)", "c.size", "assert c.total() == 2",
    ]  # fmt: skip


def test_steps_within_a_call_come_before_it():
    case = Case(
        "str(((c := Cart()), c.clear(), c.total())[-1]).upper()", Outcome.EQUALS, "'2'", IMPORTS
    )

    source = render_module(TARGET, [case])

    told = source[source.index("def test_") :].splitlines()[1:]
    assert [line.strip() for line in told] == [
        "c = Cart()", "c.clear()", "assert str(c.total()).upper() == '2'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "call", ["f((a := b(), a)[-1], (a := c(), a)[-1])", "(a, b)[-1]", "((c := f()), c)[0]", "x[-1]"]
)
def test_other_items_stay_as_they_are(call):
    assert f"assert {call} == 1" in render_module(TARGET, [Case(call, Outcome.EQUALS, "1", ())])


def test_comparison_is_put_in_brackets_and_an_object_is_looked_at_by_its_attribute():
    cases = [
        Case("a <= b", Outcome.EQUALS, "True", ()),
        Case("1 + total([2])", Outcome.IS_CLOSE, "3.5", IMPORTS),
        Case("value.add(1)", Outcome.CHANGES, "[1]", (), changed="Cart()", looked_at="value.items"),
    ]

    source = render_module(TARGET, cases)

    assert "assert (a <= b) is True" in source
    assert "assert (1 + total([2])) == pytest.approx(3.5)" in source
    assert "value = Cart()\n    value.add(1)\n    assert value.items == [1]" in source


def test_module_without_need_for_pytest_does_not_import_it():
    assert "pytest" not in render_module(TARGET, [Case("total()", Outcome.EQUALS, "1", IMPORTS)])


def test_finding_is_a_failing_test_whose_message_cannot_break_out():
    crash = Crash("total([])", "KeyError", 'a"""\nimport os', IMPORTS)

    source = render_finding(TARGET, crash)

    assert "total([])  # KeyError: a    import os" in source
    assert [type(n) for n in ast.parse(source).body] == [ast.Expr, ast.ImportFrom, ast.FunctionDef]


@pytest.mark.parametrize(
    "call", ["total(", "x = 1", "total()\nimport os", "(" * 500 + ")" * 500, "a" * 3000]
)
def test_text_that_is_no_expression_is_refused(call):
    with pytest.raises(ValueError, match="not an expression"):
        Case(call, Outcome.EQUALS, "1", ())


def test_text_that_is_no_import_or_name_is_refused():
    with pytest.raises(ValueError, match="not an import"):
        Case("f()", Outcome.EQUALS, "1", ("import os; os.system('x')",))
    with pytest.raises(ValueError, match="not a name"):
        Case("f()", Outcome.RAISES, "f()", ())
    with pytest.raises(ValueError, match="not an exception's name"):
        Crash("f()", "a b", "", ())
