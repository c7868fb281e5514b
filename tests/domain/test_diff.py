"""Values of a diff, kinds of paths, parsing of git's output, changed symbols."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.diff import (
    ChangedSymbol,
    CommitKey,
    Definition,
    FileKind,
    FileStatus,
    Hunk,
    RawChange,
    RawDiff,
    ReadLimits,
    SymbolStatus,
    about_reading,
    changed_symbols,
    chosen_for_reading,
    classify_path,
    display_name,
    file_change,
    fits_a_file_system,
    is_safe_path,
    language_of,
    name_of,
    oddities,
    parse_diff,
    symbols_between,
)
from tests import builders

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40


def raw(
    path: str = "a.py", status: FileStatus = FileStatus.MODIFIED, **changes: object
) -> RawChange:
    facts = {"old_mode": "100644", "new_mode": "100644", "old_blob": OLD, "new_blob": NEW}
    return RawChange(path, None, status, **(facts | changes))


# ---------------------------------------------------------------- values


def test_partition_key_names_repository_and_commit() -> None:
    key = CommitKey.parse(f"shop@{OLD}")

    assert (key.repository, key.sha, str(key)) == ("shop", OLD, f"shop@{OLD}")


@pytest.mark.parametrize("text", ["shop", f"Shop@{OLD}", f"@{OLD}", "shop@abc", f"shop@{OLD}0"])
def test_what_is_no_partition_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        CommitKey.parse(text)


def test_a_diff_sums_its_files() -> None:
    binary = builders.file_change("x.png", lines_added=None, lines_deleted=None)
    text = builders.file_change(hunks=(Hunk(1, 1, 1, 2), Hunk(9, 3, 10, 1)))
    diff = builders.diff(binary, text)

    assert (diff.lines_added, diff.lines_deleted) == (2, 1)
    assert (binary.is_binary, binary.churn, text.churn) == (True, 0, 3)
    assert text.added_line_numbers == (1, 2, 10)
    assert diff.of_kind(FileKind.SOURCE) == (binary, text)
    assert diff.key == diff.commit.key
    assert (diff.commit.subject, diff.commit.is_merge) == ("change 1", False)


# ---------------------------------------------------------------- kinds

KINDS = {
    FileKind.SOURCE: """
        shop/cart.py src/main.go lib/x.rb app/page.tsx cmd/main.rs docs/conf.py docs/ext/plugin.py docs/site/app.js
        examples/demo.py noxfile.py src/click/testing.py index.html templates/mail.j2 run.sh README.py install.sh
        news/views.py docs/index.html src/Latest.java src/contest.py attestation.py queries/select.sql
        services/ab_test/views.py shop/ab_tests/rules.py
    """,
    FileKind.TEST: """
        tests/test_cart.py test_cart.py cart_test.py conftest.py shop/tests.py pkg/x_test.go src/x.spec.ts
        src/__tests__/x.js spec/cart_spec.rb src/test/java/FooTest.java CartTest.java TestCart.kt CartIT.java
        tests/data/big.json tests/requirements.txt e2e/login.cy.ts tests/README.md tests/Dockerfile features/a.feature
        testing/test_x.py my-tests/x.py pytest.ini Tests/CartTests.cs testdata/x.golden test/models/user_test.exs
        specs/cart.rb unit_tests/x.json src/test/resources/db/migration/V1__x.sql
    """,
    FileKind.DOCS: """
        README.md README readme.rst README.txt CHANGELOG.md CHANGES.rst docs/index.md docs/a/b.rst docs/notes.txt
        docs/img/x.png LICENSE LICENSE.txt CONTRIBUTING.md AGENTS.md packages/core/docs/x.md src/pkg/README.md
        .github/PULL_REQUEST_TEMPLATE.md .github/ISSUE_TEMPLATE/bug.yml CODEOWNERS HISTORY.md newsfragments/12.bugfix.rst
        news/12.md man/tool.1 CITATION.cff AUTHORS docs/migrations/v2.md
        libs/a/LICENSE libs/a/CHANGELOG.rst readme_de.md NOTICE.txt
    """,
    FileKind.DEPENDENCY: """
        requirements.txt requirements-dev.txt requirements/base.in docs/requirements.txt constraints.txt pyproject.toml
        setup.py setup.cfg uv.lock poetry.lock Pipfile.lock package.json package-lock.json yarn.lock pnpm-lock.yaml
        go.mod go.sum Cargo.toml Cargo.lock pom.xml build.gradle.kts Gemfile.lock composer.lock shop.csproj mix.lock
        pubspec.yaml .gitmodules environment.yml web/package.json .python-version flake.lock gradle/libs.versions.toml
        smoke-test/requirements.txt load_tests/pyproject.toml
    """,
    FileKind.MIGRATION: """
        migrations/0001_initial.sql shop/migrations/0002_price.py migrations/__init__.py alembic/versions/ab12_x.py
        alembic.ini db/migrate/20240101_add.rb prisma/migrations/1/migration.sql prisma/schema.prisma
        src/main/resources/db/migration/V1__init.sql db/schema.rb sql/V2_1__x.sql schema.sql 001.up.sql
        db/changelog/1.xml versions/0123456789ab_add.py drizzle/0001.sql
        shop/migrations/0002_add_ab_test.py alembic/versions/ab12_create_load_test.py
    """,
    FileKind.CI: """
        .github/workflows/ci.yml .github/actions/x/action.yml .gitlab-ci.yml Jenkinsfile .circleci/config.yml
        .travis.yml azure-pipelines.yml .pre-commit-config.yaml .github/dependabot.yml .readthedocs.yaml .ci/run
        .github/workflows/README.md
    """,
    FileKind.CONTAINER: """
        Dockerfile Dockerfile.dev docker/api.Dockerfile Containerfile compose.yaml docker-compose.prod.yml .dockerignore
        charts/shop/templates/x.yaml helm/values.yaml k8s/deploy.yaml kustomization.yaml docker-entrypoint.sh Procfile
        values-prod.yaml skaffold.yaml load_test/Dockerfile
    """,
    FileKind.CONFIGURATION: """
        config.toml settings.ini app.yaml .env .env.production conf/app.json Makefile tox.ini nginx.conf .flake8
        terraform/main.tf appsettings.json logging.cfg mkdocs.yml webpack.config.js .eslintrc.json CMakeLists.txt
        src/main/resources/application.properties tsconfig.json
        deploy/specs/prod.yaml
    """,
    FileKind.OTHER: """
        shop/prompts/system.md shop/data/words.txt logo.png data.csv shop/static/x.svg robots.txt src/pkg/py.typed
        content/post.md .gitignore install release todo.bin static/security.txt shop/help.rst news/data.json docs/x.mdx.bin
        shop/templates/email/notice_overdue.txt app/templates/license_expired.txt app/locale/copyright.txt
        shop/changes_email.txt shop/readme_prompt.md mypkg/authors app/license.txt
    """,
}


@pytest.mark.parametrize(
    ("path", "kind"), [(path, kind) for kind, paths in KINDS.items() for path in paths.split()]
)
def test_kind_of_a_path(path: str, kind: FileKind) -> None:
    assert classify_path(path) is kind


@given(st.text(max_size=400))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_every_path_has_a_kind_and_a_language(path: str) -> None:
    assert classify_path(path) in FileKind
    assert language_of(path)


def test_very_long_paths_are_told_by_their_end_and_are_never_docs() -> None:
    deep = "migrations/" * 2000

    assert classify_path(deep + "x.sql") is FileKind.MIGRATION
    assert classify_path("docs/" * 2000 + "x.md") is FileKind.OTHER


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.PY", "python"),
        ("Dockerfile", "dockerfile"),
        ("Dockerfile.dev", "dockerfile"),
        ("a/Makefile", "make"),
        ("x", "other"),
        ("x.unknown", "other"),
        (".env", "ini"),
        (".gitignore", "other"),
        ("a.b/c", "other"),
    ],
)
def test_language_of_a_path(path: str, language: str) -> None:
    assert language_of(path) == language


# ---------------------------------------------------------------- parsing

RAW_M = f":100644 100644 {OLD} {NEW} M\0".encode()
DIFF = (
    RAW_M + b"a.py\0"
    + f":100644 120000 {OLD} {NEW} T\0".encode() + b"kind\0"
    + f":100644 100755 {OLD} {NEW} R086\0".encode() + b"old\n.py\0new\xff.py\0"
    + f":000000 100644 {NONE} {NEW} A\0".encode() + b"z\0"
    + b"2\t1\ta.py\x001\t1\tkind\x001\t0\t\0old\n.py\0new\xff.py\0-\t-\tz\0\0"
    + b"diff --git a/a.py b/a.py\n@@ -2 +2,2 @@ def f():\n-b\n+@@ -9 +9 @@\n+diff --git x\n"
    + b"diff --git a/kind b/kind\n@@ -1 +0,0 @@\n-s\ndiff --git a/kind b/kind\n@@ -0,0 +1 @@\n+x\n"
    + b'diff --git "a/old\\n.py" "b/new\\377.py"\n@@ -8,0 +9 @@\n+9\n'
    + b"diff --git a/z b/z\nBinary files differ\ndiff --git a/more b/more\n@@ -1 +1 @@\n"
)  # fmt: skip


def test_diff_is_read_by_position_so_that_names_and_contents_cannot_lie() -> None:
    diff = parse_diff(DIFF)

    assert [c.path for c in diff.changes] == ["a.py", "kind", "new\\xff.py", "z"]
    assert [c.old_path for c in diff.changes] == [None, None, "old\n.py", None]
    assert [c.status.value for c in diff.changes] == [
        "modified",
        "type_changed",
        "renamed",
        "added",
    ]
    assert [c.lines_added for c in diff.changes] == [2, 1, 1, None]
    assert diff.hunks == (
        (Hunk(2, 1, 2, 2),),
        (Hunk(1, 1, 0, 0), Hunk(0, 0, 1, 1)),
        (Hunk(8, 0, 9, 1),),
        (),
    )


def test_empty_output_is_an_empty_diff() -> None:
    assert parse_diff(b"") == RawDiff((), ())


@given(st.integers(0, len(DIFF)))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_output_cut_anywhere_gives_what_was_whole(n: int) -> None:
    whole, cut = parse_diff(DIFF), parse_diff(DIFF[:n], is_truncated=True)

    assert cut.is_truncated
    names = [c.path for c in whole.changes]
    assert [c.path for c in cut.changes] == names[: len(cut.changes)]
    assert len(cut.hunks) == len(cut.changes)


@pytest.mark.parametrize(
    "output",
    [b"nonsense", b":100644 nonsense\0a\0", RAW_M + b"no end", RAW_M + b"a\0x\ty\tz\0", RAW_M[:-1]],
)
def test_what_git_would_not_say_is_refused(output: bytes) -> None:
    with pytest.raises(ValueError, match="git"):
        parse_diff(output)


@given(st.binary(max_size=60))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_displayed_names_survive_json(name: bytes) -> None:
    shown = display_name(name)

    assert json.loads(json.dumps(shown)) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("path", "is_safe"),
    [
        ("a/b", True),
        (".gitignore", True),
        ("a/.github/x", True),
        ("..a", True),
        ("../a", False),
        ("a/../b", False),
        ("/a", False),
        ("a//b", False),
        ("./a", False),
        (".git/config", False),
        ("a/.GIT/hooks/x", False),
        ("git~1/x", False),
        (".git. /x", False),
        ("a\0b", False),
        ("", False),
    ],
)
def test_safe_paths_stay_inside_and_out_of_git(path: str, is_safe: bool) -> None:
    assert is_safe_path(path) == is_safe


@given(st.text(alphabet="./ag~1it ", max_size=12))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_safe_paths_never_leave_their_folder(path: str) -> None:
    if is_safe_path(path):
        assert os.path.normpath(f"/root/{path}").startswith("/root/")


# ---------------------------------------------------------------- reading


def test_all_files_are_read_when_there_are_few() -> None:
    assert chosen_for_reading([raw("b"), raw("a")], ReadLimits()) == (0, 1)


def test_files_that_ask_for_care_are_read_first_and_stay_in_order() -> None:
    changes = [raw("README.md"), raw("a.py"), raw("m/migrations/1.sql"), raw("tests/test_a.py")]

    assert chosen_for_reading(changes, ReadLimits(max_files=2)) == (1, 2)


def test_file_change_carries_what_git_said() -> None:
    symbol = ChangedSymbol(
        "f", is_class=False, status=SymbolStatus.ADDED, first_line=1, last_line=2
    )
    change = raw("shop/a.py", lines_added=3, lines_deleted=1)

    file = file_change(change, (Hunk(1, 1, 1, 3),), (symbol,))

    assert (file.path, file.kind, file.language) == ("shop/a.py", FileKind.SOURCE, "python")
    assert (file.lines_added, file.symbols, file.hunks[0].new_lines) == (3, (symbol,), 3)


def test_submodule_is_a_dependency() -> None:
    change = raw("README.md", old_mode="160000", new_mode="160000")

    assert file_change(change, ()).kind is FileKind.DEPENDENCY
    assert file_change(change, ()).language == "submodule"
    assert oddities([change]) == (
        "submodule 'README.md': aaaaaaaaaa -> bbbbbbbbbb; its content is not read",
    )


def test_renamed_file_has_the_kind_that_asks_for_more_care() -> None:
    moved = RawChange(
        "docs/old.md", "migrations/1.sql", FileStatus.RENAMED, "100644", "100644", OLD, OLD
    )

    assert file_change(moved, ()).kind is FileKind.MIGRATION


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("100644", FileKind.DOCS),
        ("000000", FileKind.DOCS),
        ("120000", FileKind.OTHER),
        ("100755", FileKind.OTHER),
    ],
)
def test_documentation_is_a_plain_file(mode: str, kind: FileKind) -> None:
    assert file_change(raw("README.md", new_mode=mode), ()).kind is kind


@pytest.mark.parametrize(
    ("old_mode", "new_mode", "notes"),
    [
        ("100644", "100644", ()),
        ("100644", "100755", ("'a' is executable now",)),
        ("100755", "100755", ()),
        ("100755", "100644", ("'a' is no longer executable",)),
        ("100755", "000000", ()),
        ("000000", "120000", ("'a' is a symbolic link",)),
        ("000000", "160000", ("submodule 'a': nothing -> bbbbbbbbbb; its content is not read",)),
        ("160000", "100644", ("submodule 'a': aaaaaaaaaa -> a file; its content is not read",)),
    ],
)
def test_modes_are_remarked(old_mode: str, new_mode: str, notes: tuple[str, ...]) -> None:
    assert oddities([raw("a", old_mode=old_mode, new_mode=new_mode)]) == notes


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (b"a/" + b"n" * 255, True),
        (b"n" * 256 + b"/a", False),
        (b"d/" * 2_000 + b"a", True),
        (b"d/" * 2_047 + b"aa", False),
        ("é".encode() * 128, False),
        (b"\xe9" * 255, True),
    ],
)
def test_names_that_no_file_can_have_are_remarked(name: bytes, *, fits: bool) -> None:
    assert name_of(display_name(name)) == name
    assert fits_a_file_system(name) == fits
    assert any("longer than a file" in n for n in oddities([raw(display_name(name))])) != fits


def test_remarks_are_bounded_and_names_in_them_are_quoted() -> None:
    changes = [raw(f"../{n}\n") for n in range(60)]

    notes = oddities(changes)

    assert notes[0].startswith("'../0\\n' would leave the tree")
    assert notes[-1] == "and 10 more remarks"
    assert len(notes) == 51


def test_plain_diffs_need_no_words_and_odd_ones_get_them() -> None:
    plain = RawDiff((raw(),), ((),))
    odd = RawDiff((raw(), raw()), ((), ()), is_truncated=True)
    merge = builders.commit(parents=(OLD, NEW, NONE))
    limits = ReadLimits(max_files=1)

    assert about_reading(builders.commit(), plain, limits, is_cut_off=False) == ()
    notes = about_reading(merge, odd, limits, is_cut_off=True)

    assert [note.split()[0] for note in notes] == ["merge", "the", "only", "2"]


@pytest.mark.parametrize("field", ["authored_at", "committed_at"])
@pytest.mark.parametrize("year", [1970, 9999])
def test_date_at_the_edge_of_the_calendar_is_odd(field: str, year: int) -> None:
    commit = builders.commit(**{field: datetime(year, 1, 1, tzinfo=UTC)})

    (note,) = about_reading(commit, RawDiff((raw(),), ((),)), ReadLimits(), is_cut_off=False)

    assert note.startswith("odd date")


# ---------------------------------------------------------------- symbols

BEFORE = b"""\
import os

