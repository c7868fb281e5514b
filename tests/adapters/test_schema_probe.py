from __future__ import annotations

import pytest

from agentci_dagster.adapters.schema_probe import SqliteSchemaProbe
from agentci_dagster.demo.scenario import STEPS
from agentci_dagster.domain.diff import FileStatus
from agentci_dagster.domain.image import SchemaFinding
from agentci_dagster.ports import SchemaProbe
from tests.builders import diff, file_change, key, sha
from tests.fakes.image import FakeSchemaProbe, TreeMirror, TreeMirrors

TABLE = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT);"

ENDLESS = "CREATE TABLE a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT {} FROM n;"


def ask(files, *changed, folder="", budget_s=10.0, **changes):
    """The findings of a commit with these files, of which `changed` were changed (shop/app.py by default)."""
    mirrors = TreeMirrors(TreeMirror({sha(1): files}))
    asked = diff(*(file_change(path) for path in changed or ("shop/app.py",)), **changes)
    return SqliteSchemaProbe(mirrors, lambda _: folder, budget_s).findings(key(1), asked)


def ask_code(code, migration=TABLE):
    return ask({"migrations/0001_first.sql": migration, "shop/app.py": code})


def problems(code, migration=TABLE):
    return [finding.problem for finding in ask_code(code, migration)]


@pytest.mark.parametrize("is_real", [True, False], ids=["sqlite", "fake"])
def test_contract_a_query_for_a_missing_column_is_found(is_real):
    bad = {"migrations/1.sql": TABLE, "shop/app.py": "q = 'SELECT colour FROM products'\n"}
    good = bad | {"shop/app.py": "q = 'SELECT name FROM products'\n"}
    expected = SchemaFinding(
        "shop/app.py", 1, "SELECT colour FROM products", "no such column: colour"
    )
    probe: SchemaProbe = (
        SqliteSchemaProbe(TreeMirrors(TreeMirror({sha(1): bad, sha(2): good})), lambda _: "")
        if is_real
        else FakeSchemaProbe({sha(1): (expected,)})
    )

    assert probe.findings(key(1), diff(n=1)) == () or not is_real
    assert probe.findings(key(1), diff(file_change("shop/app.py"), n=1)) == (expected,)
    assert probe.findings(key(2), diff(file_change("shop/app.py"), n=2)) == ()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("q = 'SELECT colour FROM products'", "no such column: colour"),
        ("q = 'SELECT p.colour FROM products AS p'", "no such column: p.colour"),
        ("q = 'SELECT id FROM orders'", "no such table: orders"),
        ("q = 'INSERT INTO products (id, size) VALUES (?, ?)'", "has no column named size"),
        ("q = 'UPDATE products SET size = ? WHERE id = ?'", "no such column: size"),
        ("q = 'DELETE FROM products WHERE size = :size'", "no such column: size"),
        ("q = 'SELECT size FROM products WHERE id = %s'", "no such column: size"),
        ("q = 'SELECT size FROM products WHERE id = %(id)s' % {}", "no such column: size"),
        ("q = f'SELECT size FROM products WHERE {where}'", "no such column: size"),
        ("q = 'SELECT size ' + 'FROM ' + 'products'", "no such column: size"),
        ("q = 'SELECT size ' 'FROM products'", "no such column: size"),
        ("c.execute('select size from products')", "no such column: size"),
        ("execute('delete from orders')", "no such table: orders"),
        ("q = '''\n  -- why\n  /* not */ SELECT size FROM products'''", "no such column: size"),
        ("q = 'WITH p AS (SELECT size FROM products) SELECT * FROM p'", "no such column: size"),
    ],
)
def test_what_the_schema_lacks_is_found(code, problem):
    (found,) = problems(code)

    assert problem in found


@pytest.mark.parametrize(
    "code",
    [
        "q = 'SELECT name FROM products WHERE id IN (?, ?)'",
        "q = 'INSERT INTO products (id, name) VALUES (:id, :name) RETURNING id'",
        "q = f'SELECT name FROM {table}'",
        "q = f'SELECT name FROM products ORDER BY name {direction}'",
        "q = 'SELECT name::text FROM products'",
        "q = 'SELECT lower_unicode(name) FROM products'",
        "q = 'SELECT name FROM products; SELECT size FROM products'",
        "q = 'SELECT * FROM information_schema.tables'",
        "q = 'SELECT * FROM pg_catalog'",
        "q = 'SELECT rownum FROM products'",
        "q = 'SELECT a FROM ' + table + ' b'",
        "q = ('SELECT a ' + 1) + ('FROM ' + 'x')",
    ],
)
def test_what_fits_or_cannot_be_judged_is_no_finding(code):
    assert problems(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "'''SELECT size FROM products'''",
        "def f():\n    '''DELETE FROM nothing'''",
        "text = 'Select a product from the list'",
        "text = 'select a product from the list'",
        "text = 'SELECT A PRODUCT FROM THE LIST'",
        "text = 'SELECT AN OPTION'",
        "text = 'Update the table'",
        "b = b'SELECT size FROM products'",
        "n = 1 + 2",
    ],
)
def test_words_for_people_are_no_queries(code):
    assert problems(code) == []


