"""Runs pytest on a commit's tree, inside the sandbox, and reads its report as a hostile file.

Choosing tests and judging what they say belong to `domain/selection.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from agentci_dagster.adapters import _pytest_harness
from agentci_dagster.adapters.environments import Environment, Environments, write_overlay
from agentci_dagster.adapters.sandbox import Limits, Sandbox, SandboxResult
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import SandboxError
from agentci_dagster.domain.generated_tests import Candidate
from agentci_dagster.domain.selection import (
    LACKS_FIXTURE,
    LACKS_MODULE,
    UNBELIEVED,
    Isolation,
    SelectionMode,
    TestFailure,
    TestPlan,
    TestRun,
)
from agentci_dagster.ports import Checkout, Mirrors

GENERATED_FOLDER = "agentci_generated"
_MAX_REPORT_BYTES = 64 << 20
_MAX_RERUNS = 10
"""More failing tests than this are no matter of chance, and running each alone would take long."""
_OPTIONS = (
    *("-o", "cache_dir=/tmp/pytest", "-q", "--no-header"),
    # One file that cannot be imported must not keep all other tests from saying something.
    "--continue-on-collection-errors",
    # Nor may an old failure hide the new ones behind it, whatever the repository's options say.
    "--maxfail=0",
)
_MAX_FAILURES = 200


@dataclass(slots=True)
class Session:
    """One run of pytest as its report tells it; `trouble` says why it is not believed or says
    nothing.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    uncollected: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    """By test or file: the fixture or the module that it asks for and that is not there."""
    executed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    executable: dict[str, tuple[int, ...]] = field(default_factory=dict)
    starts: dict[str, dict[int, int]] = field(default_factory=dict)
    n_collected: int | None = None
    exit_code: int = -1
    trouble: str = ""
    is_suspect: bool = False
    """Whether the trouble may be the commit's own doing."""
    cheating: str = ""
    notes: list[str] = field(default_factory=list)
    isolation: Isolation = Isolation.NOT_RUN
    seconds: float = 0.0

    @property
    def failed(self) -> list[str]:
        return [test for test, outcome in self.outcomes.items() if outcome == "failed"]


