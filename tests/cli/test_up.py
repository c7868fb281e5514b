"""`agentci up`: what it refuses to serve, and what it asks its UI to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentci_dagster.cli.up import _guarded
from agentci_dagster.domain.errors import ConfigurationError
from agentci_dagster.settings import parse_settings

TOML = '[[repository]]\nname = "shop"\nurl = "shop"\n[ui]\ntrusted_hosts = ["ci.example.org"]\n'


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "ci.example.org", "::"])
def test_others_may_reach_the_ui_only_with_a_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"ask nobody.*AGENTCI_UI_TOKEN"):
        _guarded(parse_settings(TOML, home=tmp_path), host, 3000, is_read_only=False)

    monkeypatch.setenv("AGENTCI_UI_TOKEN", "long and random")
    arguments = _guarded(parse_settings(TOML, home=tmp_path), host, 3000, is_read_only=False)
    assert "long and random" not in arguments


def test_ui_is_told_its_names_and_that_it_may_only_be_read(tmp_path: Path) -> None:
    settings = parse_settings(TOML, home=tmp_path)

    arguments = _guarded(settings, "127.0.0.1", 3000, is_read_only=True)

    assert arguments[arguments.index("--trust") + 1] == "ci.example.org"
    assert arguments[-1] == "--read-only"
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
