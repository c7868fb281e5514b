"""The command line in this process, on a home of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.adapters.clock import SystemClock
from agentci_dagster.adapters.json_values import ValueFiles
from agentci_dagster.adapters.sql_ledger import SqlLedger
from agentci_dagster.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Home:
    """A home folder, its memory, and the command that works on it."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}", SystemClock())
        self.values = ValueFiles(folder / "values")
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def configure(self, text: str) -> None:
        (self.folder / "agentci.toml").write_text(text)

    def agentci(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["agentci", *arguments])
        self._capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        said = self._capsys.readouterr()
        return Done(int(code or 0), said.out, said.err)


@pytest.fixture
def home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("AGENTCI_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        yield Home(folder, capsys, monkeypatch)
    finally:
        signal.signal(signal.SIGTERM, earlier)
