from __future__ import annotations

import json

import pytest

from agentci_dagster.domain.image import (
    ImageWish,
    Recipe,
    Toolchain,
    dockerfile_of,
    parse_dockerfile,
    read_for_recipe,
    recipe_of,
)

SERVICE = ImageWish("", ("{python}", "-m", "shop", "--port", "{port}"), "/healthz")
UV = """version = 1
requires-python = ">=3.11"
[[package]]
name = "shop"
source = { virtual = "." }
[[package]]
name = "six"
source = { registry = "https://pypi.org/simple" }
"""
NPM = json.dumps({"packages": {"": {"name": "shop"}, "node_modules/a": {"version": "1"}}})


def answer(texts, wish=SERVICE, *more):
    return recipe_of([*texts, *more], texts, wish)


def written(texts, wish=SERVICE, *more):
    found = answer(texts, wish, *more)
    assert found.recipe is not None, found.why_none
    return dockerfile_of(found.recipe)


@pytest.mark.parametrize(
    ("texts", "lock", "base"),
    [
        ({"uv.lock": UV, "pyproject.toml": ""}, "uv.lock", "python:3.12-slim"),
        ({"requirements.txt": "six==1"}, "requirements.txt", "python:3.12-slim"),
        (
            {"requirements.lock": "", "requirements.txt": "", ".python-version": "3.11.4\n"},
            "requirements.lock",
            "python:3.11-slim",
        ),
        ({"package-lock.json": NPM, "package.json": "{}"}, "package-lock.json", "node:22-slim"),
    ],
)
def test_the_lock_alone_decides_about_dependencies(texts, lock, base):
    dependencies, application, final = parse_dockerfile(written(texts)).stages

    assert {stage.base for stage in (dependencies, application, final)} == {base}
    assert len(dependencies.instructions) == 2
    install = dependencies.instructions[1]
    assert [flag for flag in install.flags.split() if "type=bind" in flag] == [
        f"--mount=type=bind,source={lock},target=/build/{lock}"
    ]
    assert "--mount=type=cache" in install.flags
    copies = [i for i in final.instructions if i.keyword == "COPY"]
    assert [i.flags.strip() for i in copies] == ["--from=dependencies", "--from=application"]


@pytest.mark.parametrize(
    ("texts", "program"), [({"uv.lock": UV}, "python3"), ({"package-lock.json": NPM}, "node")]
)
def test_the_service_runs_as_nobody_and_is_asked_for_its_health(texts, program):
    final = parse_dockerfile(written(texts)).stages[-1]

    said = {i.keyword: i.arguments for i in final.instructions}
    assert said["USER"] == "10001:10001"
    assert said["EXPOSE"] == "8000"
    assert said["CMD"] == json.dumps([program, "-m", "shop", "--port", "8000"])
    assert said["HEALTHCHECK"].endswith('"http://127.0.0.1:8000/healthz"]')


def test_a_library_has_no_command_and_a_service_may_have_no_health_path():
    library = written({"requirements.txt": ""}, ImageWish("own:1"))
    silent = written({"requirements.txt": ""}, ImageWish("own:1", ("run",)))

    assert "CMD" not in library
    assert "FROM own:1 AS dependencies" in library
    assert "HEALTHCHECK" not in silent
    assert 'CMD ["run"]' in silent


def test_sources_below_src_can_be_imported():
    assert "PYTHONPATH=/app/src:/app\n" in written({"uv.lock": UV}, SERVICE, "src/shop/app.py")
    assert "PYTHONPATH=/app\n" in written({"uv.lock": UV}, SERVICE)


def test_a_project_is_written_anew_from_its_lock():
    text = written({"uv.lock": UV})

    assert 'name = "shop"' in text
    assert 'requires-python = ">=3.11"' in text
    assert "requires-python" not in written({"uv.lock": UV.replace(">=3.11", "$(x)")})


def test_what_a_lock_refers_to_is_brought_along():
    texts = {
        "requirements.txt": "-r more/base.txt\n--find-links ./vendor\n-f https://x.y/z\n-c c.txt\n",
        "more/base.txt": "-c ../c.txt\n",
        "c.txt": "-r requirements.txt",
    }
    found = answer({**texts, "more/base.txt": "six"}, SERVICE, "vendor/six.whl")

    assert found.recipe is not None
    assert found.recipe.read_beside == ("c.txt", "more/base.txt", "vendor")
    local = UV.replace("https://pypi.org/simple", "wheels")
    assert "source=wheels,target=/build/wheels" in written({"uv.lock": local}, SERVICE, "wheels/a")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ({"setup.py": ""}, "it has no uv.lock"),
        ({"uv.lock": "["}, "Invalid"),
        ({"uv.lock": "version = 1"}, "does not name its own project"),
        ({"uv.lock": UV.replace('"."', '"packages/a"')}, "needs the folder packages/a"),
        ({"uv.lock": UV.replace('"shop"', '"x\'; rm"')}, "not the name of a project"),
        ({"uv.lock": UV.replace("https://pypi.org/simple", "gone")}, "'gone', which is not"),
        ({"requirements.txt": "-r ../../etc/passwd"}, "which is not in the tree"),
        ({"requirements.txt": "--find-links a,target=/"}, "which is not in the tree"),
        ({"package-lock.json": "{"}, "Expecting"),
        ({"package-lock.json": "[]"}, "older than npm 7"),
        ({"package-lock.json": '{"packages": {"": {}, "a": {"link": true}}}'}, "to be linked"),
    ],
)
def test_where_none_can_be_written_the_reason_is_said(texts, why):
    found = answer(texts)

    assert found.recipe is None
    assert why in found.why_none


@pytest.mark.parametrize("changes", [{"base": "a\nRUN b"}, {"lock": "a b"}, {"project": "a'b"}])
def test_nothing_of_a_commit_becomes_an_instruction(changes):
    with pytest.raises(ValueError, match="not "):
        Recipe(**({"toolchain": Toolchain.UV, "base": "b", "lock": "l"} | changes))


def test_only_small_files_that_decide_are_read():
    files = [
        "uv.lock",
        "requirements/base.txt",
        "a/b.txt",
        "x.py",
        "package.json",
        "constraints.txt",
    ]

    assert read_for_recipe(files) == (
        "uv.lock",
        "requirements/base.txt",
        "a/b.txt",
        "constraints.txt",
    )
