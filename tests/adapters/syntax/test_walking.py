from __future__ import annotations

import pytest

from agentci_dagster.adapters.syntax.languages import grammars_for
from agentci_dagster.adapters.syntax.walking import UnreadableError, definitions_in
from agentci_dagster.domain.diff import language_of, python_definitions
from tests.adapters.syntax import snippets
from tests.adapters.syntax.snippets import Snippet


def read(source: bytes, path: str, cpu_s: float = 60, **how: bool) -> list[str]:
    grammars = list(grammars_for(language_of(path), path))
    found = definitions_in(source, grammars, cpu_s=cpu_s, **how)
    return [f"{f.name}{'*' * f.is_type} {f.first_line}-{f.last_line}" for f in found]


@pytest.mark.parametrize("snippet", snippets.ALL, ids=lambda s: s.path)
def test_definitions_of_each_language(snippet: Snippet) -> None:
    assert read(snippet.source.encode(), snippet.path) == snippet.found.splitlines()


def test_python_is_read_as_by_its_own_parser() -> None:
    source = snippets.PYTHON.source.encode()
    by_ast = [
        f"{d.name}{'*' * d.is_class} {d.first_line}-{d.last_line}"
        for d in python_definitions(source)
    ]

    assert read(source, "cart.py", must_be_whole=True) == by_ast


@pytest.mark.parametrize("path", ["page.html.erb", "README.md", "a.kt"])
def test_other_files_are_not_read(path: str) -> None:
    assert grammars_for(language_of(path), path) == ()


def test_part_that_cannot_be_read_leaves_the_rest() -> None:
    source = b"int a(void) { return 1; }\n@@@ ;\nint b(void) { return 1; }\n" * 3

    assert read(source, "x.c")[0] == "a 1-1"


def test_text_of_another_kind_is_refused() -> None:
    with pytest.raises(UnreadableError, match="not valid"):
        read(b"\x00\x01 %%% ((( \n" * 50, "x.c")


@pytest.mark.parametrize("source", [b"def f(:\n", b"def f():\n    return (1\n", b"print x y\n"])
def test_text_with_an_error_is_not_whole(source: bytes) -> None:
    with pytest.raises(UnreadableError, match="not valid"):
        read(source, "x.py", must_be_whole=True)


def test_older_python_is_whole() -> None:
    assert read(b'def f():\n    print "hi"\n', "x.py", must_be_whole=True) == ["f 1-2"]


def test_deep_nesting_neither_recurses_nor_grows_names() -> None:
    found = read(b"function a(){" * 2_000 + b"}" * 2_000, "x.js")

    assert len(found) == 32


@pytest.mark.parametrize("source", [b"(" * 100_000, b"a => " * 100_000])
def test_parsing_ends_when_its_time_is_over(source: bytes) -> None:
    with pytest.raises(UnreadableError, match="too long"):
        read(source, "x.js", cpu_s=0.0)


def test_long_names_are_cut_and_too_many_refused() -> None:
    (found,) = read(b"function " + b"a" * 5_000 + b"() {}", "x.js")
    crowd = (
        b"class " + b"a" * 1_000 + b" {" + b"".join(b"m%d() {}\n" % n for n in range(9_000)) + b"}"
    )

    assert found == "a" * 119 + "… 1-1"
    with pytest.raises(UnreadableError, match="more definitions than people write"):
        read(crowd, "x.js")


def test_comment_belongs_to_the_next_line_only() -> None:
    source = b"// far\n\nfunction a() {}\nlet x = 1; // behind\nfunction b() {}\n"

    assert read(source, "x.js") == ["a 3-3", "b 5-5"]


def test_text_without_a_grammar_is_refused() -> None:
    with pytest.raises(UnreadableError, match="no grammar"):
        definitions_in(b"x", [], cpu_s=1)


def test_header_of_cpp_is_not_taken_for_c() -> None:
    # The macro hides the namespace, whose name is lost; the function is not.
    source = b"BEGIN_ALL\nnamespace shop {\nint total(int a) { return a; }\n}\nEND_ALL\n"

    assert read(source, "cart.h") == ["total 3-3"]


def test_functions_inside_of_damage_do_not_count_as_damage() -> None:
    source = b"%%% ((( {\n" + b"int f(void) {\n  return 1;\n}\n" * 5

    assert "f 2-4" in read(source, "x.c")
