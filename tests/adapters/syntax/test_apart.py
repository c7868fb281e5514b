from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest

from agentci_dagster.adapters.syntax import apart, worker
from agentci_dagster.adapters.syntax.apart import ParseLimits, Reading, Text, read_apart
from agentci_dagster.domain.diff import Definition
from tests.adapters.syntax import snippets

GOOD = Text(b"int f(void) { return 1; }\n", ("c", "cpp"))
FOUND = Reading((Definition("f", False, 1, 1),))
MIB = 1024 * 1024


def test_texts_are_read_in_their_order() -> None:
    go = Text(snippets.GO.source.encode(), ("go",))

    first, second, third = read_apart([GOOD, go, GOOD])

    assert (first, third) == (FOUND, FOUND)
    assert second.definitions[0] == Definition("Cart", True, 3, 4)


def test_nothing_to_read_starts_nothing() -> None:
    assert read_apart([]) == ()


def test_text_that_kills_the_parser_costs_only_itself() -> None:
    bomb = Text(b"(" * 8 * MIB, ("c",))

    read = read_apart([GOOD, bomb, GOOD], ParseLimits(max_memory_bytes=256 * MIB))

    assert read == (FOUND, Reading(trouble="the parser died of it"), FOUND)


def test_parser_that_keeps_dying_is_not_asked_again() -> None:
    bomb = Text(b"(" * 8 * MIB, ("c",))
    limits = ParseLimits(max_memory_bytes=256 * MIB, max_deaths=1)

    read = read_apart([bomb, GOOD], limits)

    assert [r.trouble for r in read] == ["the parser died of it", "the parser died too often"]


def test_time_of_a_commit_is_shared_by_its_texts() -> None:
    slow = Text(b"a::" * 4_000_000, ("cpp",))
    limits = ParseLimits(cpu=timedelta(seconds=0.3), text_cpu=timedelta(seconds=0.3))

    read = read_apart([GOOD, slow, GOOD], limits)

    assert read[0] == FOUND
    assert read[1].trouble.endswith("took too long")
    assert read[2].trouble == "the time for reading functions was used up"


def test_parser_without_an_answer_is_a_trouble() -> None:
    (read,) = read_apart([GOOD], ParseLimits(wall=timedelta(milliseconds=1)))

    assert read == Reading(trouble="the parser gave no answer in time")


@pytest.mark.parametrize(
    "line",
    [b"", b"no", b"[]", b"{}", b'{"found": 1}', b'{"found": [[1]]}', b'{"found": [["f",1,"x",2]]}'],
)
def test_answer_that_makes_no_sense_is_a_trouble(line: bytes) -> None:
    assert apart._reading(line).trouble == "the parser's answer makes no sense"


def test_worker_answers_one_line_a_text() -> None:
    texts, answers = io.BytesIO(), io.StringIO()
    for source in (b"function f() {}", b"\0\1((("):
        how = {"grammars": ["javascript"], "must_be_whole": True, "size": len(source)}
        texts.write(json.dumps(how).encode() + b"\n" + source)
    texts.seek(0)

    worker.answer(texts, answers, cpu_s=60, text_cpu_s=60)

    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [
        {"found": [["f", False, 1, 1]]},
        {"trouble": "it is not valid in its language"},
    ]
