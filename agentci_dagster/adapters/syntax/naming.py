"""What a definition is called in its language: plain functions on a node of the syntax tree.

Each gives the name inside the surrounding definitions, parts joined by dots whatever the language
writes between them, or an empty text for what has no name of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_STEPS = 50
_FUNCTIONS = {"arrow_function", "function_expression", "generator_function", "function"}
_CLASSES = {"class"}
_TRANSPARENT = {"parenthesized_expression", "as_expression", "satisfies_expression"}
_PLACE = re.compile(r"[\w$#]+(\.[\w$#]+)*")
_GENERICS = re.compile(r"[\[<].*", re.DOTALL)
_OPERATOR = re.compile(r"\boperator\b(?:\s*\(\s*\)|[^(]*)")


def text_of(node: Node | None) -> str:
    """The source of a node on one line; empty for none."""
    if node is None or node.text is None:
        return ""
    return " ".join(node.text[:1_000].decode(errors="replace").split())


def by_name_field(node: Node) -> str:
    """The usual case: the grammar marks the name."""
    return text_of(node.child_by_field_name("name"))


# ---------------------------------------------------------------- JavaScript and TypeScript


def script_member(node: Node) -> str:
    """Methods and fields, whose names may be quoted or computed."""
    return text_of(node.child_by_field_name("name")).strip("'\"`")


def script_default(node: Node) -> str:
    """`export default` of something without a name."""
    held = held_by(node)
    own = text_of(held.child_by_field_name("name")) if held is not None else ""
    return own or "default"


def script_holder(node: Node) -> str:
    """A variable, property or field that is given a function, class or object."""
    place = next(
        (n for f in ("name", "property", "key", "left") if (n := node.child_by_field_name(f))), None
    )
    if place is None:
        return ""
    if place.type == "computed_property_name":
        return text_of(place)
    name = text_of(place).strip("'\"`").replace(" ", "").replace("?.", ".")
    if name in ("module.exports", "exports"):
        return _exported(held_by(node), name)
    name = name.removeprefix("module.").removeprefix("exports.").removeprefix("this.")
    name = name.replace(".prototype.", ".").removesuffix(".prototype")
    return name if place.type == "string" or _PLACE.fullmatch(name) else ""


def _exported(held: Node | None, place: str) -> str:
    if held is None or held.type == "object":
        return ""
    return by_name_field(held) or place


def held_by(node: Node) -> Node | None:
    """The value that a variable, property or field is given."""
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    for _ in range(_MAX_STEPS):
        if value is None or value.type not in _TRANSPARENT:
            break
        value = value.named_children[0] if value.named_child_count else None
    return value


def is_function_value(node: Node | None) -> bool:
    return node is not None and node.type in _FUNCTIONS


def is_class_value(node: Node | None) -> bool:
    return node is not None and node.type in _CLASSES


# ---------------------------------------------------------------- Go, Rust, Ruby


def go_method(node: Node) -> str:
    """`Receiver.Method`, without pointer and type parameters."""
    receiver = node.child_by_field_name("receiver")
    types = [p.child_by_field_name("type") for p in receiver.named_children] if receiver else []
    owner = _GENERICS.sub("", text_of(types[0]).lstrip("*( ")).strip("*() ") if types else ""
    return f"{owner}.{by_name_field(node)}" if owner else by_name_field(node)


def go_variable(node: Node) -> str:
    """A variable that is given a function."""
    values = node.child_by_field_name("value")
    first = values.named_children[0] if values is not None and values.named_child_count else None
    return by_name_field(node) if first is not None and first.type == "func_literal" else ""


def rust_impl(node: Node) -> str:
    """The type for its own methods, `<Type as Trait>` for those of a trait."""
    trait, kind = text_of(node.child_by_field_name("trait")), node.child_by_field_name("type")
    if trait:
        return f"<{text_of(kind)} as {trait}>"
    return _GENERICS.sub("", text_of(kind)).replace("::", ".")


def ruby_constant(node: Node) -> str:
    return by_name_field(node).removeprefix("::").replace("::", ".")


def ruby_singleton_method(node: Node) -> str:
    return f"{text_of(node.child_by_field_name('object'))}.{by_name_field(node)}"


def ruby_assigned_class(node: Node) -> str:
    """`Point = Struct.new(:x) do` and the like."""
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None or left.type != "constant" or right.type != "call":
        return ""
    makes_class = text_of(right.child_by_field_name("method")) in ("new", "define")
    return text_of(left) if makes_class and right.child_by_field_name("block") else ""


# ---------------------------------------------------------------- C and C++


def c_function(node: Node) -> str:
    """The declared name inside pointers, references and parameter lists.

    What looks like a function without a type is a macro that makes one: `TEST(Cart, Total)`.
    """
    name = _dotted(_innermost(node))
    if name == "namespace":  # behind a macro that the grammar took for a type
        return ""
    declarator = node.child_by_field_name("declarator")
    if declarator is not None and node.child_by_field_name("type") is None and name.isupper():
        name += text_of(declarator.child_by_field_name("parameters"))
    return name


def c_type(node: Node) -> str:
    """A struct, union, enum or class with a body; without one it is only mentioned."""
    return _dotted(node.child_by_field_name("name")) if has_body(node) else ""


def c_typedef(node: Node) -> str:
    """`typedef struct {...} name`, where the struct has no name of its own."""
    kind = node.child_by_field_name("type")
    if kind is None or not has_body(kind) or kind.child_by_field_name("name") is not None:
        return ""
    return text_of(_innermost(node))


def cpp_namespace(node: Node) -> str:
    return _dotted(node.child_by_field_name("name"))


def has_body(node: Node) -> bool:
    return node.child_by_field_name("body") is not None


def _innermost(node: Node) -> Node | None:
    declarator = node.child_by_field_name("declarator")
    for _ in range(_MAX_STEPS):
        if declarator is None or not declarator.type.endswith("_declarator"):
            break
        inner = declarator.child_by_field_name("declarator")
        if inner is None:  # references and parentheses do not mark what they surround
            named = declarator.named_children
            inner = named[-1] if named else None
        declarator = inner
    return declarator


def _dotted(name: Node | None) -> str:
    text = text_of(name)
    operator = _OPERATOR.search(text)
    head = text[: operator.start()] if operator else text
    head = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", head))
    head = head.replace(" ", "").removeprefix("::").replace("::", ".")
    return head + (operator[0].strip() if operator else "")
