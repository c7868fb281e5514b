# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001, C901, PLR0911, RUF005, S307, UP007
# mypy: ignore-errors
"""All calls of one function: looks for inputs that run different lines of it, and for ordinary ones
that crash it.
"""

from __future__ import annotations

import ast
import collections.abc
import contextlib
import dataclasses
import doctest
import inspect
import itertools
import random
import signal
import time
import types
import typing

from .calls import CALL_S, TooLong, observe
from .crashes import is_crash
from .inputs import Inputs, combinations, rich
from .signatures import guess, is_bare, mine, parameter_names, parameters, written, written_calls
from .twisting import twist, twisted
from .writing import MAX_SOURCE, NoSource, imported, namespace, to_source


class Search:
    """Looks for inputs that run different lines of one function, and for ordinary ones that
    crash it.
    """

    def __init__(self, function, texts, parent, budget_s, people=None):
        self.people = people
        self.function = function
        self.parent = parent
        self.ends = time.process_time() + budget_s
        self.inputs = Inputs(mine(function.tree), people.made if people else None)
        self.seen = []
        self.crashes = []
        self.covered = set()
        self.declared = set()
        self.has_bare = False
        self.texts = texts
        self.required = []
        self.kept_rows = ()
        self.calls = set()
        self.grown = []
        self.asked = {}
        self.optional = []

    def is_over(self):
        is_stuck = sum(isinstance(s.error, TooLong) for s in self.seen[-50:]) > 4
        return is_stuck or time.process_time() > self.ends or len(self.seen) > 5000

    def run(self):
        """Look; returns why the function could not be called by itself, empty when it could."""
        self.as_people_call(is_direct=True)
        why = self.by_itself()
        self.as_people_call(is_direct=False)
        self.twist_what_people_call()
        return "" if self.seen else why

    def as_people_call(self, *, is_direct):
        """Calls of tests and doctests: of this function by its name, or of anything through which
        it is reached.
        """
        spec = self.function.spec
        short = spec["qualified_name"].rsplit(".", 1)[-1]
        owner = self.function.owner.__name__ if self.function.owner else short
        called = owner if spec["shape"] == "constructor" else short
        calls = [
            c
            for c in (self.people.calls if self.people else [])
            if (c.called == called) is is_direct
        ]
        if not is_direct:
            # What speaks of the class or the module comes first.
            words = (owner, spec["module"].rsplit(".", 1)[-1], short.strip("_"))
            # A comparison says less than what is compared.
            calls.sort(key=lambda c: (-sum(word in c.text for word in words), not c.called))
        until = (
            self.ends if is_direct else time.process_time() + (self.ends - time.process_time()) / 2
        )
        for call in calls[: 120 if is_direct else 600]:
            if time.process_time() > until or (not is_direct and self.is_done()):
                return
            self.try_out(call.text, call.imports)

    def try_out(self, text, imports):
        """Evaluate a whole expression; it counts where it runs the function."""
        if text in self.calls or len(text) > MAX_SOURCE:
            return
        self.calls.add(text)
        try:
            seen = observe(self.function, text, imports)
        except (SyntaxError, NameError, ImportError):
            return
        if not seen.trail:
            return
        self.seen.append(seen)
        if seen.trail - self.covered:
            self.covered |= seen.trail
            self.grown.append((text, imports))

    def twist_what_people_call(self):
        """Change one literal of the expressions that ran something new, as long as lines are
        missing.
        """
        chance = random.Random(1)
        n_in_vain = 0
        while n_in_vain < 600:
            if self.is_over() or self.is_done() or not self.grown:
                return
            before = len(self.grown)
            text, imports = chance.choice(self.grown[-20:])
            with contextlib.suppress(Exception):
                self.try_out(twisted(self, text, chance), imports)
            n_in_vain = 0 if len(self.grown) > before else n_in_vain + 1

    def by_itself(self):
        function = self.function
        if not callable(function.raw):
            return "that cannot be found by their name"
        shape = function.spec["shape"]
        receivers = [""]
        name = function.spec["qualified_name"].split(".")[0]
        self.inputs.imports.add(f"from {function.spec['module']} import {name}")
        if function.owner is not None:
            if imported(function.owner, self.inputs.imports) != function.owner.__name__:
                raise NoSource
            if shape in ("method", "property"):
                receivers = self.that_can_be_made(self.inputs.objects(function.owner, 0))
                if not receivers:
                    return "whose class cannot be made from simple arguments"
        required, optional = parameters(function.raw)
        if required is None:
            return "whose signature is unknown"
        names = parameter_names(function.tree)
        calls = written_calls(function.spec["qualified_name"], [*self.texts, self.doctests()])
        known = {n: _type_of(calls, i, n) for i, n in enumerate(names)}
        self.required = required
        self.declared = {p.name for p in (*required, *optional) if p.is_declared}
        self.has_bare = any(is_bare(p.hint) for p in (*required, *optional) if p.is_declared)
        for parameter in required:
            if parameter.hint is inspect.Parameter.empty:
                parameter.hint = known.get(parameter.name) or guess(function.tree, parameter.name)
        pools = [self.inputs.pool(p.hint) for p in required]
        if not all(pools):
            return "whose arguments cannot be made from simple values"
        # Calls that people wrote come after the simplest inputs, and before everything else.
        rows = [(row, {}) for row in itertools.islice(combinations(pools), 400)]
        seeds = [(args, dict(kw)) for args, kw in calls if len(args) + len(kw) >= len(required)]
        extra = [(p.name, self.inputs.pool(p.hint)[:12]) for p in optional]
        self.optional = extra
        varied = [
            (row, {n: v})
            for n, pool in extra
            for v in pool
            for row, _ in [rows[min(i, len(rows) - 1)] for i in (0, 1, 2, 5)]
        ]
        plan = itertools.chain(
            ((r, False) for r in rows[:12]),
            ((s, True) for s in seeds),
            ((r, False) for r in _mixed(varied, rows[12:])),
        )
        for (row, keywords), is_seed in plan:
            for receiver in receivers if len(self.seen) < 60 else receivers[:2]:
                if self.is_over():
                    return ""
                self.attempt(receiver, row, keywords, is_seed)
        self.give_what_was_asked()
        self.mutate(receivers, pools)
        self.with_hypothesis(receivers, [p.hint for p in required])
        return ""

    def that_can_be_made(self, texts):
        """The first of these expressions that end in no exception."""
        names = namespace(self.inputs.imports)
        made = []
        for text in texts[:60]:
            signal.setitimer(signal.ITIMER_REAL, CALL_S)
            with contextlib.suppress(BaseException):
                eval(text, names)
                made.append(text)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if len(made) == 6:
                break
        return made

    def doctests(self):
        with contextlib.suppress(Exception):
            examples = doctest.DocTestParser().get_examples(self.function.doc)
            return "\n".join(e.source for e in examples)
        return ""

    def mutate(self, receivers, pools):
        """Change one argument of the inputs that ran something new, as long as that finds more."""
        chance = random.Random(0)
        n_in_vain = 0
        while n_in_vain < 400:
            kept = [s for s in self.kept_rows if s]
            if self.is_over() or self.is_done() or not (kept or self.optional):
                return
            before = len(self.covered)
            row = list(chance.choice(kept)) if kept else []
            if len(row) == len(pools) and row:
                place = chance.randrange(len(row))
                row[place] = twist(row[place], pools[place], chance)
            options = chance.sample(self.optional, min(len(self.optional), chance.randrange(4)))
            keywords = {name: chance.choice(pool) for name, pool in options if pool}
            self.attempt(chance.choice(receivers), tuple(row), keywords, True)
            n_in_vain = 0 if len(self.covered) > before else n_in_vain + 1

    def is_done(self):
        lines = {line for line in self.covered if isinstance(line, int)}
        return set(self.function.spec["changed_lines"]) & self.executable() <= lines

    def executable(self):
        found, waiting = set(), [self.function.code] if self.function.code else []
        while waiting:
            code = waiting.pop()
            found |= {line for _, _, line in code.co_lines() if line}
            waiting += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        return found

    def with_hypothesis(self, receivers, hints):
        """Values that Hypothesis makes for the types, small and always the same ones."""
        if not hints or self.is_over() or (self.is_done() and len(self.covered) > 40):
            return
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st

        try:
            strategy = st.tuples(*(_strategy(h, st) for h in hints))
        except Exception:
            return

        @settings(
            max_examples=60,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(strategy)
        def one(values):
            if self.is_over():
                return
            imports = set()
            try:
                row = tuple(to_source(v, imports) for v in values)
            except NoSource:
                return
            self.inputs.imports |= imports
            # Texts and bytes out of the blue are no ordinary input.
            is_odd = any(quote in text for text in row for quote in "'\"")
            self.attempt(receivers[0], row, {}, is_odd)

        with contextlib.suppress(Exception):
            one()

    def attempt(self, receiver, row, keywords, is_odd):
        function = self.function
        spec = function.spec
        short = spec["qualified_name"].rsplit(".", 1)[-1]
        shape = spec["shape"]
        extra = [f"{k}={v}" for k, v in keywords.items()]
        texts = [
            written(self.required[i], t) if i < len(self.required) else t for i, t in enumerate(row)
        ]
        head = {
            "function": short,
            "constructor": function.owner.__name__ if function.owner else "",
            "method": f"{receiver}.{short}",
            "property": f"{receiver}.{short}",
        }.get(shape, f"{function.owner.__name__ if function.owner else ''}.{short}")
        call = head if shape == "property" else f"{head}({', '.join([*texts, *extra])})"
        if isinstance(function.tree, ast.AsyncFunctionDef):
            self.inputs.imports.add("import asyncio")
            call = f"asyncio.run({call})"
        if len(call) > MAX_SOURCE or call in self.calls:
            return
        self.calls.add(call)
        try:
            seen = observe(
                function,
                call,
                self.inputs.imports,
                is_ordinary=not is_odd and self.is_ordinary(row, receiver, keywords),
            )
        except (SyntaxError, NameError):
            return
        self.seen.append(seen)
        new = seen.trail - self.covered
        if new:
            self.covered |= new
            self.kept_rows = (*self.kept_rows[-30:], row)
        if new or len(self.asked) < 40:
            self.ask_for(seen, receiver, row, keywords)
        if seen.error is None and seen.value is None and any(_is_changeable(t) for t in row):
            self.note_changes(head, row, extra)
        if seen.error is None and seen.value is None and shape == "method" and new:
            self.note_state(receiver, short, [*texts, *extra])
        if is_crash(self, seen):
            self.crashes.append(seen)

    def ask_for(self, seen, receiver, row, keywords):
        """What an exception says that a value lacks is given to it the next time: an attribute, a
        key, items, a way to be called.
        """
        error, wanted = seen.error, []
        if isinstance(error, AttributeError) and error.name:
            wanted = [t for t, value in rich() if hasattr(value, error.name)]
        elif isinstance(error, KeyError) and error.args and type(error.args[0]) in (str, int):
            wanted = [f"{{{error.args[0]!r}: {v}}}" for v in ("1", "'a'", "[1]")]
        elif isinstance(error, TypeError):
            said = str(error)
            kinds = {
                "iterable": collections.abc.Iterable,
                "subscriptable": collections.abc.Sequence,
                "callable": collections.abc.Callable,
                "bytes-like": bytes,
                "str": str,
                "mapping": dict,
            }
            wanted = [
                t
                for t, v in rich()
                for word, k in kinds.items()
                if word in said and isinstance(v, k)
            ]
        for place, old in enumerate(row):
            for text in wanted[:6]:
                asked = (
                    receiver,
                    row[:place] + (text,) + row[place + 1 :],
                    tuple(keywords.items()),
                )
                if text != old and len(self.asked) < 200 and asked not in self.asked:
                    self.asked[asked] = None
                    self.inputs.imports.add("import io")

    def give_what_was_asked(self):
        """Try what earlier exceptions asked for; trying may ask for more."""
        done = 0
        while done < len(self.asked) and not self.is_over() and not self.is_done():
            receiver, row, keywords = list(self.asked)[done]
            done += 1
            self.attempt(receiver, row, dict(keywords), True)

    def note_changes(self, head, row, extra):
        """The same call with its changeable argument by name, so that what became of it can be
        asserted.
        """
        place = next(i for i, t in enumerate(row) if _is_changeable(t))
        texts = ["value" if i == place else t for i, t in enumerate(row)]
        call = f"{head}({', '.join([*texts, *extra])})"
        with contextlib.suppress(Exception):
            seen = observe(self.function, call, self.inputs.imports, (("value", row[place]),))
            if seen.error is None and repr(seen.changed[0][2]) != repr(eval(row[place])):
                self.seen.append(seen)

    def note_state(self, receiver, short, texts):
        """The same call on an object by name, so that what it did to the object can be asserted."""
        with contextlib.suppress(Exception):
            before = eval(receiver, namespace(self.inputs.imports))
            call = f"value.{short}({', '.join(texts)})"
            seen = observe(self.function, call, self.inputs.imports, (("value", receiver),))
            after = seen.changed[0][2]
            for name, value in sorted(vars(after).items())[:20]:
                was = vars(before).get(name, before)
                if seen.error is None and not name.startswith("__") and repr(was) != repr(value):
                    self.seen.append(dataclasses.replace(seen, looked_at=f"value.{name}"))
                    return

    def is_ordinary(self, row, receiver, keywords):
        """Whether annotations say of every value in the call that it fits. What people call a
        function with is theirs to test; what is guessed may not fit.
        """
        given = {p.name for p in self.required} | set(keywords)
        values = (*row, receiver, *keywords.values())
        # Nothing given and nothing annotated: nobody has said that it can be called like this.
        is_said = self.function.tree.returns is not None or bool(given)
        return (is_said and given <= self.declared) and not any(
            made in value for made in self.inputs.doubtful for value in values
        )


def _type_of(calls, place, name):
    """The type that people's own calls give a parameter, when they agree."""
    found = []
    for args, keywords in calls:
        text = args[place] if place < len(args) else dict(keywords).get(name)
        if text is not None:
            with contextlib.suppress(Exception):
                found.append(ast.literal_eval(text))
    kinds = sorted({type(v) for v in found}, key=lambda k: k.__name__)
    if not 0 < len(kinds) < 4:
        return None
    union = [_kind_of(kind, [v for v in found if type(v) is kind]) for kind in kinds]
    return typing.Union[tuple(union)]


def _kind_of(kind, found):
    if kind in (list, tuple, set):
        inner = {type(i) for v in found for i in v}
        item = inner.pop() if len(inner) == 1 else (float if inner == {int, float} else int)
        return kind[item, ...] if kind is tuple else kind[item]
    if kind is dict:
        pairs = {(type(k), type(v)) for d in found for k, v in d.items()}
        return dict[pairs.pop()] if len(pairs) == 1 else dict[str, int]
    return kind


def _mixed(*rows):
    for row in itertools.zip_longest(*rows):
        yield from (r for r in row if r is not None)


def _is_changeable(text):
    return text[:1] in "[{" and text[-1:] in "]}"


def _strategy(hint, st):
    """A bounded strategy for a type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    simple = {
        int: lambda: st.integers(-1000, 1000),
        float: lambda: st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False, width=32),
        str: lambda: st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
        bytes: lambda: st.binary(max_size=8),
        typing.Any: lambda: st.one_of(st.integers(-9, 9), st.text("ab1 ", max_size=3)),
    }
    with contextlib.suppress(TypeError):
        if hint in simple:
            return simple[hint]()
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable) and args:
        return st.lists(_strategy(args[0], st), max_size=6)
    if origin in (set, frozenset) and args:
        kind = st.sets if origin is set else st.frozensets
        return kind(_strategy(args[0], st), max_size=5)
    if origin in (dict, collections.abc.Mapping) and len(args) == 2:
        return st.dictionaries(_strategy(args[0], st), _strategy(args[1], st), max_size=5)
    if origin is tuple and args and args[-1] is not Ellipsis:
        return st.tuples(*(_strategy(a, st) for a in args))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(_strategy(a, st) for a in args))
    return st.from_type(hint)
