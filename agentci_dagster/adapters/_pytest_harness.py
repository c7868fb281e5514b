# It runs inside the sandbox, beside any code and in plain Python: hence no types and wide catches.
# ruff: noqa: ANN001, ANN003, ANN202, ANN204, ARG002, BLE001, E501, PTH118
# ruff: noqa: PTH123, S112
# mypy: ignore-errors
"""Runs pytest inside the sandbox and reports each step as one line of JSON. Stands alone: it
imports nothing of ours.

Its report comes out of a process in which code of the commit ran, so the reader (`pytest_runner.py`) believes none of it
unless exit code, counts and the closing line agree. The module's name carries the run's nonce.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys

_MAX_MESSAGE = 4000
_MAX_NAME = 500


class Report:
    """A pytest plugin that writes what happens, line by line, to a file opened before any test
    ran.
    """

    def __init__(self, path, nonce, extra, only):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._nonce = nonce
        self._extra = extra
        self._only = set(only)
        self._pid = os.getpid()
        self._outcomes = {}
        self._messages = {}
        self._lacking = {}

    def say(self, **line):
        if os.getpid() == self._pid:
            line["nonce"] = self._nonce
            os.write(self._file, json.dumps(line).encode() + b"\n")

    def pytest_configure(self, config):
        # A run that stops at the first failure hides the others behind it.
        for option in ("stepwise", "stepwise_skip", "stepwise_reset"):
            setattr(config.option, option, False)
        # Only now: extra folders given on the command line would put the repository's own
        # `testpaths` out of force.
        config.args.extend(self._extra)

    def pytest_collectreport(self, report):
        if report.failed:
            name = report.nodeid
            lacks = self._lacking.get(name, "")
            self.say(kind="uncollected", test=_short(name), message=_tail(report), lacks=lacks)

    def pytest_exception_interact(self, node, call, report):
        # What is missing is read from the exception: its text, and what was printed, can say anything.
        error = getattr(call.excinfo, "value", None)
        cause = getattr(error, "__cause__", None) or error
        if call.when == "collect" and isinstance(cause, ModuleNotFoundError):
            self._lacking[node.nodeid] = str(cause.name or "")
        if call.when == "setup" and type(error).__name__ == "FixtureLookupError":
            self._lacking[node.nodeid] = str(error.argname or "")

    def pytest_collection_modifyitems(self, config, items):
        if self._only:
            left_out = [item for item in items if _short(item.nodeid) not in self._only]
            items[:] = [item for item in items if _short(item.nodeid) in self._only]
            config.hook.pytest_deselected(items=left_out)

    def pytest_collection_finish(self, session):
        self.say(kind="collected", n=len({item.nodeid for item in session.items}))

    def pytest_runtest_logreport(self, report):
        before = self._outcomes.get(report.nodeid)
        if report.failed:
            self._outcomes[report.nodeid] = "failed"
            self._messages.setdefault(report.nodeid, _tail(report))
        elif report.skipped and type(report).__name__ == "SubtestReport":
            pass  # A part was left out; the test itself goes on and says how it ends.
        elif report.skipped:
            expected = before == "failed" and "failed"
            self._outcomes[report.nodeid] = expected or "skipped"
        elif before is None:
            self._outcomes[report.nodeid] = "passed"

    def pytest_runtest_logfinish(self, nodeid, location):
        outcome = self._outcomes.get(nodeid, "skipped")
        message = self._messages.pop(nodeid, "")
        lacks = self._lacking.get(nodeid, "")
        self.say(kind="test", test=_short(nodeid), outcome=outcome, message=message, lacks=lacks)


def _short(nodeid):
    """A name of bounded length that still differs where the whole name does."""
    if len(nodeid) <= _MAX_NAME:
        return nodeid
    digest = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{nodeid[: _MAX_NAME - 17]}~{digest}"


def _tail(report):
    text = report.longreprtext or ""
    for name, content in report.sections[:3]:
        text += f"\n--- {name} ---\n{content[-500:]}"
    return text[-_MAX_MESSAGE:]


def _measure(folder, wanted):
    """Start measuring lines; None when nothing is asked for or coverage is not there."""
    if not wanted:
        return None
    try:
        import coverage
    except Exception:
        return None
    include = [os.path.join(folder, name) for name in wanted]
    measuring = coverage.Coverage(
        data_file=None, config_file=False, messages=False, include=include
    )
    measuring.start()
    return measuring


def _lines(measuring, folder, wanted):
    """Executed and executable lines of each wanted file, told by the first line of a statement, and
    the first line of each line that continues one, in pairs.
    """
    measuring.stop()
    for name in wanted:
        path = os.path.join(folder, name)
        try:
            _, statements, _, missing, _ = measuring.analysis2(path)
            with open(path, "rb") as file:
                starts = _starts(ast.parse(file.read()))
        except Exception:
            continue
        ran = sorted(set(statements) - set(missing))
        yield name, ran, statements, [n for pair in sorted(starts.items()) for n in pair]


def _starts(tree):
    """The first line of the statement that each further line belongs to."""
    blocks = (
        ast.stmt,
        ast.ExceptHandler,
        *([ast.match_case] if hasattr(ast, "match_case") else []),
    )
    starts = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        decorators = getattr(node, "decorator_list", [])
        inside = [n for n in ast.iter_child_nodes(node) if n not in decorators]
        heads = [n for n in inside if not isinstance(n, blocks)]
        is_block = len(heads) < len(inside)
        ends = [getattr(n, "end_lineno", None) or 0 for head in heads for n in ast.walk(head)]
        last = max(ends, default=0) if is_block else node.end_lineno
        for first, end in [(node.lineno, last), *((d.lineno, d.end_lineno) for d in decorators)]:
            starts.update(dict.fromkeys(range(first + 1, end + 1), first))
    return starts


def _fitting(args):
    """Options that keep the repository's own plugins from getting in the way of one process that
    is measured.
    """
    from importlib.util import find_spec

    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return args
    if find_spec("pytest_cov"):
        args = [*args, "--no-cov"]
    if find_spec("xdist"):
        args = [*args, "-n0"]
    if find_spec("pytest_codspeed") or find_spec("pytest_benchmark"):
        args = [*args, *(["--benchmark-disable"] if find_spec("pytest_benchmark") else [])]
    return args


def main(spec_path):
    with open(spec_path, encoding="utf-8") as file:
        spec = json.load(file)
    folder = spec["folder"]
    measuring = _measure(folder, spec["files_of_interest"])
    import pytest

    # Ours comes before the plugins that the options switch on.
    Report.pytest_configure = pytest.hookimpl(tryfirst=True)(Report.pytest_configure)
    report = Report(spec["report"], spec["nonce"], spec["extra"], spec["only"])
    code = int(pytest.main(_fitting(spec["args"]), plugins=[report]))
    if measuring is not None:
        for name, ran, lines, starts in _lines(measuring, folder, spec["files_of_interest"]):
            report.say(kind="lines", path=name, executed=ran, executable=lines, starts=starts)
    report.say(kind="done", code=code)
    sys.stdout.flush()
    # Threads and exit handlers of the code under test have no say in how this ends.
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
