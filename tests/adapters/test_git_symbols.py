"""Changed functions of real commits, in every language that is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentci_dagster.domain.diff import FileChange
from tests.adapters.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "remote")


def told(file: FileChange) -> dict[str, str]:
    return {s.qualified_name: s.status.value for s in file.symbols}


# In each: one line of a method is changed, one function is taken away, one is added.
CHANGES = {
    "cart.js": (
        b"class A {\n  m() {\n    return 1\n  }\n}\nconst gone = () => 1\n",
        b"class A {\n  m() {\n    return 2\n  }\n}\nconst come = () => 1\n",
    ),
    "cart.tsx": (
        b"class A {\n  m(): number {\n    return 1\n  }\n}\nfunction gone(): void {}\n",
        b"class A {\n  m(): number {\n    return 2\n  }\n}\nfunction come(): void {}\n",
    ),
    "cart.py": (
        b"class A:\n  def m(self):\n    return 1\n\ndef gone(): ...\n",
        b"class A:\n  def m(self):\n    return 2\n\ndef come(): ...\n",
    ),
    "old.py": (
        b"class A:\n  def m(self):\n    print 1\n\ndef gone(): pass\n",
        b"class A:\n  def m(self):\n    print 2\n\ndef come(): pass\n",
    ),
    "cart.go": (
        b"package p\nfunc (a *A) m() {\n\treturn\n}\nfunc gone() {}\n",
        b"package p\nfunc (a *A) m() {\n\tpanic(1)\n}\nfunc come() {}\n",
    ),
    "cart.rs": (
        b"impl A {\n  fn m() {\n    a()\n  }\n}\nfn gone() {}\n",
        b"impl A {\n  fn m() {\n    b()\n  }\n}\nfn come() {}\n",
    ),
    "cart.cpp": (
        b"class A;\nint A::m() {\n  return 1;\n}\nvoid gone() {}\n",
        b"class A;\nint A::m() {\n  return 2;\n}\nvoid come() {}\n",
    ),
    "cart.rb": (
        b"class A\n  def m\n    1\n  end\nend\ndef gone; end\n",
        b"class A\n  def m\n    2\n  end\nend\ndef come; end\n",
    ),
    "cart.php": (
        b"<?php\nclass A {\n  function m() {\n    return 1;\n  }\n}\nfunction gone() {}\n",
        b"<?php\nclass A {\n  function m() {\n    return 2;\n  }\n}\nfunction come() {}\n",
    ),
    "Cart.java": (
        b"class A {\n  int m() {\n    return 1;\n  }\n  void gone() {}\n}\n",
        b"class A {\n  int m() {\n    return 2;\n  }\n  void come() {}\n}\n",
    ),
    "cart.c": (
        b"int A(void)\n{\n  return 1;\n}\nvoid gone(void) {}\n",
        b"int A(void)\n{\n  return 2;\n}\nvoid come(void) {}\n",
    ),
}


def test_each_language_tells_what_was_added_changed_and_removed(repository: Repository) -> None:
    repository.commit({path: old for path, (old, _) in CHANGES.items()})
    sha = repository.commit({path: new for path, (_, new) in CHANGES.items()})

    diff = repository.mirror().diff(sha)

    functions = {"A.m": "changed", "come": "added", "gone": "removed"}
    classes = {"A": "changed", **functions}
    assert {f.path: told(f) for f in diff.files} == {
        **dict.fromkeys(CHANGES, classes),
        "cart.go": functions,
        "cart.cpp": functions,
        "Cart.java": {"A": "changed", "A.m": "changed", "A.come": "added", "A.gone": "removed"},
        "cart.c": {"A": "changed", "come": "added", "gone": "removed"},
    }
    assert diff.notes == ()


def test_methods_know_the_hunks_that_touch_them(repository: Repository) -> None:
    old = b"class A {\n  a() {\n    x()\n  }\n  b() {\n    x()\n  }\n}\n"
    repository.commit({"a.js": old})
    sha = repository.commit({"a.js": old.replace(b"x()", b"y()")})

    (file,) = repository.mirror().diff(sha).files

    assert {s.qualified_name: s.hunks for s in file.symbols} == {
        "A": (0, 1),
        "A.a": (0,),
        "A.b": (1,),
    }


def test_file_that_no_grammar_reads_is_said(repository: Repository) -> None:
    sha = repository.commit({"a.c": b"%%% ((( @@ \n" * 20, "b.c": b"int f(void) { return 1; }\n"})

    diff = repository.mirror().diff(sha)

    assert [told(f) for f in diff.files] == [{}, {"f": "added"}]
    assert diff.notes == ("'a.c': no functions known, it is not valid in its language",)


def test_file_that_is_mended_has_the_functions_of_its_new_version(repository: Repository) -> None:
    repository.commit({"a.c": b"%%% ((( @@ \n" * 20})
    mended = repository.commit({"a.c": b"int f(void) { return 1; }\n"})
    gone = repository.commit({"a.c": None})

    assert told(repository.mirror().diff(mended).files[0]) == {"f": "added"}
    assert told(repository.mirror().diff(gone).files[0]) == {"f": "removed"}


def test_many_files_of_other_languages_leave_no_python_out(repository: Repository) -> None:
    scripts = {f"{n}.js": b"function f() {}\n" for n in range(3)}
    sha = repository.commit({**scripts, "z.py": b"def f(): ...\n"})
    mirror = repository.mirror()
    mirror.limits = replace(mirror.limits, max_parsed_files=2)

    diff = mirror.diff(sha)

    assert [len(f.symbols) for f in diff.files] == [1, 1, 0, 1]
    assert diff.notes == ("no functions known of 1 more files in other languages",)


def test_source_beyond_the_limits_is_said(repository: Repository) -> None:
    sha = repository.commit({"a.js": b"function f() {}\n", "b.js": b"function f() {}\n" * 100})
    mirror = repository.mirror()

    mirror.limits = replace(mirror.limits, max_source_bytes=100)
    large = mirror.diff(sha)
    mirror.limits = replace(mirror.limits, max_source_bytes=10_000, max_parsed_bytes=100)
    much = mirror.diff(sha)

    assert [len(f.symbols) for f in large.files] == [1, 0]
    assert large.notes == ("'b.js': no functions known, it is larger than 0 KiB",)
    assert [len(f.symbols) for f in much.files] == [1, 0]
    assert much.notes == ("'b.js': no functions known, the commit has more source than is read",)
