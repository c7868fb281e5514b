"""Choosing tests by what a commit touches, and judging what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentci_dagster.domain.diff import FileKind, FileStatus, Hunk
from agentci_dagster.domain.generated_tests import Candidate, Finding, Funnel, GeneratedTests
from agentci_dagster.domain.routing import Route
from agentci_dagster.domain.selection import (
    UNBELIEVED,
    Isolation,
    LineCoverage,
    SelectionMode,
    SelectionPolicy,
    TestFailure,
    TestPlan,
    TestRun,
    TestVerdict,
    Versions,
    all_tests,
    blame_for_trouble,
    choose_tests,
    dependents,
    is_red,
    is_test_file,
    judge,
    keep_open_findings,
    module_name,
    open_findings,
    set_gaps_aside,
    set_old_aside,
    suspects,
)
from tests.builders import diff, file_change

SOURCES = {
    "shop/__init__.py": "",
    "shop/cart.py": "from . import money\n",
    "shop/money.py": "RATE = 2\n",
    "shop/mail.py": "import smtplib\n",
    "tests/conftest.py": "",
    "tests/test_cart.py": "from shop.cart import total\n",
    "tests/test_mail.py": "def test_x():\n    import shop.mail\n",
    "tests/test_web.py": "APP = 'shop.web:app'\n",
}
FILES = (*SOURCES, "README.md")


def choose(*changes, route=Route.STANDARD, files=FILES, sources=SOURCES, **kwargs):
    return choose_tests(diff(*changes), files, sources, route, **kwargs)


def plan(mode=SelectionMode.SELECTED, files=("tests/test_cart.py",), known=3):
    return TestPlan(mode, files, ("because",), known)


def run(**changes):
    facts = {
        "n_passed": 3,
        "n_failed": 0,
        "n_skipped": 1,
        "failures": (),
        "executed_lines": {},
        "executable_lines": {},
        "seconds": 1.0,
        "isolation": Isolation.STRONG,
    }
    return TestRun(**(facts | changes))


def generated(*findings):
    kept = Candidate("test_a", "shop/cart.py::f", "\ndef test_a():\n    pass\n", "offline")
    return GeneratedTests((kept,), findings, Funnel(), (), Isolation.STRONG, 1.0, "1 test")


FINDING = Finding(
    "shop/cart.py::f", "f([])", "ZeroDivisionError", "division by zero", "def t(): f([])"
)


def test_changed_module_selects_the_tests_that_import_it_through_others():
    chosen = choose(file_change("shop/money.py"))

    assert chosen.mode is SelectionMode.SELECTED
    assert chosen.test_files == ("tests/test_cart.py",)
    assert chosen.n_known == 3
    assert chosen.files_of_interest == ("shop/money.py",)
    assert "2 test files import nothing that has changed." in chosen.reasons


def test_import_inside_a_function_counts():
    assert choose(file_change("shop/mail.py")).test_files == ("tests/test_mail.py",)


def test_changed_test_file_runs_itself():
    chosen = choose(file_change("tests/test_mail.py", kind=FileKind.TEST))

    assert chosen.test_files == ("tests/test_mail.py",)
    assert chosen.files_of_interest == ()


def test_module_named_in_a_string_counts_as_imported():
    sources = SOURCES | {"shop/web.py": "x = 1\n"}

    chosen = choose(file_change("shop/web.py"), files=tuple(sources), sources=sources)

    assert chosen.test_files == ("tests/test_web.py",)


def test_everything_that_reaches_all_leaves_no_group_out():
    sources = {"a.py": "", "test_a.py": "import a"}

    chosen = choose(file_change("a.py"), files=tuple(sources), sources=sources)

    assert chosen.reasons == ("1 of 1 test files import what has changed or have changed.",)


def test_deleted_module_selects_the_tests_that_still_import_it():
    sources = SOURCES | {"tests/test_old.py": "import shop.old\n"}
    gone = file_change("shop/old.py", status=FileStatus.DELETED)

    chosen = choose(gone, files=tuple(sources), sources=sources)

    assert chosen.test_files == ("tests/test_old.py",)
    assert chosen.files_of_interest == ()


def test_renamed_module_selects_the_tests_that_import_its_old_name():
    sources = SOURCES | {"tests/test_old.py": "import shop.old\n"}
    moved = file_change("shop/mail.py", old_path="shop/old.py", status=FileStatus.RENAMED)

    chosen = choose(moved, files=tuple(sources), sources=sources)

    assert chosen.test_files == ("tests/test_mail.py", "tests/test_old.py")


def test_deleted_test_file_asks_for_nothing_beside_other_changes():
    gone = file_change("tests/test_gone.py", kind=FileKind.TEST, status=FileStatus.DELETED)

    assert choose(gone, file_change("shop/mail.py")).test_files == ("tests/test_mail.py",)


def test_commit_that_only_deletes_a_test_file_runs_those_that_are_left():
    gone = file_change("tests/test_gone.py", kind=FileKind.TEST, status=FileStatus.DELETED)

    chosen = choose(gone)

    assert chosen.mode is SelectionMode.ALL
    assert len(chosen.test_files) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (file_change("pyproject.toml", kind=FileKind.DEPENDENCY), "is dependency"),
        (file_change("shop/page.html"), "is not Python"),
        (file_change("tests/conftest.py", kind=FileKind.TEST), "all tests below"),
        (file_change("shop/unknown.py"), "no test is seen to import shop/unknown.py"),
    ],
)
def test_doubt_runs_all_tests_and_says_why(change, reason):
    chosen = choose(change, file_change("README.md", kind=FileKind.DOCS))

    assert chosen.mode is SelectionMode.ALL
    assert len(chosen.test_files) == chosen.n_known == 3
    assert any(reason in r for r in chosen.reasons)


def test_careful_routes_run_all_tests():
    assert choose(route=Route.GUARDED).mode is SelectionMode.ALL
    assert choose(route=Route.HOLD).mode is SelectionMode.ALL


def test_capped_diff_runs_all_tests():
    chosen = choose_tests(diff(is_capped=True), FILES, SOURCES, Route.FAST)

    assert chosen.mode is SelectionMode.ALL


def test_too_many_files_run_all_tests():
    assert choose(policy=SelectionPolicy(max_python_files=2)).mode is SelectionMode.ALL


def test_unread_file_runs_all_tests_unless_it_is_hidden():
    assert choose(files=(*FILES, "shop/huge.py")).mode is SelectionMode.ALL
    assert choose(files=(*FILES, ".github/tool.py")).mode is SelectionMode.SELECTED


def test_unparsable_file_runs_all_tests():
    chosen = choose(sources=SOURCES | {"shop/mail.py": "def ("})

    assert chosen.mode is SelectionMode.ALL
    assert "shop/mail.py cannot be parsed" in chosen.reasons[0]


def test_documentation_and_the_route_skip_need_no_tests():
    only_docs = choose(file_change("README.md", kind=FileKind.DOCS))
    skipped = choose(route=Route.SKIP)

    assert only_docs.mode is skipped.mode is SelectionMode.NONE
    assert "only documentation" in only_docs.reasons[0]


def test_test_that_reaches_an_import_made_at_run_time_is_chosen_too():
    sources = SOURCES | {
        "shop/plugins.py": "import importlib\n\ndef load(n):\n    importlib.import_module(n)\n",
        "tests/test_plugins.py": "import shop.plugins\n",
    }

    chosen = choose(file_change("shop/mail.py"), files=tuple(sources), sources=sources)

    assert chosen.test_files == ("tests/test_mail.py", "tests/test_plugins.py")


def test_examples_in_documents_run_all_tests():
    chosen = choose(
        file_change("shop/money.py"), configuration="[pytest]\naddopts = -q --doctest-modules\n"
    )

    assert chosen.mode is SelectionMode.ALL
    assert "examples" in chosen.reasons[0]


@pytest.mark.parametrize(
    "configuration",
    [
        "[pytest]\npython_files = check_*.py\naddopts = -q\n",
        "[pytest]\npython_files =\n    check_*.py\n    test_*.py\n",
        '[tool.pytest.ini_options]\npython_files = [\n  "check_*.py",\n]\npythonpath = "."\n',
        '[tool.pytest.ini_options]\npython_files = "tests/check_*.py"\n',
    ],
)
def test_test_files_by_patterns_of_the_repository_are_known_and_run_all(configuration):
    files = (*FILES, "tests/check_cart.py", "tests/check.txt")

    chosen = choose(
        file_change("shop/money.py"),
        files=files,
        sources=SOURCES | {"tests/check_cart.py": ""},
        configuration=configuration,
    )

    assert chosen.mode is SelectionMode.ALL
    assert "tests/check_cart.py" in chosen.test_files
    assert "shop/cart.py" not in chosen.test_files
    assert "patterns" in chosen.reasons[0]


def test_usual_patterns_change_nothing():
    usual = "[pytest]\npython_files = test_*.py *_test.py\n"

    assert choose(file_change("shop/money.py"), configuration=usual).mode is SelectionMode.SELECTED


def test_conftest_above_a_test_passes_on_what_it_imports():
    sources = {"a.py": "", "tests/conftest.py": "import a", "tests/deep/test_b.py": ""}

    assert "tests/deep/test_b.py" in dependents({"a.py"}, sources)


def test_relative_imports_go_up_the_right_number_of_packages():
    sources = {
        "p/__init__.py": "",
        "p/q/__init__.py": "from ..r import x",
        "p/q/s.py": "from .. import r",
        "p/r.py": "",
        "p/t.py": "from .q import s",
    }

    assert dependents({"p/r.py"}, sources) == {"p/r.py", "p/q/__init__.py", "p/q/s.py", "p/t.py"}


def test_module_name_starts_below_the_last_folder_that_is_no_package():
    assert module_name("src/shop/cart.py", {"src/shop/__init__.py"}) == "shop.cart"
    assert module_name("cart.py", set()) == "cart"


@pytest.mark.parametrize("path", ["test_a.py", "x/test_b.py", "x/b_test.py", "app/tests.py"])
def test_names_that_pytest_collects(path):
    assert is_test_file(path)


@pytest.mark.parametrize("path", ["testing.py", "conftest.py", "test_a.txt", "tests/helper.py"])
def test_names_that_pytest_does_not_collect(path):
    assert not is_test_file(path)


def test_passing_tests_pass():
    report = judge(diff(), plan(), run())

    assert report.verdict is TestVerdict.PASSED
    assert report.summary == "3 tests passed, 1 skipped."
    assert report.n_generated == 0
    assert report.coverage is None


def test_failing_tests_fail_and_name_the_first():
    failures = (TestFailure("a::b", "boom"), TestFailure("a::c", "bang"))

    report = judge(diff(), plan(), run(n_failed=2, failures=failures))

    assert report.verdict is TestVerdict.FAILED
    assert report.summary == "Failed: a::b and 1 more."
    assert report.n_failed == 2


def test_finding_fails_the_commit_with_its_example():
    report = judge(diff(), plan(), run(), generated(FINDING))

    assert report.verdict is TestVerdict.FAILED
    assert report.n_generated == 1
    assert "f([]) raises ZeroDivisionError" in report.failures[0].message
    assert report.summary.startswith("A generated test found a crash in shop/cart.py::f")


def test_finding_is_only_said_where_the_policy_allows_it():
    report = judge(diff(), plan(), run(), generated(FINDING), withhold_on_findings=False)

    assert report.verdict is TestVerdict.PASSED
    assert "1 crashes on ordinary input were found" in report.summary


def test_kept_test_that_fails_is_unstable_and_no_failure():
    failing = TestFailure("agentci_generated/test_a.py::test_a", "", is_generated=True)

    report = judge(diff(), plan(), run(n_failed=1, failures=(failing,)), generated())

    assert report.verdict is TestVerdict.PASSED
    assert report.failures == ()
    assert "1 generated tests did not hold" in report.summary


def test_flaky_and_weak_are_said():
    report = judge(diff(), plan(), run(flaky=("a::b",), isolation=Isolation.WEAK))

    assert report.verdict is TestVerdict.PASSED
    assert report.flaky == ("a::b",)
    assert "Flaky, passed when run alone: a::b." in report.summary
    assert "Weak isolation" in report.summary


@pytest.mark.parametrize(
    ("the_plan", "the_run", "words"),
    [
        (plan(known=0), run(), "because That is not a pass."),
        (plan(), run(trouble="no pytest"), "say nothing: no pytest"),
        (plan(), run(n_passed=0), "No test ran (1 skipped)"),
        (plan(), run(n_passed=3, n_generated=3), "Only generated tests passed (1 skipped)"),
    ],
)
def test_no_proof_is_inconclusive(the_plan, the_run, words):
    report = judge(diff(), the_plan, the_run)

    assert report.verdict is TestVerdict.INCONCLUSIVE
    assert words in report.summary


def test_nothing_to_run_is_not_needed():
    report = judge(diff(), plan(SelectionMode.NONE, ()), None)
    silent = judge(diff(), replace(plan(SelectionMode.NONE, ()), reasons=()), None)

    assert report.verdict is TestVerdict.NOT_NEEDED
    assert report.summary == "because"
    assert silent.summary == "No tests were needed."
    assert report.isolation is Isolation.NOT_RUN


def test_coverage_counts_added_executable_lines():
    changed = diff(file_change(hunks=(Hunk(3, 1, 3, 4),)), file_change("shop/other.py"))
    measured = run(
        executed_lines={"shop/cart.py": (1, 3)}, executable_lines={"shop/cart.py": (1, 3, 4, 9)}
    )

    report = judge(changed, plan(), measured)

    assert report.coverage == LineCoverage(2, 1, ("shop/cart.py:4",))
    assert report.coverage.share == 0.5
    assert LineCoverage(0, 0).share is None


def test_change_of_a_line_that_continues_a_statement_counts_for_its_first_line():
    changed = diff(file_change(hunks=(Hunk(3, 2, 4, 2),)))
    measured = run(
        executed_lines={"shop/cart.py": (3,)},
        executable_lines={"shop/cart.py": (3, 9)},
        start_lines={"shop/cart.py": {4: 3, 5: 3}},
    )

    assert judge(changed, plan(), measured).coverage == LineCoverage(1, 1)


def failure(reason="assert 1 == 2", test="test_a.py::test_x", place="test_a.py:7: AssertionError"):
    return TestFailure(test, f">   assert f()\nE   {reason}\nE    +  where\n\n{place}\n")


def failing(*failures, **changes):
    return run(n_failed=len(failures), failures=failures, **changes)


def test_test_that_failed_before_in_the_same_way_is_set_aside_and_said():
    now, then = failure("no host at 0xab12 (try 1)"), failure("no host at 0xcd34 (try 2)")

    left = set_old_aside(failing(now), failing(then), None)
    report = judge(diff(), plan(), left)

    assert (left.failures, left.n_failed) == ((), 0)
    assert report.verdict is TestVerdict.PASSED
    assert report.preexisting == ("test_a.py::test_x",)
    assert "1 fails in the same way before this commit" in report.summary


@pytest.mark.parametrize(
    "then",
    [
        failure("assert 1 == None"),
        failure(place="shop/cart.py:7: AssertionError"),
        failure(place="test_a.py:7: KeyError"),
        failure(test="test_a.py::test_y"),
    ],
    ids=["other reason", "other file", "other exception", "other test"],
)
def test_test_that_failed_before_in_another_way_is_this_commits_failure(then):
    left = set_old_aside(failing(failure()), failing(then), None)

    assert left.failures == (failure(),)
    assert left.preexisting == ()


def test_last_exception_of_a_chain_is_the_failure():
    chain = "E   OSError: no name for {}\nE   here\n\nDuring handling\n\nE   KeyError: 'sock'\n"
    now, then = (TestFailure("a::b", chain.format(word) + "\na.py:1: KeyError") for word in "xy")

    assert set_old_aside(failing(now), failing(then), None).preexisting == ("a::b",)


def test_failures_without_a_reason_are_alike():
    bare = TestFailure("a::b", "killed")

    assert set_old_aside(failing(bare), failing(bare), None).preexisting == ("a::b",)


def test_break_does_not_become_old_by_another_commit_on_top():
    withheld = judge(diff(), plan(), failing(failure()))

    left = set_old_aside(failing(failure()), failing(failure()), withheld)

    assert left.failures == (failure(),)
    assert is_red(withheld)
    assert not is_red(judge(diff(), plan(), run()))
    assert is_red(judge(diff(), plan(), run(n_passed=0)))
    assert not is_red(judge(diff(), plan(known=0), None))
    assert not is_red(None)


def test_what_was_already_set_aside_before_stays_so():
    before = judge(diff(), plan(), run(preexisting=("test_a.py::test_x",)))

    assert set_old_aside(failing(failure()), failing(failure()), before).failures == ()


def test_only_believed_failures_of_the_repository_are_asked_about():
    ours = TestFailure("agentci_generated/a.py::test_a", "", is_generated=True)

    assert suspects(failing(failure(), ours)) == ("test_a.py::test_x",)
    assert suspects(failing(failure(), TestFailure(UNBELIEVED, "?"))) == ()


def test_environment_in_which_nothing_passes_before_or_now_is_no_pass():
    report = judge(diff(), plan(), run(n_passed=0, preexisting=("a::b", "a::c")))

    assert report.verdict is TestVerdict.INCONCLUSIVE
    assert report.summary.startswith("Most tests fail, and did so before this commit; 0 passed.")
    assert "2 fail in the same way" in report.summary


def test_all_tests_run_on_top_of_a_withheld_version():
    withheld = judge(diff(), plan(), failing(failure()))

    found = choose(file_change("shop/money.py"), before=withheld)

    assert found.mode is SelectionMode.ALL
    assert found.reasons == ("All tests: the version before was withheld by its tests.",)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("args.go", "args_test.go", "test/data.json"), "pytest can run; those in go are left to"),
        (("index.js", "test/app.js", "test/b.spec.ts"), "those in javascript, typescript are left"),
        (("index.js", "tests/data.json"), "has no tests that pytest can run."),
    ],
)
def test_repository_without_tests_for_pytest_says_what_it_has(files, words):
    found = choose(file_change(files[0]), files=files, sources={})
    report = judge(diff(), found, None)

    assert found.n_known == 0
    assert words in found.reasons[0]
    assert report.verdict is TestVerdict.INCONCLUSIVE
    assert words in report.summary


@pytest.mark.parametrize(
    "found",
    [
        run(n_passed=4, n_generated=1, preexisting=tuple("abcd")),
        run(n_passed=900, n_failed=50, preexisting=tuple("abcd")),
    ],
    ids=["only generated ones and few others pass", "more failed than were looked at"],
)
def test_suite_that_is_mostly_broken_is_no_pass(found):
    report = judge(diff(), plan(), found, generated())

    assert report.verdict is TestVerdict.INCONCLUSIVE
    assert "did so before this commit" in report.summary


def test_documents_on_top_of_a_withheld_version_run_all_tests():
    words = file_change("README.md", kind=FileKind.DOCS)
    withheld = judge(diff(), plan(), failing(failure()))

    assert choose(words, before=withheld).mode is SelectionMode.ALL
    assert choose(words, is_unjudged=True).mode is SelectionMode.ALL
    assert choose(words, before=withheld, route=Route.SKIP).mode is SelectionMode.NONE


def test_all_tests_run_on_top_of_a_version_that_was_never_judged():
    found = choose(file_change("shop/money.py"), is_unjudged=True)

    assert found.mode is SelectionMode.ALL
    assert found.reasons == ("All tests: the version before was never judged.",)


def test_old_failures_are_doubtful_where_no_version_has_passed():
    left = set_old_aside(failing(failure()), failing(failure()), None, is_first=True)

    assert left.failures == ()
    assert "nobody knows whose the old" in left.notes[0]


def lacking(lacks, test="tests/test_a.py::test_x"):
    return TestFailure(test, "?", lacks=lacks)


MOCKER, NUMPY = lacking("fixture mocker"), lacking("module numpy", "tests/test_a.py")
UNTOUCHED = {"tests/test_a.py": "import numpy"}


@pytest.mark.parametrize(
    ("lack", "versions"),
    [
        (MOCKER, Versions({"tests/test_a.py": "def test_x(mocker): ..."})),
        (NUMPY, Versions(UNTOUCHED)),
        (NUMPY, Versions(UNTOUCHED, UNTOUCHED, {"tests/test_a.py"})),
    ],
    ids=["plugin", "package", "package of a changed test"],
)
def test_what_the_environment_lacks_is_no_failure(lack, versions):
    left = set_gaps_aside(failing(failure(), lack), None, None, versions)

    assert (left.failures, left.n_failed, left.trouble) == ((failure(),), 1, "")
    assert left.notes[0].startswith("Not run, because the environment lacks the ")


def test_environment_that_lets_nothing_run_is_trouble():
    run_now = failing(MOCKER, NUMPY, n_passed=2, n_generated=2)

    left = set_gaps_aside(run_now, None, None, Versions({}))

    words = "the environment lacks the module numpy, the plugin with the fixture mocker"
    assert (left.trouble, left.notes, left.n_skipped) == (words, (), 2)


def test_gap_that_was_there_before_is_no_failure():
    own = Versions({}, {"tests/conftest.py": "def client(): ..."})
    client = lacking("fixture client")

    assert set_gaps_aside(failing(client), failing(client), None, own).failures == ()


@pytest.mark.parametrize(
    ("lack", "earlier", "versions"),
    [
        (lacking("fixture client"), None, Versions({})),
        (MOCKER, None, Versions({}, {"tests/conftest.py": "def mocker(): ..."})),
        (MOCKER, None, Versions({"a.py": "@fixture(name='mocker')"})),
        (MOCKER, run(passed=(MOCKER.test,)), Versions({})),
        (NUMPY, run(), Versions({}, {"src/numpy/__init__.py": ""})),
        (NUMPY, run(), Versions(UNTOUCHED, UNTOUCHED)),
        (NUMPY, failing(lacking("module other", NUMPY.test)), Versions({})),
    ],
    ids=[
        "a name of the repository's own",
        "taken away from the conftest",
        "defined where it is not seen",
        "passed before",
        "module taken away",
        "package taken away",
        "lacked another before",
    ],
)
def test_what_the_commit_took_away_is_its_failure(lack, earlier, versions):
    assert set_gaps_aside(failing(lack), earlier, None, versions).failures == (lack,)


def test_gap_for_which_the_version_before_was_withheld_stays_a_failure():
    withheld = judge(diff(), plan(), failing(NUMPY))

    left = set_gaps_aside(failing(NUMPY), failing(NUMPY), withheld, Versions({}))

    assert left.failures == (NUMPY,)


WITHHELD = judge(diff(), plan(), run(), generated(FINDING))
READY = "agentci_generated/test_still_open_0__1.py"


def crash(reason, test=f"{READY}::t"):
    return TestFailure(test, f"E   {reason}", is_generated=True)


@pytest.mark.parametrize(
    "found",
    [run(), failing(crash("ZeroDivisionError: division by zero")), failing(crash("?", READY))],
    ids=["not asked", "crashes again", "cannot be imported, nobody knows why"],
)
def test_crash_of_a_withheld_version_stays_open(found):
    asked = open_findings(WITHHELD)

    report = judge(diff(), plan(), keep_open_findings(found, asked, WITHHELD))

    assert [c.source for c in asked] == [FINDING.test_source]
    assert report.verdict is TestVerdict.FAILED
    assert report.failures == WITHHELD.failures
    assert open_findings(report) == asked


@pytest.mark.parametrize(
    "found",
    [
        run(passed=(f"{READY}::t",)),
        failing(crash("ValueError: empty")),
        failing(crash("ImportError: cannot import name 'f' from 'shop.cart'", READY)),
        failing(crash("")),
    ],
    ids=["passes", "raises on purpose", "is gone", "fails without a reason"],
)
def test_crash_that_is_mended_or_gone_is_closed(found):
    left = keep_open_findings(found, open_findings(WITHHELD), WITHHELD)

    assert (left.failures, left.n_failed) == ((), 0)


def test_nothing_is_open_where_nothing_was_found():
    assert open_findings(None) == open_findings(judge(diff(), plan(), run())) == ()
    assert keep_open_findings(run(), (), None) == run()


def test_trouble_is_the_commits_failure_where_the_version_before_ends():
    hung = run(n_passed=0, trouble="no end", is_suspect=True)

    blamed = judge(diff(), plan(), blame_for_trouble(hung, run()))
    shared = judge(diff(), plan(), blame_for_trouble(hung, hung))

    assert blamed.verdict is TestVerdict.FAILED
    assert blamed.failures[0].message == "no end; on the version before they ended in 1 s."
    assert shared.verdict is TestVerdict.INCONCLUSIVE


def test_an_audit_asks_for_every_test():
    asked = all_tests(FILES, "why")

    assert (asked.mode, asked.reasons) == (SelectionMode.ALL, ("why",))
    assert asked.test_files == ("tests/test_cart.py", "tests/test_mail.py", "tests/test_web.py")


def test_an_audit_of_a_repository_without_tests_says_so():
    asked = all_tests(("README.md",), "why")

    assert asked.reasons == ("The repository has no tests that pytest can run.",)