@cache
def total(prices):
    def one(price):
        return price
    return sum(one(p) for p in prices)


class Cart:
    tax = 1

    def add(self, x):
        self.items.append(x)

    @property
    def size(self):
        return len(self.items)

    @size.setter
    def size(self, n):
        raise AttributeError


if os.name == "nt":
    async def late(): ...
else:
    try:
        with open("x") as f:
            def early(): ...
    except OSError:
        def early(): ...
    finally:
        pass
match os.name:
    case "a":
        def matched(): ...
"""


def names(*hunks: Hunk, old: bytes | None = BEFORE, new: bytes | None = BEFORE) -> dict[str, str]:
    return {s.qualified_name: s.status.value for s in changed_symbols(old, new, hunks)}


def line(n: int) -> Hunk:
    return Hunk(n, 1, n, 1)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, {}),
        (3, {"total": "changed"}),
        (6, {"total": "changed", "total.one": "changed"}),
        (8, {}),
        (11, {"Cart": "changed"}),
        (14, {"Cart": "changed", "Cart.add": "changed"}),
        (18, {"Cart": "changed", "Cart.size": "changed"}),
        (22, {"Cart": "changed", "Cart.size": "changed"}),
        (26, {"late": "changed"}),
        (30, {"early": "changed"}),
        (32, {"early": "changed"}),
        (37, {"matched": "changed"}),
    ],
)
def test_changed_line_belongs_to_all_that_surround_it(n: int, expected: dict[str, str]) -> None:
    assert names(line(n)) == expected


def test_lines_of_a_symbol_include_its_decorators() -> None:
    (symbol, _) = changed_symbols(BEFORE, BEFORE, [line(6)])

    assert (symbol.first_line, symbol.last_line, symbol.is_class) == (3, 7, False)


def test_second_definition_of_a_name_is_the_one_that_was_touched() -> None:
    setter = changed_symbols(BEFORE, BEFORE, [line(22)])[1]

    assert (setter.qualified_name, setter.first_line, setter.last_line) == ("Cart.size", 20, 22)


def test_added_removed_and_renamed_functions() -> None:
    old, new = b"def a(): pass\ndef b(): pass\n", b"def a(): pass\ndef c(): pass\n"

    assert names(line(2), old=old, new=new) == {"c": "added", "b": "removed"}
    assert names(Hunk(0, 0, 1, 2), old=None, new=old) == {"a": "added", "b": "added"}
    assert names(Hunk(1, 2, 0, 0), old=old, new=None) == {"a": "removed", "b": "removed"}
    assert names(old=old, new=old) == {}


def test_function_that_only_lost_lines_is_changed() -> None:
    old = b"def a():\n    x = 1\n    return 2\n"
    new = b"def a():\n    return 2\n"

    assert names(Hunk(2, 1, 1, 0), old=old, new=new) == {"a": "changed"}


def test_each_symbol_knows_the_hunks_that_touch_it() -> None:
    old = b"def a():\n    x = 1\n    return 2\n\n\ndef b():\n    return 1\n\n\ndef gone(): ...\n"
    new = b"def a():\n    return 2\n\n\ndef b():\n    return 3\n\n\ndef come(): ...\n"
    hunks = [Hunk(2, 1, 1, 0), Hunk(7, 1, 6, 1), Hunk(10, 1, 9, 1)]

    found = {s.qualified_name: s.hunks for s in changed_symbols(old, new, hunks)}

    assert found == {"a": (0,), "b": (1,), "come": (2,), "gone": (2,)}


def test_class_has_the_hunks_of_all_its_methods() -> None:
    found = {
        s.qualified_name: s.hunks for s in changed_symbols(BEFORE, BEFORE, [line(14), line(18)])
    }

    assert found == {"Cart": (0, 1), "Cart.add": (0,), "Cart.size": (1,)}


def test_method_of_a_renamed_class_is_added_by_no_hunk_of_its_own() -> None:
    old, new = b"class A:\n    def f(self): ...\n", b"class B:\n    def f(self): ...\n"

    found = {
        s.qualified_name: (s.status.value, s.hunks) for s in changed_symbols(old, new, [line(1)])
    }

    assert found["B.f"] == ("added", ())
    assert found["A.f"] == ("removed", ())


def test_definitions_of_any_language_are_compared_by_name_and_line() -> None:
    old = [Definition("Cart", True, 1, 9), Definition("Cart.total", False, 2, 4)]
    new = [*old, Definition("Cart.mean", False, 5, 7)]

    found = symbols_between(old, new, [Hunk(4, 0, 5, 3)])

    assert [(s.qualified_name, s.is_class, s.status.value, s.hunks) for s in found] == [
        ("Cart", True, "changed", (0,)),
        ("Cart.mean", False, "added", (0,)),
    ]


def test_many_hunks_find_their_functions() -> None:
    source = b"".join(b"def f%d():\n    pass\n\n" % n for n in range(200))
    hunks = [line(3 * n + 2) for n in range(0, 200, 2)]

    assert set(names(*hunks, old=source, new=source)) == {f"f{n}" for n in range(0, 200, 2)}


@pytest.mark.parametrize(
    "source",
    [
        b"def f(:\n",
        b"x = 1\0",
        b"\xff\xfe",
        b"-" * 50_000 + b"1",
        b"(" * 5_000,
        b"# coding: none\n",
    ],
)
def test_what_is_not_python_is_said(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"not valid Python|nested too deeply"):
        changed_symbols(None, source, ())


def test_warnings_about_a_commits_code_are_not_ours() -> None:
    assert names(old=None, new=b"def f():\n    return '\\d'\n") == {"f": "added"}
