"""The process that parses: texts on standard input, one line of JSON about each on standard output.

It binds its own hands once the grammars are loaded: no more memory, processor time or open files
than it needs, so that a text that finds a fault in a parser gains little and stops nobody else.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable
from typing import IO

from agentci_dagster.adapters.syntax.walking import UnreadableError, definitions_in, load

_GRACE_S = 2


def main() -> None:
    """Started by `apart.py` with the limits and the grammars as one JSON argument."""
    orders = json.loads(sys.argv[1])
    load(orders["grammars"])
    _bind_hands(orders["max_memory_bytes"], orders["cpu_s"])
    answer(sys.stdin.buffer, sys.stdout, orders["cpu_s"], orders["text_cpu_s"])


def answer(texts: IO[bytes], answers: IO[str], cpu_s: float, text_cpu_s: float) -> None:
    """Read texts to the end of the input, each behind a line of JSON that says how to read it."""
    began = time.process_time()
    while header := texts.readline():
        how = json.loads(header)
        source = texts.read(how["size"])
        left = cpu_s - (time.process_time() - began)
        line = _about(source, how, min(left, text_cpu_s))
        # At once, so that what was answered stays when a later text ends this process.
        print(json.dumps(line), file=answers, flush=True)


def _about(source: bytes, how: dict[str, object], cpu_s: float) -> dict[str, object]:
    if cpu_s <= 0:
        return {"trouble": "the time for reading functions was used up"}
    try:
        found = definitions_in(
            source,
            list(_texts(how["grammars"])),
            cpu_s=cpu_s,
            must_be_whole=bool(how["must_be_whole"]),
        )
    except UnreadableError as error:
        return {"trouble": str(error)}
    except MemoryError:
        return {"trouble": "reading it took too much memory"}
    return {"found": [[f.name, f.is_type, f.first_line, f.last_line] for f in found]}


def _texts(value: object) -> Iterable[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _bind_hands(max_memory_bytes: int, cpu_s: float) -> None:
    seconds = int(cpu_s) + _GRACE_S
    for what, limit in (
        (resource.RLIMIT_AS, max_memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(what, (limit, limit))
