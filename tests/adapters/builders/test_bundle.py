from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentci_dagster.adapters.builders.bundle import Blame, BundleBuilder, blame
from agentci_dagster.adapters.environments import Environments
from agentci_dagster.adapters.project_files import Project, read_project
from agentci_dagster.adapters.runtimes.process import ProcessRuntime
from agentci_dagster.demo.vendored import lock, wheel, wheel_name
from agentci_dagster.domain.diff import CommitDiff, FileKind
from agentci_dagster.domain.errors import InfrastructureError
from agentci_dagster.domain.image import ImageKind
from agentci_dagster.ports import ImageBuilder, ServicePlan
from tests.builders import NOON, file_change, key, sha
from tests.fakes.image import FakeImageBuilder, TreeMirror, TreeMirrors
from tests.waiting import eventually

APP = {"shop/__init__.py": "x = 1\n", "README.md": "shop\n", "requirements.lock": "a"}
UNSOLVABLE = "uv failed: × No solution found. Nothing was installed; mend the requirements."


@dataclass
class PlainEnvironment:
    python: Path
    digest: str
    is_reused: bool
    project: Project
    seconds: float = 0.01
    build_seconds: float = 2.5
    import_roots: tuple[str, ...] = ("",)
    trouble: str = ""


@dataclass
class PlainEnvironments:
    """Environments keyed by the text of the lock, made of one empty file each."""

    folder: Path
    troubles: dict[str, str] = field(default_factory=dict)
    """By the lock's text."""

    def prepare(self, checkout: Path) -> PlainEnvironment:
        text = (checkout / "requirements.lock").read_text()
        digest = f"env-{text.strip()}"
        python = self.folder / digest / "venv" / "bin" / "python"
        is_reused = python.exists()
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text("#!/bin/sh\n")
        project = read_project(checkout)
        trouble = self.troubles.get(text, "")
        return PlainEnvironment(python, digest, is_reused, project, trouble=trouble)


@dataclass
class Yard:
    """A builder with all that it stands on."""

    mirror: TreeMirror
    environments: PlainEnvironments
    folder: Path
    builder: BundleBuilder

    def build(self, n, files=None, *changed):
        self.mirror.trees.setdefault(sha(n), APP | (files or {}))
        return self.builder.build(key(n), self.diff(n, *changed))

    def diff(self, n, *changed):
        return _diff(self.mirror.commit(sha(n)), changed)


def _diff(commit, changed):
    return CommitDiff(commit=commit, files=tuple(changed) or (file_change(),))


@pytest.fixture
def yard(tmp_path) -> Yard:
    mirror = TreeMirror()
    environments = PlainEnvironments(tmp_path / "environments")
    folder = tmp_path / "bundles"
    builder = BundleBuilder(folder, TreeMirrors(mirror), environments)
    return Yard(mirror, environments, folder, builder)


@pytest.fixture(params=["bundle", "fake"])
def contract(request, yard) -> tuple[ImageBuilder, Yard]:
    """The real builder or the fake, over three commits: two of one tree, and one whose build fails."""
    for n, files in ((1, {}), (2, {}), (3, {"requirements.lock": "bad"})):
        yard.mirror.trees[sha(n)] = APP | files
    yard.environments.troubles["bad"] = UNSOLVABLE
    if request.param == "bundle":
        return yard.builder, yard
    return FakeImageBuilder(failures={sha(3): "No solution found"}), yard


def test_contract_a_build_names_its_layers(contract):
    builder, yard = contract

    image = builder.build(key(1), yard.diff(1))

    assert image.kind is ImageKind.BUNDLE
    assert [layer.name for layer in image.layers] == ["environment", "application"]
    assert not any(layer.is_reused for layer in image.layers)
    assert image.failure == ""
    assert image.seconds_saved == 0


def test_contract_the_same_tree_gives_the_same_artefact_and_saves_time(contract):
    builder, yard = contract
    first = builder.build(key(1), yard.diff(1))

    second = builder.build(key(2), yard.diff(2))

    assert (second.reference, second.digest) == (first.reference, first.digest)
    assert all(layer.is_reused for layer in second.layers)
    assert second.seconds_saved == sum(layer.last_cost_s for layer in first.layers) > 0


def test_contract_a_failed_build_is_a_value(contract):
    builder, yard = contract

    image = builder.build(key(3), yard.diff(3))

    assert "No solution found" in image.failure
    assert "No solution found" in image.log_tail
    assert (image.reference, image.digest, image.layers) == ("", "", ())


