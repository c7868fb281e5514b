"""From a source text to its definitions: parses, then walks the tree once without recursion.

Runs in the worker process. A query of tree-sitter would be shorter, but its time grows with the
square of the nesting and it cannot be interrupted; the cursor's does not and can.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from agentci_dagster.adapters.syntax.languages import GRAMMARS, Grammar, Role, Rule
from agentci_dagster.adapters.syntax.naming import held_by, is_class_value, is_function_value

if TYPE_CHECKING:
    from tree_sitter import Language, Node

_BARREN = "BARREN"
_OBJECTS = {"object"}
# What no C header says; the grammar of C would still make something of it.
_ONLY_CPP = re.compile(
    rb"^[ \t]*(?:class[ \t]+\w|namespace\b|template[ \t]*<|using[ \t]"
    rb"|(?:public|private|protected)[ \t]*:)",
    re.MULTILINE,
)
_CHUNK = 2 * 1024  # the library copies one for every name it reads
_LOOK_AT_CLOCK = 2_048
_MAX_LEVELS = 32
_MAX_PART = 120
_MAX_NAMES = 1_000_000
_MAX_INDENT = 500
_MAX_DAMAGE = 0.5


class UnreadableError(Exception):
    """Why nothing is known of a text, in words for a person."""


@dataclass(frozen=True, slots=True)
class Found:
    """A definition; lines are 1-based and inclusive, with what stands directly above."""

    name: str
    is_type: bool
    first_line: int
    last_line: int


def definitions_in(
    source: bytes, grammars: list[str], *, cpu_s: float, must_be_whole: bool = False
) -> list[Found]:
    """All definitions in order of their start, by the grammar that fits best.

    Args:
        source: the text.
        grammars: names to try; the first that reads the text without errors ends the search.
        cpu_s: processor seconds after which it is given up.
        must_be_whole: whether a text with any error counts as unreadable.

    Raises:
        UnreadableError: no grammar reads it, it took too long, or it is no work of people.
    """
    deadline = time.process_time() + cpu_s
    best: _Walk | None = None
    if "cpp" in grammars and _ONLY_CPP.search(source):
        grammars = ["cpp"]
    for name in grammars:
        walk = _Walk(source, GRAMMARS[name], deadline)
        walk.run(_parse(source, name, deadline), _rules_by_kind(name))
        if best is None or walk.n_damaged < best.n_damaged:
            best = walk
        if not walk.n_damaged:
            break
    if best is None:
        raise UnreadableError("there is no grammar for it")
    if best.n_damaged > (0 if must_be_whole else _MAX_DAMAGE * len(source)):
        raise UnreadableError("it is not valid in its language")
    return best.found


def load(grammars: list[str]) -> None:
    """Make the grammars ready; later no file needs to be opened."""
    for name in grammars:
        _parse(b"", name, float("inf"))
        _rules_by_kind(name)


def _parse(source: bytes, name: str, deadline: float) -> Node:
    from tree_sitter import Parser

    def is_late(*_: object) -> bool:
        return time.process_time() > deadline

    try:
        # Only a text that is read by chunks can be interrupted.
        tree = Parser(_language(name)).parse(
            lambda offset, _: source[offset : offset + _CHUNK], progress_callback=is_late
        )
    except ValueError as error:
        raise UnreadableError("parsing it took too long") from error
    return tree.root_node


@cache
def _language(name: str) -> Language:
    from tree_sitter import Language

    grammar = GRAMMARS[name]
    return Language(getattr(import_module(grammar.module), grammar.function)())


@cache
def _rules_by_kind(name: str) -> dict[int, Rule | str]:
    """By number of the node's kind, which is cheaper to ask for than its name."""
    language, grammar = _language(name), GRAMMARS[name]
    plain = grammar.around | grammar.around_one | grammar.above | {"ERROR"}
    by_kind: dict[int, Rule | str] = {0xFFFF: "ERROR"}
    for number in range(language.node_kind_count):
        kind = language.node_kind_for_id(number)
        if kind is None or not language.node_kind_is_named(number):
            continue
        if kind in grammar.rules:
            by_kind[number] = grammar.rules[kind]
        elif kind in grammar.barren:
            by_kind[number] = _BARREN
        elif kind in plain:
            by_kind[number] = kind
    return by_kind


