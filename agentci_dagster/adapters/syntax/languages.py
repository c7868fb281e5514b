"""Which grammar reads which file, and which nodes of its trees are definitions.

Nothing here imports the parser: the tables are read on both sides of the process border.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from agentci_dagster.adapters.syntax import naming as n

if TYPE_CHECKING:
    from tree_sitter import Node


class Role(Enum):
    """What a node is for us; a scope only lends its name to what it holds."""

    FUNCTION = auto()
    TYPE = auto()
    SCOPE = auto()
    HOLDER = auto()
    """A place that is given a value: what it is depends on the value."""


Rule = tuple[Role, "Callable[[Node], str]"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """How to read the trees of one grammar.

    `module` and `function` name the Python binding; `around` are nodes that only wrap a
    definition; `around_one` do so when they hold no more than one; `above` are nodes that belong
    to the definition on the next line; `barren` can hold no definition and are not looked into.
    """

    module: str
    rules: Mapping[str, Rule]
    function: str = "language"
    around: frozenset[str] = frozenset()
    around_one: frozenset[str] = frozenset()
    above: frozenset[str] = field(default_factory=lambda: frozenset({"comment"}))
    barren: frozenset[str] = frozenset()


def grammars_for(language: str, path: str) -> tuple[str, ...]:
    """Names of the grammars to try for a file, best first; none where it is not read.

    Args:
        language: as `domain.diff.language_of` names it.
        path: tells dialects of a language apart.
    """
    extension = path.rpartition(".")[2].lower()
    return _BY_EXTENSION.get(extension, _BY_LANGUAGE.get(language, ()))


_BY_LANGUAGE = {
    "python": ("python",),
    "javascript": ("javascript", "tsx"),  # the second reads Flow's types
    "typescript": ("typescript",),
    "java": ("java",),
    "go": ("go",),
    "rust": ("rust",),
    "c": ("c",),
    "c++": ("cpp",),
    "ruby": ("ruby",),
    "php": ("php",),
}
_BY_EXTENSION = {"tsx": ("tsx",), "h": ("c", "cpp"), "erb": ()}


def _rules(role: Role, name: Callable[[Node], str], kinds: str) -> dict[str, Rule]:
    return dict.fromkeys(kinds.split(), (role, name))


_FUNCTION, _TYPE, _SCOPE, _HOLDER = Role.FUNCTION, Role.TYPE, Role.SCOPE, Role.HOLDER

_JAVASCRIPT = {
    **_rules(
        _FUNCTION,
        n.by_name_field,
        "function_declaration generator_function_declaration function_expression"
        " generator_function function_signature",
    ),
    **_rules(_FUNCTION, n.script_member, "method_definition"),
    **_rules(_TYPE, n.by_name_field, "class_declaration class"),
    **_rules(_HOLDER, n.script_default, "export_statement"),
    **_rules(
        _HOLDER,
        n.script_holder,
        "variable_declarator assignment_expression pair field_definition public_field_definition",
    ),
}
_TYPESCRIPT = {
    **_JAVASCRIPT,
    **_rules(_FUNCTION, n.script_member, "method_signature abstract_method_signature"),
    **_rules(
        _TYPE,
        n.by_name_field,
        "abstract_class_declaration interface_declaration enum_declaration",
    ),
    **_rules(_SCOPE, n.script_member, "internal_module module"),
}
_SCRIPT_AROUND = frozenset({"export_statement", "ambient_declaration"})
_SCRIPT_AROUND_ONE = frozenset(
    {"lexical_declaration", "variable_declaration", "expression_statement"}
)
_SCRIPT_ABOVE = frozenset({"comment", "decorator"})
_SCRIPT_BARREN = frozenset({"import_statement", "type_annotation", "type_arguments", "string"})
_C_BARREN = frozenset(
    {
        *("expression_statement", "return_statement", "parenthesized_expression"),
        *("parameter_list", "init_declarator", "initializer_list", "string_literal"),
    }
)
_CPP_BARREN = frozenset({"parameter_list", "string_literal", "template_argument_list"})
_C_COMMENTS = frozenset({"line_comment", "block_comment"})

_C = {
    **_rules(_FUNCTION, n.c_function, "function_definition"),
    **_rules(_FUNCTION, n.by_name_field, "preproc_function_def"),
    **_rules(_TYPE, n.c_type, "struct_specifier union_specifier enum_specifier"),
    **_rules(_TYPE, n.c_typedef, "type_definition"),
}

GRAMMARS: Mapping[str, Grammar] = {
    "python": Grammar(
        "tree_sitter_python",
        {
            **_rules(_FUNCTION, n.by_name_field, "function_definition"),
            **_rules(_TYPE, n.by_name_field, "class_definition"),
        },
        around=frozenset({"decorated_definition"}),
        above=frozenset(),  # as the reading of Python by `ast`, which sees no comments
    ),
    "javascript": Grammar(
        "tree_sitter_javascript",
        _JAVASCRIPT,
        around=_SCRIPT_AROUND,
        around_one=_SCRIPT_AROUND_ONE,
        above=_SCRIPT_ABOVE,
        barren=_SCRIPT_BARREN,
    ),
    **{
        dialect: Grammar(
            "tree_sitter_typescript",
            _TYPESCRIPT,
            function=f"language_{dialect}",
            around=_SCRIPT_AROUND,
            around_one=_SCRIPT_AROUND_ONE,
            above=_SCRIPT_ABOVE,
            barren=_SCRIPT_BARREN,
        )
        for dialect in ("typescript", "tsx")
    },
    "java": Grammar(
        "tree_sitter_java",
        {
            **_rules(
                _FUNCTION,
                n.by_name_field,
                "method_declaration constructor_declaration compact_constructor_declaration",
            ),
            **_rules(
                _TYPE,
                n.by_name_field,
                "class_declaration interface_declaration enum_declaration record_declaration"
                " annotation_type_declaration",
            ),
            **_rules(_SCOPE, n.by_name_field, "enum_constant"),
        },
        above=_C_COMMENTS,
        barren=frozenset({"import_declaration", "formal_parameters", "type_arguments"}),
    ),
    "go": Grammar(
        "tree_sitter_go",
        {
            **_rules(_FUNCTION, n.by_name_field, "function_declaration method_elem"),
            **_rules(_FUNCTION, n.go_method, "method_declaration"),
            **_rules(_FUNCTION, n.go_variable, "var_spec"),
            **_rules(_TYPE, n.by_name_field, "type_spec"),
        },
        around_one=frozenset({"type_declaration", "var_declaration"}),
        barren=frozenset({"import_declaration", "parameter_list", "selector_expression"}),
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        {
            **_rules(
                _FUNCTION,
                n.by_name_field,
                "function_item function_signature_item macro_definition",
            ),
            **_rules(_TYPE, n.by_name_field, "struct_item enum_item union_item trait_item"),
            **_rules(_TYPE, n.rust_impl, "impl_item"),
            **_rules(_SCOPE, n.by_name_field, "mod_item"),
        },
        above=_C_COMMENTS | {"attribute_item"},
        barren=frozenset({"use_declaration", "parameters", "token_tree", "type_arguments"}),
    ),
    "c": Grammar("tree_sitter_c", _C, barren=_C_BARREN),
    "cpp": Grammar(
        "tree_sitter_cpp",
        {
            **_C,
            **_rules(_TYPE, n.c_type, "class_specifier"),
            **_rules(_SCOPE, n.cpp_namespace, "namespace_definition"),
        },
        around=frozenset({"template_declaration"}),
        barren=_CPP_BARREN,
    ),
    "ruby": Grammar(
        "tree_sitter_ruby",
        {
            **_rules(_FUNCTION, n.by_name_field, "method"),
            **_rules(_FUNCTION, n.ruby_singleton_method, "singleton_method"),
            **_rules(_TYPE, n.ruby_constant, "class module"),
            **_rules(_TYPE, n.ruby_assigned_class, "assignment"),
            **_rules(_SCOPE, lambda _: "self", "singleton_class"),
        },
    ),
    "php": Grammar(
        "tree_sitter_php",
        {
            **_rules(_FUNCTION, n.by_name_field, "function_definition method_declaration"),
            **_rules(
                _TYPE,
                n.by_name_field,
                "class_declaration interface_declaration trait_declaration enum_declaration",
            ),
        },
        function="language_php",
    ),
}
