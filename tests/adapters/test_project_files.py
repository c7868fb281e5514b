"""What a project's files say of it, read without running any of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentci_dagster.adapters.project_files import read_inside, read_project


@pytest.fixture
def project(tmp_path):
    def read(files=None, **named):
        named = {name.replace("_dot_", "."): text for name, text in named.items()}
        for name, text in ((files or {}) | named).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_project(tmp_path)

    return read


def test_empty_folder_asks_for_nothing(project):
    found = project()

    assert (found.name, found.requirements, found.import_roots) == ("", (), ("",))


def test_pyproject_gives_dependencies_test_extras_and_groups(project):
    found = project(
        pyproject_dot_toml="""
[project]
name = "shop"
version = "1.2"
dependencies = ["flask>=3", "evil @ https://example.org/x.whl"]
scripts.shop = "shop.cli:main"
entry-points.pytest11.shop = "shop.plugin"
[project.optional-dependencies]
tests = ["responses", "shop[extra]"]
extra = ["rich"]
docs = ["sphinx"]
[dependency-groups]
test = ["faker", {include-group = "deep"}]
deep = ["freezegun"]
dev = ["ruff"]
"""
    )

    assert (found.name, found.version) == ("shop", "1.2")
    assert found.requirements == ("flask>=3",)
    assert found.test_requirements == ("responses", "rich", "faker", "freezegun")
    assert found.entry_points == {
        "console_scripts": {"shop": "shop.cli:main"},
        "pytest11": {"shop": "shop.plugin"},
    }


def test_groups_for_developers_are_taken_when_nothing_names_tests(project):
    text = '[project]\nname="a"\n[dependency-groups]\ndev=["ruff", {include-group="dev"}]\n'

    assert project(pyproject_dot_toml=text).test_requirements == ("ruff",)


def test_requirement_files_are_followed_inside_the_checkout_only(project):
    found = project(
        requirements_dot_txt="-r more.txt\n-r ../../etc/passwd\n-e .[test]\nflask==3.0 # why\n"
        "git+https://example.org/x\n./local\n--find-links wheels\n--no-index\n"
        "--extra-index-url http://insecure.example\n--trusted-host x\n",
        more_dot_txt="rich==13 \\\n  --hash=sha256:00\n",
        files={"wheels/x.txt": ""},
    )

    assert found.requirements == ("rich==13 --hash=sha256:00", "flask==3.0")
    assert found.options == ("--find-links wheels", "--no-index")
    assert any("git+https" in note for note in found.notes)
    assert any("./local" in note for note in found.notes)


def test_links_that_lead_out_are_not_read(tmp_path, project):
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("flask")
    (tmp_path / "requirements.txt").symlink_to(outside)

    assert project().requirements == ()
    assert read_inside(tmp_path, "../outside.txt") is None
    assert read_inside(tmp_path, "none") is None
    assert read_inside(tmp_path, ".") is None


def test_lock_gives_exact_versions_of_what_an_index_has(project):
    found = project(
        pyproject_dot_toml='[project]\nname="shop"\ndependencies=["a"]\n',
        uv_dot_lock="""
[[package]]
name = "a"
version = "1.0"
source = {registry = "x"}
[[package]]
name = "shop"
version = "0.1"
source = {editable = "."}
[[package]]
name = "two"
version = "1.0"
[[package]]
name = "two"
version = "2.0"
""",
    )

    assert found.constraints == ("a==1.0",)


def test_poetry_ranges_become_plain_ones(project):
    found = project(
        pyproject_dot_toml="""
