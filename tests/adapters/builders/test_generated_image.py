"""Images from Dockerfiles that we wrote, built for real; the base is made from Debian's packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentci_dagster.adapters.builders.docker import DockerBuilder, image_tag
from agentci_dagster.adapters.builders.docker_program import find_docker
from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.image import ImageWish
from tests.builders import file_change, key, sha
from tests.fakes.image import TreeMirror, TreeMirrors

PROGRAM = find_docker([f"{folder}/docker" for folder in os.environ["PATH"].split(":")])
MAKER = shutil.which("mmdebstrap")
BASE = "agentci-test-python:1"
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(bool(PROGRAM.trouble), reason=f"no image can be built: {PROGRAM.trouble}"),
    pytest.mark.skipif(not MAKER, reason="no Python base can be made: mmdebstrap is missing"),
]
SERVICE = ImageWish(BASE, ("{python}", "-m", "app.main", "{port}"), "/healthz")
MAIN = """import http.server, sys, greeting
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(greeting.WORD.encode())
if __name__ == "__main__":
    http.server.HTTPServer(("", int(sys.argv[1])), Answer).serve_forever()
"""
UV_LOCK = """version = 1
requires-python = ">=3.9"

[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "greeting" }]

[[package]]
name = "greeting"
version = "1.0"
source = { registry = "vendor" }
wheels = [{ path = "greeting-1.0-py3-none-any.whl" }]
"""
TREES = {
    "pip": {
        "requirements.txt": "--no-index\n--find-links vendor\ngreeting==1.0\n",
        "app/main.py": MAIN,
    },
    "uv": {
        "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["greeting"]\n',
        "uv.lock": UV_LOCK,
        "app/main.py": MAIN,
    },
}


class WheelMirror(TreeMirror):
    """A tree with a wheel in it, so that a build needs no network."""

    def files(self, sha):
        return (*super().files(sha), "vendor/greeting-1.0-py3-none-any.whl")

    def export(self, sha, folder):
        super().export(sha, folder)
        (folder / "vendor").mkdir()
        name = folder / "vendor" / "greeting-1.0-py3-none-any.whl"
        with zipfile.ZipFile(name, "w") as wheel:
            info = "greeting-1.0.dist-info"
            for path, text in {
                "greeting.py": "WORD = 'hello'\n",
                f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
                f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
                "Tag: py3-none-any\n",
                f"{info}/RECORD": "",
            }.items():
                wheel.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)


def docker(*arguments: str) -> str:
    done = subprocess.run([PROGRAM.path, *arguments], capture_output=True, check=False, timeout=120)
    return (done.stdout + done.stderr).decode().strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Iterator[str]:
    if not docker("images", "-q", BASE):
        folder = tmp_path_factory.mktemp("base")
        release = "bookworm"
        argv = [str(MAKER), "--variant=minbase", "--include=python3,python3-venv,python3-pip"]
        subprocess.run([*argv, release, f"{folder}/base.tar"], check=True, capture_output=True)
        uv = Path(sys.executable).with_name("uv")
        (folder / "usr/local/bin").mkdir(parents=True)
        shutil.copy2(uv, folder / "usr/local/bin/uv")
        tar = ["tar", "-rf", f"{folder}/base.tar", "-C", str(folder), "./usr/local/bin/uv"]
        subprocess.run(tar, check=True)
        docker("import", f"{folder}/base.tar", BASE)
    yield BASE
    docker("rmi", "--force", *(image_tag(key(n)) for n in range(21, 26)))


def built(tree, folder, n, program=PROGRAM.path):
    mirror = WheelMirror({sha(n): tree})
    builder = DockerBuilder(folder, TreeMirrors(mirror), [program], wish=lambda _: SERVICE)
    diff = CommitDiff(commit=mirror.commit(sha(n)), files=(file_change("app/main.py"),))
    return builder.build(key(n), diff)


def layers(reference: str) -> list[str]:
    return list(json.loads(docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", reference)))


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_service_runs_as_nobody_with_what_its_lock_names(tool, base, tmp_path):
    image = built(TREES[tool], tmp_path, 21)

    assert image.failure == ""
    hardened = ("run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL")
    code = "import os, greeting, app.main as m; print(os.getuid(), greeting.WORD, m.__cached__)"
    said = docker(*hardened, image.reference, "python3", "-c", code)
    uid, word, cached = said.splitlines()[-1].split()
    assert (uid, word) == ("10001", "hello")
    assert cached.startswith("/app/app/__pycache__/main.")
    checked = docker(*hardened, image.reference, "test", "-f", cached)
    assert checked == ""


def test_only_the_application_is_made_again_even_on_a_pruned_builder(base, tmp_path):
    first = built(TREES["pip"], tmp_path, 22)
    docker("builder", "prune", "--all", "--force")
    changed = TREES["pip"] | {"app/main.py": MAIN + f"# {os.urandom(4).hex()}\n"}

    second = built(changed, tmp_path, 23)

    made = {layer.name: layer.is_reused for layer in second.layers}
    assert next(v for name, v in made.items() if name.startswith("dependencies RUN"))
    assert layers(second.reference)[:2] == layers(first.reference)[:2]
    assert layers(second.reference)[2] != layers(first.reference)[2]
    known = {layer.digest for layer in second.layers if layer.digest}
    assert set(layers(second.reference)[1:3]) <= known


def test_another_path_on_another_day_gives_the_same_layers(base, tmp_path):
    first = layers(built(TREES["uv"], tmp_path / "one", 24).reference)
    docker("rmi", "--force", image_tag(key(24)))
    docker("builder", "prune", "--all", "--force")

    again = layers(built(TREES["uv"], tmp_path / "two", 24).reference)

    assert again == first
