"""Tests written offline: crashes on ordinary input are found, what is kept holds and covers the change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.adapters.test_writers.offline import OfflineTestWriter
from agentci_dagster.domain.generated_tests import Funnel
from agentci_dagster.domain.selection import Isolation, SelectionMode, TestPlan, diff_coverage
from tests.adapters.trees import workshop
from tests.builders import diff, file_change, key
from tests.fakes.test_bench import FakeTestBench, FakeTestWriter

BUDGET = timedelta(seconds=10)
START = {
    "shop/__init__.py": "",
    "shop/cart.py": "def total(prices: list[float]) -> float:\n    return sum(prices)\n",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shop(tmp_path, home):
    return workshop(tmp_path, home)


def write(shop, *trees, budget=BUDGET):
    shop.put(*trees)
    with shop.checkout(len(trees)) as checkout:
        change = shop.diff(len(trees))
        written = OfflineTestWriter(shop.bench, shop.mirrors).write(checkout, change, budget)
        plan = TestPlan(SelectionMode.NONE, (), (), 0, tuple(f.path for f in change.files))
        run = shop.bench.run(checkout, plan, written.kept, timedelta(seconds=60))
    return written, diff_coverage(change, run), run


def write_for(shop, source):
    return write(shop, START, START | {"shop/new.py": source})


AVERAGE = (
    "def average_rating(ratings: list[int]) -> float:\n    return sum(ratings) / len(ratings)\n"
)
GUARDED = (
    "def average_rating(ratings: list[int]) -> float:\n    if not ratings:\n        return 0.0\n"
    "    return sum(ratings) / len(ratings)\n"
)


def test_empty_list_that_divides_by_zero_is_found_with_its_example(shop):
    tested = {
        "tests/test_r.py": "from shop.ratings import average_rating\n\n"
        "def test_a():\n    assert average_rating([1, 3]) == 2\n"
    }

    written, _, _ = write(shop, START, START | tested | {"shop/ratings.py": AVERAGE})

    (finding,) = written.findings
    assert finding.example == "average_rating([])"
    assert finding.exception == "ZeroDivisionError"
    assert finding.target == "shop/ratings.py::average_rating"
    assert "    average_rating([])  # ZeroDivisionError" in finding.test_source
    assert "1 crashes on ordinary input" in written.note


def test_guarded_sibling_is_covered_whole_and_gives_no_alarm(shop):
    written, coverage, run = write(shop, START, START | {"shop/ratings.py": GUARDED})

    assert written.findings == ()
    assert coverage.share == 1.0
    assert run.n_failed == 0
    assert written.isolation is Isolation.STRONG
    assert written.funnel == Funnel(1, 1, 1, 1, 1)
    assert "assert average_rating([]) == pytest.approx(0.0)" in written.kept[0].source


def test_crash_that_was_there_before_is_not_this_commits(shop):
    before = START | {"shop/ratings.py": AVERAGE}
    after = START | {"shop/ratings.py": AVERAGE.replace("sum(ratings)", "float(sum(ratings))")}

    assert write(shop, before, after)[0].findings == ()


def test_crash_that_a_change_brings_is_found(shop):
    before = START | {"shop/ratings.py": GUARDED}
    after = START | {"shop/ratings.py": AVERAGE}

    assert [f.example for f in write(shop, before, after)[0].findings] == ["average_rating([])"]


LIBRARY = {
    "option without a hint": (
        "def ordered(items: list[int], key=None) -> bool:\n"
        "    return all(key(i) >= 0 for i in items) if key else True\n"
    ),
    "type guessed from the body": (
        "def widest(columns):\n    return max(len(c) for c in columns)\n"
    ),
    "any value": "def size(thing: object) -> int:\n    return len(thing)\n",
    "any function": (
        "from collections.abc import Callable\n"
        "def twice(f: Callable[[int], int], n: int) -> int:\n    return f(f(n)) + 1\n"
    ),
    "object made of guesses": (
        "class Bucket:\n    def __init__(self, items, key):\n"
        "        self.items, self.key = items, key\n"
        "    def groups(self) -> list[int]:\n        return [self.key(i) for i in self.items]\n"
    ),
    "empty container": (
        "class Pile:\n    def __init__(self) -> None:\n        self.items: list[int] = []\n"
        "    def take(self) -> int:\n        return self.items.pop()\n"
    ),
    "object that is filled later": (
        "class Answer:\n    def __init__(self) -> None:\n        self.code: int = None\n"
        "    def is_bad(self) -> bool:\n        return 400 <= self.code\n"
    ),
    "any class": "def make(kind: type[Exception]) -> str:\n    return kind('a').args[0]\n",
    "container of anything": (
        "def names(rows: list) -> list[str]:\n    return [row['name'] for row in rows]\n"
    ),
    "odd text": (
        "def scheme(url: str) -> str:\n    odd = [c for c in url if ord(c) in range(91, 97)]\n"
        "    return url + (None if odd else ':')\n"
    ),
    "nothing said": "def whoops():\n    return 1 / 0\n",
    "passed on": (
        "def half(n: int) -> float:\n    return n / 2\n"
        "def quiet(*args: int) -> float:\n    return half(*args)\n"
    ),
    "called so by people": ("def share(a, b):\n    return a / b\n"),
}
PEOPLE = (
    "import pytest\nfrom shop.new import share\n\ndef test_share():\n"
    "    assert share(1, 2) == 0.5\n    with pytest.raises(ZeroDivisionError):\n"
    "        share(1, 0)\n"
)


@pytest.mark.parametrize("source", LIBRARY.values(), ids=LIBRARY)
def test_input_of_a_guessed_type_is_no_ordinary_input(shop, source):
    people = {"tests/test_new.py": PEOPLE} if "share" in source else {}

    written, _, _ = write(shop, START, START | people | {"shop/new.py": source})

    assert written.findings == ()


@pytest.mark.parametrize(
    "source",
    [
        "def first(items):\n    return items[0]\n",
        "def _first(items: list[int]) -> int:\n    return items[0]\n",
        "def pick(items: list[int], n: int) -> int:\n    return items[n]\n",
        'def first(items: list[int]) -> int:\n    """The first of a non-empty list."""\n    return items[0]\n',
        "def first(items: list[int]) -> int:\n    if not items:\n        raise IndexError('empty')\n    return 1\n",
        "def read(text: str) -> int:\n    return int(text)\n",
        "import statistics\ndef mean(xs: list[int]) -> float:\n    return statistics.mean(xs)\n",
    ],
    ids=["no hints", "private", "lookup", "said", "raised", "value", "elsewhere"],
)
def test_what_is_no_crash_on_ordinary_input_is_no_finding(shop, source):
    assert write_for(shop, source)[0].findings == ()


def test_exceptions_raised_on_purpose_are_asserted_by_type(shop):
    written, coverage, _ = write_for(
        shop,
        "def check(n: int) -> int:\n    if n > 99:\n        raise ValueError('too many')\n    return n\n",
    )

    assert "with pytest.raises(ValueError):" in written.kept[0].source
    assert coverage.share == 1.0


def test_methods_properties_and_dataclasses_are_called(shop):
    written, coverage, run = write_for(
        shop,
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Line:\n    price: float\n"
        "    n: int = 1\n\n    def cost(self) -> float:\n        return self.price * self.n\n\n"
        "    @property\n    def is_free(self) -> bool:\n        return self.price == 0\n\n"
        "    @classmethod\n    def of(cls, price: float) -> 'Line':\n        return cls(price)\n\n"
        "    @staticmethod\n    def zero() -> int:\n        return 0\n",
    )

    assert coverage.share == 1.0
    assert run.n_failed == 0
    assert len(written.kept) == 4


def test_literals_of_the_body_lead_to_its_branches(shop):
    _, coverage, _ = write_for(
        shop,
        "def rate(kind: str, n: int) -> float:\n    if kind == 'gold' and n > 4711:\n"
        "        return 0.5\n    if kind.startswith('sil'):\n        return 0.8\n    return 1.0\n",
    )

    assert coverage.share == 1.0


def test_changed_argument_is_asserted_where_nothing_is_returned(shop):
    written, _, _ = write_for(shop, "def tidy(items: list[int]) -> None:\n    items.sort()\n")

    assert "tidy(value)" in written.kept[0].source


def test_what_differs_from_run_to_run_is_not_kept(shop):
    written, _, _ = write_for(
        shop,
        "def order(n: int) -> list[str]:\n    return list({'a', 'b', 'c', 'd', str(n)})\n"
        "def where(n: int) -> str:\n    return repr(object())\n",
    )

    assert written.kept == ()
    assert written.note.startswith("0 tests, because")


def test_generators_are_read_out_and_loops_are_given_up(shop):
    written, _, _ = write_for(
        shop,
        "def count(n: int):\n    yield from range(n)\n\n\n"
        "def spin(n: int) -> int:\n    while n != 5:\n        pass\n    return n\n",
    )

    assert "list(count(" in written.kept[0].source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(p: str):\n    return open(p).read()\n", "processes and the network"),
        ("async def f(n: int):\n    yield n\n", "asynchronous generators"),
        ("X = 1\n", "no function has changed"),
        ("import no_such_module\ndef f(n: int):\n    return n\n", "could not be imported"),
        ("import os\nos._exit(0)\ndef f(n: int):\n    return n\n", "ended early"),
    ],
)
def test_note_says_why_there_are_none(shop, source, words):
    written, _, _ = write_for(shop, source)

    assert written.kept == ()
    assert written.note.startswith("0 tests, because")
    assert words in written.note


def test_asynchronous_function_is_run_to_its_end(shop):
    source = "async def double(n: int) -> int:\n    return 2 * n\n"

    written, coverage, run = write_for(shop, source)

    assert "asyncio.run(double(" in written.kept[0].source
    assert coverage.share == 1.0
    assert run.n_failed == 0


STACK = """\
class Stack:
    def __init__(self, limit):
        if type(limit) is not int or limit < 3:
            raise ValueError(limit)
        self.limit, self.items = limit, []

    def push(self, item):
        if len(self.items) == self.limit:
            raise OverflowError(item)
        self.items.append(item)

    def _top(self):
        if not self.items:
            return None
        return self.items[-1]

    @property
    def top(self):
        return self._top()
