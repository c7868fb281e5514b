"""Reading the definitions of many texts in a process of its own, which may die of any of them.

Parsers are native code that a commit feeds, so a fault in one must cost a file its functions and
not the run its life. Starting the process costs about as much as reading a few files.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import agentci_dagster
from agentci_dagster.adapters import command
from agentci_dagster.domain.diff import Definition
from agentci_dagster.domain.errors import InfrastructureError

_PROGRAM = (
    "import sys; sys.path[:0] = sys.argv[2:];"
    "from agentci_dagster.adapters.syntax.worker import main; main()"
)
_DIED = "the parser died of it"
_NOT_ASKED = "the parser died too often"
_MAX_WORD = 4_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What parsing may cost, for one commit and for one text."""

    cpu: timedelta = timedelta(seconds=20)
    """Processor time of a whole commit; 600 usual texts take five."""
    text_cpu: timedelta = timedelta(seconds=2)
    """Processor time of one text; half a megabyte takes one."""
    wall: timedelta = timedelta(seconds=90)
    """In the end the clock counts too, on a machine that has no time for us."""
    max_memory_bytes: int = 1024 * 1024 * 1024
    """A tree takes up to 500 times the memory of a hostile text."""
    max_deaths: int = 3
    """Of the parser in one commit; each costs a start."""


@dataclass(frozen=True, slots=True)
class Text:
    """A source text and the names of the grammars to try, best first.

    `must_be_whole`: with any error in it, it counts as unreadable.
    """

    content: bytes
    grammars: tuple[str, ...]
    must_be_whole: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a text; with `trouble` nothing is."""

    definitions: tuple[Definition, ...] = ()
    trouble: str = ""


def read_apart(texts: Sequence[Text], limits: ParseLimits | None = None) -> tuple[Reading, ...]:
    """The definitions of each text, in the same order; never raises for what is in them."""
    limits = limits or ParseLimits()
    readings: list[Reading] = []
    n_deaths = 0
    while len(readings) < len(texts) and n_deaths < limits.max_deaths:
        readings += _read(texts[len(readings) :], limits)
        if len(readings) < len(texts):
            readings.append(Reading(trouble=_DIED))
            n_deaths += 1
    readings += [Reading(trouble=_NOT_ASKED)] * (len(texts) - len(readings))
    return tuple(readings)


def _read(texts: Sequence[Text], limits: ParseLimits) -> list[Reading]:
    """Of as many texts as the worker lived to answer for."""
    orders = {
        "grammars": sorted({name for text in texts for name in text.grammars}),
        "cpu_s": limits.cpu.total_seconds(),
        "text_cpu_s": limits.text_cpu.total_seconds(),
        "max_memory_bytes": limits.max_memory_bytes,
    }
    ours = str(Path(agentci_dagster.__file__).parents[1])
    folders = [ours, *(entry for entry in sys.path if entry)]
    # -I and -S: neither the environment nor start-up files of installed packages add code.
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(orders), *folders]
    asked = b"".join(_header(text) + text.content for text in texts)
    try:
        done = command.run(
            argv, input=asked, timeout=limits.wall, max_bytes=command.MAX_OUTPUT_BYTES
        )
    except InfrastructureError as error:
        _log.warning("no functions could be read: %s", error)
        return [Reading(trouble="the parser gave no answer in time")] * len(texts)
    if done.returncode:
        last_words = done.stderr[-_MAX_WORD:].decode(errors="replace").strip()
        _log.warning("the parser ended with status %s: %s", done.returncode, last_words)
    whole_lines = done.stdout.split(b"\n")[:-1]
    return [_reading(line) for line in whole_lines[: len(texts)]]


def _header(text: Text) -> bytes:
    how = {
        "grammars": text.grammars,
        "must_be_whole": text.must_be_whole,
        "size": len(text.content),
    }
    return json.dumps(how).encode() + b"\n"


def _reading(line: bytes) -> Reading:
    """What the worker says is checked: it may speak for a text that took it over."""
    try:
        said = json.loads(line)
        if not isinstance(said, Mapping):
            raise TypeError
        if "found" not in said:
            return Reading(trouble=str(said["trouble"])[:200])
        return Reading(tuple(_definition(*fields) for fields in said["found"]))
    except (ValueError, TypeError, KeyError):
        return Reading(trouble="the parser's answer makes no sense")


def _definition(name: Any, is_type: Any, first_line: Any, last_line: Any) -> Definition:
    return Definition(str(name), bool(is_type), int(first_line), int(last_line))
