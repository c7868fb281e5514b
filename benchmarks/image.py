"""Building a service's image: a naive Dockerfile beside ours in the same run, and bundles; prints JSON.

`python benchmarks/image.py [--base IMAGE] [--repeats 10]`. The base needs python3, venv and pip; wheels are vendored
into the tree, so no build needs a network. Wall seconds, and the CPU seconds of this machine in the same span.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agentci_dagster.adapters.builders.bundle import BundleBuilder
from agentci_dagster.adapters.builders.docker import DOCKERFILE, DockerBuilder
from agentci_dagster.adapters.builders.docker_program import find_docker
from agentci_dagster.adapters.command import run
from agentci_dagster.adapters.environments import Environments
from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.image import Image, ImageWish, dockerfile_of, recipe_of
from tests.builders import commit, file_change

_NAMED = ("fastapi", "uvicorn", "numpy<2.2", "pandas<2.3", "sqlalchemy", "jinja2", "httpx")
_NAMED += ("pydantic-settings", "structlog", "typer", "tenacity", "cachetools")
_RAISED = "tenacity"
_OLDER = "tenacity==8.5.0"
_REPOSITORY = "image-benchmark"
_TIMEOUT = timedelta(minutes=20)
_COMMAND = ("{python}", "-m", "shop.main", "{port}")


@dataclass
class FolderMirror:
    """A mirror over one folder that the benchmark edits; every state has a sha of its own."""

    folder: Path
    n: int = 1

    def of(self, _repository: str) -> FolderMirror:
        return self

    def commit(self, sha: str) -> Commit:
        digest = hashlib.sha1(usedforsecurity=False)
        # The wheels are told by their names: a git tree's digest costs nothing either.
        for path in sorted(p for p in self.folder.rglob("*.[pt][yx]*") if p.is_file()):
            digest.update(str(path.relative_to(self.folder)).encode() + path.read_bytes())
        return commit(key=CommitKey(_REPOSITORY, sha), tree=digest.hexdigest())

    def files(self, _sha: str) -> tuple[str, ...]:
        found = (p for p in self.folder.rglob("*") if p.is_file())
        return tuple(sorted(str(p.relative_to(self.folder)) for p in found))

    def export(self, _sha: str, folder: Path) -> None:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@dataclass(frozen=True)
class Timed:
    """Wall seconds, and CPU seconds of the whole machine meanwhile."""

    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="agentci-test-python:1")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--naive-repeats", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-benchmark-") as scratch:
        try:
            print(json.dumps(_measure(Path(scratch), asked), indent=1))
        finally:
            _remove_images()


def _measure(scratch: Path, asked: argparse.Namespace) -> dict[str, object]:
    tree = scratch / "tree"
    n_locked = _make_tree(tree)
    mirror = FolderMirror(tree)
    wish = ImageWish(asked.base, _COMMAND, "/healthz")
    ours = DockerBuilder(scratch / "images", mirror, tell=lambda _: None, wish=lambda _: wish)
    if ours.program.trouble:
        raise SystemExit(ours.program.trouble)
    docker = ours.program.path
    naive = scratch / "Dockerfile.naive"
    naive.write_text(
        f"FROM {asked.base}\nWORKDIR /app\nCOPY . .\n"
        "RUN python3 -m venv /venv && /venv/bin/pip install -r requirements.txt\n"
        'CMD ["/venv/bin/python", "-m", "shop.main"]\n'
    )

    def build_naive() -> None:
        _bare(docker, naive, tree, "agentci-bench-naive:1")

    def build_ours() -> None:
        _checked(_build(ours, mirror))

    salt = os.urandom(8).hex()
    (tree / "requirements.txt").open("a").write(f"# {salt}\n")
    first = {"naive": _timed(build_naive), "ours": _timed(build_ours)}
    application = _both(build_naive, build_ours, asked, lambda i: _edit(tree, i))
    nothing = [_timed(build_ours) for _ in range(asked.repeats)]
    raised = _both(build_naive, build_ours, asked, lambda i: _raise(tree, i), repeats=1)
    overhead = _overhead(scratch, tree, docker, wish, mirror, ours, asked.repeats)
    bundles = _bundles(scratch, tree, mirror, asked.repeats)
    return {
        "n_locked": n_locked,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "docker": ours.program.ask("version", "--format", "{{.Server.Version}}").strip(),
        "first_build": {name: vars(value) for name, value in first.items()},
        "application_changed": application,
        "dependency_raised": raised,
        "nothing_changed_s": _spread(nothing),
        "overhead_over_bare_build_s": overhead,
        "bundle_application_changed_s": bundles,
    }


def _both(
    naive: Callable[[], None],
    ours: Callable[[], None],
    asked: argparse.Namespace,
    change: Callable[[int], None],
    repeats: int | None = None,
) -> dict[str, object]:
    """Both builders over changes of the same kind; ours more often, for its p95."""
    slow, quick = [], []
    for i in range(repeats or asked.repeats):
        change(i)
        if i < asked.naive_repeats:
            slow.append(_timed(naive))
        quick.append(_timed(ours))
    ratio = median(t.wall_s for t in slow) / median(t.wall_s for t in quick)
    return {"naive": _spread(slow), "ours": _spread(quick), "times_faster": round(ratio, 1)}


def _overhead(
    scratch: Path,
    tree: Path,
    docker: str,
    wish: ImageWish,
    mirror: FolderMirror,
    ours: DockerBuilder,
    repeats: int,
) -> dict[str, object]:
    """Ours and a bare build of the same text over the same kind of change, in turns."""
    files = mirror.files("")
    texts = {"requirements.txt": (tree / "requirements.txt").read_text()}
    recipe = recipe_of(files, texts, wish).recipe
    assert recipe is not None
    place = scratch / DOCKERFILE
    place.write_text(dockerfile_of(recipe))
    bare, own = [], []
    for i in range(repeats):
        _edit(tree, 1000 + i)
        bare.append(_timed(lambda: _bare(docker, place, tree, "agentci-bench-bare:1")))
        _edit(tree, 2000 + i)
        own.append(_timed(lambda: _checked(_build(ours, mirror))))
    extra = median(t.wall_s for t in own) - median(t.wall_s for t in bare)
    return {"bare": _spread(bare), "ours": _spread(own), "overhead": round(extra, 3)}


def _bundles(scratch: Path, tree: Path, mirror: FolderMirror, repeats: int) -> dict[str, float]:
    environments = Environments(scratch / "environments", scratch / "tools")
    builder = BundleBuilder(scratch / "bundles", mirror, environments)
    _checked(_build(builder, mirror))
    took = []
    for i in range(repeats):
        _edit(tree, 3000 + i)
        took.append(_timed(lambda: _checked(_build(builder, mirror))))
    return _spread(took)


def _make_tree(tree: Path) -> int:
    """A service with its locked dependencies vendored as wheels; returns how many there are."""
    vendor = tree / "vendor"
    vendor.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = [shutil.which("pip") or "pip"]
    download = [*pip, "download", "-q", "--only-binary", ":all:", "--python-version", "3.11"]
    download += ["--no-cache-dir", "-d", str(vendor)]
    subprocess.run([*download, *_NAMED], check=True, capture_output=True)
    subprocess.run([*download, "--no-deps", _OLDER], check=True, capture_output=True)
    older = _OLDER.partition("==")[2]
    pins = {}
    for wheel in vendor.glob("*.whl"):
        name, version = wheel.name.split("-")[:2]
        if name.lower() != _RAISED or version == older:
            pins[name] = version
    lines = ["--no-index", "--find-links vendor", *(f"{n}=={v}" for n, v in sorted(pins.items()))]
    (tree / "requirements.txt").write_text("\n".join(lines) + "\n")
    (tree / "shop").mkdir()
    (tree / "shop" / "__init__.py").write_text("")
    for n in range(40):
        (tree / "shop" / f"part{n}.py").write_text(f"def f(x):\n    return x + {n}\n" * 40)
    _edit(tree, -1)
    return len(pins)


def _edit(tree: Path, i: int) -> None:
    (tree / "shop" / "main.py").write_text(f"import fastapi, pandas\nSTATE = {i!r}\n")


def _raise(tree: Path, _: int) -> None:
    newest = next(
        w.name.split("-")[1]
        for w in (tree / "vendor").glob(f"{_RAISED}-*.whl")
        if f"{_RAISED}=={w.name.split('-')[1]}" != _OLDER
    )
    place = tree / "requirements.txt"
    place.write_text(place.read_text().replace(_OLDER, f"{_RAISED}=={newest}"))


def _bare(docker: str, dockerfile: Path, tree: Path, tag: str) -> None:
    argv = [docker, "build", "--progress=plain", "--tag", tag, "--file", str(dockerfile), str(tree)]
    done = run(argv, env={"DOCKER_BUILDKIT": "1"}, timeout=_TIMEOUT)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])


def _remove_images() -> None:
    program = find_docker()
    form = ("--format", "{{.Repository}}:{{.Tag}}", f"agentci/{_REPOSITORY}")
    tags = program.ask("image", "ls", *form).split()
    program.ask("image", "rm", "--force", *tags, "agentci-bench-naive:1", "agentci-bench-bare:1")


def _build(builder: DockerBuilder | BundleBuilder, mirror: FolderMirror) -> Image:
    key = CommitKey(_REPOSITORY, f"{mirror.n:040x}")
    mirror.n += 1
    return builder.build(
        key, CommitDiff(commit=mirror.commit(key.sha), files=(file_change("shop/main.py"),))
    )


def _checked(image: Image) -> None:
    if image.failure or not image.digest:
        raise SystemExit(f"{image.failure}\n{image.log_tail}")


def _timed(do: Callable[[], None]) -> Timed:
    with _span() as taken:
        do()
    return Timed(*taken)


@contextmanager
def _span() -> Iterator[list[float]]:
    taken: list[float] = []
    began, busy = time.perf_counter(), _busy_s()
    yield taken
    taken += [round(time.perf_counter() - began, 3), round(_busy_s() - busy, 3)]


def _busy_s() -> float:
    """CPU seconds that all processes of this machine have used, the daemon's too."""
    with Path("/proc/stat").open() as file:
        user, nice, system = (int(word) for word in file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _spread(times: list[Timed]) -> dict[str, float]:
    walls = sorted(t.wall_s for t in times)
    return {
        "n": len(walls),
        "median_s": round(median(walls), 3),
        "p95_s": walls[min(len(walls) - 1, int(0.95 * len(walls)))],
        "cpu_median_s": round(median(t.cpu_s for t in times), 3),
    }


if __name__ == "__main__":
    main()
