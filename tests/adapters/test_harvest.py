"""Calls out of tests and doctests, each as one expression that evaluates as it did there."""

from __future__ import annotations

import pytest

from agentci_dagster.adapters.test_writers.probe.harvest import harvest


def texts(source: str) -> list[str]:
    return [call.text for call in harvest([source], []).calls]


def values(source: str) -> dict[str, object]:
    """What the expressions give."""
    found = {}
    for call in harvest([source], []).calls:
        names: dict[str, object] = {}
        for line in call.imports:
            exec(line, names)
        found[call.text] = eval(call.text, names)
    return found


def test_names_are_replaced_by_what_was_assigned_to_them() -> None:
    source = "from fractions import Fraction as F\nHALF = F(1, 2)\ndef test():\n    n = 3\n    assert HALF.limit_denominator(n) == 1\n"

    found = harvest([source], []).calls

    call = next(c for c in found if c.called == "limit_denominator")
    assert call.text == "Fraction(1, 2).limit_denominator(3)"
    assert call.imports == ("from fractions import Fraction",)


def test_fixtures_and_parameters_are_written_out() -> None:
    source = (
        "import pytest\n"
        "@pytest.fixture\ndef base():\n    return dict(a=1)\n"
        "@pytest.fixture\ndef shop(base):\n    made = dict(base)\n    yield made\n"
        "@pytest.mark.parametrize('key, wanted', [('a', 1), pytest.param('b', None, id='x')])\n"
        "def test(shop, key, wanted):\n    assert shop.get(key) == wanted\n"
    )

    found = texts(source)

    assert "dict(dict(a=1)).get('a')" in found
    assert "dict(dict(a=1)).get('b')" in found


def test_what_is_done_to_an_object_comes_before_what_is_asked_of_it() -> None:
    source = (
        "from collections import OrderedDict\n"
        "def test():\n    cache = OrderedDict()\n    cache['a'] = 1\n    cache['b'] = 2\n"
        "    cache.move_to_end('a')\n    del cache['b']\n    assert list(cache) == ['a']\n"
    )

    found = values(source)

    (text,) = [t for t in found if t.startswith("((cache :=") and t.endswith("list(cache))[-1]")]
    assert found[text] == ["a"]
    assert "cache.__delitem__('b')" in text


def test_attributes_are_set_and_names_given_anew_are_other_objects() -> None:
    source = (
        "from types import SimpleNamespace\n"
        "def test():\n    x = SimpleNamespace()\n    x.n = 1\n    assert vars(x) == {}\n"
        "    x = SimpleNamespace(k=0)\n    x.n = 2\n    assert vars(x) == {}\n"
    )

    found = values(source)

    assert {"n": 1} in found.values()
    assert {"k": 0, "n": 2} in found.values()


def test_operators_items_and_properties_are_taken_too() -> None:
    source = "from fractions import Fraction\ndef test():\n    x = Fraction(1, 3)\n    assert x + 1 > x.numerator\n"

    found = texts(source)

    assert {"Fraction(1, 3) + 1", "Fraction(1, 3).numerator"} <= set(found)


def test_classes_of_tests_give_their_attributes_and_what_setup_makes() -> None:
    source = (
        "from decimal import Decimal\n"
        "class TestIt:\n    Kind = Decimal\n    Open = None\n"
        "    def setUp(self):\n        self.one = Decimal('1')\n"
        "    def test(self):\n        self.Kind('2').sqrt()\n        self.one.sqrt()\n        self.Open('3').sqrt()\n"
    )

    found = texts(source)

    assert {"Decimal('2').sqrt()", "Decimal('1').sqrt()"} <= set(found)
    assert not any("'3'" in text for text in found)


def test_doctests_know_the_names_of_their_module() -> None:
    module = 'def double(n):\n    """Twice.\n\n    >>> n = 4\n    >>> double(n)\n    8\n    """\n    return 2 * n\n'

    (call,) = harvest([], [("shop.numbers", module)]).calls

    assert (call.text, call.imports) == ("double(4)", ("from shop.numbers import double",))


def test_objects_are_known_by_their_class() -> None:
    found = harvest(["from fractions import Fraction\nx = Fraction(1, 3)\ny = Fraction(2)\n"], [])

    assert [call.text for call in found.made["Fraction"]] == ["Fraction(1, 3)", "Fraction(2)"]


@pytest.mark.parametrize(
    "body",
    [
        "unknown.thing()",
        "n = other()\n    str(n)",
        "for n in range(3):\n        str(n)",
        "def inner(): ...\n    inner()",
        "import os\n    os._exit(1)",
        "import subprocess\n    subprocess.run(['x'])",
        "open('made', 'w')",
        "x = [1]\n    x.append(unknown)\n    len(x)",
        "len(unknown := [1])",
    ],
)
def test_what_is_not_known_or_does_harm_is_left_out(body: str) -> None:
    assert (
        texts(f"def test():\n    {body}\n") == []
        or "range" in texts(f"def test():\n    {body}\n")[0]
    )


@pytest.mark.parametrize("source", ["def f(:\n", "\0", "(" * 500])
def test_files_that_cannot_be_read_are_passed_over(source: str) -> None:
    assert texts(source) == []
    assert harvest([], [("m", source)]).calls == []


def test_lambdas_and_comprehensions_keep_their_own_names() -> None:
    found = values(
        "def test():\n    k = 2\n    assert sorted([3, 1], key=lambda n: n * k) == [n for n in (1, 3)]\n"
    )

    assert found["sorted([3, 1], key=lambda n: n * 2)"] == [1, 3]
