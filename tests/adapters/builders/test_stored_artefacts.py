from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from agentci_dagster.adapters.builders.docker_program import DockerProgram
from agentci_dagster.adapters.builders.stored_artefacts import StoredArtefacts
from agentci_dagster.domain.image import ImageKind
from tests.builders import sha

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def aged(folder, at=LONG_AGO):
    os.utime(folder, (at.timestamp(), at.timestamp()))


@pytest.fixture
def home(tmp_path):
    for n, name in enumerate("ab"):
        environment = tmp_path / "environments" / (name * 64)
        (environment / "venv").mkdir(parents=True)
        bundle = tmp_path / "bundles" / "shop" / (str(n) * 64)
        (bundle / "app").mkdir(parents=True)
        (bundle / "env").symlink_to(environment / "venv")
        (tmp_path / "attestations" / (str(n) * 64)).mkdir(parents=True)
        aged(bundle)
        aged(environment)
    (tmp_path / "bundles" / "shop" / "environments").mkdir()
    (tmp_path / "bundles" / "shop" / ".new-1").mkdir()
    return tmp_path


def stored(home, docker=None):
    program = docker or DockerProgram("", "no daemon")
    folders = (home / name for name in ("bundles", "environments", "attestations"))
    return StoredArtefacts(*folders, lambda: program)


def test_bundles_are_found_by_their_digest_with_the_time_of_their_last_use(home):
    found = stored(home).artefacts()

    assert {a.digest for a in found} == {f"sha256:{str(n) * 64}" for n in (0, 1)}
    assert {(a.repository, a.kind, a.used_at) for a in found} == {
        ("shop", ImageKind.BUNDLE, LONG_AGO)
    }


def test_a_bundle_goes_with_its_statement_and_then_its_environment(home):
    store = stored(home)
    gone = next(a for a in store.artefacts() if a.digest == f"sha256:{'0' * 64}")

    assert store.remove_environments(NOW) == 0
    store.remove(gone)
    store.remove(gone)

    assert store.remove_environments(LONG_AGO - timedelta(days=1)) == 0
    assert store.remove_environments(NOW) == 1
    assert [p.name for p in (home / "environments").iterdir()] == ["b" * 64]
    assert [p.name for p in (home / "attestations").iterdir()] == ["1" * 64]
    assert [a.digest for a in store.artefacts()] == [f"sha256:{'1' * 64}"]


def test_images_are_ours_by_their_statement_and_removed_by_name(home):
    rows = [f"agentci/shop:{sha(1)} sha256:{'0' * 64}", f"agentci/shop:{sha(2)} sha256:{'9' * 64}"]
    rows += ["agentci/shop:latest sha256:" + "1" * 64]
    (home / "rows").write_text("\n".join(rows) + "\n")
    program = home / "docker"
    program.write_text(
        f'#!/bin/sh\ncase "$2" in ls) cat {home}/rows;; '
        f'rm) echo "$3" >> {home}/removed; : > {home}/rows;; esac\n'
    )
    program.chmod(0o755)
    store = stored(home, DockerProgram(str(program)))
    images = [a for a in store.artefacts() if a.kind is ImageKind.DOCKER]

    store.remove(images[0])

    assert [a.reference for a in images] == [f"agentci/shop:{sha(1)}"]
    assert (home / "removed").read_text().strip() == f"agentci/shop:{sha(1)}"
    assert [p.name for p in (home / "attestations").iterdir()] == ["1" * 64]


def test_an_image_that_the_daemon_keeps_keeps_its_statement(home):
    (home / "rows").write_text(f"agentci/shop:{sha(1)} sha256:{'0' * 64}\n")
    program = home / "docker"
    program.write_text(f'#!/bin/sh\ncase "$2" in ls) cat {home}/rows;; *) exit 1;; esac\n')
    program.chmod(0o755)
    store = stored(home, DockerProgram(str(program)))

    store.remove(next(a for a in store.artefacts() if a.kind is ImageKind.DOCKER))

    assert (home / "attestations" / ("0" * 64)).is_dir()
