"""`generated_tests`, `test_report` and `audit_report`: what the test agent writes, what the tests
say, and what all of them say of some fast commits after their delivery.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import dagster as dg

from agentci_dagster.domain.diff import CommitDiff, CommitKey
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.generated_tests import (
    Candidate,
    GeneratedTests,
    as_files,
    as_patch,
)
from agentci_dagster.domain.generated_tests.need import nothing_to_write
from agentci_dagster.domain.plain_text import clean_markdown, clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.selection import (
    Before,
    SelectionMode,
    TestPlan,
    TestReport,
    TestRun,
    TestVerdict,
    Versions,
    all_tests,
    blame_for_trouble,
    choose_tests,
    judge,
    keep_open_findings,
    open_findings,
    set_gaps_aside,
    set_old_aside,
    suspects,
    without_what_passed,
)
from agentci_dagster.journeys import AUDIT, Journeys
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.ports import (
    Clock,
    EventLog,
    LedgerEvent,
    Mirror,
    Mirrors,
    TestBench,
    TestWriter,
)
from agentci_dagster.settings import Catalogue

_CONFIGURATION = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_MAX_SAME_TREES = 500
"""Ancestors that are asked for their tree; one process of git tells it of all of them."""
_MAX_VERSIONS = 50
"""So many commits of documents in a row are looked through for the last report of tests."""


@commit_asset(group_name="test_agent", kinds={"hypothesis", "pytest"})
def generated_tests(
    context: dg.AssetExecutionContext,
    commit_diff: CommitDiff,
    risk_score: RiskScore,
    test_bench: dg.ResourceParam[TestBench],
    test_writer: dg.ResourceParam[TestWriter],
    catalogue: dg.ResourceParam[Catalogue],
) -> dg.MaterializeResult[GeneratedTests]:
    """Tests written for the changed functions, each kept only after five green runs on the new
    code.
    """
    budget = timedelta(seconds=catalogue.tests(key_of(context).repository).generate_budget_s)
    written = nothing_to_write(commit_diff, risk_score.route, budget)
    if written is None:
        with test_bench.checkout(commit_diff.key) as checkout:
            written = test_writer.write(checkout, commit_diff, budget)
    return dg.MaterializeResult(
        value=written,
        metadata={
            "n_kept": len(written.kept),
            "n_findings": len(written.findings),
            "note": clean_text(written.note, 500),
            "seconds": written.seconds,
            "isolation": written.isolation.value,
            "funnel": dg.MetadataValue.json(
                {name: getattr(written.funnel, name) for name in written.funnel.__slots__}
            ),
            "tests": _code("\n\n".join(c.source for c in written.kept)),
            "patch": _fenced(as_patch(as_files(written)), "diff"),
            "findings": _code("\n\n".join(f.test_source for f in written.findings)),
        },
    )


@commit_asset(group_name="test_agent", kinds={"pytest"})
def test_report(  # noqa: PLR0913, PLR0917 - three wires and four ports
    context: dg.AssetExecutionContext,
    commit_diff: CommitDiff,
    risk_score: RiskScore,
    generated_tests: GeneratedTests,
    mirrors: dg.ResourceParam[Mirrors],
    test_bench: dg.ResourceParam[TestBench],
    journeys: dg.ResourceParam[Journeys],
    catalogue: dg.ResourceParam[Catalogue],
) -> dg.MaterializeResult[TestReport]:
    """What the repository's own and the generated tests say about the commit."""
    rules = catalogue.tests(key_of(context).repository)
    limit = timedelta(seconds=rules.timeout_s)
    mirror = mirrors.of(key_of(context).repository)
    files, sources = _tree(mirror, commit_diff.key.sha)
    before = _standing(commit_diff, mirror, journeys)
    plan = choose_tests(
        commit_diff,
        files,
        sources,
        risk_score.route,
        before=before.report,
        is_unjudged=before.is_unjudged,
        configuration=_configuration(mirror, commit_diff.key.sha),
    )
    plan = without_what_passed(plan, _of_same_trees(commit_diff.key, mirror, journeys))
    asked = open_findings(before.report) if rules.withhold_on_findings else ()
    run = None
    if plan.mode is not SelectionMode.NONE or generated_tests.kept:
        run = _run(
            commit_diff,
            plan,
            (*generated_tests.kept, *asked),
            before,
            _versions(commit_diff, sources, mirror, before),
            test_bench,
            limit,
        )
        run = keep_open_findings(run, asked, before.report)
        if run.is_suspect and not run.failures:
            whole = _plan_on_version_before(before.base, plan, mirror, test_bench, limit)
            run = blame_for_trouble(run, whole) if whole else run
    report = judge(
        commit_diff, plan, run, generated_tests, withhold_on_findings=rules.withhold_on_findings
    )
    return dg.MaterializeResult(value=report, metadata=_told(report))


test_report.__test__ = False  # type: ignore[attr-defined]  # an asset, not a test of pytest's


