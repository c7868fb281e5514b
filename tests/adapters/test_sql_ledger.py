"""What only the real ledger can show: files, processes, locks, tampering, migrations."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agentci_dagster.adapters.json_values import dump_json
from agentci_dagster.adapters.sql_ledger import SqlLedger, tables
from agentci_dagster.adapters.sql_ledger.database import Database
from agentci_dagster.domain.errors import ConfigurationError, LedgerError
from agentci_dagster.domain.rollout import RolloutState
from agentci_dagster.ports import LedgerEvent
from tests.adapters.test_ledger_contract import POSTGRES, empty_database, event, rollout
from tests.builders import NOON, key, outcome, sha

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.db"


@pytest.fixture
def ledger(file: Path):
    ledger = SqlLedger(f"sqlite:///{file}")
    yield ledger
    ledger.close()


_TOGETHER = """
import os, sys, alembic.command
from datetime import UTC, datetime, timedelta
from agentci_dagster.adapters.json_values import load_json
from agentci_dagster.adapters.sql_ledger import SqlLedger
from agentci_dagster.domain.errors import EnvironmentBusyError
from agentci_dagster.domain.rollout import Rollout
from agentci_dagster.ports import LedgerEvent

program, n, *arguments = sys.argv[1:]
gate, opener = os.pipe()
children = []
for number in range(int(n)):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(opener)
        os.read(gate, 1)  # returns when the parent closes its end
        exec(program)
        sys.stdout.flush()
        os._exit(0)
os.close(opener)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def run_together(program: str, n: int, *arguments: str) -> list[str]:
    """Run the program at once in n processes, which share nothing but what was imported."""
    done = subprocess.run(
        [sys.executable, "-c", _TOGETHER, program, str(n), *arguments],
        check=False,
        capture_output=True,
        cwd=_ROOT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("kind", ["sqlite", POSTGRES])
def test_four_processes_open_a_new_ledger_and_write_without_losing_an_event(kind, file):
    url = f"sqlite:///{file}" if kind == "sqlite" else empty_database()
    ledger = SqlLedger(url)
    program = (
        "ledger = SqlLedger(arguments[0])\n"
        "for n in range(50):\n"
        "    now = datetime.now(UTC)\n"
        "    ledger.append(LedgerEvent(f'{number}-{n}', 'note', now, '', '', {'n': n}))\n"
    )
    run_together(program, 4, url)

    assert ledger.verify() == 200
    for number in range(4):
        own = [e.body["n"] for e in ledger.events() if e.id.startswith(f"{number}-")]
        assert own == list(range(50))
    ledger.close()


def test_of_two_racing_processes_one_gets_the_lease_and_one_the_environment(ledger, file):
    program = (
        "ledger = SqlLedger(arguments[0])\n"
        "lease = ledger.acquire('production', str(number), 'x', timedelta(minutes=5))\n"
        "try:\n"
        "    ledger.open(load_json(Rollout, arguments[1 + number]))\n"
        "    got = 'opened'\n"
        "except EnvironmentBusyError:\n"
        "    got = 'busy'\n"
        "print(f'{lease is not None} {got}')\n"
    )
    two = [dump_json(rollout("one", 1)), dump_json(rollout("two", 2))]
    said = run_together(program, 2, f"sqlite:///{file}", *two)

    assert sorted(said) == ["False", "True", "busy", "opened"]
    assert len(ledger.rollouts(is_open=True)) == 1


def test_threads_share_one_ledger(ledger):
    def write(name: str) -> None:
        for n in range(10):
            ledger.append(event(f"{name}{n}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.verify() == 40


def test_a_forked_child_uses_connections_of_its_own(ledger):
    ledger.append(event("parent"))
    child = os.fork()
    if child == 0:
        ledger.append(event("child"))
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    ledger.append(event("after"))
    assert [e.id for e in ledger.events()] == ["parent", "child", "after"]
    assert ledger.verify() == 3


def test_reading_makes_no_file_and_the_first_write_makes_the_folder(ledger, file):
    assert ledger.events() == ()
    assert ledger.verify() == 0
    assert not file.parent.exists()

    ledger.append(event())

    assert file.is_file()


def test_a_reopened_ledger_remembers_and_is_in_wal_mode(ledger, file):
    ledger.append(event())
    ledger.close()
    again = SqlLedger(f"sqlite:///{file}")

    assert again.events() == (event(),)
    again.close()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE agentci_events SET body = '{\"n\":2}' WHERE position = 2", "event 2"),
        (
            "UPDATE agentci_events SET at = '2020-01-01T00:00:00.000000+00:00' WHERE position = 3",
            "event 3",
        ),
        ("DELETE FROM agentci_events WHERE position = 2", "event 2"),
        ("DELETE FROM agentci_events WHERE position = 4", "ends at event 3"),
        ("UPDATE agentci_events SET hash = 'x' WHERE position = 1", "event 1"),
    ],
)
def test_tampering_is_found_and_the_first_broken_event_named(ledger, file, change, named):
    for n in range(4):
        ledger.append(event(f"e{n}"))
    with sqlite3.connect(file) as connection:
        connection.execute(change)
    connection.close()

    with pytest.raises(LedgerError, match=named):
        ledger.verify()


def test_the_database_itself_refuses_a_second_open_rollout(ledger, file):
    ledger.open(rollout("one"))
    with sqlite3.connect(file) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO agentci_rollouts SELECT 'two', environment, repository, sha, generation, "
            "opened_at, is_open, body FROM agentci_rollouts"
        )
    connection.close()


