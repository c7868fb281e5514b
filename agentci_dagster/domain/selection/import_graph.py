"""Which Python files of a tree import which others, read from their text.

Choosing tests by it belongs to `choosing.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from posixpath import basename, dirname

_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?::\w+)?")
_ROOTS = ("src/", "lib/")
_DYNAMIC = re.compile(
    r"\b(?:import_module|__import__|iter_modules|walk_packages|spec_from_file_location|run_path"
    r"|run_module|import_string)\b"
)


def dependents(changed: Collection[str], sources: Mapping[str, str]) -> frozenset[str]:
    """Files that import a changed file, directly or through others, and the changed ones.

    Args:
        changed: repository paths, also of files that the tree no longer has.
        sources: every Python file of the tree with its text.

    Raises:
        ValueError: a file cannot be parsed, so the graph would have a hole; the message names it.
    """
    names = _modules({*sources, *changed})
    importers: dict[str, set[str]] = {}
    for path, text in sources.items():
        for imported in (*_imported(path, text, names), *_fixtures(path, sources)):
            importers.setdefault(imported, set()).add(path)
    reached = set(changed)
    waiting = list(reached)
    while waiting:
        for path in importers.get(waiting.pop(), ()):
            if path not in reached:
                reached.add(path)
                waiting.append(path)
    return frozenset(reached)


def dynamic_importers(sources: Mapping[str, str]) -> frozenset[str]:
    """Files that import by names made at run time, so that they may reach any file."""
    return frozenset(path for path, text in sources.items() if _DYNAMIC.search(text))


def module_name(path: str, paths: Collection[str]) -> str:
    """The dotted name of a file, from the first folder above it that is no package."""
    folder = dirname(path)
    while folder and f"{folder}/__init__.py" in paths:
        folder = dirname(folder)
    return _dotted(path[len(folder) + 1 :] if folder else path)


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _modules(paths: Collection[str]) -> dict[str, set[str]]:
    """Every name under which a file could be imported; two files may share one."""
    names: dict[str, set[str]] = {}
    for path in paths:
        shorter = (path.removeprefix(root) for root in _ROOTS)
        for name in {module_name(path, paths), _dotted(path), *map(_dotted, shorter)}:
            names.setdefault(name, set()).add(path)
    return names


def _imported(path: str, text: str, names: Mapping[str, set[str]]) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise ValueError(f"{path} cannot be parsed") from e
    own = [name for name, files in names.items() if path in files]
    for wanted in _wanted(tree, own, is_package=basename(path) == "__init__.py"):
        parts = wanted.split(".")
        for length in range(1, len(parts) + 1):
            yield from names.get(".".join(parts[:length]), ())


def _wanted(tree: ast.Module, own: Iterable[str], *, is_package: bool) -> Iterator[str]:
    """Dotted names that a file imports, or mentions as `mock.patch("shop.cart.now")` does."""
    packages = [name.split(".") if is_package else name.split(".")[:-1] for name in own]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = [node.module] if node.module else []
            bases = [p[: len(p) - node.level + 1] for p in packages] if node.level else [[]]
            for base in bases:
                yield from (".".join([*base, *module, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (found[1] for found in [_DOTTED.fullmatch(node.value)] if found)


def _fixtures(path: str, sources: Mapping[str, str]) -> Iterator[str]:
    """The `conftest.py` of each folder above a file, which pytest imports unasked."""
    folder = dirname(path)
    while True:
        conftest = f"{folder}/conftest.py" if folder else "conftest.py"
        if conftest in sources and conftest != path:
            yield conftest
        if not folder:
            return
        folder = dirname(folder)
