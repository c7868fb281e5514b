from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.builders.docker import DockerBuilder, image_tag
from agentci_dagster.adapters.builders.docker_program import find_docker
from agentci_dagster.domain.diff import CommitDiff, CommitKey, FileKind
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import ImageKind
from tests.builders import file_change, key, sha
from tests.fakes.image import TreeMirror, TreeMirrors

PROGRAM = find_docker([f"{folder}/docker" for folder in os.environ["PATH"].split(":")])
needs_docker = [
    pytest.mark.docker,
    pytest.mark.skipif(bool(PROGRAM.trouble), reason=f"no image can be built: {PROGRAM.trouble}"),
]
BASE = "agentci-test-base:1"


def program(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


OLD = 'case "$1" in version) echo "20.10.1 20.10.1";; *) exit 1;; esac'
BARE = 'case "$1" in version) echo "20.10.1 28.2.2";; *) echo "no buildx" >&2; exit 1;; esac'
NEW = 'case "$1" in version|buildx) echo "28.2.2 28.2.2";; *) exit 1;; esac'
DEAD = 'echo "Cannot connect to the Docker daemon." >&2; exit 1'


@pytest.mark.parametrize("able", [OLD, NEW])
def test_the_first_program_that_can_build_is_used(able, tmp_path):
    candidates = [program(tmp_path, "dead", DEAD), program(tmp_path, "bare", BARE)]
    good = program(tmp_path, "good", able)

    assert find_docker([*candidates, good, "/never/asked"]).path == good


def test_every_program_s_trouble_is_said(tmp_path):
    candidates = [program(tmp_path, "dead", DEAD), program(tmp_path, "bare", BARE)]

    trouble = find_docker([*candidates, str(tmp_path / "none")]).trouble

    assert "dead: Cannot connect to the Docker daemon." in trouble
    assert "bare: buildx is missing" in trouble
    assert "was not found" in trouble
    assert find_docker([]).trouble == "there is no docker program on PATH"


def test_a_silent_daemon_is_said(tmp_path):
    assert "no daemon answers" in find_docker([program(tmp_path, "mute", "exit 1")]).trouble


@pytest.mark.parametrize(
    ("repository", "tag"), [("shop", "agentci/shop"), ("my__shop-", "agentci/my-shop")]
)
def test_tags_carry_the_full_sha(repository, tag):
    assert image_tag(CommitKey(repository, sha(1))) == f"{tag}:{sha(1)}"


def builder_over(files, folder, candidates=None, **more):
    mirror = TreeMirror({sha(n): tree for n, tree in files.items()})
    return mirror, DockerBuilder(folder, TreeMirrors(mirror), candidates, **more)


def build(mirror, builder, n, *changed):
    commit = mirror.commit(sha(n))
    return builder.build(key(n), CommitDiff(commit=commit, files=changed or (file_change(),)))


def test_without_a_daemon_it_is_ours(tmp_path):
    dead = program(tmp_path, "docker", DEAD)
    mirror, builder = builder_over({1: {"Dockerfile": "FROM scratch"}}, tmp_path / "d", [dead])

    with pytest.raises(InfrastructureError, match=r"Cannot connect.*Next: start Docker"):
        build(mirror, builder, 1)


def test_a_daemon_that_dies_in_the_middle_is_ours(tmp_path):
    dying = program(
        tmp_path,
        "docker",
        f"{OLD.replace('exit 1', 'echo error during connect: EOF >&2; exit 1')}",
    )
    mirror, builder = builder_over({1: {"Dockerfile": "FROM scratch"}}, tmp_path / "d", [dying])

    with pytest.raises(InfrastructureError, match="error during connect"):
        build(mirror, builder, 1)
    assert list((tmp_path / "d").iterdir()) == []


def test_a_dockerfile_counts_at_the_root_only(tmp_path):
    _, builder = builder_over({1: {"Dockerfile": ""}, 2: {"a/Dockerfile": ""}}, tmp_path)

    assert builder.has_dockerfile(key(1))
    assert not builder.has_dockerfile(key(2))


def test_without_a_dockerfile_and_a_lock_it_is_the_commit_s_fault(tmp_path):
    able = program(tmp_path, "docker", OLD)
    mirror, builder = builder_over({1: {"a.py": ""}}, tmp_path / "d", [able])

    assert "none can be written: it has no uv.lock" in build(mirror, builder, 1).failure


def test_a_tree_too_large_for_the_daemon_is_not_sent(tmp_path):
    able = program(tmp_path, "docker", OLD)
    tree = {"Dockerfile": "FROM scratch", "big": "x" * 3_000_000}
    mirror, builder = builder_over({1: tree}, tmp_path / "d", [able], max_context_bytes=2_000_000)

    assert build(mirror, builder, 1).failure == (
        "the tree has 3 MB; at most 2 MB are sent to the builder"
    )
    assert list((tmp_path / "d").iterdir()) == []


HANGS = 'case "$1" in version) test -e {0} && exit 1; echo "20.10.1 20.10.1";; build) {1} sleep 60;; esac'


def test_a_build_that_does_not_end_is_the_commit_s_fault(tmp_path):
    slow = program(tmp_path, "docker", HANGS.format(tmp_path / "dead", ""))
    mirror, builder = builder_over(
        {1: {"Dockerfile": "FROM scratch"}}, tmp_path / "d", [slow], timeout=timedelta(seconds=0.3)
    )

    assert "did not end within 0.3 s" in build(mirror, builder, 1).failure
    assert list((tmp_path / "d").iterdir()) == []


def test_a_daemon_that_hangs_in_the_middle_is_ours(tmp_path):
    dead = tmp_path / "dead"
    hanging = program(tmp_path, "docker", HANGS.format(dead, f"touch {dead};"))
    mirror, builder = builder_over(
        {1: {"Dockerfile": "FROM scratch"}},
        tmp_path / "d",
        [hanging],
        timeout=timedelta(seconds=0.5),
    )

    with pytest.raises(InfrastructureError, match="did not end within"):
        build(mirror, builder, 1)
    assert list((tmp_path / "d").iterdir()) == []


def test_a_full_disk_is_ours(tmp_path):
    class Full(TreeMirror):
        def export(self, sha, folder):
            super().export(sha, folder)
            raise OSError(28, "No space left on device")

    able = program(tmp_path, "docker", OLD)
    mirror = Full({sha(1): {"Dockerfile": "FROM scratch"}})
    builder = DockerBuilder(tmp_path / "d", TreeMirrors(mirror), [able])

    with pytest.raises(InfrastructureError, match=r"No space left.*free disk space"):
        build(mirror, builder, 1)
    assert list((tmp_path / "d").iterdir()) == []


def test_a_dockerfile_that_leads_out_of_the_tree_is_not_read(tmp_path):
    class Linked(TreeMirror):
        def export(self, sha, folder):
            (folder / "Dockerfile").symlink_to("/etc/passwd")

    able = program(
        tmp_path,
        "docker",
        'case "$1" in version) echo "20.10.1 20.10.1";; build) '
        'while [ "$1" != --file ]; do shift; done; cat "$2" >&2; exit 1;; esac',
    )
    mirror = Linked({sha(1): {"Dockerfile": "/etc/passwd"}})

    image = build(mirror, DockerBuilder(tmp_path / "d", TreeMirrors(mirror), [able]), 1)

    assert "root:" not in image.log_tail + image.failure


def docker(*arguments: str, data: bytes | None = None) -> str:
    argv = [PROGRAM.path, *arguments]
    done = subprocess.run(argv, input=data, capture_output=True, check=False, timeout=60)
    return done.stdout.decode()


def shell_as_tar() -> bytes:
    """A file system with nothing but this machine's shell and the libraries it needs."""
    linked = subprocess.run(["ldd", "/bin/sh"], capture_output=True, check=True, text=True).stdout
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for path in ["/bin/sh", *re.findall(r"(/\S+\.so\S*)", linked)]:
            member = tarfile.TarInfo(path.lstrip("/"))
            data = Path(path).read_bytes()
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return written.getvalue()


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    docker("import", "-", BASE, data=shell_as_tar())
    yield BASE
    docker("rmi", "--force", *(image_tag(key(n)) for n in range(1, 6)), BASE)


SERVICE = {
    "Dockerfile": f"FROM {BASE}\nCOPY lock /lock\nRUN echo $(read a < /lock; echo $a) > /env\n"
    "COPY app /app\n",
    "lock": "one\n",
    "app/main.py": "x = 1\n",
}


class TestRealBuilds:
    pytestmark = needs_docker

    def test_only_what_changed_is_built(self, base, tmp_path):
        # The lock is unique to this run, so that the daemon's cache of an earlier one does not answer.
        first_tree = SERVICE | {"lock": f"{os.getpid()}-{os.urandom(4).hex()}\n"}
        second_tree = first_tree | {"app/main.py": f"x = '{os.urandom(4).hex()}'\n"}
        mirror, builder = builder_over({1: first_tree, 2: second_tree}, tmp_path)
        first = build(mirror, builder, 1)

        second = build(mirror, builder, 2)

        assert (first.kind, first.failure, first.reference) == (
            ImageKind.DOCKER,
            "",
            f"agentci/shop:{sha(1)}",
        )
        assert [layer.is_reused for layer in first.layers[:3]] == [True, False, False]
        assert [layer.is_reused for layer in second.layers] == [True, True, True, False]
        assert second.layers[2].last_cost_s == first.layers[2].seconds > 0
        assert second.seconds_saved == sum(layer.seconds for layer in first.layers[:3])
        known = [layer.digest for layer in second.layers[1:]]
        assert known[:2] == [layer.digest for layer in first.layers[1:3]]
        assert all(digest.startswith("sha256:") for digest in known)
        assert second.layers[3].name == "COPY app /app"
        assert second.layers[3].size_bytes == len(second_tree["app/main.py"])
        assert second.layers[3].why == "application changed: shop/cart.py"

    def test_the_image_is_labelled_and_named_by_its_digest(self, base, tmp_path):
        mirror, builder = builder_over({3: SERVICE}, tmp_path)

        image = build(mirror, builder, 3)

        created = mirror.commit(sha(3)).committed_at.isoformat()
        template = (
            '{{.Id}} {{index .Config.Labels "org.opencontainers.image.revision"}}'
            ' {{index .Config.Labels "org.opencontainers.image.created"}}'
        )
        said = docker("image", "inspect", "--format", template, image.reference).split()
        assert said == [image.digest, sha(3), created]

    def test_building_twice_gives_the_same_image(self, base, tmp_path):
        mirror, builder = builder_over({4: SERVICE}, tmp_path)

        first, second = build(mirror, builder, 4), build(mirror, builder, 4)

        assert first.digest == second.digest
        assert all(layer.is_reused for layer in second.layers)

    def test_a_step_that_fails_is_the_commit_s_fault(self, base, tmp_path):
        broken = SERVICE | {"Dockerfile": f"FROM {BASE}\nRUN echo no such host; nothere\n"}
        mirror, builder = builder_over({5: broken}, tmp_path)

        image = build(mirror, builder, 5)

        assert image.failure.startswith("step 2/2 `RUN echo no such host; nothere` failed")
        assert "nothere: not found" in image.log_tail

    def test_a_dockerfile_that_is_none_is_the_commit_s_fault(self, tmp_path):
        mirror, builder = builder_over({5: {"Dockerfile": "FRM x\n"}}, tmp_path)

        changed = file_change("Dockerfile", kind=FileKind.CONTAINER)
        image = build(mirror, builder, 5, changed)

        assert "unknown instruction" in image.failure

    def test_the_build_is_told_while_it_runs(self, base, tmp_path):
        told = []
        mirror, builder = builder_over({5: SERVICE}, tmp_path, tell=told.append)

        build(mirror, builder, 5)

        assert any("COPY app /app" in line for line in told)