@dataclass(slots=True)
class _Walk:
    source: bytes
    grammar: Grammar
    deadline: float
    found: list[Found] = field(default_factory=list)
    n_damaged: int = 0
    """Bytes that the grammar could not read, outside of definitions that it found in them."""
    _scopes: list[tuple[int, str]] = field(default_factory=list)
    """Last byte and full name of what surrounds the cursor."""
    _around: tuple[int, int] = (-1, 0)
    """Depth and first row of the wrapper whose definition is still to come."""
    _above: tuple[int, int] = (-9, -9)
    """First and last row of the comments that end last."""
    _surroundings: list[tuple[int, bool]] = field(default_factory=list)
    """Last byte of each error and definition around the cursor, and whether it is an error."""
    _counted_until: int = 0
    _held: int = -1
    """Where a value starts that goes by its holder's name."""
    _n_letters: int = 0

    def run(self, root: Node, rules: dict[int, Rule | str]) -> None:
        cursor, n_seen = root.walk(), 0
        self.n_damaged = int(root.has_error)  # what is only missing leaves no other trace
        while True:
            n_seen += 1
            if n_seen % _LOOK_AT_CLOCK == 0 and time.process_time() > self.deadline:
                raise UnreadableError("looking through it took too long")
            node = cursor.node
            rule = rules.get(node.kind_id) if node is not None else None
            if node is not None and rule is not None and rule != _BARREN:
                self._visit(node, rule, cursor.depth)
            if rule != _BARREN and cursor.goto_first_child():
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    self._count_damage(len(self.source))
                    return

    def _visit(self, node: Node, rule: Rule | str, depth: int) -> None:
        if isinstance(rule, tuple):
            self._visit_definition(node, rule, depth)
        elif rule == "ERROR":
            self._count_damage(node.start_byte)
            self._surroundings.append((node.end_byte, True))
        elif rule in self.grammar.above:
            self._note_above(node)
        elif rule in self.grammar.around or _holds_one(node):
            self._around = (depth, self._first_row(node, depth))

    def _visit_definition(self, node: Node, rule: Rule, depth: int) -> None:
        while self._scopes and self._scopes[-1][0] <= node.start_byte:
            self._scopes.pop()
        if node.start_byte == self._held and rule[0] is not Role.HOLDER:
            return  # it already goes by the name of its holder
        role, name_of = rule
        if role is Role.HOLDER:
            role = self._role_of_holder(node)
        name = name_of(node) if role is not Role.HOLDER else ""
        if not name:
            if node.type in self.grammar.around:
                self._around = (depth, self._first_row(node, depth))
            return
        first_row = self._first_row(node, depth)
        self._around = (-1, 0)
        if len(self._scopes) >= _MAX_LEVELS:
            return
        if len(name) > _MAX_PART:
            name = name[: _MAX_PART - 1] + "…"
        full = f"{self._scopes[-1][1]}.{name}" if self._scopes else name
        self._scopes.append((node.end_byte, full))
        if role is Role.SCOPE:
            return
        self._count_damage(node.start_byte)
        self._surroundings.append((node.end_byte, False))
        self._n_letters += len(full)
        if self._n_letters > _MAX_NAMES:
            raise UnreadableError("it has more definitions than people write")
        self.found.append(Found(full, role is Role.TYPE, first_row + 1, _last_row(node) + 1))

    def _count_damage(self, until: int) -> None:
        while self._surroundings and self._surroundings[-1][0] <= until:
            end, is_error = self._surroundings.pop()
            self.n_damaged += max(0, end - self._counted_until) * is_error
            self._counted_until = max(end, self._counted_until)
        is_in_error = bool(self._surroundings) and self._surroundings[-1][1]
        self.n_damaged += (until - self._counted_until) * is_in_error
        self._counted_until = until

    def _role_of_holder(self, node: Node) -> Role:
        """HOLDER when what it holds is nothing to name."""
        held = held_by(node)
        if is_function_value(held):
            role = Role.FUNCTION
        elif is_class_value(held):
            role = Role.TYPE
        else:
            is_object = held is not None and held.type in _OBJECTS
            return Role.SCOPE if is_object else Role.HOLDER
        assert held is not None
        self._held = held.start_byte
        return role

    def _first_row(self, node: Node, depth: int) -> int:
        row = node.start_point[0]
        if self._around[0] == depth - 1:
            row = min(row, self._around[1])
        first, last = self._above
        if last not in (row - 1, row):
            return row
        self._above = (-9, -9)  # a second definition on this line has nothing above it
        return first

    def _note_above(self, node: Node) -> None:
        first, column = node.start_point
        if column > _MAX_INDENT:
            return
        before = self.source[node.start_byte - column : node.start_byte]
        if before.strip():
            return
        last = _last_row(node)
        behind = self.source[node.end_byte : node.end_byte + _MAX_INDENT].partition(b"\n")[0]
        if last == node.end_point[0] and behind.strip() and first == last:
            return  # it belongs to what follows on its own line
        continues = self._above[1] in (first - 1, first)
        self._above = (self._above[0] if continues else first, last)


def _holds_one(node: Node) -> bool:
    return node.named_child_count == 1


def _last_row(node: Node) -> int:
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point[0] else row
