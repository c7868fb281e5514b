"""Running a commit's tests: what is reported, what is measured, and what is not believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentci_dagster.domain.generated_tests import Candidate
from agentci_dagster.domain.selection import Isolation, SelectionMode, TestPlan
from tests.adapters.trees import workshop
from tests.builders import key
from tests.fakes.test_bench import FakeTestBench

CODE = "def half(n):\n    if n < 0:\n        return None\n    return n / 2\n"
PASSING = "from shop import half\n\ndef test_half():\n    assert half(4) == 2\n"
MINUTE = timedelta(seconds=60)
ALL = TestPlan(SelectionMode.ALL, ("test_shop.py",), (), 1, ("shop.py",))
NONE = TestPlan(SelectionMode.NONE, (), (), 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shop(tmp_path, home):
    return workshop(tmp_path, home)


def run(shop, tree, plan=ALL, extra=(), timeout=MINUTE):
    shop.put(tree)
    with shop.checkout() as checkout:
        return shop.bench.run(checkout, plan, extra, timeout)


@pytest.fixture(params=["real", "fake"])
def bench(request, shop):
    if request.param == "fake":
        return FakeTestBench()
    shop.put({"shop.py": CODE, "test_shop.py": PASSING})
    return shop.bench


class TestContract:
    """What holds for the real bench and for the fake."""

    def test_planned_tests_run(self, bench):
        with bench.checkout(key(1)) as checkout:
            found = bench.run(checkout, ALL, (), MINUTE)

        assert checkout.key == key(1)
        assert found.n_passed > 0
        assert found.failures == ()
        assert found.trouble == ""

    def test_nothing_asked_is_not_a_pass(self, bench):
        with bench.checkout(key(1)) as checkout:
            found = bench.run(checkout, NONE, (), MINUTE)

        assert found.n_passed == 0
        assert found.trouble
        assert found.isolation is Isolation.NOT_RUN

    def test_passing_tests_pass_again(self, bench):
        with bench.checkout(key(1)) as checkout:
            found = bench.rerun(checkout, ["test_shop.py::test_half"], MINUTE)

        assert found.n_passed > 0
        assert found.failures == ()

    def test_repository_without_tests_says_nothing(self, bench):
        with bench.checkout(key(1)) as checkout:
            found = bench.run(checkout, TestPlan(SelectionMode.ALL, (), (), 0), (), MINUTE)

        assert found.trouble


def test_file_that_cannot_be_imported_does_not_silence_the_others(shop):
    broken = "import shop.nowhere\n"

    found = run(shop, {"shop.py": CODE, "test_shop.py": PASSING, "test_b.py": broken})

    assert (found.n_passed, [f.test for f in found.failures]) == (1, ["test_b.py"])


def test_chosen_file_outside_the_places_of_tests_is_left_out(shop):
    tree = {
        "shop.py": CODE,
        "tests/test_shop.py": PASSING,
        "bench/test_speed.py": "import missing\n",
        "pytest.ini": "[pytest]\ntestpaths = tests\npythonpath = .\n",
    }
    chosen = ("bench/test_speed.py", "tests/test_shop.py")

    found = run(shop, tree, TestPlan(SelectionMode.SELECTED, chosen, (), 2))
    whole = run(shop, tree, TestPlan(SelectionMode.SELECTED, chosen[:1], (), 2))

    assert (found.n_passed, found.n_failed, found.notes) == (1, 0, ())
    assert (whole.n_passed, whole.n_failed) == (1, 0)


def test_rerun_runs_only_the_tests_that_are_asked_for_and_there(shop):
    tests = PASSING + "\ndef test_wrong():\n    assert half(4) == 3\n"
    shop.put({"shop.py": CODE, "test_shop.py": tests})
    asked = [
        "test_shop.py::test_wrong",
        "test_shop.py::test_new",
        "test_gone.py::test_a",
        "../x.py",
    ]

    with shop.checkout() as checkout:
        found = shop.bench.rerun(checkout, asked, MINUTE)
        nothing = shop.bench.rerun(checkout, asked[2:], MINUTE)

    assert [f.test for f in found.failures] == ["test_shop.py::test_wrong"]
    assert (found.n_passed, found.n_failed) == (0, 1)
    assert nothing.trouble == "the tree has none of these tests"


def test_lines_of_the_files_of_interest_are_measured(shop):
    found = run(shop, {"shop.py": CODE, "test_shop.py": PASSING})

    assert found.executed_lines == {"shop.py": (1, 2, 4)}
    assert found.executable_lines == {"shop.py": (1, 2, 3, 4)}


def test_statement_over_several_lines_is_told_by_its_first(shop):
    code = (
        "import functools\n\n@functools.lru_cache(\n    maxsize=3\n)\ndef half(\n    n\n):\n"
        "    # so\n    if (\n        len('abc') == 3\n        and n\n    ):\n"
        "        return max(\n            n / 2,\n            0,\n        )\n    return (\n"
        "        9\n    )\n"
    )

    found = run(shop, {"shop.py": code, "test_shop.py": PASSING})

    assert found.executable_lines == {"shop.py": (1, 3, 6, 10, 14, 18)}
    assert found.executed_lines == {"shop.py": (1, 3, 6, 10, 14)}
    starts = {4: 3, 5: 3, 7: 6, 11: 10, 12: 10, 15: 14, 16: 14, 17: 14, 19: 18, 20: 18}
    assert found.start_lines == {"shop.py": starts}


def test_unittest_with_a_part_left_out_has_passed(shop):
    tests = (
        "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n"
        "        with self.subTest('x'):\n            self.skipTest('not here')\n"
        "        with self.subTest('y'):\n            self.assertTrue(True)\n"
    )

    found = run(shop, {"test_shop.py": tests})

    assert (found.n_passed, found.n_skipped) == (1, 0)


def test_conftest_that_cannot_be_loaded_may_be_the_commits_doing(shop):
    found = run(shop, {"shop.py": CODE, "test_shop.py": PASSING, "conftest.py": "def (\n"})

    assert found.trouble or found.failures
    assert found.is_suspect or found.failures


def test_failing_test_is_named_with_its_reason(shop):
    failing = PASSING + "\ndef test_wrong():\n    assert half(4) == 3\n"

    found = run(shop, {"shop.py": CODE, "test_shop.py": failing})

    assert (found.n_passed, found.n_failed, found.exit_code) == (1, 1, 1)
    assert found.failures[0].test == "test_shop.py::test_wrong"
    assert "assert 2.0 == 3" in found.failures[0].message
    assert found.flaky == ()


@pytest.mark.parametrize("option", ["-x", "--maxfail=1", "--stepwise", "--sw-skip"])
def test_old_failure_does_not_hide_a_new_one_behind_it(shop, option):
    tests = PASSING + "".join(f"\ndef test_{n}():\n    assert half(4) == {n}\n" for n in "67")
    options = f"[pytest]\naddopts = {option}\n"

    found = run(shop, {"shop.py": CODE, "test_shop.py": tests, "pytest.ini": options})

    assert (found.n_passed, found.n_failed, found.notes) == (1, 2, ())
    assert {f.test for f in found.failures} == {"test_shop.py::test_6", "test_shop.py::test_7"}


def test_long_names_are_told_apart_and_can_be_asked_for_again(shop):
    tests = (
        "import pytest\n\n@pytest.mark.parametrize('n', [1, 2], ids=['i' * 600 + c for c in 'ab'])\n"
        "def test_long(n):\n    assert n == 1\n"
    )
    shop.put({"test_shop.py": tests})

    with shop.checkout() as checkout:
        found = shop.bench.run(checkout, ALL, (), MINUTE)
        (failed,) = found.failures
        again = shop.bench.rerun(checkout, [failed.test], MINUTE)

    assert (found.n_passed, found.n_failed, len(failed.test)) == (1, 1, 500)
    assert [f.test for f in again.failures] == [failed.test]


def test_settings_in_the_folder_of_tests_leave_the_names_whole(shop):
    tree = {
        "shop.py": CODE,
        "tests/pytest.ini": "[pytest]\npythonpath = ..\n",
        "tests/test_shop.py": PASSING + "\ndef test_wrong():\n    assert half(4) == 3\n",
    }

    found = run(shop, tree, TestPlan(SelectionMode.SELECTED, ("tests/test_shop.py",), (), 1))

    assert [f.test for f in found.failures] == ["tests/test_shop.py::test_wrong"]


def test_test_that_passes_alone_is_flaky_and_no_failure(shop):
    # The first test leaves behind what the second one stumbles over.
    flaky = (
        "import os\n\ndef test_first():\n    os.environ['LEFT'] = '1'\n\n"
        "def test_second():\n    assert 'LEFT' not in os.environ\n"
    )

    found = run(shop, {"shop.py": CODE, "test_shop.py": flaky})

    assert found.flaky == ("test_shop.py::test_second",)
    assert (found.n_passed, found.n_failed, found.failures) == (2, 0, ())


def test_code_that_cannot_be_imported_fails_the_tests(shop):
    found = run(shop, {"shop.py": "import no_such_module\n", "test_shop.py": PASSING})

    assert found.n_failed == 1
    assert "no_such_module" in found.failures[0].message


def test_what_alone_keeps_a_test_from_running_is_told_with_its_failure(shop):
    tree = {
        "shop.py": CODE,
        "test_a.py": "import no_such.plugin\n",
        "test_shop.py": "def test_a(mocker):\n    pass\n",
    }

    found = run(shop, tree)

    lacking = {f.test: f.lacks for f in found.failures}
    assert lacking == {"test_a.py": "module no_such", "test_shop.py::test_a": "fixture mocker"}


def test_words_of_the_code_do_not_make_a_gap(shop):
    loud = (
        "print(\"No module named 'nothing'\")\n\ndef test_a():\n"
        "    raise ValueError(\"\\nfixture 'mocker' not found\")\n"
    )
    louder = "print(\"ModuleNotFoundError: No module named 'nothing'\")\nassert 0\n"

    found = run(shop, {"test_shop.py": loud, "test_b.py": louder})

    assert [f.lacks for f in found.failures] == ["", ""]


def test_options_of_a_missing_plugin_are_left_out_and_it_is_said(shop):
    tree = {
        "shop.py": CODE,
        "test_shop.py": PASSING,
        "pytest.ini": "[pytest]\naddopts = --no-such-option=3\n",
    }

    found = run(shop, tree)

    assert found.n_passed == 1
    assert "--no-such-option=3" in found.notes[0]


def test_sources_in_a_folder_and_the_metadata_are_found(shop):
    tree = {
        "src/shop/__init__.py": "from importlib.metadata import version\nV = version('shop')\n",
        "pyproject.toml": '[project]\nname = "shop"\nversion = "3.1"\n',
        "tests/test_v.py": "import shop\n\ndef test_v():\n    assert shop.V == '3.1'\n",
    }
    plan = TestPlan(SelectionMode.SELECTED, ("tests/test_v.py",), (), 1)

    assert run(shop, tree, plan).n_passed == 1


def test_extra_modules_run_beside_the_planned_tests_and_alone(shop):
    tree = {"shop.py": CODE, "test_shop.py": PASSING, "pytest.ini": "[pytest]\ntestpaths = .\n"}
    extra = [
        Candidate("test_ok", "shop.py::half", PASSING, "offline"),
        Candidate("../../evil name", "shop.py::half", "def test_no():\n    assert 0\n", "offline"),
    ]

    together = run(shop, tree, ALL, extra)
    alone = run(shop, tree, NONE, extra)

    assert (together.n_passed, together.n_failed) == (2, 1)
    assert [f.is_generated for f in together.failures] == [True]
    assert (alone.n_passed, alone.n_failed) == (1, 1)


def test_tests_that_do_not_end_are_inconclusive(shop):
    slow = "import time\n\ndef test_a():\n    time.sleep(60)\n"

    found = run(shop, {"test_shop.py": slow}, timeout=timedelta(seconds=2))

    assert "time limit" in found.trouble
    assert found.is_suspect


HOSTILE = {
    "ends early with success": "import os\n\ndef test_a():\n    os._exit(0)\n",
    "ends early while imported": "import os\nos._exit(0)\n",
    "leaves by sys.exit in a thread": (
        "import os, threading\n\ndef test_a():\n"
        "    t = threading.Thread(target=os._exit, args=(0,))\n    t.start(); t.join()\n"
    ),
    "writes a report of its own": (
        "import glob, json, os\n\ndef test_a():\n"
        "    for path in glob.glob('../run-*/out/report.jsonl'):\n"
        "        with open(path, 'a') as f:\n"
        "            f.write(json.dumps({'kind': 'collected', 'n': 1}) + '\\n')\n"
        "    os._exit(0)\n"
    ),
    "writes a report with the nonce": (
        "import glob, json, os, re\n\ndef test_a():\n"
        "    (path,) = glob.glob('../run-*/out/report.jsonl')\n"
        "    nonce = json.load(open(glob.glob('../run-*/in/spec.json')[0]))['nonce']\n"
        "    with open(path, 'w') as f:\n"
        "        for line in ({'kind': 'collected', 'n': 2}, {'kind': 'done', 'code': 0},\n"
        "                     {'kind': 'test', 'test': 'x', 'outcome': 'passed', 'message': ''}):\n"
        "            f.write(json.dumps({**line, 'nonce': nonce}) + '\\n')\n"
        "    os._exit(0)\n"
    ),
    "replaces the report by a link": (
        "import glob, os\n\ndef test_a():\n"
        "    (path,) = glob.glob('../run-*/out/report.jsonl')\n"
        "    os.remove(path); os.symlink('/etc/passwd', path)\n"
    ),
    "replaces the report by a pipe": (
        "import glob, os\n\ndef test_a():\n"
        "    (path,) = glob.glob('../run-*/out/report.jsonl')\n"
        "    os.remove(path); os.mkfifo(path)\n"
    ),
    "changes the exit code": (
        "import atexit, os\natexit.register(os._exit, 0)\n\ndef test_a():\n    assert 0\n"
    ),
    "kills the runner": "import os\n\ndef test_a():\n    os.kill(os.getpid(), 9)\n",
    "is interrupted": "def test_a():\n    raise KeyboardInterrupt\n",
    "leaves pytest with a code": (
        "import pytest\n\ndef test_a():\n    pytest.exit('bye', returncode=1)\n\n"
        "def test_b():\n    pass\n"
    ),
    "leaves pytest with another code": "import pytest\n\ndef test_a():\n    pytest.exit('', 9)\n",
    "takes all memory": "def test_a():\n    x = bytearray(3 << 30)\n",
    "forks without end": "import os\n\ndef test_a():\n    while True: os.fork()\n",
}


@pytest.mark.sandbox
@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_test_is_not_green(shop, source):
    found = run(shop, {"test_shop.py": source}, timeout=timedelta(seconds=20))

    assert found.failures
    assert found.n_passed == 0


@pytest.mark.sandbox
def test_report_of_a_passed_test_is_not_believed_when_strange_lines_are_in_it(shop):
    source = (
        "import glob\n\ndef test_a():\n"
        "    open(glob.glob('../run-*/out/report.jsonl')[0], 'a').write('[1]\\n')\n"
    )

    found = run(shop, {"test_shop.py": source})

    assert "Not believed" in found.failures[0].message


@pytest.mark.sandbox
@pytest.mark.parametrize("code", [1, 2, 6])
def test_exit_code_without_a_failing_test_is_not_believed(shop, code):
    hook = f"def pytest_sessionfinish(session):\n    session.exitstatus = {code}\n"
    tree = {"shop.py": CODE, "test_shop.py": PASSING, "conftest.py": hook}

    found = run(shop, tree)

    assert "Not believed" in found.failures[0].message


def test_checkout_is_removed_even_when_the_work_fails(shop, tmp_path):
    shop.put({"shop.py": CODE})

    with pytest.raises(RuntimeError), shop.checkout() as checkout:
        raise RuntimeError

    assert not checkout.folder.exists()
