"""What a Dockerfile of ours would need to know of a tree that has none: text in, values out.

Writing the Dockerfile belongs to `generated_dockerfile.py`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

UV_LOCK = "uv.lock"
NPM_LOCK = "package-lock.json"
_REQUIREMENTS = ("requirements.lock", "requirements.txt")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9_.+-]+(?:/[A-Za-z0-9_.+-]+)*")
_BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_VERSION = re.compile(r"3\.\d{1,2}")
_READS = re.compile(
    r"^\s*(?:-r|-c|-f|--requirement|--constraint|--find-links)(?:\s+|\s*=\s*)(\S+)", re.MULTILINE
)


class DockerUse(StrEnum):
    """When a repository gets a Docker image: AUTO: where it has a Dockerfile and Docker works."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Toolchain(StrEnum):
    """What installs the dependencies."""

    UV = "uv"
    PIP = "pip"
    NPM = "npm"


@dataclass(frozen=True, slots=True)
class ImageWish:
    """What a repository's settings ask of its image; `base` is empty for the usual one.

    Commands are argument lists in which `{port}` and `{python}` are filled in; a library has none.
    """

    base: str = ""
    command: tuple[str, ...] = ()
    health_path: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the text of a generated Dockerfile."""

    toolchain: Toolchain
    base: str
    """`name:tag`, or `name@sha256:…` where the digest is known."""
    lock: str
    """Path of the file that alone decides the dependency layer."""
    project: str = ""
    """The project's name in a uv lock."""
    python: str = ""
    """What a uv lock demands of the interpreter."""
    read_beside: tuple[str, ...] = ()
    """Paths that the lock refers to: vendored wheels, further requirement files."""
    import_roots: tuple[str, ...] = ("",)
    command: tuple[str, ...] = ()
    health_path: str = ""

    def __post_init__(self) -> None:
        if not _BASE.fullmatch(self.base):
            raise ValueError(f"not the name of an image: {self.base[:80]!r}")
        for path in (self.lock, *self.read_beside):
            if not _is_plain(path):
                raise ValueError(f"not a plain path: {path[:80]!r}")
        if self.project and not _NAME.fullmatch(self.project):
            raise ValueError(f"not the name of a project: {self.project[:80]!r}")


@dataclass(frozen=True, slots=True)
class RecipeAnswer:
    """A recipe, or why there is none."""

    recipe: Recipe | None
    why_none: str = ""


def recipe_of(files: Sequence[str], texts: Mapping[str, str], wish: ImageWish) -> RecipeAnswer:
    """How the tree's image would be built; everything in it is untrusted.

    Args:
        files: all paths of the tree.
        texts: at least the files named by `read_for_recipe`, as far as they are there.
        wish: what the settings ask for.
    """
    there = set(files)
    try:
        if UV_LOCK in there:
            found = _of_uv(texts.get(UV_LOCK, ""), there, texts, wish)
        elif lock := next((name for name in _REQUIREMENTS if name in there), ""):
            found = _of_pip(lock, there, texts, wish)
        elif NPM_LOCK in there:
            found = _of_npm(texts.get(NPM_LOCK, ""), wish)
        else:
            return RecipeAnswer(None, "it has no uv.lock, requirements.txt or package-lock.json")
    except ValueError as error:
        return RecipeAnswer(None, str(error)[:300])
    return RecipeAnswer(found)


def read_for_recipe(files: Sequence[str]) -> tuple[str, ...]:
    """The paths whose text decides about the recipe."""
    small = re.compile(r"(?:requirements|constraints)[\w./-]*\.(?:txt|lock|in)|.*/[\w-]+\.txt")
    named = {UV_LOCK, NPM_LOCK, ".python-version"}
    return tuple(path for path in files if path in named or small.fullmatch(path))


def _of_uv(lock: str, there: set[str], texts: Mapping[str, str], wish: ImageWish) -> Recipe:
    told = tomllib.loads(lock)
    packages = [p for p in told.get("package", []) if isinstance(p, dict)]
    own, beside = "", set()
    for package in packages:
        source = package.get("source")
        source = source if isinstance(source, dict) else {}
        place = next((source[k] for k in ("virtual", "editable", "directory") if k in source), None)
        if place == ".":
            own = str(package.get("name", ""))
        elif place is not None:
            raise ValueError(f"uv.lock needs the folder {place} of the tree to be built")
        if (local := source.get("path") or source.get("registry")) and "://" not in str(local):
            beside.add(_inside(str(local), there))
    if not own:
        raise ValueError("uv.lock does not name its own project")
    wanted = str(told.get("requires-python", ""))
    python = wanted if re.fullmatch(r"[0-9.,<>=!~* ]*", wanted) else ""
    base = wish.base or _python_base(texts)
    recipe = Recipe(Toolchain.UV, base, UV_LOCK, own, python, tuple(sorted(beside)))
    return _serving(recipe, there, wish)


def _of_pip(lock: str, there: set[str], texts: Mapping[str, str], wish: ImageWish) -> Recipe:
    beside: set[str] = set()
    waiting = [lock]
    while waiting:
        path = waiting.pop()
        folder = path.rpartition("/")[0]
        for named in _READS.findall(texts.get(path, "")):
            if "://" in named:
                continue
            found = _inside(f"{folder}/{named}" if folder else named, there)
            if found != lock and found not in beside:
                beside.add(found)
                waiting.append(found)
    base = wish.base or _python_base(texts)
    recipe = Recipe(Toolchain.PIP, base, lock, read_beside=tuple(sorted(beside)))
    return _serving(recipe, there, wish)


def _of_npm(lock: str, wish: ImageWish) -> Recipe:
    told: Any = json.loads(lock)
    packages = told.get("packages") if isinstance(told, dict) else None
    if not isinstance(packages, dict) or not isinstance(packages.get(""), dict):
        raise ValueError("package-lock.json is older than npm 7 and does not name its own project")
    if any(isinstance(p, dict) and p.get("link") for p in packages.values()):
        raise ValueError("package-lock.json needs folders of the tree to be linked")
    return Recipe(
        Toolchain.NPM,
        wish.base or "node:22-slim",
        NPM_LOCK,
        command=wish.command,
        health_path=wish.health_path,
    )


def _serving(recipe: Recipe, there: set[str], wish: ImageWish) -> Recipe:
    roots = ("src", "") if any(path.startswith("src/") for path in there) else ("",)
    return replace(recipe, import_roots=roots, command=wish.command, health_path=wish.health_path)


def _python_base(texts: Mapping[str, str]) -> str:
    told = _VERSION.match(texts.get(".python-version", "").strip())
    return f"python:{told[0] if told else '3.12'}-slim"


def _inside(path: str, there: set[str]) -> str:
    """A path of the tree, file or folder, written plainly."""
    plain = path.removeprefix("./").rstrip("/")
    is_there = plain in there or any(other.startswith(f"{plain}/") for other in there)
    if not _is_plain(plain) or not is_there:
        raise ValueError(f"its lock refers to {path[:80]!r}, which is not in the tree")
    return plain


def _is_plain(path: str) -> bool:
    return bool(_PATH.fullmatch(path)) and not {".", ".."} & set(path.split("/"))
