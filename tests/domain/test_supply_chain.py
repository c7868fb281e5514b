from __future__ import annotations

import json

import pytest

from agentci_dagster.domain.image.supply_chain import (
    Component,
    Material,
    locked_components,
    sbom_of,
    sha256_of,
    statement_of,
    subjects_of,
)
from tests.builders import commit

UV = """[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
[[package]]
name = "Typing_Extensions"
version = "4.1"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "unversioned"
"""
NPM = json.dumps(
    {
        "packages": {
            "": {"version": "1"},
            "node_modules/a/node_modules/@s/b": {"version": "2"},
            "packages/own": {},
        }
    }
)


@pytest.mark.parametrize(
    ("path", "text", "components"),
    [
        ("uv.lock", UV, [Component("pypi", "typing-extensions", "4.1")]),
        ("package-lock.json", NPM, [Component("npm", "@s/b", "2")]),
        ("requirements.txt", "six==1.17.0  # x\na[b]==2\nc>=1\n", ["six", "a"]),
        ("uv.lock", "[", []),
        ("package-lock.json", "[]", []),
    ],
)
def test_components_are_those_that_the_locks_name(path, text, components):
    found = locked_components({path: text})

    wanted = {c if isinstance(c, str) else c.name for c in components}
    assert {c.name for c in found} == wanted
    assert found == tuple(sorted(found))


def test_the_bill_of_materials_names_each_component_by_its_address():
    parts = [Component("pypi", "six", "1.17.0"), Component("npm", "@s/b", "2")]

    text = sbom_of(commit(1), "sha256:1", parts)

    told = json.loads(text)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    assert [c["purl"] for c in told["components"]] == ["pkg:pypi/six@1.17.0", "pkg:npm/%40s/b@2"]
    assert text == sbom_of(commit(1), "sha256:1", parts)
    assert text != sbom_of(commit(1), "sha256:2", parts)


def test_the_statement_names_what_was_used_and_what_came_of_it():
    text = statement_of(
        commit(1),
        [Material("artefact", {"sha256": "a"})],
        [Material("uv.lock", {"sha256": "b"})],
        {"kind": "bundle"},
    )

    told = json.loads(text)
    definition = told["predicate"]["buildDefinition"]
    assert subjects_of(text) == {"artefact": "a"}
    assert definition["externalParameters"] == {"kind": "bundle"}
    source, lock = definition["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": commit(1).key.sha, "gitTree": commit(1).tree}
    assert lock == {"name": "uv.lock", "digest": {"sha256": "b"}}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"subject": [{"name": "a"}]}'])
def test_what_is_no_statement_is_said(text):
    with pytest.raises(ValueError, match=r"Expecting|no in-toto statement"):
        subjects_of(text)


def test_digests_are_those_of_the_bytes():
    assert sha256_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
