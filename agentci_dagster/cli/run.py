"""`agentci run`: one commit through the same assets, in this process."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentci_dagster.cli.exits import Exit, exit_of
from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from agentci_dagster.domain.outcome import DeployOutcome
    from agentci_dagster.resources import Resources
    from agentci_dagster.settings import Settings


def run(
    rev: Annotated[str, typer.Argument(help="The commit: a branch, a tag or a sha.")] = "HEAD",
    repo: Annotated[str, typer.Option("--repo", help="A path or git address.")] = ".",
    until: Annotated[str, typer.Option("--until", help="Last asset to make.")] = "deploy_outcome",
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Carry one commit through the graph, without daemon or configuration."""
    from agentci_dagster.cli.in_process import ASSETS, deliver
    from agentci_dagster.domain.diff import CommitKey

    if until not in ASSETS:
        raise UsageError(f"There is no asset {until!r}.", f"choose one of: {', '.join(ASSETS)}")
    resources, name = resources_for(repo, config)
    mirror = resources.mirrors.of(name)
    mirror.refresh()
    key = CommitKey(name, mirror.resolve(rev))
    out = console(stderr=True)

    def tell(asset: str, line: str) -> None:
        out.print(f"  {asset:16} {line}", markup=False)

    out.print(f"{key}", markup=False)
    with out.status("working"):
        delivered = deliver(resources, key, until, tell)
    if as_json:
        print_json({"commit": str(key), **delivered.document})
    if delivered.outcome is None:
        raise typer.Exit(Exit.INFRASTRUCTURE if delivered.error else Exit.DONE)
    _report(delivered.outcome, as_json=as_json)
    raise typer.Exit(
        exit_of(delivered.outcome.ending, is_commits_fault=delivered.outcome.label == 1)
    )


def _report(outcome: DeployOutcome, *, as_json: bool) -> None:
    if as_json:
        return
    from rich.text import Text

    from agentci_dagster.domain.why import explain

    explanation = explain(outcome, ())
    out = console()
    out.print(Text(explanation.headline))
    for line in explanation.evidence[:10]:
        out.print(Text(f"    {line}"))
    if explanation.next_step:
        out.print(Text(f"Next: {explanation.next_step}"))


def resources_for(repo: str, config: str) -> tuple[Resources, str]:
    """Resources that know the repository: its own settings when it is configured, else defaults."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.resources import Resources

    resources = open_resources(config)
    configured = resources.settings.repository
    if repo in {settings.name for settings in configured}:
        return resources, repo
    url = _address(repo)
    for settings in configured:
        if url == settings.url:
            return resources, settings.name
    settings_with, name = _with_repository(resources.settings, url)
    return Resources(settings_with), name


def _with_repository(settings: Settings, url: str) -> tuple[Settings, str]:
    from agentci_dagster.settings import RepositorySettings

    name = _free_name(settings, url)
    added = RepositorySettings(name=name, url=url, branches=("*",))
    update: dict[str, Any] = {"repository": (*settings.repository, added)}
    return settings.model_copy(update=update), name


def _free_name(settings: Settings, url: str) -> str:
    """The folder's name; with a number where another repository of that name was here before."""
    from agentci_dagster.adapters.git import GitMirrors

    words = re.sub(r"(\.git)?/*$", "", url).rsplit("/", 1)[-1]
    base = re.sub(r"[^a-z0-9_-]+", "-", words.lower()).strip("-_")[:60] or "repository"
    taken = {r.name for r in settings.repository}
    mirrors = GitMirrors(settings.home / "mirrors", {})
    for number in itertools.count(1):
        name = base if number == 1 else f"{base}-{number}"
        if name not in taken and mirrors.is_free(name, url):
            return name
    raise AssertionError("numbers do not end")


def _address(repo: str) -> str:
    if "://" in repo or re.match(r"[^/]+@[^/]+:", repo):
        return repo
    path = Path(repo).expanduser().resolve()
    if not path.is_dir():
        raise UsageError(f"There is no repository at {repo!r}.", "give --repo a folder or address")
    for folder in (path, *path.parents):
        if (folder / ".git").exists():
            return str(folder)
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return str(folder.parent if folder.name == ".git" else folder)
    raise UsageError(
        f"{path} is not in a git repository.", "give --repo a folder or address of one"
    )
