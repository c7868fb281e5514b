"""A Dockerfile as instructions, with their lines: text in, values out.

Read as BuildKit reads it (the reference of Dockerfile syntax): continuation lines and the directive
that changes their sign, comments within them, here-documents. What is good or bad about a file
belongs to `dockerfile_advice.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(.*\S)\s*")
_HEREDOC = re.compile(r"<<(-?)([\"']?)([A-Za-z0-9_.-]+)\2")
_FLAG = re.compile(r"\s*--[\w-]+(?:=\S*)?")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. Lines are numbered from 1, the last one included.

    `value` is what follows the keyword, in one line, without comments; a here-document's lines are
    part of it.
    """

    keyword: str
    value: str
    first_line: int
    last_line: int

    @property
    def flags(self) -> str:
        """The options in front, such as `--mount=…` and `--from=…`."""
        return self.value[: self._flags_end]

    @property
    def arguments(self) -> str:
        """What follows the options."""
        return self.value[self._flags_end :].strip()

    @property
    def _flags_end(self) -> int:
        end = 0
        while found := _FLAG.match(self.value, end):
            end = found.end()
        return end


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next. `name` is empty when it has none."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A file as it stands and as it is understood; `before` is what comes before the first FROM."""

    lines: tuple[str, ...]
    before: tuple[Instruction, ...]
    stages: tuple[Stage, ...]


def parse_dockerfile(text: str) -> Dockerfile:
    """Read a Dockerfile; what is no instruction becomes one that nobody knows."""
    lines = tuple(text.splitlines())
    before: list[Instruction] = []
    stages: list[list[Instruction]] = []
    for instruction in _instructions(lines):
        if instruction.keyword == "FROM":
            stages.append([instruction])
        else:
            (stages[-1] if stages else before).append(instruction)
    return Dockerfile(lines, tuple(before), tuple(_stage(own) for own in stages))


def _stage(instructions: list[Instruction]) -> Stage:
    words = instructions[0].arguments.split()
    is_named = len(words) == 3 and words[1].lower() == "as"
    return Stage(words[0] if words else "", words[2] if is_named else "", tuple(instructions))


def _instructions(lines: tuple[str, ...]) -> Iterator[Instruction]:
    sign = _continuation_sign(lines)
    number = 0
    while number < len(lines):
        first = number
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line]
        while parts[-1].rstrip().endswith(sign):
            parts[-1] = parts[-1].rstrip()[:-1]
            # Comments and blank lines within an instruction are passed over.
            while number < len(lines) and _is_passed_over(lines[number]):
                number += 1
            if number == len(lines):
                break
            parts.append(lines[number])
            number += 1
        keyword, _, value = " ".join(part.strip() for part in parts).strip().partition(" ")
        for strips_tabs, _quote, end in _HEREDOC.findall(value):
            while number < len(lines):
                line = lines[number].lstrip("\t") if strips_tabs else lines[number]
                number += 1
                if line == end:
                    break
                value += f"\n{line}"
        yield Instruction(keyword.upper(), value.strip(), first + 1, number)


def _is_passed_over(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _continuation_sign(lines: tuple[str, ...]) -> str:
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            break
        if found[1].lower() == "escape" and found[2] == "`":
            return "`"
    return "\\"
