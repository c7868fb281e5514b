"""Environments: made from wheels only, kept by what decides them, never started outside the sandbox."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import tarfile
import threading

import pytest

from agentci_dagster.adapters.builders.bundle import Blame, blame
from agentci_dagster.adapters.environments import Environments, write_overlay
from agentci_dagster.adapters.project_files import read_project
from agentci_dagster.adapters.sandbox import Limits, Sandbox
from tests.adapters.trees import make_wheel


@pytest.fixture(scope="module")
def tools_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("toolbox")


@pytest.fixture
def environments(tmp_path, tools_folder):
    return Environments(tmp_path / "environments", tools_folder)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def vendored(checkout, version="1.0", text="ANSWER = 42\n", lines=""):
    wheel = make_wheel(checkout / "vendor", "tinydep", version, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (checkout / "requirements.lock").write_text(
        f"--no-index\n--find-links vendor\ntinydep=={version} --hash=sha256:{digest}\n{lines}"
    )


def inside(environment, code, checkout):
    result = Sandbox().run(
        [str(environment.python), "-c", code],
        folder=checkout,
        read_only=environment.read_only,
        limits=Limits(timeout_s=30),
    )
    return result.stdout_tail.strip() or result.stderr_tail


def test_vendored_wheels_are_installed_without_a_network(environments, checkout):
    vendored(checkout)

    made = environments.prepare(checkout)

    assert made.trouble == ""
    assert not made.is_reused
    assert inside(made, "import tinydep; print(tinydep.ANSWER)", checkout) == "42"


def test_same_files_reuse_the_environment_and_others_do_not(environments, checkout):
    vendored(checkout)
    first = environments.prepare(checkout)
    (checkout / "code.py").write_text("x = 1")
    again = environments.prepare(checkout)
    vendored(checkout, version="2.0")
    other = environments.prepare(checkout)

    assert again.is_reused
    assert again.digest == first.digest != other.digest


def test_wheel_with_the_wrong_hash_is_not_installed(environments, checkout):
    vendored(checkout)
    make_wheel(checkout / "vendor", "tinydep", "1.0", "ANSWER = 'replaced'\n")

    made = environments.prepare(checkout)

    assert "uv failed" in made.trouble
    assert "tinydep" in made.trouble
    assert "ModuleNotFoundError" in inside(made, "import tinydep", checkout)


def test_missing_package_is_trouble_with_a_next_step(environments, checkout):
    (checkout / "requirements.txt").write_text("--no-index\nno-such-package-here==1\n")

    made = environments.prepare(checkout)

    assert "no-such-package-here" in made.trouble
    assert "mend the requirements or the network" in made.trouble
    assert inside(made, "print(1)", checkout) == "1"


def test_missing_test_package_does_not_cost_the_others(environments, checkout):
    vendored(checkout)
    (checkout / "requirements-test.txt").write_text("no-such-package-here==1\n")

    made = environments.prepare(checkout)

    assert "Left out: what the tests need." in made.trouble
    assert inside(made, "import tinydep; print(tinydep.ANSWER)", checkout) == "42"


def test_a_missing_test_package_of_a_project_that_needs_nothing_is_said_as_such(
    environments, checkout
):
    (checkout / "requirements-dev.txt").write_text("--no-index\nno-such-package-here==1\n")

    made = environments.prepare(checkout)

    assert made.trouble.endswith("Left out: what the tests need.")
    assert blame(made.trouble) is Blame.NOBODY


def grow_old(environment):
    os.utime(environment.python.parent.parent.parent / "trouble", (0, 0))


def test_an_environment_in_use_stays_where_a_retry_is_no_better(environments, checkout):
    vendored(checkout)
    (checkout / "requirements-test.txt").write_text("no-such-package-here==1\n")
    first = environments.prepare(checkout)
    before = first.python.lstat().st_ino
    grow_old(first)

    again = environments.prepare(checkout)

    assert (again.digest, again.is_reused) == (first.digest, True)
    assert first.python.lstat().st_ino == before
    assert again.trouble == first.trouble


class LateEnvironments(Environments):
    """The network of this one is out of reach at first."""

    is_reachable = False

    def _try(self, checkout, project, attempt, beside):
        failure = super()._try(checkout, project, attempt, beside)
        is_asked = bool(attempt.requirements) and not self.is_reachable
        return "uv failed: dns error." if is_asked else failure


def test_a_better_environment_is_made_beside_the_one_in_use(tmp_path, tools_folder, checkout):
    environments = LateEnvironments(tmp_path / "environments", tools_folder)
    vendored(checkout)
    first = environments.prepare(checkout)
    grow_old(first)
    environments.is_reachable = True

    second = environments.prepare(checkout)
    third = environments.prepare(checkout)

    assert "dns error" in first.trouble
    assert first.python.exists()
    assert (second.trouble, second.is_reused) == ("", False)
    assert second.digest != first.digest
    assert (third.digest, third.is_reused) == (second.digest, True)
    assert inside(second, "import tinydep; print(tinydep.ANSWER)", checkout) == "42"


def test_source_distributions_are_never_built(environments, checkout):
    (checkout / "vendor").mkdir()
    (checkout / "vendor" / "evil-1.0.tar.gz").write_bytes(b"not a wheel")
    (checkout / "requirements.txt").write_text("--no-index\n--find-links vendor\nevil==1.0\n-e .\n")
    (checkout / "setup.py").write_text("open('ran', 'w')\nfrom setuptools import setup; setup()")

    made = environments.prepare(checkout)

    assert made.trouble
    assert not (checkout / "ran").exists()


def sdist(folder, mark):
    """A source distribution whose build, which needs nothing from the network, leaves a mark."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "back"\n'
        'backend-path = ["."]\n[project]\nname = "evil"\nversion = "1.0"\n',
        "back.py": f"open({str(mark)!r}, 'w').close()\nraise SystemExit(1)\n",
    }
    with tarfile.open(folder / "evil-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"evil-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    with tarfile.open(folder / "evil-1.0.tar.gz") as archive:
        archive.extractall(folder, filter="data")


@pytest.mark.parametrize(
    "hidden",
    [
        r"evil\n--no-binary evil",
        r"evil\n--only-binary :none:\n--no-binary :all:",
        r"tinydep\n-e @VENDOR@/evil-1.0",
        r"tinydep\r@VENDOR@/evil-1.0",
        "evil @ file://@VENDOR@/evil-1.0.tar.gz",
        "evil --no-binary evil",
    ],
)
def test_no_dependency_of_a_commit_has_its_code_built(environments, checkout, tmp_path, hidden):
    mark = tmp_path / "ran"
    sdist(checkout / "vendor", mark)
    make_wheel(checkout / "vendor", "tinydep", "1.0", "")
    (checkout / "requirements-dev.txt").write_text("--no-index\n--find-links vendor\n")
    hidden = hidden.replace("@VENDOR@", str(checkout / "vendor"))
    (checkout / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "1"\ndependencies = ["{hidden}", "tinydep"]\n'
    )

    made = environments.prepare(checkout)

    assert not mark.exists()
    assert made.trouble == ""
    assert made.project.requirements == ("tinydep",)
    assert any("left out" in note for note in made.project.notes)


def test_uv_is_not_told_what_to_do_by_our_own_variables(environments, checkout, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_FIND_LINKS", str(checkout / "elsewhere"))
    vendored(checkout)

    assert environments.prepare(checkout).trouble == ""


def test_an_environment_made_with_a_narrow_umask_can_be_used(tmp_path, checkout):
    before = os.umask(0o077)
    try:
        environments = Environments(tmp_path / "environments", tmp_path / "tools")
        vendored(checkout)
        made = environments.prepare(checkout)
    finally:
        os.umask(before)

    assert inside(made, "import pytest, tinydep; print(tinydep.ANSWER)", checkout) == "42"


def test_tools_of_ours_come_last(environments, checkout):
    make_wheel(checkout / "vendor", "pytest", "0.1", "__version__ = 'their own'\n")
    (checkout / "requirements.txt").write_text("--no-index\n--find-links vendor\npytest==0.1\n")

    made = environments.prepare(checkout)

    assert inside(made, "import pytest; print(pytest.__version__)", checkout) == "their own"
    ours = importlib.metadata.version("coverage")
    assert inside(made, "import coverage; print(coverage.__version__)", checkout) == ours


def test_code_that_a_wheel_starts_with_python_does_not_run_outside(
    environments, checkout, tmp_path
):
    mark = tmp_path / "ran"
    wheel = make_wheel(checkout / "vendor", "tinydep", "1.0", "")
    import zipfile

    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("evil.pth", f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n")
    (checkout / "requirements.txt").write_text("--no-index\n--find-links vendor\ntinydep\n")

    made = environments.prepare(checkout)
    environments.prepare(checkout)

    assert made.trouble == ""
    assert not mark.exists()


def test_two_that_want_the_same_environment_make_it_once(environments, checkout):
    vendored(checkout)
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(environments.prepare(checkout)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(m.is_reused for m in made) == [False, True, True]


def test_overlay_makes_name_version_and_written_version_known(checkout, tmp_path):
    (checkout / "pyproject.toml").write_text(
        '[project]\nname = "my-shop"\nversion = "1.5"\nscripts.go = "shop:main"\n'
        '[tool.hatch.build.hooks.vcs]\nversion-file = "shop/_version.py"\n'
    )
    (checkout / "shop").mkdir()

    write_overlay(tmp_path / "overlay", checkout, read_project(checkout))

    (found,) = importlib.metadata.distributions(path=[str(tmp_path / "overlay")])
    assert (found.name, found.version) == ("my-shop", "1.5")
    assert [e.value for e in found.entry_points] == ["shop:main"]
    assert 'version = "1.5"' in (checkout / "shop" / "_version.py").read_text()
