from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest

from agentci_dagster.adapters.builders.attestations import (
    Attestations,
    AttestingBuilder,
    VerifyingRuntime,
)
from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.domain.errors import ArtefactChangedError, InfrastructureError
from agentci_dagster.domain.image import Image, ImageKind
from tests.builders import diff, key, sha
from tests.driving import SERVICE
from tests.fakes.image import FakeImageBuilder, TreeMirror, TreeMirrors

TREE = {"requirements.txt": "six==1.17.0\n", "Dockerfile": "FROM base:1\n"}


@pytest.fixture
def bundle(tmp_path):
    venv = tmp_path / "environments" / ("e" * 64) / "venv"
    venv.mkdir(parents=True)
    (venv / "six.py").write_text("x = 1\n")
    folder = tmp_path / "bundles" / "b"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("import six\n")
    (folder / "app" / "link").symlink_to("main.py")
    (folder / "env").symlink_to(venv)
    digest = hashlib.sha256(b"bundle").hexdigest()
    return Image(ImageKind.BUNDLE, str(folder), f"sha256:{digest}", (), 1.0, "")


def attestations(folder, program="/none"):
    mirrors = TreeMirrors(TreeMirror({sha(1): TREE}))
    return Attestations(folder / "attestations", mirrors, lambda: DockerProgram(program))


def attested(tmp_path, bundle):
    own = attestations(tmp_path)
    own.attest(key(1), bundle)
    return own


def test_what_was_built_is_verified(tmp_path, bundle):
    own = attested(tmp_path, bundle)

    own.verify(bundle)
    own.attest(key(1), bundle)

    (place,) = (p for p in (tmp_path / "attestations").iterdir() if p.name != "environments")
    statement = json.loads((place / "statement.json").read_text())
    used = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [m["name"] for m in used] == ["shop", "requirements.txt"]
    bill = json.loads((place / "sbom.cdx.json").read_text())
    assert [c["purl"] for c in bill["components"]] == ["pkg:pypi/six@1.17.0"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("bundles/b/app/main.py", "app/main.py has other bytes"),
        (f"environments/{'e' * 64}/venv/six.py", "six.py has other bytes"),
        ("attestations/*/statement.json", "the statement about it has been changed"),
        ("attestations/*/sbom.cdx.json", "another artefact or bill of materials"),
        ("attestations/*/files.json", "the list of its files has been changed"),
        ("attestations/environments/*.json", "the list of its files has been changed"),
    ],
)
def test_one_changed_byte_is_found(tmp_path, bundle, path, why):
    own = attested(tmp_path, bundle)
    (place,) = tmp_path.glob(path)
    text = place.read_text()
    place.write_text(text[:-1] + ("!" if text[-1] != "!" else "?"))

    with pytest.raises(ArtefactChangedError, match=why):
        own.verify(bundle)
    with pytest.raises(ArtefactChangedError, match="build the commit again"):
        own.attest(key(1), bundle)


def test_a_file_that_is_gone_or_new_code_is_found_but_not_what_a_service_writes(tmp_path, bundle):
    own = attested(tmp_path, bundle)
    app = tmp_path / "bundles" / "b" / "app"
    (app / "data.db").write_text("rows")
    own.verify(bundle)

    (app / "six.py").write_text("x = 2\n")
    with pytest.raises(ArtefactChangedError, match=r"app/six.py was not there"):
        own.verify(bundle)
    (app / "six.py").unlink()
    (app / "main.py").unlink()
    with pytest.raises(ArtefactChangedError, match=r"main.py cannot be read any more"):
        own.verify(bundle)


def test_what_has_no_statement_is_not_started(tmp_path, bundle):
    with pytest.raises(ArtefactChangedError, match=r"there is no .*statement.json"):
        attestations(tmp_path).verify(bundle)
    with pytest.raises(ArtefactChangedError, match="is no digest"):
        attestations(tmp_path).verify(Image(ImageKind.BUNDLE, "b", "../..", (), 1.0, ""))


def test_a_damaged_statement_is_said(tmp_path, bundle):
    own = attested(tmp_path, bundle)
    (place,) = tmp_path.glob("attestations/*/statement.json")
    place.write_text("{}")
    place.with_name("statement.sha256").write_text(hashlib.sha256(b"{}").hexdigest())

    with pytest.raises(ArtefactChangedError, match="no in-toto statement"):
        own.verify(bundle)


def test_an_image_is_what_the_daemon_has_under_its_name(tmp_path):
    answer = tmp_path / "answer"
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\ncat {answer}\n")
    program.chmod(0o755)
    image = Image(ImageKind.DOCKER, "agentci/shop:1", f"sha256:{'d' * 64}", (), 1.0, "")
    answer.write_text(image.digest)
    own = attestations(tmp_path, str(program))

    own.attest(key(1), image)
    own.verify(image)

    statement = next(tmp_path.glob("attestations/*/statement.json")).read_text()
    assert '"name": "base:1"' in statement
    answer.write_text(f"sha256:{'e' * 64}")
    with pytest.raises(ArtefactChangedError, match="its digest is sha256:eee"):
        own.verify(image)


def test_a_statement_that_cannot_be_written_leaves_nothing(tmp_path, bundle):
    (tmp_path / "attestations").write_text("a file")

    with pytest.raises(InfrastructureError, match="could not be written"):
        attestations(tmp_path).attest(key(1), bundle)


def test_only_what_can_ship_is_attested(tmp_path):
    seen = []

    class Seeing:
        def attest(self, key, image):
            seen.append(key)

    fake = FakeImageBuilder(failures={sha(2): "broken"})
    builder = AttestingBuilder(fake, Seeing())

    assert builder.build(key(1), diff()).failure == ""
    assert builder.build(key(2), diff()).failure == "broken"
    assert seen == [key(1)]


class Untouched:
    """A runtime in which nothing may be started."""

    def __getattr__(self, name):
        if name in {"migrate", "start"}:
            raise AssertionError(name)
        return name


def test_nothing_is_started_from_a_changed_artefact(tmp_path, bundle):
    own = attested(tmp_path, bundle)
    (tmp_path / "bundles" / "b" / "app" / "main.py").write_text("import evil\n")
    runtime = VerifyingRuntime(Untouched(), own.verify)

    with pytest.raises(ArtefactChangedError):
        runtime.start(SERVICE, bundle, "r", key(1))
    with pytest.raises(ArtefactChangedError):
        runtime.migrate(SERVICE, bundle, timedelta(seconds=1))
    assert runtime.releases == "releases"
