# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, ANN202, BLE001, PTH123, S307
# mypy: ignore-errors
"""From calls to what tests can say about them, and the few that say most."""

from __future__ import annotations

import collections.abc
import contextlib
import os
import re

from .calls import STATE, TooLong, observe
from .writing import NoSource, imported, namespace, to_source

ADDRESS = re.compile(r"\d{12,}|0x[0-9a-f]{6,}")
"""What looks like a place in memory is another one in the next process."""

MAX_CASES = 8


def as_cases(function, seen):
    """What tests can say about a call, strongest first; empty when nothing that will hold."""
    imports = set(seen.imports)
    call = seen.call
    if seen.error is not None:
        case = _raising(function, seen, imports)
        return [case] if case else []
    if seen.changed:
        name, before, after = seen.changed[0]
        with contextlib.suppress(Exception):
            found = eval(seen.looked_at, {name: after})
            expected = to_source(found, imports)
            return [as_case(call, "changes", expected, imports, before, seen.looked_at)]
        return []
    if seen.was_generator:
        call = _listed(seen)
    with contextlib.suppress(NoSource):
        expected = to_source(seen.value, imports)
        return [
            as_case(call, "is_close" if _is_measured(seen.value) else "equals", expected, imports)
        ]
    return _views(call, seen.value, imports)


def _listed(seen):
    """A generator's call with what makes a list of it, or takes its first item."""
    if len(seen.value) < 30:
        return f"list({seen.call})"
    seen.value = seen.value[0]
    return f"next({seen.call})"


def _raising(function, seen, imports):
    if isinstance(seen.error, (TooLong, SystemExit, KeyboardInterrupt)) or not seen.frames:
        return None
    if not isinstance(seen.error, Exception) or not _is_meant(function, seen):
        return None
    try:
        return as_case(seen.call, "raises", imported(type(seen.error), imports), imports)
    except NoSource:
        return None


def _views(call, value, imports):
    """An object that cannot be written down, looked at from sides that can: as a mapping, a list, a
    text, by its attributes; its type where there is none.
    """
    looks = []
    if isinstance(value, collections.abc.Mapping):
        looks.append(f"dict({call})")
    elif isinstance(value, (collections.abc.Sequence, collections.abc.Set)):
        looks.append(f"list({call})")
    if type(value).__str__ is not object.__str__ or type(value).__repr__ is not object.__repr__:
        looks.append(f"str({call})")
    with contextlib.suppress(Exception):
        names = [n for n in sorted(vars(value)) if not n.startswith("_")]
        looks += [f"{call}.{name}" for name in names[:12]]
    cases = []
    for look in looks:
        with contextlib.suppress(BaseException):
            found = eval(look, namespace(imports))
            expected = to_source(found, imports)
            if not ADDRESS.search(expected):
                outcome = "is_close" if _is_measured(found) else "equals"
                cases.append(as_case(look, outcome, expected, imports))
        if len(cases) == 3:
            return cases
    name = type(value).__name__
    return cases or ([as_case(call, "has_type", name, imports)] if name.isidentifier() else [])


def as_case(call, outcome, expected, imports, changed="", looked_at="value"):
    used = " ".join((call, expected, changed))
    # Only what this test names; the search itself imported more.
    needed = sorted(i for i in imports if re.search(rf"\b{i.split()[-1].split('.')[0]}\b", used))
    return {
        "call": call,
        "outcome": outcome,
        "expected": expected,
        "imports": needed,
        "changed": changed,
        "looked_at": looked_at,
    }


def _is_measured(value):
    if type(value) is float:
        return True
    if type(value) in (list, tuple) and value:
        return all(type(v) in (int, float) for v in value) and any(type(v) is float for v in value)
    return False


def _is_meant(function, seen):
    """Whether the exception was raised on purpose: by a `raise` in the repository, or as
    documented.
    """
    if type(seen.error).__name__ in function.doc:
        return True
    for file, line in reversed(seen.frames):
        if os.path.realpath(file).startswith(STATE["folder"]):
            with contextlib.suppress(OSError, IndexError), open(file, encoding="utf-8") as source:
                return source.read().splitlines()[line - 1].strip().startswith("raise")
    return False


def choose(search):
    """The few calls that together run all that was run, plainest first; then some of other
    outcomes.
    """
    function = search.function
    wanted = set(function.spec["changed_lines"])
    # In the order of the search, which is from simple to odd.
    ranked = sorted(
        (s for s in search.seen if s.trail), key=lambda s: (s.error is not None, not s.changed)
    )
    chosen, covered, shapes = [], set(), set()

    def take(seen):
        again = []
        with contextlib.suppress(Exception):
            names = [(n, t) for n, t, _ in seen.changed]
            second = observe(function, seen.call, seen.imports, names)
            second.looked_at = seen.looked_at
            again = as_cases(function, second)
        cases = [
            case
            for case in as_cases(function, seen)
            if case in again
            and not set(ADDRESS.findall(case["expected"])) - set(ADDRESS.findall(case["call"]))
        ]
        for case in cases[: MAX_CASES - len(chosen)]:
            case["lines"] = sorted(x for x in seen.trail if isinstance(x, int))
            chosen.append(case)
        if cases:
            covered.update(seen.trail)
        return bool(cases)

    while len(chosen) < MAX_CASES and ranked:
        best = max(ranked[:400], key=lambda s: (_gain(s, covered, wanted), s.error is None))
        if not _gain(best, covered, wanted):
            break
        ranked.remove(best)
        take(best)
    for seen in sorted(ranked[:60], key=lambda s: -len(s.call)):
        shape = _shape_of(seen)
        if len(chosen) >= MAX_CASES - 2 or shape in shapes or len(seen.call) > 160:
            continue
        shapes.add(shape)
        take(seen)
    return chosen


def _shape_of(seen):
    """What kind of answer it is; some objects cannot even say what they are."""
    if seen.error is not None:
        return type(seen.error).__name__
    try:
        return repr(seen.value)[:40]
    except BaseException:
        return type(seen.value).__name__


def _gain(seen, covered, wanted):
    new = seen.trail - covered
    return sum(3 if x in wanted else 1 for x in new)
