"""What makes a Dockerfile slow to rebuild or unsafe to ship, and a better order of its lines.

The rules are those of Docker's "Building best practices". Nothing here edits a repository: a
proposal is a patch for people.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentci_dagster.domain.image.dockerfile import Dockerfile, Instruction, Stage

_INSTALL = re.compile(
    r"\b(?:(?:uv\s+)?pip3?\s+install|uv\s+sync|poetry\s+install|pdm\s+(?:install|sync)|pipenv\s+(?:install|sync)"
    r"|npm\s+(?:ci|install|i)\b|yarn(?:\s+install)?\b|pnpm\s+(?:install|i)\b|bundle\s+install|composer\s+install"
    r"|go\s+mod\s+download|cargo\s+fetch)"
)
_APT_INSTALL = re.compile(r"\bapt(?:-get)?\b[^&|;]*\binstall\b")
_APT_UPDATE = re.compile(r"\bapt(?:-get)?\b[^&|;]*\bupdate\b")
_APT_CLEANED = re.compile(r"rm\s+-[a-z]*r[a-z]*\s[^&|;]*/var/lib/apt/lists")
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|secret|token|api_?key|private_?key|credentials?)(?:$|_)",
    re.IGNORECASE,
)
_REQUIREMENTS = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")
_HARMLESS_BETWEEN = frozenset({"ENV", "ARG", "LABEL", "EXPOSE", "WORKDIR", "SHELL", "STOPSIGNAL"})
_LOCKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\buv\s+sync", ("pyproject.toml", "uv.lock")),
    (r"\bpoetry\s+install", ("pyproject.toml", "poetry.lock")),
    (r"\bpdm\s+(?:install|sync)", ("pyproject.toml", "pdm.lock")),
    (r"\bpipenv\s+(?:install|sync)", ("Pipfile", "Pipfile.lock")),
    (r"\bnpm\s+(?:ci|install|i)\b", ("package.json", "package-lock.json", ".npmrc")),
    (r"\bpnpm\s+(?:install|i)\b", ("package.json", "pnpm-lock.yaml", ".npmrc")),
    (r"\byarn\b", ("package.json", "yarn.lock", ".yarnrc.yml")),
    (r"\bbundle\s+install", ("Gemfile", "Gemfile.lock")),
    (r"\bcomposer\s+install", ("composer.json", "composer.lock")),
    (r"\bgo\s+mod\s+download", ("go.mod", "go.sum")),
    (r"\bcargo\s+fetch", ("Cargo.toml", "Cargo.lock")),
)
"""What an installer reads; those that the tree has are copied first."""


class AdviceCode(StrEnum):
    """The rules, from what costs most."""

    COPY_BEFORE_INSTALL = "copy-before-install"
    NO_DOCKERIGNORE = "no-dockerignore"
    APT_LISTS_LEFT = "apt-lists-left"
    APT_UPDATE_ALONE = "apt-update-alone"
    UNPINNED_BASE = "unpinned-base"
    ROOT_USER = "root-user"
    SECRET_IN_LAYER = "secret-in-layer"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to mend, where it is (line from 1), and how."""

    code: AdviceCode
    line: int
    words: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A better order as a unified diff; empty, with the reason, where none can be told for sure."""

    patch: str = ""
    why_none: str = ""


def installs_dependencies(step: str) -> bool:
    """Whether a step of a build installs what the code needs."""
    return bool(_INSTALL.search(step))


def advise(dockerfile: Dockerfile, files: Sequence[str]) -> tuple[Advice, ...]:
    """What to mend, in the order of the rules and then of the lines.

    Args:
        dockerfile: the file.
        files: all paths of the tree; the build's context is taken to be its root.
    """
    found = [*_of_context(files)]
    for stage in dockerfile.stages:
        found += _of_stage(stage, dockerfile)
    found += _of_arguments(dockerfile)
    if dockerfile.stages:
        found += _of_user(dockerfile.stages[-1])
    order = list(AdviceCode)
    return tuple(sorted(found, key=lambda advice: (order.index(advice.code), advice.line)))


def propose(dockerfile: Dockerfile, files: Sequence[str]) -> Proposal:
    """Dependencies before code: what installers read is copied first, the rest after them."""
    there = set(files)
    lines = list(dockerfile.lines)
    why_none = ""
    # From the end, so that earlier lines keep their numbers.
    for stage in reversed(dockerfile.stages):
        pair = _copy_and_installs(stage)
        if pair is None:
            continue
        copy, installs = pair
        wanted = _read_by(installs, there)
        obstacle = _obstacle(stage, copy, installs, wanted)
        if obstacle:
            why_none = why_none or obstacle
            continue
        copied = lines[copy.first_line - 1 : copy.last_line]
        target = _target(copy)
        first, after = installs[0].first_line - 1, installs[-1].last_line
        lines[after:after] = copied
        lines[first:first] = [f"COPY {' '.join(wanted)} {target}"]
        del lines[copy.first_line - 1 : copy.last_line]
    if lines == list(dockerfile.lines):
        return Proposal(why_none=why_none)
    diff = difflib.unified_diff(
        dockerfile.lines, lines, "a/Dockerfile", "b/Dockerfile", lineterm="", n=2
    )
    return Proposal("\n".join(diff) + "\n")


# ---------------------------------------------------------------- the rules


def _of_context(files: Sequence[str]) -> Iterator[Advice]:
    if ".dockerignore" not in files:
        yield Advice(
            AdviceCode.NO_DOCKERIGNORE,
            1,
            "Without a .dockerignore every file, the git history too, is sent to the builder, and "
            "any of them changes what COPY sees.",
            "add a .dockerignore with .git, tests, documentation and local environments",
        )


def _of_stage(stage: Stage, dockerfile: Dockerfile) -> Iterator[Advice]:
    names = {other.name for other in dockerfile.stages if other.name}
    yield from _of_base(stage, names)
    pair = _copy_and_installs(stage)
    if pair is not None:
        copy, installs = pair
        yield Advice(
            AdviceCode.COPY_BEFORE_INSTALL,
            copy.first_line,
            f"The whole tree is copied before dependencies are installed in line "
            f"{installs[0].first_line}, so every commit installs them anew.",
            "copy what the installer reads first, install, then copy the rest",
        )
    for run in _of_keyword(stage, "RUN"):
        yield from _of_apt(run)


def _of_base(stage: Stage, stages: set[str]) -> Iterator[Advice]:
    base = stage.base
    if base == "scratch" or base in stages or "@sha256:" in base or base.startswith("$"):
        return
    tag = base.rpartition("/")[2].partition(":")[2]
    which = "has no tag" if not tag else "is the newest of the day" if tag == "latest" else "moves"
    yield Advice(
        AdviceCode.UNPINNED_BASE,
        stage.instructions[0].first_line,
        f"The base {base} {which}: the same commit may build another image tomorrow.",
        "pin it by digest: name:tag@sha256:…",
    )


def _of_apt(run: Instruction) -> Iterator[Advice]:
    has_cache = "--mount=type=cache" in run.flags and "/var/lib/apt" in run.flags
    installs, updates = _APT_INSTALL.search(run.value), _APT_UPDATE.search(run.value)
    if installs and not has_cache and not _APT_CLEANED.search(run.value):
        yield Advice(
            AdviceCode.APT_LISTS_LEFT,
            run.first_line,
            "The package lists, some 20 to 40 MB, stay in the layer.",
            "end the same RUN with: rm -rf /var/lib/apt/lists/*",
        )
    if updates and not installs:
        yield Advice(
            AdviceCode.APT_UPDATE_ALONE,
            run.first_line,
            "The package lists are fetched in a layer of their own: once cached they grow old, and "
            "a later install asks for versions that are gone.",
            "put update and install into one RUN",
        )


def _of_arguments(dockerfile: Dockerfile) -> Iterator[Advice]:
    every = [*dockerfile.before, *(i for stage in dockerfile.stages for i in stage.instructions)]
    for instruction in every:
        if instruction.keyword not in {"ARG", "ENV"}:
            continue
        for name in _names(instruction):
            if _SECRET.search(name):
                yield Advice(
                    AdviceCode.SECRET_IN_LAYER,
                    instruction.first_line,
                    f"{name} stays readable in the image's history.",
                    "mount it where it is used: RUN --mount=type=secret,id=…",
                )


def _of_user(stage: Stage) -> Iterator[Advice]:
    users = list(_of_keyword(stage, "USER"))
    name = users[-1].arguments.partition(":")[0] if users else ""
    if name and name not in {"root", "0"}:
        return
    last = users[-1] if users else stage.instructions[-1]
    yield Advice(
        AdviceCode.ROOT_USER,
        last.first_line,
        "The service runs as root: what breaks out of it owns more than it should.",
        "end with USER and a number such as 10001",
    )


# ---------------------------------------------------------------- the order


def _copy_and_installs(stage: Stage) -> tuple[Instruction, list[Instruction]] | None:
    """The copy of the whole tree, and the installs of dependencies after it."""
    copy = next((i for i in stage.instructions if _is_copy_of_all(i)), None)
    if copy is None:
        return None
    installs = [
        i
        for i in _of_keyword(stage, "RUN")
        if i.first_line > copy.first_line and _INSTALL.search(i.value)
    ]
    return (copy, installs) if installs else None


def _is_copy_of_all(instruction: Instruction) -> bool:
    if instruction.keyword not in {"COPY", "ADD"} or "--from=" in instruction.flags:
        return False
    return any(source in {".", "./", "./."} for source in _words(instruction)[:-1])


def _obstacle(
    stage: Stage, copy: Instruction, installs: Sequence[Instruction], wanted: Sequence[str]
) -> str:
    """Why another order cannot be told for sure; empty when it can."""
    where = f"line {installs[0].first_line}"
    if not wanted:
        return f"what {where} installs is not told by a file of its own in the tree"
    if any(_needs_the_tree(install.value) for install in installs):
        return f"{where} installs the project itself, which needs the whole tree"
    last = installs[-1]
    for between in stage.instructions:
        if not copy.first_line < between.first_line < last.first_line or between in installs:
            continue
        is_apt = between.keyword == "RUN" and _APT_INSTALL.search(between.value)
        if between.keyword not in _HARMLESS_BETWEEN and not is_apt:
            return f"line {between.first_line} stands in between and may need the tree"
        if between.keyword == "WORKDIR" and not _target(copy).startswith("/"):
            return f"line {between.first_line} changes the folder that is copied to"
    return ""


def _needs_the_tree(value: str) -> bool:
    """Whether an install is of the tree itself: `pip install .`, `-e .`, `uv sync` of a project."""
    if re.search(
        r"\bpip3?\s+install\b[^&|;]*\s(?:-e\s+|--editable[\s=])?\.(?:\[[^\]]*\])?(?=\s|$|[&|;])",
        value,
    ):
        return True
    uv = re.search(r"\buv\s+sync\b([^&|;]*)", value)
    if uv and "--no-install-project" not in uv[1]:
        return True
    poetry = re.search(r"\bpoetry\s+install\b([^&|;]*)", value)
    return bool(poetry and "--no-root" not in poetry[1])


def _read_by(installs: Sequence[Instruction], files: set[str]) -> list[str]:
    wanted: dict[str, None] = {}
    for install in installs:
        for path in _REQUIREMENTS.findall(install.value):
            wanted[path.removeprefix("./")] = None
        for pattern, names in _LOCKS:
            if re.search(pattern, install.value):
                wanted.update(dict.fromkeys(names))
    return [path for path in wanted if path in files]


def _target(copy: Instruction) -> str:
    target = _words(copy)[-1]
    return target if target.endswith("/") else f"{target}/"


def _words(instruction: Instruction) -> list[str]:
    """Sources and target; both ways of writing them."""
    text = instruction.arguments
    if text.startswith("["):
        return re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return text.split()


def _names(instruction: Instruction) -> list[str]:
    found = re.findall(r"(?:^|\s)([A-Za-z_]\w*)(?==)", instruction.arguments)
    return found or instruction.arguments.split()[:1]


def _of_keyword(stage: Stage, keyword: str) -> Iterator[Instruction]:
    return (i for i in stage.instructions if i.keyword == keyword)