def test_lines_and_paths_are_named():
    (finding,) = ask_code("import x\n\n\ndef f(c):\n    c.execute('SELECT a\\n  FROM products')\n")

    assert finding == SchemaFinding("shop/app.py", 5, "SELECT a FROM products", "no such column: a")


def test_a_table_that_the_code_itself_creates_is_known():
    code = "c.execute('SELECT name FROM done')"
    own = "c.execute('CREATE TABLE IF NOT EXISTS done (name TEXT)')"
    files = {"migrations/1.sql": TABLE, "shop/app.py": code}

    assert len(ask(files)) == 1
    assert ask(files | {"shop/migrate.py": own}) == ()
    assert ask(files | {"shop/app.py": own + "\n" + code}) == ()


def test_a_table_of_the_tests_hides_nothing():
    files = {
        "migrations/1.sql": TABLE,
        "shop/app.py": "q = 'SELECT size FROM products'",
        "tests/conftest.py": "S = 'CREATE TABLE products (size TEXT)'",
    }

    assert len(ask(files)) == 1


def test_only_changed_files_are_asked():
    files = {
        "migrations/1.sql": TABLE,
        "shop/app.py": "x = 1",
        "shop/old.py": "q = 'SELECT a FROM b'",
    }

    assert ask(files) == ()


def test_a_changed_migration_asks_every_source():
    files = {"migrations/1.sql": TABLE, "shop/old.py": "q = 'SELECT a FROM products'"}

    assert len(ask(files, "migrations/1.sql")) == 1


def test_a_capped_diff_asks_every_source():
    files = {"migrations/1.sql": TABLE, "shop/old.py": "q = 'SELECT a FROM products'"}

    assert len(ask(files, "README.md", is_capped=True)) == 1


def test_deleted_files_and_tests_are_not_asked():
    files = {"migrations/1.sql": TABLE, "tests/test_app.py": "q = 'SELECT a FROM products'"}
    mirrors = TreeMirrors(TreeMirror({sha(1): files}))
    gone = file_change("shop/gone.py", status=FileStatus.DELETED)
    asked = diff(gone, file_change("tests/test_app.py"))

    assert SqliteSchemaProbe(mirrors, lambda _: "").findings(key(1), asked) == ()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"migrations/1.py": "x"},
        {"a/migrations/1.sql": TABLE, "b/migrations/1.sql": TABLE},
        {"migrations/0001.down.sql": TABLE},
    ],
)
def test_without_migrations_there_is_nothing_to_ask(files):
    assert ask(files | {"shop/app.py": "q = 'SELECT a FROM b'"}) == ()


def test_the_configured_folder_is_used():
    files = {"db/schema/1.sql": TABLE, "shop/app.py": "q = 'SELECT a FROM products'"}

    assert len(ask(files, folder="db/schema/")) == 1
    assert ask(files) == ()


def test_migrations_run_in_the_order_of_their_numbers():
    files = {
        "migrations/2_a.sql": "CREATE TABLE a (x);",
        "migrations/10_b.sql": "ALTER TABLE a ADD COLUMN y;",
        "shop/app.py": "q = 'SELECT x, y FROM a'",
    }

    assert ask(files) == ()


@pytest.mark.parametrize(
    ("migration", "problem"),
    [
        ("ALTER TABLE orders ADD COLUMN a;", "no such table: orders"),
        (TABLE + "ALTER TABLE products ADD COLUMN name;", "duplicate column name: name"),
        (TABLE + "INSERT INTO products (size) VALUES (1);", "has no column named size"),
        (TABLE + TABLE, "already exists"),
    ],
)
def test_a_migration_that_cannot_run_is_found(migration, problem):
    path = "migrations/0001_first.sql"

    (finding,) = ask({path: migration, "shop/app.py": "x = 1"}, path)

    assert finding.path == "migrations/0001_first.sql"
    assert problem in finding.problem


@pytest.mark.parametrize(
    "migration",
    [
        "CREATE EXTENSION hstore; CREATE TABLE products (id int);",
        "CREATE TABLE products (id int DEFAULT nextval('s')) PARTITION BY x;",
        "CREATE TABLE products (id",
        "\udcff",
        "-- " + "x" * (1 << 20),
    ],
)
def test_a_schema_that_cannot_be_followed_proves_nothing(migration):
    assert problems("q = 'SELECT size FROM products'", migration) == []


