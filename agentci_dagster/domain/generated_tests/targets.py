"""Which changed functions tests are written for, found by reading their text; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agentci_dagster.domain.diff import CommitDiff, FileChange, FileKind, SymbolStatus
from agentci_dagster.domain.selection.import_graph import module_name

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OUTSIDE_NAMES = {"open", "input", "exit", "quit", "breakpoint", "__import__"}
_OUTSIDE_MODULES = {"subprocess", "socket", "shutil", "multiprocessing", "signal", "ctypes", "pty"}
_OUTSIDE_METHODS = {
    *("sys.exit", "sys.stdin", "os.system", "os.remove", "os.unlink", "os.rmdir", "os.mkdir"),
    *("os.makedirs", "os.rename", "os.kill", "os._exit", "os.fork", "os.chdir", "os.popen"),
    *("os.execv", "os.execvp"),
}
_OUTSIDE_ENDINGS = {
    *("write_text", "write_bytes", "unlink", "mkdir", "touch", "serve_forever", "urlopen"),
}


class Shape(StrEnum):
    """How a function is called."""

    FUNCTION = "function"
    METHOD = "method"
    CLASS_METHOD = "class_method"
    STATIC_METHOD = "static_method"
    PROPERTY = "property"
    CONSTRUCTOR = "constructor"


@dataclass(frozen=True, slots=True)
class Target:
    """A changed function that tests can be written for; lines are 1-based and inclusive."""

    path: str
    module: str
    qualified_name: str
    shape: Shape
    first_line: int
    last_line: int
    changed_lines: tuple[int, ...]
    is_generator: bool
    is_new: bool
    is_private: bool

    @property
    def name(self) -> str:
        return f"{self.path}::{self.qualified_name}"


@dataclass(frozen=True, slots=True)
class Targets:
    """What tests are written for, and for how many changed functions they are not, by reason."""

    chosen: tuple[Target, ...]
    skipped: Mapping[str, int]


def choose_targets(
    diff: CommitDiff,
    sources: Mapping[str, str],
    paths: frozenset[str],
    import_roots: tuple[str, ...],
) -> Targets:
    """Changed functions of Python sources that can be called without touching the outside.

    Args:
        diff: the commit, with its changed symbols.
        sources: text of the changed Python files.
        paths: all paths of the tree, which decide under what name a file is imported.
        import_roots: folders on the import path.
    """
    chosen: list[Target] = []
    skipped: dict[str, int] = {}
    for file in diff.of_kind(FileKind.SOURCE):
        if not file.path.endswith(".py") or file.path not in sources:
            continue
        try:
            tree = ast.parse(sources[file.path])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            skipped["in files that cannot be parsed"] = skipped.get(
                "in files that cannot be parsed", 0
            ) + len(file.symbols)
            continue
        module = _module(file.path, paths, import_roots)
        touched = {
            s.qualified_name: s.status is SymbolStatus.ADDED
            for s in file.symbols
            if not s.is_class and s.status is not SymbolStatus.REMOVED
        }
        for name, function, parents in _functions(tree):
            if name not in touched:
                continue
            reason = _reason_to_skip(function, parents, module)
            if reason:
                skipped[reason] = skipped.get(reason, 0) + 1
            else:
                chosen.append(_target(file, module, name, function, parents, touched[name]))
    return Targets(tuple(chosen), skipped)


def _module(path: str, paths: frozenset[str], import_roots: tuple[str, ...]) -> str:
    for root in sorted(import_roots, key=len, reverse=True):
        if root and path.startswith(f"{root}/"):
            return _dotted(path[len(root) + 1 :])
    return _dotted(path) if "" in import_roots else module_name(path, paths)


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _functions(
    tree: ast.Module,
) -> Iterator[tuple[str, _Function, tuple[ast.AST, ...]]]:
    waiting: list[tuple[ast.AST, tuple[ast.AST, ...], str]] = [(n, (), "") for n in tree.body]
    while waiting:
        node, parents, prefix = waiting.pop(0)
        if isinstance(node, _Function):
            yield f"{prefix}{node.name}", node, parents
        if isinstance(node, _Function | ast.ClassDef):
            inner = (*parents, node)
            waiting += [(n, inner, f"{prefix}{node.name}.") for n in node.body]
        elif isinstance(node, ast.If | ast.Try):
            waiting += [(n, parents, prefix) for n in ast.iter_child_nodes(node)]


def _reason_to_skip(function: _Function, parents: tuple[ast.AST, ...], module: str) -> str:
    if isinstance(function, ast.AsyncFunctionDef) and any(_yields(n) for n in function.body):
        return "asynchronous generators"
    if any(not isinstance(p, ast.ClassDef) for p in parents):
        return "inside another function"
    if not all(part.isidentifier() for part in module.split(".")) or "__main__" in module:
        return "in a file that cannot be imported by name"
    decorators = {ast.unparse(d).split("(")[0] for d in function.decorator_list}
    if any(
        d.endswith(("overload", "abstractmethod", "fixture", "setter", "deleter"))
        for d in decorators
    ):
        return "overloads, abstract methods, fixtures and setters"
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and _goes_outside(ast.unparse(node.func)):
            return "using files, processes and the network"
    return ""


def _goes_outside(called: str) -> bool:
    return (
        called in _OUTSIDE_NAMES
        or called in _OUTSIDE_METHODS
        or ("." in called and called.split(".", maxsplit=1)[0] in _OUTSIDE_MODULES)
        or ("." in called and called.rsplit(".", maxsplit=1)[-1] in _OUTSIDE_ENDINGS)
    )


def _target(
    file: FileChange,
    module: str,
    name: str,
    function: _Function,
    parents: tuple[ast.AST, ...],
    is_new: bool,
) -> Target:
    last = function.end_lineno or function.lineno
    body = function.body[0].lineno
    changed = tuple(line for line in file.added_line_numbers if body <= line <= last)
    return Target(
        path=file.path,
        module=module,
        qualified_name=name,
        shape=_shape(function, bool(parents)),
        first_line=function.lineno,
        last_line=last,
        # Lines that were only taken away change the whole function.
        changed_lines=changed or tuple(range(body, last + 1)),
        is_generator=any(_yields(node) for node in function.body),
        is_new=is_new,
        is_private=any(p.startswith("_") and not p.endswith("__") for p in name.split(".")),
    )


def _yields(node: ast.AST) -> bool:
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return True
    if isinstance(node, _Function | ast.Lambda | ast.ClassDef):
        return False
    return any(_yields(child) for child in ast.iter_child_nodes(node))


def _shape(function: _Function, is_in_class: bool) -> Shape:
    decorators = {ast.unparse(d).split("(")[0].rsplit(".", 1)[-1] for d in function.decorator_list}
    if not is_in_class:
        return Shape.FUNCTION
    if "staticmethod" in decorators:
        return Shape.STATIC_METHOD
    if "classmethod" in decorators:
        return Shape.CLASS_METHOD
    if decorators & {"property", "cached_property"}:
        return Shape.PROPERTY
    return Shape.CONSTRUCTOR if function.name in {"__init__", "__new__"} else Shape.METHOD