def test_a_failure_inside_a_transaction_leaves_nothing_behind(ledger):
    opened = ledger.open(rollout())
    wrong = replace(opened, state=RolloutState.PROMOTED, opened_at=NOON.replace(tzinfo=None))

    with pytest.raises(LedgerError, match="no time zone"):
        ledger.advance(wrong)

    assert ledger.rollouts() == (opened,)
    assert ledger.verify() == 1


def test_a_locked_database_is_waited_for_and_then_named(ledger, file):
    ledger.append(event("first"))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = SqlLedger(f"sqlite:///{file}", wait_s=0.1)

    with pytest.raises(LedgerError, match=r"locked.*Next: find the process"):
        impatient.append(event("second"))

    holder.execute("ROLLBACK")
    holder.close()
    impatient.append(event("second"))
    assert ledger.verify() == 2
    impatient.close()


def test_a_new_ledger_that_another_process_is_making_is_waited_for_and_then_named(file):
    file.parent.mkdir()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("CREATE TABLE half_made (id INTEGER)")
    holder.execute("BEGIN IMMEDIATE")
    impatient = SqlLedger(f"sqlite:///{file}", wait_s=0.1)

    with pytest.raises(LedgerError, match=r"locked.*Next: find the process"):
        impatient.append(event("first"))

    holder.execute("ROLLBACK")
    holder.close()
    impatient.append(event("first"))
    assert impatient.verify() == 1
    impatient.close()


def test_a_lock_that_ends_in_time_is_no_error(ledger, file):
    ledger.append(event("first"))
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.1, lambda: holder.execute("ROLLBACK"))
    release.start()

    ledger.append(event("second"))

    release.join()
    holder.close()
    assert ledger.verify() == 2


def test_a_full_disk_is_a_ledger_error_with_a_next_step(ledger, file, monkeypatch):
    ledger.append(event("first"))
    with sqlite3.connect(file) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    from agentci_dagster.adapters.sql_ledger import database

    configure = database._configure_sqlite

    def small(connection, record):
        configure(connection, record)
        connection.execute(f"PRAGMA max_page_count={pages}")

    monkeypatch.setattr(database, "_configure_sqlite", small)
    full = SqlLedger(f"sqlite:///{file}")

    with pytest.raises(LedgerError, match=r"full.*free space"):
        full.append(event("second", body={"text": "x" * 100_000}))

    full.close()
    assert ledger.verify() == 1


def test_a_file_that_is_no_ledger_is_a_ledger_error(file):
    file.parent.mkdir()
    file.write_text(
        "this is a text, and not a short one, so that it is long enough for a header " * 20
    )
    ledger = SqlLedger(f"sqlite:///{file}")

    with pytest.raises(LedgerError, match=r"not a database.*restore"):
        ledger.events()


def test_a_folder_that_cannot_be_made_is_a_ledger_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    ledger = SqlLedger(f"sqlite:///{tmp_path}/file/home/ledger.db")

    with pytest.raises(LedgerError):
        ledger.append(event())


def test_a_wrong_address_is_a_configuration_error_that_does_not_repeat_it():
    with pytest.raises(ConfigurationError) as error:
        SqlLedger("secret-password@nowhere")

    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["mysql+pymysql://root@h/x", "oracle://h/x"])
def test_database_that_is_not_supported_is_refused_at_once(url):
    with pytest.raises(
        ConfigurationError, match=r"cannot be kept in (mysql|oracle).*sqlite:///PATH"
    ):
        Database(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_usual_spellings_of_postgresql_are_understood(scheme):
    assert Database(f"{scheme}://me:hush@h/x").name == "postgresql+psycopg2://me:***@h/x"


def test_driver_that_is_not_installed_is_named(tmp_path):
    ledger = SqlLedger("postgresql+asyncpg2://me:hush@h/x")

    with pytest.raises(
        ConfigurationError, match=r"not installed.*agentci-dagster\[postgres\]"
    ) as error:
        ledger.events()
    assert "hush" not in str(error.value)


def test_ledger_of_a_newer_version_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    SqlLedger(url).append(event())
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database, database:
        database.execute("update agentci_schema_version set version_num = '9999'")

    with pytest.raises(LedgerError, match=r"newer agentci-dagster \(schema 9999.*upgrade"):
        SqlLedger(url).events()


def test_errors_hide_the_password():
    ledger = SqlLedger("sqlite://user:hunter2@host/x.db")

    with pytest.raises(LedgerError) as error:
        ledger.append(event())
    assert "hunter2" not in str(error.value)


def test_an_empty_ledger_in_memory_works():
    ledger = SqlLedger("sqlite://")
    ledger.settle(outcome(1))

    assert ledger.outcome(key(1)) == outcome(1)
    ledger.close()


def test_without_a_clock_events_carry_the_time_of_now(ledger):
    ledger.settle(outcome(1))

    assert ledger.events()[0].at > NOON.replace(year=2024)


def test_the_schema_version_in_code_is_the_newest_migration():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "agentci_dagster.adapters.sql_ledger:migrations")

    assert ScriptDirectory.from_config(config).get_current_head() == tables.SCHEMA_VERSION


def test_the_migrations_make_the_columns_that_queries_use(ledger, file):
    ledger.append(event())
    connection = sqlite3.connect(file)
    for table in tables.metadata.sorted_tables:
        made = [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
        assert made == [column.name for column in table.columns]
    connection.close()


def test_a_hostile_value_is_only_a_value(ledger):
    hostile = LedgerEvent(
        "'; DROP TABLE agentci_events; --", "k'", NOON, 'a"b', sha(1), {"%": "%s"}
    )
    ledger.append(hostile)

    assert ledger.events(kind="k'", repository='a"b') == (hostile,)
