"""`agentci run`: one commit of any repository through the real graph, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentci_dagster.adapters.sandbox import Sandbox
from agentci_dagster.domain.selection import Isolation
from agentci_dagster.jobs import COMMIT_ASSETS
from tests.adapters.repositories import Repository
from tests.cli.conftest import Home

CART = b"def total(items: list[int]) -> int:\n    return sum(items)\n"
TEST = b"from cart import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"


@pytest.fixture
def library(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "cart")
    made.commit({"cart.py": CART, "test_cart.py": TEST}, "a cart")
    return made


def needs_sandbox() -> None:
    if Sandbox().isolation is not Isolation.STRONG:
        pytest.skip("bubblewrap does not work here")


@pytest.mark.sandbox
def test_good_commit_of_a_library_is_delivered(home: Home, library: Repository) -> None:
    needs_sandbox()

    done = home.agentci("run", "--repo", str(library.folder), "--json")

    assert done.code == 0, done.out
    document = done.json
    assert list(document["values"]) == list(COMMIT_ASSETS)
    assert document["values"]["deploy_outcome"]["ending"] == "delivered"
    assert document["values"]["test_report"]["verdict"] == "passed"
    assert "\x1b" not in done.out + done.err
    assert home.ledger.outcomes()[0].ending.value == "delivered"


@pytest.mark.sandbox
def test_broken_test_ends_with_the_commits_fault(home: Home, library: Repository) -> None:
    needs_sandbox()
    library.commit({"cart.py": CART.replace(b"sum(items)", b"7")}, "break [red]it[/]")

    done = home.agentci("run", "main", "--repo", str(library.folder))

    assert done.code == 1, done.err
    assert "was withheld: a test fails" in done.out
    assert "test_cart.py::test_total" in done.out
    assert "break [red]it[/]" in done.err
    assert "\x1b" not in done.out + done.err


def test_analysis_ends_where_it_is_told_and_settles_nothing(
    home: Home, library: Repository
) -> None:
    done = home.agentci("run", "--repo", str(library.folder), "--until", "risk_score", "--json")

    assert done.code == 0
    assert list(done.json["values"]) == ["commit_diff", "risk_score"]
    assert home.ledger.outcomes() == ()


def test_configured_repository_is_known_by_its_name(home: Home, library: Repository) -> None:
    home.configure(f'[[repository]]\nname = "basket"\nurl = "{library.folder}"\n')

    by_name = home.agentci("run", "--repo", "basket", "--until", "commit_diff", "--json")
    by_path = home.agentci("run", "--repo", str(library.folder), "--until", "commit_diff", "--json")

    assert by_name.code == by_path.code == 0
    assert by_name.json["commit"] == by_path.json["commit"]
    assert by_name.json["commit"].startswith("basket@")


def test_unknown_revision_is_a_wrong_use(home: Home, library: Repository) -> None:
    done = home.agentci("run", "v9.9", "--repo", str(library.folder))

    assert done.code == 2
    assert "v9.9" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--until", "the_end"), "There is no asset 'the_end'. Next: choose one of: commit_diff"),
        (("--repo", "nowhere"), "There is no repository at 'nowhere'. Next: give --repo"),
    ],
)
def test_wrong_use_names_cause_and_next_step(
    home: Home, arguments: tuple[str, ...], said: str
) -> None:
    done = home.agentci("run", *arguments)

    assert done.code == 2
    assert said in done.err


def test_folder_that_is_no_repository_is_a_wrong_use(home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = home.agentci("run", "--repo", str(tmp_path / "empty"))

    assert done.code == 2
    assert "is not in a git repository. Next: give --repo" in done.err


def test_folder_inside_a_repository_stands_for_it(home: Home, library: Repository) -> None:
    inside = library.folder / "shop" / "deep"
    inside.mkdir(parents=True)

    done = home.agentci("run", "--repo", str(inside), "--until", "commit_diff", "--json")

    assert done.code == 0
    assert done.json["commit"].startswith("cart@")


def test_two_repositories_of_one_name_are_kept_apart(home: Home, tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "cart", tmp_path / "b" / "cart"]
    for folder in folders:
        Repository(folder).commit({"cart.py": CART}, f"a cart in {folder.parent.name}")

    asked = [
        home.agentci("run", "--repo", str(folder), "--until", "commit_diff", "--json").json
        for folder in (*folders, folders[0] / ".git")
    ]

    assert [a["commit"].split("@")[0] for a in asked] == ["cart", "cart-2", "cart"]


@pytest.mark.sandbox
def test_commit_that_a_gate_stops_is_told_as_such_and_not_as_our_error(
    home: Home, library: Repository
) -> None:
    needs_sandbox()
    library.commit({"cart.py": CART.replace(b"sum(items)", b"7")}, "break it")

    done = home.agentci("run", "--repo", str(library.folder), "--until", "image", "--json")

    assert done.code == 1
    assert done.json["error"] == ""
    assert "was withheld: a test fails" in done.json["stopped"]
