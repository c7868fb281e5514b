"""`image`: built unless nothing ships, probed for its schema, told layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentci_dagster.assets.image import image
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.image import ImageKind, SchemaFinding
from agentci_dagster.domain.routing import Route
from tests.assets.test_generated_tests import score
from tests.domain.test_gates import REPORT
from tests.fakes.image import FakeImageBuilder
from tests.house import House, house, metadata


@pytest.fixture
def world(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as world:
        yield world


def built(world: House, commit: CommitKey, route: Route = Route.FAST) -> Any:
    diff = world.mirror.diff(commit.sha)
    return image(
        diff,
        score(commit, route),
        REPORT,
        builder=world.builder,
        schema_probe=world.schema_probe,
        mirrors=world.mirrors,
        journeys=world.journeys,
    )


def test_layers_are_told_with_what_was_reused(world: House) -> None:
    built(world, world.push())

    made = built(world, world.push())

    told = metadata(made)
    assert (told["kind"], told["seconds_saved"], told["failure"]) == ("bundle", 5.0, "none")
    assert told["schema_findings"] == "none"
    rows = [record.data for record in dict(made.metadata)["layers"].records]
    assert [(row["layer"], row["reused"]) for row in rows] == [
        ("environment", True),
        ("application", False),
    ]


def test_dockerfile_is_reviewed_with_a_patch_and_its_gain(world: House) -> None:
    naive = b"FROM python:3.12\nCOPY . .\nRUN pip install -r requirements.txt\n"
    world.push(files={"Dockerfile": naive, "requirements.txt": b"a\n"})

    made = built(world, world.push())

    told = metadata(made)
    assert "so every commit installs them anew" in told["dockerfile_advice"]
    assert "+COPY requirements.txt ./" in told["dockerfile_proposal"]
    assert told["dockerfile_gain"].startswith("2 of the last 3 commits")
    assert made.value.review is not None
    plain = metadata(built(world, world.push(files={"Dockerfile": None})))
    assert "dockerfile_advice" not in plain


def test_dockerfile_without_a_better_order_says_why(world: House) -> None:
    text = b"FROM a\nCOPY . .\nRUN pip install flask\n"

    told = metadata(built(world, world.push(files={"Dockerfile": text})))

    assert "not told by a file" in told["dockerfile_proposal"]


def test_skipped_commit_builds_nothing(world: House) -> None:
    made = built(world, world.push(files={"README.md": b"words"}), Route.SKIP)

    assert made.value.kind is ImageKind.NONE
    assert world.builder.built == []
    assert dict(made.metadata)["layers"].records == []


def test_findings_of_the_schema_are_part_of_the_image(world: House) -> None:
    commit = world.push()
    finding = SchemaFinding("cart.py", 3, "SELECT age", "no column <b>age</b>")
    world.schema_probe.by_sha = {commit.sha: (finding,)}

    made = built(world, commit)

    assert made.value.schema_findings == (finding,)
    assert metadata(made)["schema_findings"] == "- cart.py:3: no column &lt;b>age&lt;/b>"


def test_changes_since_the_last_version_that_passed_are_asked_too(world: House) -> None:
    good, bad, never_built, child = (
        world.push(files={name: b"x = 1\n"}) for name in ("a.py", "b.py", "c.py", "d.py")
    )
    world.schema_probe.by_sha = {bad.sha: (SchemaFinding("b.py", 3, "SELECT age", "no age"),)}
    for commit in (good, bad):
        world.values.store("image", built(world, commit).value, commit)

    built(world, child)

    assert [f.path for f in world.schema_probe.asked[-1].files] == ["d.py", "c.py", "b.py"]
    assert [f.path for f in world.schema_probe.asked[-2].files] == ["b.py"]
    assert never_built.sha


def test_versions_that_nobody_built_are_not_asked(world: House) -> None:
    world.push(files={"a.py": b"x = 1\n"})

    built(world, world.push(files={"b.py": b"x = 1\n"}))

    assert [f.path for f in world.schema_probe.asked[-1].files] == ["b.py"]


def test_failed_build_is_a_value(world: House) -> None:
    commit = world.push()
    world.builder = FakeImageBuilder(failures={commit.sha: "no such\x1b[31m package"})

    made = built(world, commit)

    assert made.value.failure
    assert metadata(made)["failure"] == "no such package"