def test_a_bundle_has_the_tree_the_environment_and_a_manifest(yard):
    image = yard.build(1)

    home = Path(image.reference)
    manifest = json.loads((home / "bundle.json").read_text())
    assert home.parent == yard.folder / "shop"
    assert (home / "app" / "README.md").read_text() == "shop\n"
    assert (home / "env" / "bin" / "python").read_text() == "#!/bin/sh\n"
    assert image.digest == f"sha256:{home.name}"
    assert manifest["sha"] == sha(1)
    assert manifest["created"] == yard.mirror.commit(sha(1)).committed_at.isoformat()
    assert manifest["created"] > NOON.isoformat()
    assert [layer["name"] for layer in manifest["layers"]] == ["environment", "application"]


def test_a_bundle_has_what_installing_the_project_would_have_added(yard):
    about = '[project]\nname = "shop"\nversion = "1.5"\ndependencies = ["a @ file:///evil"]\n'
    about += '[tool.setuptools_scm]\nversion_file = "shop/_version.py"\n'

    image = yard.build(1, {"pyproject.toml": about, "requirements.lock": "a @ file:///b"})

    home = Path(image.reference)
    (found,) = importlib.metadata.distributions(path=[str(home / "overlay")])
    assert (found.name, found.version) == ("shop", "1.5")
    assert 'version = "1.5"' in (home / "app" / "shop" / "_version.py").read_text()
    assert "left out" in image.note


def test_sources_are_compiled_once_and_broken_ones_left(yard):
    image = yard.build(1, {"shop/broken.py": "def ("})

    cached = Path(image.reference) / "app" / "shop" / "__pycache__"
    assert [path.name.split(".")[0] for path in cached.iterdir()] == ["__init__"]


def test_application_change_reuses_the_environment(yard):
    yard.build(1)

    environment, application = yard.build(2, {"shop/cart.py": "y = 2\n"}).layers

    assert (environment.is_reused, application.is_reused) == (True, False)
    assert environment.saved_s == 2.5
    assert application.why == "changed: shop/cart.py"


def test_lock_change_makes_a_new_environment(yard):
    yard.build(1)
    changed = file_change("requirements.lock", kind=FileKind.DEPENDENCY)

    environment, application = yard.build(2, {"requirements.lock": "b"}, changed).layers

    assert (environment.is_reused, environment.why) == (False, "changed: requirements.lock")
    assert not application.is_reused


def test_an_environment_made_for_the_tests_counts_for_the_commit_that_asked(yard):
    (yard.folder / "seen").mkdir(parents=True)
    (yard.folder / "seen" / "requirements.lock").write_text("a")
    yard.environments.prepare(yard.folder / "seen")

    environment = yard.build(1).layers[0]

    assert (environment.is_reused, environment.seconds) == (False, 2.5)
    assert environment.why.endswith("built when its tests were prepared")
    assert yard.build(2, {"a.py": ""}).layers[0].saved_s == 2.5


def test_the_environment_decides_the_digest_too(yard, tmp_path):
    first = yard.build(1)
    other = BundleBuilder(tmp_path / "other", TreeMirrors(yard.mirror), OneEnvironment(tmp_path))

    assert other.build(key(1), yard.diff(1)).digest != first.digest


class OneEnvironment:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, checkout: Path) -> PlainEnvironment:
        python = self.folder / "v" / "bin" / "python"
        return PlainEnvironment(python, "other", is_reused=True, project=read_project(checkout))


def test_a_registry_out_of_reach_is_ours(yard):
    yard.environments.troubles["a"] = "uv failed: error: Failed to fetch: connection refused"

    with pytest.raises(InfrastructureError, match=r"shop@0.*could not be made.*Next: look at"):
        yard.build(1)

    assert [path for path in (yard.folder / "shop").iterdir() if path.name != "environments"] == []


def test_a_library_ships_with_a_note(yard, tmp_path):
    yard.environments.troubles["a"] = UNSOLVABLE
    library = BundleBuilder(
        tmp_path / "libraries",
        TreeMirrors(yard.mirror),
        yard.environments,
        is_service=lambda _: False,
    )
    yard.mirror.trees[sha(1)] = APP

    image = library.build(key(1), yard.diff(1))

    assert image.failure == ""
    assert image.note.startswith("The environment lacks something: uv failed")


