"""What a Python project says of itself in its files: name, version, dependencies, import roots,
entry points.

Everything is read, nothing is run: a `setup.py` is parsed for literals only. Installing belongs to
`environments.py`.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentci_dagster.adapters.requirement_lines import (
    NoPlainRequirementError,
    plain_requirement,
    plain_requirements,
)

_MAX_FILE_BYTES = 8 << 20
_TEST_EXTRAS = ("test", "tests", "testing")
_DEV_EXTRAS = ("dev", "develop", "development")
_REQUIREMENTS = ("requirements.lock", "requirements.txt")
_TEST_REQUIREMENTS = (
    *("requirements-test.txt", "requirements-tests.txt", "requirements-dev.txt"),
    *("requirements_test.txt", "requirements_dev.txt", "test-requirements.txt"),
    *("tests-requirements.txt", "dev-requirements.txt", "test_requirements.txt"),
    *("dev_requirements.txt", "requirements/test.txt", "requirements/tests.txt"),
    *("requirements/dev.txt", "requirements/testing.txt", "tests/requirements.txt"),
    *("test/requirements.txt", "requirements/requirements-test.txt"),
)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_PACKAGES = {
    "tests",
    "test",
    "docs",
    "doc",
    "examples",
    "scripts",
    "benchmarks",
    "build",
    "dist",
}


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its files describe it; `requirements` are lines as `plain_requirement` writes
    them, `constraints` come from a lock.
    """

    name: str
    version: str
    requirements: tuple[str, ...]
    test_requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    options: tuple[str, ...]
    """Where to find packages, as the requirement files say: `--no-index`, `--find-links FOLDER`,
    `--index-url …`.
    """
    import_roots: tuple[str, ...]
    entry_points: dict[str, dict[str, str]]
    version_files: tuple[str, ...]
    """Files that a build would write with the version."""
    notes: tuple[str, ...]
    files: tuple[str, ...]
    """The files that were read and decide what is installed."""
    test_paths: tuple[str, ...] = ()
    """Where pytest is told to look for tests; patterns of repository paths."""

    def __post_init__(self) -> None:
        for line in (*self.requirements, *self.test_requirements, *self.constraints):
            if plain_requirement(line) != line:
                raise ValueError(f"not written as a plain requirement: {line[:80]!r}")
        for option in self.options:
            if not option.isprintable():
                raise ValueError(f"not one line: {option[:80]!r}")


def read_project(folder: Path) -> Project:
    """Read a checkout. Never fails on what the files contain: what cannot be read is said in
    `notes`.
    """
    return _Reader(folder).read()


def read_inside(folder: Path, name: str) -> str | None:
    """A regular file of a checkout as text; None when there is none or it leads out of the
    checkout.
    """
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError, RuntimeError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")


