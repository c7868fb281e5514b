"""The scripted commits of the demo and the repository they are pushed to.

Their files are in `commits/`, one archive per commit; how they must end: `expected.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from agentci_dagster.adapters.command import run
from agentci_dagster.demo.expected import Expectation, Seen, differences
from agentci_dagster.demo.vendored import lock, wheel, wheel_name
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.outcome import CauseClass, Ending
from agentci_dagster.domain.routing import Route

_COMMITS = Path(__file__).resolve().parent / "commits"
_FILE_HEADER = re.compile(r"^-- (\S+) --\n", re.MULTILINE)
_AUTHORS = (
    ("Ada Example", "ada@example.org"),
    ("Bo Example", "bo@example.org"),
    ("Chen Example", "chen@example.org"),
)
_GIT_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Archive:
    """A commit as text: its message, then each file behind a line `-- path --` (Go's txtar)."""

    message: str
    files: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Archive:
        message, *rest = _FILE_HEADER.split(text)
        return cls(message.strip() + "\n", dict(zip(rest[::2], rest[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Step:
    """One scripted commit: made on top of step `base` (0: of nothing) and pushed to `branch`."""

    number: int
    title: str
    branch: str
    base: int
    expected: Expectation
    archive: str = ""
    """Name of its archive in `commits/`; empty for a revert."""
    shoptax: str = ""
    """Version of the dependency that it vendors and locks, empty: no change."""
    reverts: int = 0
    delete: tuple[str, ...] = field(default=())

    def content(self) -> Archive:
        """The message and the text files that it writes."""
        return Archive.parse((_COMMITS / f"{self.archive}.txtar").read_text(encoding="utf-8"))


_PROMOTED = Expectation(Ending.PROMOTED)

STEPS = (
    Step(1, "first version of the service", "main", 0,
         Expectation(Ending.PROMOTED, migrations=("0001_products", "0002_ratings")),
         archive="01-first-version", shoptax="1.0.0"),
    Step(2, "README only", "main", 1, Expectation(Ending.SKIPPED, route=Route.SKIP),
         archive="02-readme"),
    Step(3, "feature with its tests", "main", 2, _PROMOTED, archive="03-ratings"),
    Step(4, "small refactoring", "main", 3, Expectation(Ending.PROMOTED, route=Route.FAST),
         archive="04-refactoring"),
    Step(5, "change that breaks an existing test", "main", 4,
         Expectation(Ending.WITHHELD, CauseClass.TEST, stage="test_report", never_gets_traffic=True,
                     evidence=("test_prices",)),
         archive="05-round-prices"),
    Step(6, "code reads a column that no migration creates", "main", 4,
         Expectation(Ending.WITHHELD, CauseClass.MIGRATION, stage="image",
                     never_gets_traffic=True, evidence=("no such column: discount",)),
         archive="06-discount-without-migration"),
    Step(7, "the same with its migration", "main", 4,
         Expectation(Ending.PROMOTED, at_least=Route.STANDARD, migrations=("0003_discount",)),
         archive="07-discount-with-migration"),
    Step(8, "dependency raised in the lock", "main", 7,
         Expectation(Ending.PROMOTED, at_least=Route.GUARDED, is_environment_rebuilt=True),
         archive="08-raise-shoptax", shoptax="1.1.0", delete=(f"vendor/{wheel_name('1.0.0')}",)),
    Step(9, "an edge case that no written test covers", "main", 8,
         Expectation(Ending.WITHHELD, CauseClass.TEST, stage="test_report",
                     never_gets_traffic=True,
                     evidence=("average_rating([])", "ZeroDivisionError")),
         archive="09-average-rating"),
    Step(10, "every fifth search answers 500 under traffic", "main", 8,
         Expectation(Ending.ROLLED_BACK, CauseClass.HEALTH_ERRORS, records_recovery=True),
         archive="10-recent-searches"),
    Step(11, "answers three times slower", "team/faster-search", 8,
         Expectation(Ending.ROLLED_BACK, CauseClass.HEALTH_LATENCY, records_recovery=True),
         archive="11-fresh-answers"),
    Step(12, "a setting that is not there: dies at start", "team/settings", 8,
         Expectation(Ending.ROLLED_BACK, CauseClass.CRASH_AT_START, stage="deployment",
                     never_gets_traffic=True, evidence=("SHOP_CURRENCY",)),
         archive="12-currency-setting"),
    Step(13, "comments and message that order an AI to approve", "team/comments", 8,
         Expectation(Ending.PROMOTED, at_least=Route.FAST), archive="13-orders-to-an-ai"),
    Step(14, "revert of 10", "main", 10, Expectation(Ending.PROMOTED, reverts=10), reverts=10),
)  # fmt: skip


class Scenario:
    """The author's side: a clone, and a bare `origin` to which the steps are pushed in turn.

    Args:
        folder: where `origin.git` and `author` are made.
        start: the instant of the first commit.
        spacing: time from one commit to the next, unless `push` is told otherwise.
    """

    def __init__(
        self, folder: Path, start: datetime, spacing: timedelta = timedelta(minutes=1)
    ) -> None:
        self.origin = folder / "origin.git"
        self.clone = folder / "author"
        self.shas: dict[int, str] = {}
        self._start = start
        self._spacing = spacing

    def prepare(self) -> None:
        """Make the empty repository and the clone."""
        self.origin.mkdir(parents=True)
        self.clone.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", folder=self.origin)
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("remote", "add", "origin", str(self.origin))

    def push(self, step: Step, at: datetime | None = None) -> str:
        """Commit the step on its base, push it over what was taken off, and return its sha."""
        when = at or self._start + self._spacing * (step.number - 1)
        author = _AUTHORS[step.number % len(_AUTHORS)]
        if step.base:
            self._git("checkout", "--quiet", "-B", step.branch, self.shas[step.base])
        if step.reverts:
            self._git("revert", "--no-edit", self.shas[step.reverts], when=when, author=author)
        else:
            message = self._write(step)
            self._git("add", "--all")
            self._git("commit", "--quiet", "--message", message, when=when, author=author)
        sha = self._git("rev-parse", "HEAD").strip()
        self._git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{step.branch}")
        self.shas[step.number] = sha
        return sha

    def check(self, step: Step, seen: Seen) -> list[str]:
        """The differences between what the step was expected to do and what was seen."""
        return differences(step.expected, seen)

    def reverted_sha(self, step: Step) -> str | None:
        """The sha that the step reverts, None when it reverts nothing."""
        return self.shas.get(step.reverts) if step.reverts else None

    def _write(self, step: Step) -> str:
        content = step.content()
        for path in step.delete:
            (self.clone / path).unlink()
        for path, data in _bytes_to_write(step, content):
            target = self.clone / PurePosixPath(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return content.message

    def _git(
        self,
        *arguments: str,
        folder: Path | None = None,
        when: datetime | None = None,
        author: tuple[str, str] = _AUTHORS[0],
    ) -> str:
        stamp = f"{int((when or self._start).timestamp())} +0000"
        environment = {
            "HOME": str(self.clone),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": author[0],
            "GIT_AUTHOR_EMAIL": author[1],
            "GIT_AUTHOR_DATE": stamp,
            "GIT_COMMITTER_NAME": author[0],
            "GIT_COMMITTER_EMAIL": author[1],
            "GIT_COMMITTER_DATE": stamp,
        }
        done = run(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", *arguments],
            cwd=folder or self.clone,
            env=environment,
            timeout=_GIT_TIMEOUT,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise InfrastructureError(
                f"git {arguments[0]} failed in the demo's repository {self.clone}: {said}",
                "remove the demo's folder and run `agentci demo` again",
            )
        return done.stdout.decode("utf-8", "replace")


def play(scenario: Scenario) -> Iterator[tuple[Step, str]]:
    """Push all steps in their order."""
    scenario.prepare()
    for step in STEPS:
        yield step, scenario.push(step)


def demo_start(now: datetime) -> datetime:
    """A start for the scripted commits that leaves all of them in the past."""
    return now.astimezone(UTC) - timedelta(minutes=len(STEPS))


def _bytes_to_write(step: Step, content: Archive) -> Iterator[tuple[str, bytes]]:
    for path, text in content.files.items():
        yield path, text.encode()
    if step.shoptax:
        yield f"vendor/{wheel_name(step.shoptax)}", wheel(step.shoptax)
        yield "requirements.lock", lock(step.shoptax).encode()
