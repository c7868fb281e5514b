"""Running programs: limits hold, groups end, nothing dangerous is inherited."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.command import (
    clean_environment,
    ended_at_deadline,
    is_dangerous,
    run,
    start,
)
from agentci_dagster.domain.errors import InfrastructureError

SOON = timedelta(seconds=20)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


def test_both_outputs_and_the_exit_status_are_values() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=SOON)

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert not done.is_truncated


def test_large_input_and_output_do_not_block_each_other() -> None:
    text = b"0123456789abcdef" * 100_000

    assert run(["cat"], input=text, timeout=SOON).stdout == text


def test_a_program_that_does_not_read_its_input_is_fine() -> None:
    assert run(["true"], input=b"x" * 1_000_000, timeout=SOON).returncode == 0


def test_output_beyond_the_limit_is_dropped_and_said() -> None:
    done = run(["sh", "-c", "yes | head -c 1000000"], timeout=SOON, max_bytes=1000)

    assert done.is_truncated
    assert len(done.stdout) == 1000
    assert done.returncode == 0


def test_arguments_are_not_read_by_a_shell(tmp_path: Path) -> None:
    done = run(["echo", f"$(touch {tmp_path / 'canary'}); `id`"], timeout=SOON)

    assert done.stdout.startswith(b"$(touch")
    assert not (tmp_path / "canary").exists()


def test_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait"

    with pytest.raises(InfrastructureError, match=r"did not end within 0.3 s"):
        run(["sh", "-c", script], timeout=timedelta(seconds=0.3))

    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_closed_its_outputs_still_has_a_time_limit() -> None:
    with pytest.raises(InfrastructureError, match="did not end"):
        run(["sh", "-c", "exec >&- 2>&-; sleep 60"], timeout=timedelta(seconds=0.3))


def test_what_a_program_leaves_behind_is_ended_and_does_not_hold_us_up(tmp_path: Path) -> None:
    began = time.monotonic()

    done = run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path / 'pid'}; echo done"], timeout=SOON)

    assert done.stdout == b"done\n"
    assert time.monotonic() - began < 5
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("argv", "cwd", "message"),
    [
        (["no-such-program-here"], None, "'no-such-program-here' was not found. Next: install it"),
        (["true"], Path("no/such/folder"), "The folder no/such/folder"),
        (["a\0b"], None, "could not be started"),
        (["/"], None, "could not be started"),
    ],
)
def test_what_cannot_start_is_named(argv: list[str], cwd: Path | None, message: str) -> None:
    with pytest.raises(InfrastructureError, match=message):
        run(argv, cwd=cwd, timeout=SOON)


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_SSH_COMMAND", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "NODE_OPTIONS"]
)
def test_dangerous_variables_are_not_inherited(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "bad")
    monkeypatch.setenv("HARMLESS", "good")

    shown = run([sys.executable, "-c", "import os; print(sorted(os.environ))"], timeout=SOON)

    assert is_dangerous(name)
    assert name not in shown.stdout.decode()
    assert "HARMLESS" in shown.stdout.decode()


def test_variables_given_on_purpose_are_passed() -> None:
    done = run(["sh", "-c", "echo $GIT_DIR"], env={"GIT_DIR": "here"}, timeout=SOON)

    assert done.stdout == b"here\n"
    assert clean_environment({"A": "b"})["A"] == "b"
    assert "A" not in os.environ


def test_reading_pipes_as_files_has_a_deadline_too() -> None:
    process = start(["sleep", "60"])
    assert process.stdout is not None

    with (
        pytest.raises(InfrastructureError, match=r"did not end within 0.2 s"),
        ended_at_deadline(process, ["sleep"], timedelta(seconds=0.2)),
    ):
        assert process.stdout.read() == b""

    assert process.returncode is not None


def test_an_error_that_the_deadline_caused_is_told_as_the_deadline() -> None:
    process = start(["sleep", "60"])
    assert process.stdout is not None

    with (
        pytest.raises(InfrastructureError, match="did not end within"),
        ended_at_deadline(process, ["sleep"], timedelta(seconds=0.2)),
    ):
        int(process.stdout.read())


def test_an_error_of_the_reader_stays_what_it_is_and_ends_the_program() -> None:
    process = start(["sleep", "60"])

    with pytest.raises(ValueError, match="mine"), ended_at_deadline(process, ["sleep"], SOON):
        raise ValueError("mine")

    assert process.returncode is not None