[tool.poetry]
name = "shop"
version = "0.3"
packages = [{include = "shop", from = "lib"}]
[tool.poetry.dependencies]
python = "^3.11"
a = "^1.2.3"
b = "~1.2"
c = "*"
d = {version = "^0.4", extras = ["x"]}
e = {git = "https://example.org"}
f = "1.0"
[tool.poetry.group.test.dependencies]
g = ">=2,<3"
""",
        files={"lib/shop/__init__.py": ""},
    )

    assert found.requirements == ("a<2,>=1.2.3", "b~=1.2", "c", "d[x]<0.5,>=0.4", "f==1.0")
    assert found.test_requirements == ("g<3,>=2",)


def test_setup_files_are_read_and_never_run(project, tmp_path):
    found = project(
        setup_dot_py="open('ran', 'w')\nNEED = ['a']\nfrom setuptools import setup\n"
        "setup(name='shop', version='2.0', install_requires=NEED, extras_require={'test': ['b']},\n"
        "      package_dir={'': 'source'}, cmdclass=make())\n",
        files={"source/shop/__init__.py": ""},
    )

    assert (found.name, found.version) == ("shop", "2.0")
    assert (found.requirements, found.test_requirements) == (("a",), ("b",))
    assert found.import_roots == ("source",)
    assert not (tmp_path / "ran").exists()


def test_setup_cfg_is_read(project):
    found = project(
        setup_dot_cfg="[metadata]\nname = shop\nversion = attr: shop.v\n[options]\n"
        "install_requires =\n  a\n  b>1\n[options.extras_require]\ntest = c\n",
        files={"shop/__init__.py": "__version__ = '4.5'\n"},
    )

    assert (found.requirements, found.test_requirements) == (("a", "b>1"), ("c",))
    assert found.version == "4.5"


@pytest.mark.parametrize("name", ["pyproject_dot_toml", "setup_dot_cfg", "uv_dot_lock"])
def test_file_that_cannot_be_read_is_said_not_raised(project, name):
    assert project(**{name: "[[[\0"}).notes


def test_setup_that_is_no_python_is_passed_over(project):
    assert project(setup_dot_py="setup(").name == ""


def test_import_roots_are_found_by_looking(project):
    found = project({"src/shop/__init__.py": "", "tests/test_a.py": "", "setup.py": ""})

    assert found.import_roots == ("src",)


def test_version_files_of_builds_are_known(project):
    text = '[tool.hatch.build.hooks.vcs]\nversion-file = "src/a/_version.py"\n'
    text += '[tool.setuptools_scm]\nwrite_to = "../../out.py"\n'

    assert project(pyproject_dot_toml=text).version_files == ("src/a/_version.py",)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["./tests", "more/"]\n'},
        {"pyproject.toml": '[tool.pytest]\ntestpaths = ["tests", "more"]\n'},
        {"pytest.toml": '[pytest]\ntestpaths = ["tests", "more"]\n'},
        {"pytest.ini": "[pytest]\ntestpaths = tests more\n"},
        {"tox.ini": "[pytest]\ntestpaths = tests\n  more\n"},
        {"setup.cfg": "[tool:pytest]\ntestpaths = tests more\n"},
    ],
    ids=["ini options", "pyproject", "pytest.toml", "pytest.ini", "tox.ini", "setup.cfg"],
)
def test_places_of_tests_are_read_where_pytest_reads_them(project, files):
    assert project(files).test_paths == ("tests", "more")


def test_first_file_that_configures_pytest_decides(project):
    files = {"pytest.ini": "", "tox.ini": "[pytest]\ntestpaths = tests\n"}

    assert project(files).test_paths == ()
    assert project({"pytest.ini": "no section\n"}).test_paths == ()


def test_of_several_locked_versions_the_one_for_this_python_is_taken(project):
    lock = """
[[package]]
name = "pytest"
version = "8.4.2"
source = { registry = "https://example.org/simple" }
resolution-markers = ["python_full_version < '3.4'"]
[[package]]
name = "pytest"
version = "9.0.2"
source = { registry = "https://example.org/simple" }
resolution-markers = ["python_full_version >= '4'", "python_full_version >= '3.4'"]
[[package]]
name = "odd"
version = "1.0"
source = { registry = "https://example.org/simple" }
resolution-markers = ["what?"]
"""

    assert project({"uv.lock": lock}).constraints == ("odd==1.0", "pytest==9.0.2")


HIDDEN = {
    "pyproject": '[project]\nname="x"\nversion="1"\ndependencies=["six\\n--no-binary six", "a"]\n',
    "editable": '[project]\nname="x"\nversion="1"\ndependencies=["six\\r-e /path/to/evil", "a"]\n',
    "poetry key": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\n'
    '"six\\n--no-binary six" = "*"\na = "*"\n',
    "poetry marker": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\na = "*"\n'
    "six = {version='*', markers=\"python_version>'3'\\n--no-binary six\"}\n",
    "poetry extra": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\na = "*"\n'
    'six = {version="*", extras=["b]\\n--index-url http://evil/ #"]}\n',
    "poetry version": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\na = "*"\n'
    'six = "==1\\n--no-binary six"\n',
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_an_option_behind_a_line_break_is_left_out_and_said(project, text):
    found = project(pyproject_dot_toml=text)

    assert found.requirements == ("a",)
    assert any("six" in note and "left out" in note for note in found.notes)


def test_groups_and_extras_for_tests_hide_no_options_either(project):
    text = '[project]\nname="x"\noptional-dependencies.test=["a\\n-e .", "b"]\n'
    text += '[dependency-groups]\ntest=["six\\n--no-binary six", "c"]\n'

    assert project(pyproject_dot_toml=text).test_requirements == ("b", "c")


def test_of_a_requirements_line_only_the_package_and_its_hashes_are_kept(project):
    found = project(
        requirements_dot_txt="six==1 --no-binary six --hash=sha256:00 -e /evil\n"
        "a===1\\\nb===--no-binary\nc ; platform_version == '${HOME}'\nd @ file:///evil\n"
        "e\x0b--no-binary e\n--find-links a\0b\ng===x\\\n"
    )

    assert found.requirements == ("six==1 --hash=sha256:00", "e", "g===x")
    assert found.options == ()


def test_a_project_cannot_be_made_with_a_line_that_is_not_plain(project):
    found = project()

    for line in ("six\n--no-binary six", "six --no-binary six", "-e .", "six @ file:///evil"):
        with pytest.raises(ValueError, match="left out"):
            replace(found, requirements=(line,))
    with pytest.raises(ValueError, match="not one line"):
        replace(found, options=("--find-links a\nb",))
