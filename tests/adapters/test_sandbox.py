"""What is shut in stays in: files, network, processes, memory, output, time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agentci_dagster.adapters import disk_use
from agentci_dagster.adapters.sandbox import Limits, Sandbox
from agentci_dagster.domain.errors import SandboxError
from agentci_dagster.domain.selection import Isolation

SMALL = Limits(
    timeout_s=10, cpu_s=10, memory_bytes=300 << 20, n_processes=20, max_file_bytes=1 << 20
)


@pytest.fixture(scope="module")
def strong():
    sandbox = Sandbox()
    if sandbox.isolation is not Isolation.STRONG:
        pytest.skip("bubblewrap does not work on this machine")
    return sandbox


@pytest.fixture
def python(strong, tmp_path):
    def run(code, *, limits=SMALL, **kwargs):
        return strong.run(
            [str(strong.python), "-c", code], folder=tmp_path, limits=limits, **kwargs
        )

    return run


def left_behind(mark):
    found = []
    for folder in Path("/proc").iterdir():
        try:
            found += [folder.name] if mark.encode() in (folder / "cmdline").read_bytes() else []
        except OSError:
            continue
    return found


pytestmark = pytest.mark.sandbox


def test_program_runs_and_writes_in_its_folder_only(python, tmp_path):
    result = python("open('made', 'w').write('x'); open('/usr/made', 'w')")

    assert (tmp_path / "made").read_text() == "x"
    assert result.returncode == 1
    assert "/usr/made" in result.stderr_tail
    assert result.isolation is Isolation.STRONG


def test_files_of_the_host_cannot_be_seen(python, tmp_path):
    secret = tmp_path.parent / "secret"
    secret.write_text("s3cret")

    result = python(
        f"import os; print(os.path.exists({str(secret)!r}), os.listdir(os.path.expanduser('~')),"
        f" os.path.exists({__file__!r}), open('/etc/passwd').read().count(':x:'))"
    )

    assert result.stdout_tail.split() == ["False", "[]", "False", "1"]


def test_folders_given_read_only_can_be_read_and_not_written(python, tmp_path):
    given = tmp_path.parent / "given"
    given.mkdir()
    (given / "a").write_text("text")

    code = f"print(open({str(given / 'a')!r}).read()); open({str(given / 'b')!r}, 'w')"
    result = python(code, read_only=[given])

    assert result.stdout_tail == "text\n"
    assert "Error" in result.stderr_tail
    assert not (given / "b").exists()


def test_environment_variables_of_ours_are_not_there(python, monkeypatch):
    monkeypatch.setenv("AGENTCI_LLM_API_KEY", "s3cret")

    result = python("import os; print(dict(os.environ))", env={"WANTED": "yes"})

    assert "s3cret" not in result.stdout_tail
    assert "'WANTED': 'yes'" in result.stdout_tail


def test_there_is_no_network_but_loopback(python):
    result = python(
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())\n"
        "print('loopback')\n"
        "socket.create_connection(('192.0.2.1', 80), 2)"
    )

    assert result.stdout_tail == "loopback\n"
    assert "unreachable" in result.stderr_tail


def test_machine_and_user_have_names(python):
    result = python(
        "import os, pwd, socket\n"
        "with socket.socket() as s:\n    s.bind(('localhost', 0))\n"
        "print(socket.gethostbyname('sandbox'), pwd.getpwuid(os.getuid()).pw_name)"
    )

    assert result.stdout_tail == "127.0.0.1 sandbox\n", result.stderr_tail


def test_other_processes_cannot_be_seen_or_ended(python):
    result = python(
        f"import os; print(os.path.exists('/proc/{os.getpid()}/cwd/pyproject.toml'))\n"
        "for pid in range(1, 60000):\n"
        "    try:\n"
        "        pid != os.getpid() and os.kill(pid, 9)\n"
        "    except OSError:\n"
        "        pass\n"
        "print('done')"
    )

    assert "True" not in result.stdout_tail


def test_fork_bomb_is_limited_and_leaves_nothing(python):
    result = python(
        "import os, sys\n# bomb-4711\n"
        "while True:\n"
        "    try:\n"
        "        os.fork()\n"
        "    except OSError:\n"
        "        sys.exit(7)"
    )

    assert result.returncode != 0
    assert left_behind("bomb-4711") == []


def test_one_process_cannot_take_more_memory(python):
    assert "MemoryError" in python("x = bytearray(1 << 30)").stderr_tail


def test_many_processes_together_cannot_take_more_memory(python):
    result = python(
        "import os, time\n"
        "for _ in range(3): os.fork()\n"
        "x = bytearray(120 << 20)\n"
        "x[::4096] = b'1' * len(x[::4096])\n"
        "time.sleep(30)"
    )

    assert result.stopped_for == "memory"


def test_large_files_are_cut_off(python, tmp_path):
    result = python("open('large', 'wb').write(b'x' * (64 << 20))")

    assert result.returncode != 0
    assert (tmp_path / "large").stat().st_size <= 1 << 20


FILLING = Limits(timeout_s=20, max_file_bytes=4 << 20, written_bytes=12 << 20)


def test_many_files_together_cannot_fill_the_disk(python, tmp_path):
    (tmp_path / "there before").write_bytes(b"x" * (16 << 20))

    result = python(
        "import time\n"
        "for n in range(8):\n    open(f'big{n}', 'wb').write(b'x' * (4 << 20))\n"
        "time.sleep(60)",
        limits=FILLING,
    )

    assert result.stopped_for == "disk space"
    assert result.seconds < 15


def test_a_short_run_that_fills_the_disk_is_told_apart_too(python):
    code = "for n in range(4):\n    open(f'big{n}', 'wb').write(b'x' * (4 << 20))"

    assert python(code, limits=FILLING).stopped_for == "disk space"


def test_files_without_a_name_count_while_they_are_open(python):
    code = (
        "import os, time\nkept = []\n"
        "for n in range(8):\n"
        "    kept.append(open('big', 'wb')); os.unlink('big'); kept[-1].write(b'x' * (4 << 20))\n"
        "time.sleep(60)"
    )

    assert python(code, limits=FILLING).stopped_for == "disk space"


def test_endlessly_many_folders_are_too_much(python, monkeypatch):
    monkeypatch.setattr(disk_use, "_MAX_NEW_FILES", 50)

    result = python("import os\nfor n in range(100): os.mkdir(str(n))")

    assert result.stopped_for == "disk space"


def test_what_was_there_sparse_or_linked_is_not_counted(python, tmp_path):
    (tmp_path / "there").write_bytes(b"x" * (8 << 20))

    code = (
        "import os\nfor n in range(9): os.link('there', f'again{n}')\n"
        "open('sparse', 'wb').truncate(4 << 20); os.symlink('/usr', 'far')"
    )
    result = python(code, limits=FILLING)

    assert (result.returncode, result.stopped_for) == (0, ""), result.stderr_tail


def test_temporary_folder_is_private_and_limited(python):
    limits = Limits(timeout_s=10, temporary_bytes=1 << 20)

    result = python("open('/tmp/large', 'wb').write(b'x' * (8 << 20))", limits=limits)

    assert "No space left" in result.stderr_tail


def test_endless_output_costs_no_memory_and_keeps_its_end(python):
    result = python(
        "import sys\nfor i in range(3000): sys.stdout.write('x' * 65536)\nprint('the end')"
    )

    assert result.returncode == 0
    assert len(result.stdout_tail) == 64 * 1024
    assert result.stdout_tail.endswith("the end\n")


def test_deadline_ends_the_whole_family(python):
    code = "import os, time\n# family-4712\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(60)"

    result = python(code, limits=Limits(timeout_s=1))

    assert result.timed_out
    assert result.stopped_for == "time"
    assert left_behind("family-4712") == []


def test_process_left_behind_does_not_outlive_the_run(python):
    code = "import os, time\n# orphan-4713\nif os.fork() == 0:\n    os.setsid(); time.sleep(60)\n"

    assert python(code).returncode == 0
    assert left_behind("orphan-4713") == []


def test_busy_loop_is_ended_by_its_cpu_limit(python):
    result = python("while True: pass", limits=Limits(timeout_s=20, cpu_s=1))

    assert result.returncode != 0
    assert not result.timed_out


def test_program_that_is_not_there_is_an_error_of_ours(strong, tmp_path):
    with pytest.raises(SandboxError, match="cannot start /nowhere/program"):
        strong.run(["/nowhere/program"], folder=tmp_path, limits=SMALL)


def test_launcher_that_cannot_start_is_an_error_of_ours(tmp_path):
    for bwrap in (None, ""):
        with pytest.raises(SandboxError, match="did not come that far"):
            Sandbox(bwrap, python="/usr/bin/env").run(["x"], folder=tmp_path, limits=SMALL)


def test_program_cannot_claim_that_it_was_not_started(python):
    result = python(
        "import os\n"
        "for n in range(3, 64):\n"
        "    for place in (n, f'/proc/{os.getppid()}/fd/{n}'):\n"
        "        try:\n"
        "            os.write(n if place == n else os.open(place, os.O_WRONLY), b'!no')\n"
        "        except OSError:\n"
        "            pass\n"
        "os._exit(125)"
    )

    assert result.returncode == 125


@pytest.fixture
def narrow_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("narrow_umask")
def test_a_narrow_umask_of_ours_closes_nothing_to_the_user_inside(python, tmp_path):
    given, deep = tmp_path.parent / "narrow", tmp_path.parent / "narrow" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "text").write_text("deep")
    (given / "link").symlink_to("/etc/shadow")
    code = f"print(open({str(deep / 'text')!r}).read(), end=' ')\n"
    first = python(code, read_only=[given])
    (given / "later").write_text("later")
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "text").write_text("generated")

    second = python(
        code + f"for name in ({str(given / 'later')!r}, 'generated/text'):\n"
        "    print(open(name).read(), end=' ')\n"
        "open('made', 'w').close()",
        read_only=[given],
    )

    assert first.stdout_tail == "deep ", first.stderr_tail
    assert second.stdout_tail == "deep later generated ", second.stderr_tail
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644


def test_user_inside_is_not_root(python):
    assert python("import os; print(os.getuid() != 0)").stdout_tail == "True\n"


def test_folder_that_is_not_there_is_an_error_of_ours(strong, tmp_path):
    with pytest.raises(SandboxError, match="could not be started"):
        Sandbox("").run([sys.executable, "-c", ""], folder=tmp_path / "none", limits=SMALL)


class TestWithoutBubblewrap:
    """Weak isolation: limits and an end to everything, and the result says so."""

    def test_weakness_is_said_and_the_environment_is_clean(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AGENTCI_LLM_API_KEY", "s3cret")
        sandbox = Sandbox("")

        code = "import os; print(dict(os.environ))"
        result = sandbox.run([str(sandbox.python), "-c", code], folder=tmp_path, limits=SMALL)

        assert sandbox.isolation is result.isolation is Isolation.WEAK
        assert "s3cret" not in result.stdout_tail

    def test_memory_is_limited(self, tmp_path):
        sandbox = Sandbox("/nowhere/bwrap")

        argv = [str(sandbox.python), "-c", "x = bytearray(1 << 30)"]
        result = sandbox.run(argv, folder=tmp_path, limits=SMALL)

        assert "MemoryError" in result.stderr_tail

    def test_processes_that_left_the_session_are_ended(self, tmp_path):
        sandbox = Sandbox("")
        code = (
            "import os, time\n# weak-4714\n"
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n"
            "    os._exit(0)\n"
            "time.sleep(60)"
        )

        argv = [str(sandbox.python), "-c", code]
        result = sandbox.run(argv, folder=tmp_path, limits=Limits(timeout_s=1))

        assert result.timed_out
        assert left_behind("weak-4714") == []

    def test_bubblewrap_that_refuses_is_not_used(self, tmp_path):
        refusing = tmp_path / "bwrap"
        refusing.write_text("#!/bin/sh\nexit 1\n")
        refusing.chmod(0o755)

        assert Sandbox(str(refusing)).isolation is Isolation.WEAK