class PytestBench:
    """A bench that runs a commit's tests with pytest, each commit in a throwaway copy of its tree.

    Args:
        mirrors: where trees come from.
        environments: where interpreters come from.
        sandbox: what the tests run in.
        folder: where the throwaway copies are made.
        limits: for one run of pytest; the time limit is each call's own.
    """

    __test__: ClassVar[bool] = False

    def __init__(
        self,
        mirrors: Mirrors,
        environments: Environments,
        sandbox: Sandbox,
        folder: Path,
        limits: Limits | None = None,
    ) -> None:
        self._mirrors = mirrors
        self._environments = environments
        self._folder = folder
        self._limits = limits or Limits()
        self._prepared: dict[Path, Environment] = {}
        self.sandbox = sandbox

    @contextmanager
    def checkout(self, key: CommitKey) -> Iterator[Checkout]:
        """A throwaway copy of the commit's tree with its environment."""
        place = self._folder / uuid.uuid4().hex[:16]
        tree = place / "tree"
        tree.mkdir(parents=True)
        try:
            self._mirrors.of(key.repository).export(key.sha, tree)
            environment = self._environments.prepare(tree)
            write_overlay(place / "overlay", tree, environment.project)
            self._prepared[tree] = environment
            yield Checkout(
                key=key,
                folder=tree,
                python=environment.python,
                environment_digest=environment.digest,
                is_environment_reused=environment.is_reused,
                environment_seconds=environment.seconds,
                import_roots=environment.import_roots,
                trouble=environment.trouble,
            )
        finally:
            self._prepared.pop(tree, None)
            shutil.rmtree(place, ignore_errors=True)

    def run(
        self, checkout: Checkout, plan: TestPlan, extra: Sequence[Candidate], timeout: timedelta
    ) -> TestRun:
        """Run the planned test files and the extra modules; failing tests once more, each alone."""
        started = time.monotonic()
        deadline = started + timeout.total_seconds()
        if plan.mode is SelectionMode.NONE and not extra:
            return _nothing("no test was asked for")
        if not plan.test_files and not extra:
            return _nothing("the repository has no tests that pytest can run")
        with self.written(checkout, extra) as modules:
            own = self._named(checkout, plan)
            only_extra = plan.mode is SelectionMode.NONE or not plan.test_files
            session = self.session(
                checkout,
                paths=modules if only_extra else own,
                extra=[] if only_extra else modules,
                files_of_interest=plan.files_of_interest,
                timeout_s=deadline - time.monotonic(),
            )
            flaky = self._flaky(checkout, session, deadline)
        return _as_run(session, checkout, flaky, time.monotonic() - started)

    def rerun(self, checkout: Checkout, tests: Sequence[str], timeout: timedelta) -> TestRun:
        """Run these tests only, once; those that the tree does not have are left out."""
        root = checkout.folder.resolve()
        paths = [
            name
            for name in dict.fromkeys(test.partition("::")[0] for test in tests)
            if (root / name).is_file() and (root / name).resolve().is_relative_to(root)
        ]
        if not paths:
            return _nothing("the tree has none of these tests")
        started = time.monotonic()
        session = self.session(checkout, paths=paths, only=tests, timeout_s=timeout.total_seconds())
        return _as_run(session, checkout, [], time.monotonic() - started)

    def session(  # noqa: PLR0913 - each is one thing that a run can be told
        self,
        checkout: Checkout,
        *,
        paths: Sequence[str],
        extra: Sequence[str] = (),
        only: Sequence[str] = (),
        files_of_interest: Sequence[str] = (),
        timeout_s: float,
        variables: dict[str, str] | None = None,
        is_bare: bool = False,
    ) -> Session:
        """One run of pytest; once more without `addopts` where a plugin for them is missing.

        A bare run leaves the repository's configuration, conftest files and plugins aside, for
        modules that need nothing but the code under test.
        """
        deadline = time.monotonic() + timeout_s
        spec: dict[str, Any] = {
            "folder": str(checkout.folder),
            "files_of_interest": list(files_of_interest),
            "extra": list(extra),
            "only": list(only),
            # Without it, a pytest.ini in `tests` would make every name relative to that folder.
            "args": ["--rootdir", str(checkout.folder), *_OPTIONS, *paths],
        }
        if is_bare:
            (checkout.folder.parent / "overlay" / "bare.ini").write_text("[pytest]\n")
            bare = ["-c", str(checkout.folder.parent / "overlay" / "bare.ini"), "--noconftest"]
            spec["args"] = [*bare, *spec["args"]]
            variables = {**(variables or {}), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        first = self._once(checkout, spec, timeout_s, variables or {})
        if first.exit_code != 4 or "rror: " not in first.trouble:
            return first
        spec["args"] = ["-o", "addopts=", *spec["args"]]
        second = self._once(checkout, spec, deadline - time.monotonic(), variables or {})
        complaint = re.search(r"unrecognized arguments: (.{1,200})", first.trouble)
        if second.exit_code != 4:
            second.notes.append(
                "The repository's addopts need a plugin that is missing"
                f" ({complaint[1].strip() if complaint else 'see pytest'}); run without them."
            )
        return second

    def run_inside(
        self,
        checkout: Checkout,
        argv: Sequence[str],
        *,
        writable: Sequence[Path] = (),
        read_only: Sequence[Path] = (),
        variables: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> SandboxResult:
        """Run the environment's interpreter on the checkout, with the project on its import
        path.
        """
        environment = self._prepared[checkout.folder]
        overlay = checkout.folder.parent / "overlay"
        roots = [str(overlay), *(str(checkout.folder / r) for r in checkout.import_roots)]
        return self.sandbox.run(
            [str(checkout.python), *argv],
            folder=checkout.folder,
            read_only=[*environment.read_only, overlay, *read_only],
            writable=writable,
            env={
                "PYTHONPATH": os.pathsep.join(roots),
                "PYTHONHASHSEED": "0",
                "PATH": f"{checkout.python.parent}:/usr/bin:/bin",
                "VIRTUAL_ENV": str(checkout.python.parent.parent),
                "CI": "true",
                **(variables or {}),
            },
            limits=limits or self._limits,
        )

    def _named(self, checkout: Checkout, plan: TestPlan) -> list[str]:
        """The files to name to pytest; none where it finds the whole suite by itself.

        A file outside the repository's `testpaths` is named like a test and is none of its suite.
        """
        if plan.mode is not SelectionMode.SELECTED:
            return []
        places = self._prepared[checkout.folder].project.test_paths
        return [
            file
            for file in plan.test_files
            if not places
            or any(fnmatchcase(file, p) or fnmatchcase(file, f"{p}/*") for p in places)
        ]

    @contextmanager
    def written(self, checkout: Checkout, extra: Sequence[Candidate]) -> Iterator[list[str]]:
        """Generated modules, in a folder of their own in the copy."""
        folder = checkout.folder / GENERATED_FOLDER
        if os.path.lexists(folder):
            raise SandboxError(
                f"The repository has a file named {GENERATED_FOLDER}.", "rename it there"
            )
        try:
            if extra:
                folder.mkdir(mode=0o755)
            names = []
            for number, candidate in enumerate(extra):
                stem = re.sub(r"\W+", "_", candidate.name)[:80].strip("_") or "generated"
                stem = stem if stem.startswith("test_") else f"test_{stem}"
                name = f"{GENERATED_FOLDER}/{stem}__{number}.py"
                (checkout.folder / name).write_text(candidate.source, encoding="utf-8")
                names.append(name)
            yield names
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _once(
        self, checkout: Checkout, spec: dict[str, Any], timeout_s: float, variables: dict[str, str]
    ) -> Session:
        if timeout_s <= 0:
            return Session(trouble="no time was left for this run")
        nonce = uuid.uuid4().hex
        place = checkout.folder.parent / f"run-{nonce[:12]}"
        inside, out = place / "in", place / "out"
        inside.mkdir(parents=True)
        out.mkdir()
        try:
            harness = inside / f"agentci_harness_{nonce}.py"
            shutil.copyfile(str(_pytest_harness.__file__), harness)
            report = out / "report.jsonl"
            spec = {**spec, "nonce": nonce, "report": str(report)}
            (inside / "spec.json").write_text(json.dumps(spec))
            limits = replace(
                self._limits, timeout_s=timeout_s, cpu_s=int(min(timeout_s + 5, 7200) * 2)
            )
            result = self.run_inside(
                checkout,
                [str(harness), str(inside / "spec.json")],
                writable=[out],
                read_only=[inside],
                variables=variables,
                limits=limits,
            )
            return _read_session(report, nonce, result)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _flaky(self, checkout: Checkout, session: Session, deadline: float) -> list[str]:
        """Failing tests that pass when run alone, on the same tree."""
        failed = session.failed
        if session.trouble or len(failed) > _MAX_RERUNS:
            return []
        flaky = []
        for test in failed:
            left_s = deadline - time.monotonic()
            file = test.partition("::")[0]
            alone = self.session(checkout, paths=[file], only=[test], timeout_s=left_s)
            is_whole = not alone.trouble and not alone.cheating and alone.exit_code == 0
            if is_whole and set(alone.outcomes.values()) == {"passed"}:
                flaky.append(test)
        return flaky


def read_report(path: Path, max_bytes: int = _MAX_REPORT_BYTES) -> bytes | None:
    """The bytes of a regular file that hostile code may have put there; None for anything else
    or too much.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(max_bytes + 1)
        return data if len(data) <= max_bytes else None


def _nothing(trouble: str) -> TestRun:
    return TestRun(0, 0, 0, (), {}, {}, 0.0, Isolation.NOT_RUN, trouble)


def _read_session(path: Path, nonce: str, result: SandboxResult) -> Session:
    """Put a report together and check it against how the process ended."""
    session = Session(
        isolation=result.isolation, seconds=result.seconds, exit_code=result.returncode
    )
    data = read_report(path)
    closing: int | None = None
    for raw in (data or b"").splitlines():
        line = _checked_line(raw, nonce)
        if line is None or closing is not None:
            session.cheating = "the report holds lines that our runner did not write"
            continue
        kind = line["kind"]
        if kind == "collected":
            session.n_collected = line["n"]
        elif kind == "uncollected":
            session.uncollected[line["test"]] = line["message"]
            session.lacking[line["test"]] = line["lacks"]
        elif kind == "test":
            session.outcomes[line["test"]] = line["outcome"]
            session.lacking[line["test"]] = line["lacks"]
            if line["message"]:
                session.messages[line["test"]] = line["message"]
        elif kind == "lines":
            session.executed[line["path"]] = tuple(line["executed"])
            session.executable[line["path"]] = tuple(line["executable"])
            starts = line["starts"]
            session.starts[line["path"]] = dict(zip(starts[::2], starts[1::2], strict=False))
        else:
            closing = line["code"]
    _check_ending(session, closing, result)
    return session


def _check_ending(session: Session, closing: int | None, result: SandboxResult) -> None:  # noqa: C901 - one flat list of endings
    output = f"{result.stdout_tail[-3000:]}\n{result.stderr_tail[-3000:]}".strip()
    n_seen = len(session.outcomes)
    if result.stopped_for == "time":
        session.trouble = f"the tests did not end within the time limit ({result.seconds:.0f} s)"
        session.is_suspect = True
    elif result.stopped_for:
        session.cheating = f"the tests were stopped by the limit on {result.stopped_for}"
    elif closing in {None, 4} and result.returncode == 4:
        session.is_suspect = "while loading conftest" in output
        session.trouble = f"pytest did not understand its command: {_complaint(output)}"
    elif closing is None and "No module named 'pytest'" in output:
        session.trouble = "pytest is missing from the environment"
    elif closing is None:
        session.cheating = (
            f"the process ended early with exit code {result.returncode}, before pytest was done"
            f" ({n_seen} of {session.n_collected or 0} tests reported): {output[-600:]}"
        )
    elif closing != result.returncode:
        session.cheating = "the report and the exit code do not agree"
    elif closing == 3:
        session.trouble = f"pytest broke down: {output[-600:]}"
    elif closing not in {0, 1, 5}:
        session.cheating = f"pytest was ended with exit code {closing}: {output[-600:]}"
    elif closing == 5 or (session.n_collected == 0 and not session.uncollected):
        session.trouble = "pytest found no tests in the chosen files"
    elif n_seen != session.n_collected:
        session.cheating = f"{n_seen} of {session.n_collected or 0} tests reported, then an end"
    elif closing != bool(session.failed or session.uncollected):
        session.cheating = f"exit code {closing} does not agree with the tests reported"


def _complaint(output: str) -> str:
    """What pytest complains of: from its last error line on, wherever warnings pushed it to."""
    begins = output.rfind("rror: ")
    line = output.rfind("\n", 0, begins) + 1 if begins >= 0 else max(0, len(output) - 600)
    return output[line : line + 600]


def _checked_line(raw: bytes, nonce: str) -> dict[str, Any] | None:
    """One line of the report when it is one that the harness writes; None when it is anything
    else.
    """
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or line.pop("nonce", None) != nonce:
        return None
    shapes: dict[str, dict[str, type]] = {
        "collected": {"n": int},
        "uncollected": {"test": str, "message": str, "lacks": str},
        "test": {"test": str, "outcome": str, "message": str, "lacks": str},
        "lines": {"path": str, "executed": list, "executable": list, "starts": list},
        "done": {"code": int},
    }
    shape = shapes.get(str(line.get("kind")))
    if shape is None or set(line) != {"kind", *shape}:
        return None
    if not all(type(line[name]) is kind for name, kind in shape.items()):
        return None
    if line.get("outcome", "passed") not in {"passed", "failed", "skipped"}:
        return None
    numbers = [n for name in ("executed", "executable", "starts") for n in line.get(name, ())]
    return line if all(type(n) is int and n >= 0 for n in numbers) else None


def _as_run(session: Session, checkout: Checkout, flaky: list[str], seconds: float) -> TestRun:
    failures = []
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    passed = []
    for test, outcome in session.outcomes.items():
        counted = "passed" if test in flaky else outcome
        counts[counted] += 1
        if counted == "failed":
            fixture = session.lacking.get(test, "")
            lacks = f"{LACKS_FIXTURE}{fixture}" if fixture else ""
            failures.append(_failure(test, session.messages.get(test, ""), lacks))
        elif counted == "passed":
            passed.append(test)
    for test, message in session.uncollected.items():
        module = _missing_module(session.lacking.get(test, ""), message, checkout)
        counts["failed"] += 1
        failures.append(_failure(test, message, f"{LACKS_MODULE}{module}" if module else ""))
    if session.cheating:
        counts["failed"] += 1
        failures.append(TestFailure(UNBELIEVED, f"Not believed: {session.cheating}"[:4000]))
    return TestRun(
        n_passed=counts["passed"],
        n_failed=counts["failed"],
        n_skipped=counts["skipped"],
        failures=tuple(failures[:_MAX_FAILURES]),
        executed_lines=session.executed,
        executable_lines=session.executable,
        seconds=seconds,
        isolation=session.isolation,
        trouble=session.trouble,
        exit_code=session.exit_code,
        flaky=tuple(flaky),
        notes=tuple(session.notes),
        passed=tuple(passed),
        start_lines=session.starts,
        is_suspect=session.is_suspect,
        n_generated=sum(test.startswith(GENERATED_FOLDER) for test in passed),
    )


def _failure(test: str, message: str, lacks: str) -> TestFailure:
    is_generated = test.startswith(GENERATED_FOLDER)
    return TestFailure(test, message[-4000:], is_generated, lacks="" if is_generated else lacks)


def _missing_module(name: str, message: str, checkout: Checkout) -> str:
    """The top-level module that a test file, not the code under test, asks for and neither the
    environment nor the tree has.
    """
    top = name.split(".", maxsplit=1)[0]
    if not top:
        return ""
    for root in {"", *checkout.import_roots}:
        place = checkout.folder / root / top
        if place.exists() or place.with_suffix(".py").exists():
            return ""
    frames = re.findall(r"^(\S+\.py):\d+: in ", message.partition("\n--- ")[0], re.MULTILINE)
    is_asked_by_test = not frames or re.search(r"(^|/)(tests?/|test_|conftest)", frames[-1])
    return top if is_asked_by_test or checkout.trouble else ""