"""
STACK_TESTS = """\
import pytest
from shop.stack import Stack


@pytest.fixture
def stack():
    made = Stack(limit=4)
    made.push("first")
    return made


def test_top(stack):
    stack.push("second")
    assert stack.top == "second"


def test_empty():
    assert Stack(limit=3).top is None
"""


def test_private_method_is_reached_as_people_make_and_fill_the_object(shop):
    before = STACK.replace("        if not self.items:\n            return None\n", "")
    tree = START | {"tests/test_stack.py": STACK_TESTS}

    written, coverage, run = write(
        shop, tree | {"shop/stack.py": before}, tree | {"shop/stack.py": STACK}
    )

    source = "\n".join(c.source for c in written.kept)
    assert coverage.share == 1.0
    assert run.n_failed == 0
    assert "Stack(limit=" in source


def test_value_that_is_a_place_in_memory_is_not_asserted(shop):
    source = "def place(item: int) -> int:\n    return id([item])\n"

    written, _, _ = write_for(shop, source)

    assert written.kept == ()


def test_object_that_cannot_be_written_is_looked_at_by_its_attributes(shop):
    source = (
        "class Price:\n    def __init__(self, amount):\n        self.amount = amount\n\n\n"
        "def price(amount: int):\n    return Price(amount * 2)\n"
    )

    written, _, run = write_for(shop, source)

    assert ".amount == " in "\n".join(c.source for c in written.kept)
    assert run.n_failed == 0


def test_commit_without_python_and_budget_of_nothing_are_said(shop):
    docs, _, _ = write(shop, START, START | {"README.md": "x\n"})
    unpaid, _, _ = write(shop, START, START | {"a.py": GUARDED}, budget=timedelta(0))

    assert docs.note == "0 tests, because no Python source has changed."
    assert unpaid.note == "0 tests, because the budget is 0."


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_contract_of_writers(kind, shop):
    shop.put({"README.md": ""})
    bench = FakeTestBench() if kind == "fake" else shop.bench
    writer = FakeTestWriter() if kind == "fake" else OfflineTestWriter(bench, shop.mirrors)
    with bench.checkout(key(1)) as checkout:
        written = writer.write(checkout, diff(file_change("README.md")), BUDGET)

    assert written.kept == written.findings == ()
    assert written.funnel.n_kept == len(written.kept)
    assert written.note


def test_crash_that_depends_on_earlier_calls_is_no_finding(shop):
    source = (
        "_seen = []\n\n\ndef weight(n: int) -> float:\n    _seen.append(n)\n"
        "    return n / (20 - len(_seen))\n"
    )

    written, _, _ = write_for(shop, source)

    assert written.findings == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"shop/old.py": AVERAGE}, {"shop/old.py": "", "shop/new.py": AVERAGE}),
        ({"shop/old.py": AVERAGE}, {"shop/old.py": AVERAGE.replace("average_rating", "mean")}),
        (
            {
                "shop/util.py": "def old(n: int) -> int:\n    return n\n",
                "shop/new.py": "from shop.util import old\n\n\ndef ratio(xs: list[int]) -> float:\n"
                "    return old(sum(xs)) / len(xs)\n",
            },
            {
                "shop/util.py": "def new(n: int) -> int:\n    return n\n",
                "shop/new.py": "from shop.util import new\n\n\ndef ratio(xs: list[int]) -> float:\n"
                "    return new(sum(xs)) / len(xs)\n",
            },
        ),
    ],
    ids=["moved", "renamed", "with a parent that cannot be loaded beside it"],
)
def test_crash_that_the_version_before_has_too_is_no_finding(shop, before, after):
    written, _, _ = write(shop, START | before, START | before | after)

    assert written.findings == ()
    assert "are no news" in written.note


def test_look_up_in_a_literal_is_the_callers_business(shop):
    source = 'def lookup(name: str) -> int:\n    return {"a": 1, "b": 2}[name]\n'

    written, _, _ = write_for(shop, source)

    assert written.findings == ()