class _Reader:
    """Gathers what the files say, one file after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self.files: list[str] = []
        self.options: list[str] = []

    def read(self) -> Project:
        pyproject = self._toml("pyproject.toml")
        poetry = _table(pyproject, "tool", "poetry")
        about = _table(pyproject, "project")
        legacy = self._legacy()
        requirements = self._first_of(_REQUIREMENTS)
        tests = [line for name in _TEST_REQUIREMENTS for line in self._requirement_file(name)]
        declared = [*_strings(about.get("dependencies")), *_poetry_lines(poetry, "dependencies")]
        declared += legacy.get("install_requires", [])
        name = _text(about.get("name")) or _text(poetry.get("name")) or _one(legacy, "name")
        extras = {k: _strings(v) for k, v in _table(about, "optional-dependencies").items()}
        extras |= {k[6:]: v for k, v in legacy.items() if k.startswith("extra:")}
        groups = _table(pyproject, "dependency-groups")
        wanted: list[str] = []
        for names in (_TEST_EXTRAS, _DEV_EXTRAS):
            # What is meant for developers brings linters too; it is asked only when
            # nothing else says what tests need.
            if not wanted:
                wanted = [line for extra in names for line in extras.get(extra, [])]
                wanted += [line for group in names for line in _group(groups, group, 0)]
        wanted += legacy.get("tests_require", [])
        for group, table in _table(poetry, "group").items():
            if group in {*_TEST_EXTRAS, *_DEV_EXTRAS} and isinstance(table, dict):
                wanted += _poetry_lines(table, "dependencies")
        wanted += _poetry_lines(poetry, "dev-dependencies")
        pdm = _table(pyproject, "tool", "pdm", "dev-dependencies")
        wanted += [v for g in (*_TEST_EXTRAS, *_DEV_EXTRAS) for v in _strings(pdm.get(g))]
        constraints = [] if requirements else self._constraints()
        versions = (about.get("version"), poetry.get("version"), _one(legacy, "version"))
        version = next(filter(None, (_safe_version(_text(v)) for v in versions)), "")
        roots = self._roots(pyproject, poetry, legacy)
        return Project(
            name=name if _NAME.fullmatch(name) else "",
            version=version or _safe_version(self._written_version(roots)),
            # A file of requirements is the whole truth; what the project declares is then in it.
            requirements=self._plain(requirements or _unfold(declared, name, extras)),
            test_requirements=self._plain([*_unfold(wanted, name, extras), *tests]),
            constraints=self._plain(constraints),
            options=tuple(dict.fromkeys(self.options)),
            import_roots=roots,
            entry_points=_entry_points(about, poetry),
            version_files=_version_files(pyproject),
            test_paths=self._test_paths(pyproject),
            notes=tuple(dict.fromkeys(self.notes)),
            files=tuple(dict.fromkeys(self.files)),
        )

    def _plain(self, lines: list[str]) -> tuple[str, ...]:
        kept, refusals = plain_requirements(lines)
        self.notes += refusals
        return kept

    def _text(self, name: str) -> str | None:
        text = read_inside(self.folder, name)
        if text is not None:
            self.files.append(name)
        return text

    def _toml(self, name: str) -> dict[str, Any]:
        text = self._text(name)
        try:
            return tomllib.loads(text) if text else {}
        except (tomllib.TOMLDecodeError, RecursionError) as e:
            self.notes.append(f"{name} cannot be read ({e}); it was left out.")
            return {}

    def _first_of(self, names: Iterable[str]) -> list[str]:
        for name in names:
            lines = self._requirement_file(name)
            if lines:
                return lines
        return []

    def _requirement_file(self, name: str, depth: int = 0) -> list[str]:
        """The lines that name packages; options are put aside, nested files are followed inside
        the checkout.
        """
        text = self._text(name)
        if text is None:
            return []
        lines: list[str] = []
        for raw in text.replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s)#.*$", "", raw).strip().replace("\t", " ")
            nested = re.fullmatch(r"(?:-r|--requirement|-c|--constraint)[=\s]\s*(\S+)", line)
            if not line:
                continue
            if not line.isprintable():
                self.notes.append(f"{name}: {line[:80]!r} has a control character; left out.")
            elif nested:
                inner = os.path.normpath(os.path.join(os.path.dirname(name), nested[1]))  # noqa: PTH118, PTH120 - text of git paths
                if depth < 5 and not inner.startswith(("..", "/")):
                    lines += self._requirement_file(inner, depth + 1)
            elif line.startswith("-"):
                self._option(line, name)
            else:
                lines += self._requirement_line(line, name)
        return lines

    def _requirement_line(self, line: str, name: str) -> list[str]:
        """One package with its hashes; other options behind it fall out."""
        package, *options = re.split(r"\s+(?=--?\w)", line)
        hashes = [o for o in options if re.match(r"--hash[=\s]", o)]
        if len(hashes) < len(options):
            self.notes.append(f"{name}: options of {line[:80]!r} left out.")
        try:
            return [plain_requirement(" ".join([package, *hashes]))]
        except NoPlainRequirementError as e:
            self.notes.append(f"{name}: {e}")
            return []

    def _option(self, line: str, name: str) -> None:
        option, _, value = line.replace("=", " ", 1).partition(" ")
        value = value.strip()
        if option in {"--no-index", "--pre", "--require-hashes"}:
            self.options += [option] if option == "--no-index" else []
        elif option in {"--find-links", "-f"} and "://" not in value:
            for base in (Path(name).parent, Path()):
                place = (self.folder / base / value).resolve()
                is_inside = place.is_dir() and place.is_relative_to(self.folder.resolve())
                if is_inside and str(place).isprintable():
                    self.options += [f"--find-links {place.relative_to(self.folder.resolve())}"]
                    return
            self.notes.append(f"{name}: no folder {value[:80]!r} in the repository; left out.")
        elif option in {"-i", "--index-url", "--extra-index-url", "--find-links", "-f"}:
            flag = {"-i": "--index-url", "-f": "--find-links"}.get(option, option)
            self.options += [f"{flag} {value}"] if value.startswith("https://") else []
        elif option not in {"-e", "--editable"} or value.split("[")[0] not in {".", "./"}:
            self.notes.append(f"{name}: option {line[:80]!r} left out.")

    def _constraints(self) -> list[str]:
        """Exact versions from a lock; a package locked in several versions is left to the
        resolver.
        """
        for lock in _LOCKS:
            packages = self._toml(lock).get("package")
            if not isinstance(packages, list):
                continue
            versions: dict[str, set[str]] = {}
            for package in packages:
                source = package.get("source", {}) if isinstance(package, dict) else {}
                local = {"virtual", "editable", "directory", "git", "path", "url"} & set(source)
                name, version = _text(package.get("name")), _text(package.get("version"))
                is_exact = _NAME.fullmatch(name) and _safe_version(version) == version
                if is_exact and not local and _is_for_this_python(package):
                    versions.setdefault(name, set()).add(version)
            return [f"{n}=={next(iter(v))}" for n, v in sorted(versions.items()) if len(v) == 1]
        return []

    def _legacy(self) -> dict[str, list[str]]:
        """setup.cfg, then literals in setup.py; extras as `extra:<name>`."""
        found: dict[str, list[str]] = {}
        text = self._text("setup.cfg")
        if text:
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            try:
                parser.read_string(text)
            except configparser.Error as e:
                self.notes.append(f"setup.cfg cannot be read ({str(e)[:100]}).")
            for section, key in (
                ("metadata", "name"),
                ("metadata", "version"),
                ("options", "install_requires"),
                ("options", "tests_require"),
                ("options", "package_dir"),
            ):
                value = parser.get(section, key, fallback="")
                found[key] = [line.strip() for line in value.splitlines() if line.strip()]
            if parser.has_section("options.extras_require"):
                for key, value in parser.items("options.extras_require"):
                    found[f"extra:{key}"] = [v.strip() for v in value.splitlines() if v.strip()]
        text = self._text("setup.py")
        if text:
            for key, lines in _setup_literals(text).items():
                found.setdefault(key, [])
                found[key] = found[key] or lines
        return found

    def _test_paths(self, pyproject: dict[str, Any]) -> tuple[str, ...]:
        """`testpaths` of the first file that configures pytest, in pytest's own order."""
        for name in ("pytest.toml", ".pytest.toml"):
            found = _table(self._toml(name), "pytest")
            if found:
                return _plain_paths(_strings(found.get("testpaths")))
        if read_inside(self.folder, "pytest.ini") is not None:
            return _plain_paths(self._ini("pytest.ini").get("pytest", "testpaths", fallback=""))
        pytest = _table(pyproject, "tool", "pytest")
        if pytest:
            options = _table(pytest, "ini_options") or pytest
            return _plain_paths(_strings(options.get("testpaths")))
        for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
            parser = self._ini(name)
            if parser.has_section(section):
                return _plain_paths(parser.get(section, "testpaths", fallback=""))
        return ()

    def _ini(self, name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(read_inside(self.folder, name) or "")
        except configparser.Error as e:
            self.notes.append(f"{name} cannot be read ({str(e)[:100]}).")
        return parser

    def _roots(
        self, pyproject: dict[str, Any], poetry: dict[str, Any], legacy: dict[str, list[str]]
    ) -> tuple[str, ...]:
        """Folders that go on the import path: named by the build configuration, or found by
        looking.
        """
        setuptools = _table(pyproject, "tool", "setuptools")
        named = [_text(_table(setuptools, "package-dir").get(""))]
        find = (
            _table(setuptools, "packages", "find")
            if isinstance(setuptools.get("packages"), dict)
            else {}
        )
        named += _strings(find.get("where"))
        packages = poetry.get("packages")
        if isinstance(packages, list):
            named += [_text(p.get("from")) for p in packages if isinstance(p, dict)]
        wheel = _table(pyproject, "tool", "hatch", "build", "targets", "wheel")
        named += [str(Path(p).parent) for p in _strings(wheel.get("packages")) if "/" in p]
        named += [line.partition("=")[2].strip() for line in legacy.get("package_dir", [])]
        roots = [n.strip("/") for n in [*named, "src", "lib"] if n and n not in {".", "./"}]
        roots = [r for r in dict.fromkeys(roots) if ".." not in r and self._has_modules(r)]
        if not roots or self._has_modules(""):
            roots.append("")
        return tuple(roots)

    def _has_modules(self, root: str) -> bool:
        folder = self.folder / root
        if not folder.is_dir() or folder.is_symlink():
            return False
        for entry in sorted(folder.iterdir()):
            if entry.name in _NOT_PACKAGES or entry.name in {
                "setup.py",
                "conftest.py",
                "noxfile.py",
            }:
                continue
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                return True
        return bool(root) and any(folder.glob("*/*.py"))

    def _written_version(self, roots: tuple[str, ...]) -> str:
        """`__version__ = "…"` of a package, where no manifest names the version."""
        for root in roots:
            for path in sorted((self.folder / root).glob("*/__init__.py"))[:20]:
                text = read_inside(self.folder, str(path.relative_to(self.folder))) or ""
                found = re.search(
                    r"^__version__\s*(?::\s*\w+)?=\s*['\"]([^'\"]+)", text, re.MULTILINE
                )
                if found:
                    return found[1]
        return ""


def _setup_literals(text: str) -> dict[str, list[str]]:  # noqa: C901 - one flat walk over the arguments of setup()
    """Arguments of `setup(…)` that are literals, or names bound to literals at module level."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    bound: dict[str, ast.expr] = {}
    found: dict[str, list[str]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            bound[statement.targets[0].id] = statement.value
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("setup"):
            continue
        for keyword in node.keywords:
            value = keyword.value
            if isinstance(value, ast.Name):
                value = bound.get(value.id, value)
            try:
                literal = ast.literal_eval(value)
            except (ValueError, TypeError, SyntaxError, RecursionError):
                continue
            if keyword.arg in {"name", "version"} and isinstance(literal, str):
                found[keyword.arg] = [literal]
            elif keyword.arg in {"install_requires", "tests_require"}:
                found[keyword.arg] = _strings(literal)
            elif keyword.arg == "package_dir" and isinstance(literal, dict):
                found["package_dir"] = [f"{k}={v}" for k, v in literal.items()]
            elif keyword.arg == "extras_require" and isinstance(literal, dict):
                found |= {f"extra:{k}": _strings(v) for k, v in literal.items()}
    return found


def _entry_points(about: dict[str, Any], poetry: dict[str, Any]) -> dict[str, dict[str, str]]:
    tables = {
        "console_scripts": _table(about, "scripts") or _table(poetry, "scripts"),
        "gui_scripts": _table(about, "gui-scripts"),
        **{
            k: v
            for source in (_table(about, "entry-points"), _table(poetry, "plugins"))
            for k, v in source.items()
            if isinstance(v, dict)
        },
    }
    line = re.compile(r"[\w.\-: \[\],]+")
    return {
        group: kept
        for group, table in tables.items()
        if line.fullmatch(group)
        and (
            kept := {
                k: v
                for k, v in table.items()
                if isinstance(v, str) and line.fullmatch(k) and line.fullmatch(v)
            }
        )
    }


def _version_files(pyproject: dict[str, Any]) -> tuple[str, ...]:
    scm = _table(pyproject, "tool", "setuptools_scm")
    hooks = _table(pyproject, "tool", "hatch", "build", "hooks", "vcs")
    pdm = _table(pyproject, "tool", "pdm", "version")
    named = (scm.get("write_to"), scm.get("version_file"), hooks.get("version-file"))
    found = [_text(n) for n in (*named, pdm.get("write_to"))]
    return tuple(n for n in found if n.endswith(".py") and not n.startswith("/") and ".." not in n)


def _unfold(lines: list[str], name: str, extras: dict[str, list[str]], depth: int = 0) -> list[str]:
    """Replace `thisproject[extra]` by what the extra lists; the project itself is never
    installed.
    """
    found: list[str] = []
    own = re.compile(rf"{re.escape(name)}\s*(?:\[([^\]]*)\])?\s*$", re.IGNORECASE)
    for line in lines:
        itself = own.match(line.split(";")[0]) if name else None
        if itself is None:
            found.append(line)
        elif depth < 5:
            for extra in (itself[1] or "").split(","):
                found += _unfold(extras.get(extra.strip(), []), name, extras, depth + 1)
    return found


def _group(groups: dict[str, Any], name: str, depth: int) -> list[str]:
    """A dependency group with the groups that it includes (PEP 735)."""
    members = groups.get(name)
    if not isinstance(members, list) or depth > 8:
        return []
    found: list[str] = []
    for member in members:
        if isinstance(member, str):
            found.append(member)
        elif isinstance(member, dict):
            found += _group(groups, _text(member.get("include-group")), depth + 1)
    return found


def _is_for_this_python(package: dict[str, Any]) -> bool:
    """Whether a locked package is meant for an interpreter like ours; uv locks one version for each
    range of Python.
    """
    from packaging.markers import InvalidMarker, Marker

    markers = _strings(package.get("resolution-markers"))
    try:
        return not markers or any(Marker(text).evaluate() for text in markers)
    except InvalidMarker:
        return True


def _plain_paths(value: str | list[str]) -> tuple[str, ...]:
    words = value.split() if isinstance(value, str) else value
    return tuple(w.removeprefix("./").rstrip("/") for w in words if w.strip("./"))


def _poetry_lines(table: dict[str, Any], key: str) -> list[str]:
    """Poetry's own table as requirement lines; carets and tildes become ranges, paths and
    addresses fall out.
    """
    lines = []
    for name, wanted in _table(table, key).items():
        spec = wanted.get("version", "*") if isinstance(wanted, dict) else wanted
        is_elsewhere = isinstance(wanted, dict) and {"git", "path", "url"} & set(wanted)
        is_optional = isinstance(wanted, dict) and wanted.get("optional")
        if name == "python" or not isinstance(spec, str) or is_elsewhere or is_optional:
            continue
        extras = f"[{','.join(_strings(wanted.get('extras')))}]" if isinstance(wanted, dict) else ""
        marker = (
            f" ; {wanted['markers']}" if isinstance(wanted, dict) and "markers" in wanted else ""
        )
        lines.append(f"{name}{extras if extras != '[]' else ''}{_range(spec)}{marker}")
    return lines


def _range(spec: str) -> str:
    parts = []
    for part in (p.strip() for p in spec.split(",")):
        caret = re.fullmatch(r"([\^~])(\d+)(?:\.(\d+))?(?:\.(\d+))?.*", part)
        if caret and caret[1] == "^":
            numbers = [int(n) for n in caret.groups()[1:] if n is not None]
            at = next((i for i, n in enumerate(numbers) if n), len(numbers) - 1)
            top = ".".join(str(n) for n in [*numbers[:at], numbers[at] + 1])
            parts.append(f">={part[1:]},<{top}")
        elif caret:
            parts.append(f"~={part[1:]}" if caret[3] else f">={part[1:]},<{int(caret[2]) + 1}")
        elif part and part != "*":
            parts.append(part if part[0] in "<>=!" else f"=={part}")
    return ",".join(parts)


def _safe_version(version: str) -> str:
    return version if re.fullmatch(r"\d[\w.+!-]{0,60}", version) else ""


def _table(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        inner = table.get(key)
        if not isinstance(inner, dict):
            return {}
        table = inner
    return table


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _one(found: dict[str, list[str]], key: str) -> str:
    return next(iter(found.get(key, [])), "")