@commit_asset(group_name="test_agent", kinds={"pytest"}, deps=["deploy_outcome"])
def audit_report(
    context: dg.AssetExecutionContext,
    commit_diff: CommitDiff,
    mirrors: dg.ResourceParam[Mirrors],
    test_bench: dg.ResourceParam[TestBench],
    catalogue: dg.ResourceParam[Catalogue],
    log: dg.ResourceParam[EventLog],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[TestReport]:
    """What all tests say of a delivered fast commit; it changes nothing but the scorecard."""
    key = key_of(context)
    mirror = mirrors.of(key.repository)
    limit = timedelta(seconds=catalogue.tests(key.repository).timeout_s)
    files, sources = _tree(mirror, key.sha)
    plan = all_tests(files, "All tests: the audit sample.")
    parents = commit_diff.commit.parents
    before = Before(None, CommitKey(key.repository, parents[0]) if parents else None)
    known = _versions(commit_diff, sources, mirror, before)
    run = _run(commit_diff, plan, (), before, known, test_bench, limit)
    report = judge(commit_diff, plan, run)
    body = {"verdict": report.verdict.value, "summary": report.summary, "seconds": report.seconds}
    event = LedgerEvent(f"{AUDIT}/{key}", AUDIT, clock.now(), key.repository, key.sha, body)
    log.append(event)
    return dg.MaterializeResult(value=report, metadata=_told(report))


def _run(
    diff: CommitDiff,
    plan: TestPlan,
    extra: Sequence[Candidate],
    before: Before,
    versions: Versions,
    bench: TestBench,
    limit: timedelta,
) -> TestRun:
    """The planned tests, without what the commit found failing or lacking already."""
    with bench.checkout(diff.key) as checkout:
        run = bench.run(checkout, plan, extra, limit)
    earlier = _on_version_before(before.base, suspects(run), bench, limit)
    run = set_gaps_aside(run, earlier, before.report, versions)
    if earlier is None:
        return run
    return set_old_aside(run, earlier, before.report, is_first=before.is_first)


def _of_same_trees(key: CommitKey, mirror: Mirror, journeys: Journeys) -> Iterator[TestReport]:
    """What the tests said of other commits with the very same tree."""
    for sha in mirror.same_trees(key.sha, _MAX_SAME_TREES):
        report = journeys.values.find("test_report", TestReport, CommitKey(key.repository, sha))
        if report is not None:
            yield report


def _standing(diff: CommitDiff, mirror: Mirror, journeys: Journeys) -> Before:
    """What is known of the versions before, along first parents: the newest report, and the
    version to compare with.
    """
    parents = diff.commit.parents
    base = CommitKey(diff.key.repository, parents[0]) if parents else None
    newest, is_unjudged = None, False
    for _ in range(_MAX_VERSIONS):
        if not parents:
            break
        key = CommitKey(diff.key.repository, parents[0])
        report = journeys.values.find("test_report", TestReport, key)
        if report is not None and report.verdict is not TestVerdict.NOT_NEEDED:
            newest = newest or report
            if not is_unjudged or report.verdict is TestVerdict.PASSED:
                return Before(newest, key if is_unjudged else base, is_unjudged=is_unjudged)
        is_unjudged = is_unjudged or report is None
        try:
            parents = mirror.commit(key.sha).parents
        except GitError:
            break
    return Before(newest, base, is_unjudged=is_unjudged and newest is not None, is_first=True)


def _on_version_before(
    base: CommitKey | None, tests: Sequence[str], bench: TestBench, limit: timedelta
) -> TestRun | None:
    """The failing tests on the version before, in that version's own environment: what a change of
    dependencies breaks is this commit's failure.
    """
    if not tests or base is None:
        return None
    try:
        with bench.checkout(base) as checkout:
            return bench.rerun(checkout, tests, limit)
    except GitError:
        # A shallow clone has no version before, so every failure counts.
        return None


def _plan_on_version_before(
    base: CommitKey | None, plan: TestPlan, mirror: Mirror, bench: TestBench, limit: timedelta
) -> TestRun | None:
    """The same tests on the version before, as far as it has them: whether they end there."""
    try:
        there = set(mirror.files(base.sha)) if base else set()
        asked = replace(plan, test_files=tuple(f for f in plan.test_files if f in there))
        if base is None or not asked.test_files:
            return None
        with bench.checkout(base) as checkout:
            return bench.run(checkout, asked, (), limit)
    except GitError:
        return None


def _versions(
    diff: CommitDiff, sources: dict[str, str], mirror: Mirror, before: Before
) -> Versions:
    changed = {path for f in diff.files for path in (f.path, f.old_path) if path}
    try:
        then = _tree(mirror, before.base.sha)[1] if before.base else {}
    except GitError:
        then = {}
    return Versions(sources, then, changed)


def _configuration(mirror: Mirror, sha: str) -> str:
    contents = mirror.read_all(sha, _CONFIGURATION)
    return "\n".join(data.decode(errors="replace") for data in contents.values())


def _tree(mirror: Mirror, sha: str) -> tuple[tuple[str, ...], dict[str, str]]:
    files = mirror.files(sha)
    contents = mirror.read_all(sha, [path for path in files if path.endswith(".py")])
    return files, {path: data.decode(errors="replace") for path, data in contents.items()}


def _told(report: TestReport) -> dict[str, dg.MetadataValue | str | int | float]:
    told: dict[str, dg.MetadataValue | str | int | float] = {
        "verdict": report.verdict.value,
        "summary": clean_text(report.summary, 500),
        "n_passed": report.n_passed,
        "n_failed": report.n_failed,
        "n_skipped": report.n_skipped,
        "n_generated": report.n_generated,
        "seconds": report.seconds,
        "isolation": report.isolation.value,
        "selection": dg.MetadataValue.md(
            "\n".join(f"- {clean_markdown(r, 300)}" for r in report.plan.reasons) or "none"
        ),
        "failures": _code("\n\n".join(f"{f.test}\n{f.message}" for f in report.failures)),
    }
    if report.coverage is not None and report.coverage.share is not None:
        told["changed_line_coverage"] = report.coverage.share
    return told


def _code(text: str) -> dg.MetadataValue:
    return _fenced(text, "python")


def _fenced(text: str, language: str) -> dg.MetadataValue:
    fenced = clean_text(text, 8_000).replace("```", "'''")
    return dg.MetadataValue.md(f"```{language}\n{fenced}\n```" if text else "none")
