"""`status`, `why`, `show` and `doctor`: what is known, harmless to print, one document for programs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from agentci_dagster.adapters.sql_ledger import SqlLedger
from agentci_dagster.cli.show import PER_COMMIT, SHARED
from agentci_dagster.domain.causes import CauseClass
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.outcome import DeployOutcome, Ending
from agentci_dagster.domain.risk import Advice, RiskBand, RiskScore
from agentci_dagster.domain.routing import Route
from agentci_dagster.jobs import COMMIT_ASSETS, LEARNING_ASSETS, TREND_ASSETS
from tests.builders import NOON, commit, diff, features, key, outcome, sha
from tests.cli.conftest import Done, Home

HOSTILE = "[red]x[/red] [/] \x1b]0;owned\x07\x1b[31mtitle\x9b2J \u202eend"


def is_harmless(done: Done) -> bool:
    return not any(sign in done.out + done.err for sign in ("\x1b", "\x9b", "\u202e", "\x07"))


def withheld(home: Home, n: int = 1, **facts: object) -> DeployOutcome:
    facts = {"cause": CauseClass.TEST, "evidence": "total([]) fails\x1b[2J", **facts}
    return home.ledger.settle(outcome(n, Ending.WITHHELD, **facts))


def test_status_of_an_empty_home_says_what_to_do(home: Home) -> None:
    done = home.agentci("status")

    assert done.code == 0
    assert "daemon not running" in done.out
    assert "Next: agentci up" in done.out


def test_status_lists_the_newest_commits_first(home: Home) -> None:
    for n in range(1, 20):
        home.ledger.settle(outcome(n))

    state = home.agentci("status", "--json").json

    assert [o["title"] for o in state["outcomes"]] == [f"change {n}" for n in range(19, 4, -1)]
    assert state["daemon"] == "not running"


def test_status_names_the_environments_of_services(home: Home) -> None:
    home.configure(
        '[[repository]]\nname = "shop"\nurl = "x"\n[repository.service]\ncommand = "s"\n'
    )

    state = home.agentci("status", "--json").json

    assert state["environments"] == [
        {"environment": "production", "live": "", "commit": "", "open": ""}
    ]


@pytest.mark.parametrize("verb", [("status",), ("status", "--json"), ("why", "1" * 40)])
def test_hostile_title_is_printed_harmlessly(home: Home, verb: tuple[str, ...]) -> None:
    withheld(home, key=CommitKey("shop", "1" * 40), subject=HOSTILE)

    done = home.agentci(*verb)

    assert done.code == 0
    assert is_harmless(done)
    assert "[red]x[/red] [/] title end" in done.out


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_stored_text_of_a_commit_is_shown_harmlessly(home: Home, flags: tuple[str, ...]) -> None:
    told = replace(diff(), commit=commit(1, message=HOSTILE))
    home.values.store("commit_diff", told, key())

    done = home.agentci("show", "commit_diff", sha(), *flags)

    assert is_harmless(done)
    assert done.json["commit"]["message"] == HOSTILE


def test_why_tells_cause_evidence_reasons_and_next_step(home: Home) -> None:
    withheld(home, next_step="push a fix")
    score = RiskScore(
        key(), 0.2, RiskBand.MEDIUM, Route.STANDARD, ("many lines",), (), Advice(), "prior", features(), ()
    )  # fmt: skip
    home.values.store("risk_score", score, key())

    done = home.agentci("why", sha())
    document = home.agentci("why", f"shop@{sha()}", "--json").json

    assert done.code == 0
    for said in ("was withheld: a test fails", "total([]) fails", "many lines", "push a fix"):
        assert said in done.out
    assert document["cause"] == "test"
    assert document["commit"] == str(key())
    assert document["risk_reasons"] == ["many lines"]


def test_part_of_a_sha_is_enough_when_it_is_unique(home: Home) -> None:
    one, two = "abcd1" + "0" * 35, "abcd2" + "0" * 35
    for n, name in enumerate((one, two), 1):
        withheld(home, n, key=CommitKey("shop", name))

    assert home.agentci("why", "abcd1").code == 0
    done = home.agentci("why", "abcd")
    assert done.code == 2
    assert "fits 2 commits" in done.err
    assert "Next: give more digits" in done.err


@pytest.mark.parametrize("verb", ["why", "approve"])
def test_unknown_commit_is_a_wrong_use(home: Home, verb: str) -> None:
    reason = ("--reason", "x") if verb == "approve" else ()

    done = home.agentci(verb, "f" * 40, *reason)

    assert (done.code, done.out) == (2, "")
    assert "No commit 'ffff" in done.err
    assert "Next: agentci status" in done.err


def test_error_is_one_document_for_programs(home: Home) -> None:
    done = home.agentci("why", "f" * 40, "--json")

    assert done.code == 2
    assert done.err == ""
    assert set(done.json) == {"error", "next_step"}


def test_commit_that_is_on_its_way_has_no_why_yet(home: Home) -> None:
    home.values.store("commit_diff", diff(), key())

    done = home.agentci("why", sha())

    assert done.code == 2
    assert "has not been settled yet" in done.err


def test_assets_of_show_are_those_of_the_graph() -> None:
    assert (*COMMIT_ASSETS, "audit_report") == PER_COMMIT
    assert SHARED == LEARNING_ASSETS + TREND_ASSETS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("risk",), "There is no asset 'risk'. Next: choose one of: commit_diff"),
        (("risk_score",), "risk_score is made for each commit. Next: agentci show risk_score SHA"),
        (("risk_score", sha()), "There is no value of risk_score for shop@"),
        (("failure_trends",), "There is no value of failure_trends yet."),
        (("../../etc/passwd",), "There is no asset '../../etc/passwd'."),
    ],
)
def test_show_says_what_is_missing(home: Home, arguments: tuple[str, ...], said: str) -> None:
    home.values.store("commit_diff", diff(), key())

    done = home.agentci("show", *arguments)

    assert done.code == 2
    assert said in done.err


def test_doctor_names_each_thing_and_its_remedy(home: Home) -> None:
    findings = {f["name"]: f for f in home.agentci("doctor", "--json").json}
    table = home.agentci("doctor")

    assert findings["Python"]["is_fine"]
    assert findings["ledger"]["found"] == "0 events, hash chain whole"
    assert findings["repositories"]["remedy"] == "write agentci.toml"
    assert not findings["language model"]["is_needed"]
    missing = any(f["is_needed"] and not f["is_fine"] for f in findings.values())
    assert table.code == (4 if missing else 0)
    assert is_harmless(table)


@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_wrong_setting_ends_with_the_code_of_configuration(home: Home, verb: str) -> None:
    home.configure('[[repositry]]\nname = "shop"\n')

    done = home.agentci(verb)

    assert done.code == 5
    assert "line 1" in done.err
    assert "Did you mean 'repository'?" in done.err


def test_named_settings_that_are_not_there(home: Home) -> None:
    done = home.agentci("status", "--config", "absent.toml")

    assert done.code == 5
    assert "absent.toml" in done.err


def test_unknown_verb_and_option_are_wrong_uses(home: Home) -> None:
    assert home.agentci("deploy").code == 2
    assert home.agentci("status", "--colour").code == 2


def test_home_with_markup_in_its_name_is_shown_as_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = home.folder.parent / "[red]home[bold]"
    odd.mkdir()
    monkeypatch.setenv("AGENTCI_HOME", str(odd))

    assert f"home {odd}" in home.agentci("status").out


def test_report_is_written_or_printed_for_programs(home: Home, tmp_path: Path) -> None:
    withheld(home)
    home.ledger.settle(outcome(2))

    written = home.agentci("report", "--out", str(tmp_path / "r.html"))
    printed = home.agentci("report", "--json")

    assert written.code == 0
    assert "2 settled commits" in written.out
    assert "total([]) fails" in (tmp_path / "r.html").read_text()
    assert printed.json["delivery_metrics"]["lead_time"]["n"] == 0
    assert printed.json["failure_trends"]["n_commits"] == 0


def test_report_begins_on_the_day_that_is_asked_for(home: Home) -> None:
    settled_on = NOON.date().isoformat()
    home.ledger.settle(outcome(1))

    all_of_it = home.agentci("report", "--json", "--since", settled_on).json

    assert all_of_it["failure_trends"]["n_commits"] == 1
    assert all_of_it["risk_quality"]["models"] is not None
    for nonsense in ("yesterday", "2999-01-01"):
        done = home.agentci("report", "--since", nonsense)
        assert done.code == 2
        assert "--since" in done.err


def test_table_of_commits_holds_no_formula_and_no_escape(home: Home) -> None:
    home.ledger.settle(outcome(1, subject="=HYPERLINK(1)\x1b[31m, \u202e\nx"))
    home.ledger.settle(outcome(2, subject='say "hi", now'))

    done = home.agentci("report", "--csv", "--since", NOON.date().isoformat())

    first, second = csv.DictReader(io.StringIO(done.out))
    assert first["subject"].startswith("'=HYPERLINK(1)")
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert second["subject"] == 'say "hi", now'
    assert second["repository"] == "shop"
    assert second["settled_at"].endswith("+00:00")


def test_report_that_cannot_be_written_names_the_file(home: Home) -> None:
    done = home.agentci("report", "--out", "no/such/folder/r.html")

    assert done.code == 2
    assert "no/such/folder/r.html" in done.err
    assert "--out" in done.err


def test_outcome_of_a_commit_that_a_gate_stopped_is_shown(home: Home) -> None:
    withheld(home)

    done = home.agentci("show", "deploy_outcome", sha())

    assert done.code == 0
    assert done.json["ending"] == "withheld"


@pytest.mark.parametrize("verb", ["why", "show"])
def test_reading_asks_no_remote(home: Home, tmp_path: Path, verb: str) -> None:
    home.configure(f'[[repository]]\nname = "shop"\nurl = "{tmp_path / "gone"}"\n')
    asset = ("risk_score",) if verb == "show" else ()

    done = home.agentci(verb, *asset, "main")

    assert done.code == 2
    assert "No commit 'main' is known here" in done.err
    assert not (home.folder / "mirrors").exists()


def test_foreign_folder_among_the_values_names_no_commit(home: Home) -> None:
    foreign = home.folder / "values" / "commit_diff" / "Weird"
    foreign.mkdir(parents=True)
    (foreign / "abcd.json").write_text("{}")

    done = home.agentci("why", "abcd")

    assert done.code == 2
    assert "No commit 'abcd'" in done.err


@pytest.mark.parametrize("text", ["{}", "[]", '{"daemon": "x", "ticks": 1}'])
def test_state_file_of_somebody_else_is_no_daemon(home: Home, text: str) -> None:
    (home.folder / "up.json").write_text(text)

    assert "daemon not running" in home.agentci("status").out


def test_fault_of_ours_is_never_the_commits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("unheard of\x1b[2J")

    monkeypatch.setattr(SqlLedger, "outcomes", broken)

    done = home.agentci("report")

    assert done.code == 4
    assert "unheard of" in done.err
    assert "a fault of AgentCI" in done.err
    assert is_harmless(done)
