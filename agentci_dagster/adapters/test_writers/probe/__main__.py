# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN201, BLE001, PTH123, S102
# mypy: ignore-errors
"""Calls changed functions with many inputs inside the sandbox and writes down what came out.

What it writes is read as hostile by `offline.py`: code of the commit runs in this very process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import types

from .calls import STATE, Function, alarm
from .cases import as_case, choose
from .harvest import harvest
from .search import Search


def load_parent(path, module):
    """The file before the commit, as a module of its own in the same package."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    parent = types.ModuleType(f"{module.__name__}__before")
    parent.__package__ = module.__package__
    parent.__file__ = path
    sys.modules[parent.__name__] = parent
    exec(compile(text, path, "exec"), vars(parent))
    return parent


def has(parent, qualified_name):
    for part in qualified_name.split("."):
        parent = getattr(parent, part, None)
    return parent is not None


def probe(spec, target, texts, budget_s, people=None):
    """Everything about one target, as one JSON value."""
    try:
        module = importlib.import_module(target["module"])
        function = Function(target, module)
    except BaseException as e:
        return {"skipped": "that could not be imported", "detail": f"{type(e).__name__}: {e}"[:300]}
    parent = None
    before = spec["parents"].get(target["path"])
    if before and not target["is_new"]:
        with contextlib.suppress(BaseException):
            parent = load_parent(before, module)
            parent = parent if has(parent, target["qualified_name"]) else None
    search = Search(function, texts, parent, budget_s, people)
    try:
        skipped = search.run()
        cases = choose(search)
    except BaseException as e:
        return {"skipped": "that could not be called", "detail": f"{type(e).__name__}: {e}"[:300]}
    crash = min(search.crashes, key=lambda s: (len(s.call), s.call), default=None)
    answer = {"skipped": skipped, "cases": cases, "n_calls": len(search.seen), "crash": None}
    if crash is not None:
        imports = as_case(crash.call, "", "", crash.imports)["imports"]
        answer["crash"] = {
            "call": crash.call,
            "exception": type(crash.error).__name__,
            "message": str(crash.error)[:200],
            "imports": imports,
        }
    return answer


def what_people_wrote(spec, texts):
    """The calls of tests and doctests; None where they cannot be read."""
    modules = []
    for name, path in spec["modules"]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            modules.append((name, file.read(400_000)))
    try:
        return harvest(texts, modules)
    except Exception:
        return None


def main(path):
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    STATE["folder"] = os.path.realpath(spec["folder"]) + os.sep
    signal.signal(signal.SIGALRM, alarm)
    started = time.monotonic()
    texts = []
    for name in spec["tests"]:
        with contextlib.suppress(OSError), open(name, encoding="utf-8", errors="replace") as file:
            texts.append(file.read(200_000))
    people = what_people_wrote(spec, texts)
    out = os.open(spec["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number, target in enumerate(spec["targets"]):
        if time.monotonic() - started > spec["wall_s"]:
            answer = {"skipped": "for which no time was left"}
        else:
            answer = probe(spec, target, texts, spec["cpu_s_each"], people)
        answer["number"] = number
        os.write(out, json.dumps(answer).encode() + b"\n")
    sys.stdout.flush()
    os._exit(0)