@pytest.mark.parametrize(
    ("trouble", "whose"),
    [
        ("", Blame.NOBODY),
        ("uv failed: no pytest. Left out: what the tests need.", Blame.NOBODY),
        (UNSOLVABLE, Blame.COMMIT),
        ("uv failed: Hash mismatch for `shoptax==1.0.0`", Blame.COMMIT),
        ("uv failed: … Installed without the versions of the lock.", Blame.COMMIT),
        ("uv failed: error sending request for url", Blame.MACHINE),
        ("uv failed: dns error: failed to lookup", Blame.MACHINE),
        ("uv failed: HTTP status server error (503 Service Unavailable)", Blame.MACHINE),
        ("uv failed: No space left on device (os error 28)", Blame.MACHINE),
        ("uv did not end within 600 s.", Blame.MACHINE),
        ("uv failed: invalid peer certificate: UnknownIssuer", Blame.MACHINE),
        ("uv failed: Because certificates-nosuch was not found", Blame.COMMIT),
        ("uv failed: no wheel of `six; platform_version == 'dns error'`", Blame.COMMIT),
    ],
)
def test_blame_goes_where_it_belongs(trouble, whose):
    assert blame(trouble) is whose


def test_two_builders_at_once_make_one_bundle(yard):
    yard.mirror.trees[sha(1)] = APP
    images = []
    gate = threading.Barrier(3)

    def build():
        gate.wait()
        images.append(yard.builder.build(key(1), yard.diff(1)))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({image.reference for image in images}) == 1
    left = {path.name for path in (yard.folder / "shop").iterdir()}
    assert left == {Path(images[0].reference).name, "environments"}


def test_what_a_killed_builder_left_is_removed(yard):
    old, young = yard.folder / "shop" / ".new-old", yard.folder / "shop" / ".new-young"
    for left in (old, young):
        left.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)

    yard.build(1)

    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_ours(yard):
    yard.folder.mkdir()
    (yard.folder / "shop").write_text("in the way")

    with pytest.raises(InfrastructureError, match="could not be written"):
        yard.build(1)


def test_a_damaged_bundle_is_said(yard):
    image = yard.build(1)
    (Path(image.reference) / "bundle.json").write_text("{")

    with pytest.raises(InfrastructureError, match=r"is damaged.*Next: remove it"):
        yard.build(1)


def demo_tree(version="1.0.0", text=None):
    """A project with a vendored wheel; file texts are Latin-1 where they are bytes."""
    return {
        "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n',
        "requirements.lock": text or lock(version),
        "shop/__init__.py": "import shoptax\nprint(shoptax.add(100, 190))\n",
    }


class WheelMirror(TreeMirror):
    """Adds the vendored wheel, which is no text."""

    def export(self, sha: str, folder: Path) -> None:
        super().export(sha, folder)
        (folder / "vendor").mkdir()
        (folder / "vendor" / wheel_name("1.0.0")).write_bytes(wheel("1.0.0"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    mirror = WheelMirror()
    environments = Environments(folder / "environments", folder / "tools")
    return mirror, BundleBuilder(folder / "bundles", TreeMirrors(mirror), environments)


def test_a_real_bundle_runs(real):
    mirror, builder = real
    mirror.trees[sha(1)] = demo_tree()

    image = builder.build(key(1), _diff(mirror.commit(sha(1)), ()))

    home = Path(image.reference)
    done = subprocess.run(
        [home / "env" / "bin" / "python", "-c", "import shop"],
        cwd=home / "app",
        capture_output=True,
        check=False,
    )
    assert image.failure == ""
    assert done.stdout == b"119\n"
    assert image.layers[0].last_cost_s > 0
    assert image.layers[0].size_bytes > 0


def test_a_release_of_a_real_bundle_finds_its_sources_and_its_version(real, tmp_path):
    mirror, builder = real
    mirror.trees[sha(4)] = {
        "pyproject.toml": '[project]\nname = "shop"\nversion = "1.5"\n',
        "src/shop/__init__.py": "",
        "src/shop/__main__.py": "from importlib.metadata import version\nprint(version('shop'))\n",
    }
    image = builder.build(key(4), _diff(mirror.commit(sha(4)), ()))
    plan = ServicePlan("shop", "production", ("{python}", "-m", "shop"), "/", (), {}, ())
    runtime = ProcessRuntime(tmp_path / "releases")

    release = runtime.start(plan, image, "aaaaaaa-1", key(4))

    eventually(lambda: runtime.log_tail(release) == "1.5\n")


def test_a_real_lock_with_a_wrong_hash_is_the_commit_s_fault(real):
    mirror, builder = real
    mirror.trees[sha(2)] = demo_tree(text=lock("1.0.0").replace("sha256:", "sha256:0")[:-2] + "\n")

    image = builder.build(key(2), _diff(mirror.commit(sha(2)), ()))

    assert "ash mismatch" in image.failure


def test_a_real_lock_without_a_solution_is_the_commit_s_fault(real):
    mirror, builder = real
    mirror.trees[sha(3)] = demo_tree(text="--no-index\n--find-links vendor\nshoptax==9.9.9\n")

    image = builder.build(key(3), _diff(mirror.commit(sha(3)), ()))

    assert "shoptax==9.9.9" in image.failure