@pytest.mark.parametrize(
    "migration",
    [
        "PRAGMA foreign_keys = ON; BEGIN;" + TABLE + "COMMIT; VACUUM;",
        TABLE + "INSERT INTO products (id) VALUES (1), (1);",
        (
            "CREATE TABLE products (id INTEGER, name TEXT DEFAULT 'a;b'); -- c;\n"
            "CREATE TRIGGER t AFTER INSERT ON products BEGIN DELETE FROM products; SELECT 1; END;"
        ),
        (
            "CREATE TABLE products (id INTEGER); INSERT INTO products VALUES (1);"
            "ALTER TABLE products ADD COLUMN n INTEGER NOT NULL DEFAULT 1 CHECK (n > 0);"
            "ALTER TABLE products RENAME COLUMN n TO name; ALTER TABLE products ADD COLUMN size;"
            "ALTER TABLE products DROP COLUMN size;"
        ),
    ],
)
def test_migrations_may_do_more_than_create(migration):
    assert problems("q = 'SELECT size FROM products'", migration) == ["no such column: size"]


def test_hostile_migrations_touch_nothing_outside(tmp_path):
    target = tmp_path / "out.db"
    for statement in (
        f"ATTACH DATABASE '{target}' AS out;",
        f"CREATE TABLE a (x); VACUUM INTO '{target}';",
        f"CREATE TABLE a AS SELECT load_extension('{target}');",
        f"CREATE TABLE a AS SELECT writefile('{target}', 'x');",
    ):
        ask_code(f"c.execute(\"select load_extension('{target}') from a\")", statement)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        ENDLESS.format("count(*)"),
        "';'" * 200_000,
    ],
)
def test_a_migration_without_end_is_cut_off(statement):
    files = {"migrations/1.sql": TABLE, "migrations/2.sql": statement}

    assert ask(files | {"shop/app.py": "q = 'SELECT size FROM products'"}, budget_s=0.3) == ()


@pytest.mark.parametrize(
    "code",
    [
        "q = " + "(" * 500 + ")" * 500,
        "q = 'SELECT a FROM b' + " + "1+" * 20_000 + "1",
        "q = 'SELECT a FROM b'\0",
        "def broken(:",
        "q = '" + "/**/" * 2000 + "x'",
        "q = 'SELECT " + "(" * 20_000 + " FROM products'",
        "q = 'SELECT " + "a," * 40_000 + " FROM products'",
        "\udcff",
    ],
    ids=range(8),
)
def test_hostile_sources_are_passed_over(code):
    assert problems(code) == []


def test_rows_without_end_are_cut_off_and_the_schema_is_known():
    filled = TABLE + "INSERT INTO products (name) " + ENDLESS.split(" AS ", 1)[1]

    assert problems("q = 'SELECT size FROM products'", filled.format("randomblob(9 << 16)")) == [
        "no such column: size"
    ]


def test_many_findings_are_capped():
    assert len(problems("\n".join(f"q{n} = 'SELECT c{n} FROM products'" for n in range(50)))) == 20


def tree_of(number):
    """The text files of a scripted commit's whole tree."""
    step = STEPS[number - 1]
    below = tree_of(step.base) if step.base else {}
    return below | step.content().files


@pytest.mark.parametrize("number", [1, 3, 4, 5, 7, 9, 10, 11, 12, 13])
def test_the_demo_s_sound_commits_have_no_findings(number):
    files = STEPS[number - 1].content().files

    assert ask(tree_of(number), *files) == ()


def test_the_demo_s_missing_column_is_found():
    findings = ask(tree_of(6), *STEPS[5].content().files)

    assert {f.problem for f in findings} == {"no such column: discount"}
    assert {f.path for f in findings} == {"shop/products.py", "shop/search.py"}


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- migrate:up", "-- migrate:down"),
        ("-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up", "  --+migrate down"),
    ],
)
def test_way_back_in_the_same_file_is_not_gone(up, down):
    both = f"{up}\n{TABLE}\n\n{down}\nDROP TABLE products;\n"

    assert problems("q = 'SELECT name FROM products'", both) == []
    assert problems("q = 'SELECT size FROM products'", both) == ["no such column: size"]


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE users ADD COLUMN age INTEGER;", TABLE],
    ids=["builds on what is made elsewhere", "makes what is there"],
)
def test_old_migration_that_cannot_be_followed_makes_the_schema_unclear(statement):
    files = {
        "migrations/1.sql": TABLE,
        "migrations/2.sql": statement,
        "shop/app.py": "q = 'SELECT size FROM products'",
    }

    assert ask(files) == ()
    assert len(ask(files, "migrations/2.sql")) == 1


@pytest.mark.parametrize(
    "code",
    [
        "q = 'SELECT n FROM generate_series(1, 3) n'",
        "q = 'SELECT id FROM products, unnest(?) AS name'",
        "q = 'SELECT date_part(day, name) FROM products WHERE id IN (1)'",
        "q = 'SELECT lower(age(hour, id)) FROM products'",
        "q.select('select an item from the menu')",
        "raise ValueError('SELECT a size FROM the list')",
    ],
)
def test_names_of_calls_and_of_sentences_are_no_findings(code):
    assert problems(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "q = 'INSERT INTO orders (id) VALUES (1)'",
        "q = 'SELECT size, date_part(day, name) FROM products'",
        "q = 'SELECT id FROM products WHERE id IN (size)'",
        "q = 'SELECT max(size) FROM products'",
    ],
)
def test_what_stands_beside_calls_is_still_found(code):
    assert len(problems(code)) == 1
