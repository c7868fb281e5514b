"""Dockerfiles: read as BuildKit reads them, advised on, put into a better order, and the gain told."""

from __future__ import annotations

import pytest

from agentci_dagster.domain.image import (
    AdviceCode,
    Gain,
    advise,
    gain_of,
    parse_dockerfile,
    propose,
    review_dockerfile,
)

GOOD = """\
FROM python:3.12-slim@sha256:abc
RUN apt-get update && apt-get install -y libpq5 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . .
USER 10001
"""
NAIVE = """\
FROM python:3.12
WORKDIR /app
COPY . .
RUN apt-get update && \\
    # what the database needs
    apt-get install -y libpq5
RUN pip install -r requirements.txt
CMD ["python", "-m", "shop"]
"""
BETTER = """\
FROM python:3.12
WORKDIR /app
RUN apt-get update && \\
    # what the database needs
    apt-get install -y libpq5
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . .
CMD ["python", "-m", "shop"]
"""
FILES = (".dockerignore", "requirements.txt", "shop.py")


def codes(text: str, files: tuple[str, ...] = FILES) -> list[str]:
    return [advice.code.value for advice in advise(parse_dockerfile(text), files)]


def proposed(text: str, files: tuple[str, ...] = FILES) -> str:
    """The file with the proposal applied; the reason where there is none."""
    proposal = propose(parse_dockerfile(text), files)
    if not proposal.patch:
        return proposal.why_none
    lines, out, at = text.splitlines(), [], 0
    for line in proposal.patch.splitlines()[2:]:
        if line.startswith("@@"):
            start = int(line.split()[1].lstrip("-").partition(",")[0]) - 1
            out += lines[at:start]
            at = start
        elif line.startswith("+"):
            out.append(line[1:])
        else:
            assert line[1:] == lines[at]
            out += [] if line.startswith("-") else [line[1:]]
            at += 1
    return "\n".join([*out, *lines[at:]]) + "\n"


# ---------------------------------------------------------------- reading


def test_instructions_know_their_lines_over_comments_and_continuations() -> None:
    (stage,) = parse_dockerfile("# syntax=docker/dockerfile:1\n\n" + NAIVE).stages

    assert [(i.keyword, i.first_line, i.last_line) for i in stage.instructions] == [
        ("FROM", 3, 3), ("WORKDIR", 4, 4), ("COPY", 5, 5), ("RUN", 6, 8), ("RUN", 9, 9), ("CMD", 10, 10),
    ]  # fmt: skip
    assert stage.instructions[3].value == "apt-get update && apt-get install -y libpq5"


def test_stages_have_names_and_what_comes_before_them_is_kept() -> None:
    read = parse_dockerfile(
        "ARG V=1\nFROM a:${V} AS build\nRUN x\nfrom build\nCOPY --from=build a b\n"
    )

    assert [i.value for i in read.before] == ["V=1"]
    assert [(s.base, s.name) for s in read.stages] == [("a:${V}", "build"), ("build", "")]
    copy = read.stages[1].instructions[1]
    assert (copy.flags, copy.arguments) == ("--from=build", "a b")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("FROM a\nRUN <<EOF\npip install x\nEOF\nUSER 1\n", ["<<EOF\npip install x", "1"]),
        ("FROM a\nRUN <<-'E'\n\techo\n\tE\nUSER 1\n", ["<<-'E'\necho", "1"]),
        ("FROM a\nRUN <<EOF\nnever ends\n", ["<<EOF\nnever ends"]),
        ("# escape=`\nFROM a\nRUN a `\n  b\\\nUSER 1\n", ["a b\\", "1"]),
        ("# escape=\\\nFROM a\nRUN a \\\n b\n", ["a b"]),
        ("FROM a\nRUN a \\\n\n# c\n b\n", ["a b"]),
        ("FROM a\nRUN a \\", ["a"]),
        ("FROM a\nRUN a \\\n# c", ["a"]),
        ("FROM a\nnonsense\n", [""]),
    ],
)
def test_odd_ways_of_writing_are_read(text: str, values: list[str]) -> None:
    (stage,) = parse_dockerfile(text).stages

    assert [i.value for i in stage.instructions[1:]] == values


def test_empty_file_has_no_stage_and_no_advice_but_for_the_context() -> None:
    assert parse_dockerfile("").stages == ()
    assert codes("") == []
    assert codes("", ()) == ["no-dockerignore"]
    assert codes("FROM\n") == ["unpinned-base", "root-user"]


# ---------------------------------------------------------------- advice


def test_good_file_gets_no_advice() -> None:
    assert codes(GOOD) == []


def test_naive_file_gets_advice_in_the_order_of_what_it_costs() -> None:
    advice = advise(parse_dockerfile(NAIVE), ("requirements.txt",))

    assert [(a.code.value, a.line) for a in advice] == [
        ("copy-before-install", 3), ("no-dockerignore", 1), ("apt-lists-left", 4), ("unpinned-base", 1),
        ("root-user", 8),
    ]  # fmt: skip
    assert all(a.words.endswith(".") and a.next_step for a in advice)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RUN apt-get update", "apt-update-alone"),
        ("RUN apt install -y curl", "apt-lists-left"),
        ("ENV API_TOKEN=x", "secret-in-layer"),
        ("ENV A=1 DB_PASSWORD=x", "secret-in-layer"),
        ("ARG github_token", "secret-in-layer"),
    ],
)
def test_line_that_should_be_mended_is_named(line: str, code: str) -> None:
    assert codes(GOOD.replace("USER", f"{line}\nUSER")) == [code]


@pytest.mark.parametrize(
    "line",
    [
        "ENV TOKENIZER=fast KEYBOARD=us", "ARG VERSION", "RUN echo install",
        "RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y curl",
        "COPY --from=build . .",
    ],
)  # fmt: skip
def test_harmless_lines_are_left_alone(line: str) -> None:
    assert codes(GOOD.replace("USER", f"{line}\nUSER")) == []


@pytest.mark.parametrize(
    ("base", "words"),
    [("python", "has no tag"), ("python:latest", "newest of the day"), ("reg:5000/python:3.12", "moves"),
     ("reg:5000/python", "has no tag")],
)  # fmt: skip
def test_base_that_moves_is_said_to(base: str, words: str) -> None:
    (advice,) = advise(parse_dockerfile(f"FROM {base}\nUSER 1\n"), FILES)

    assert advice.code is AdviceCode.UNPINNED_BASE
    assert words in advice.words


@pytest.mark.parametrize("base", ["scratch", "$BASE", "python@sha256:abc", "build"])
def test_base_that_cannot_move_is_fine(base: str) -> None:
    text = f"FROM scratch AS build\nUSER 1\nFROM {base}\nUSER app:app\n"

    assert codes(text) == []


@pytest.mark.parametrize("user", ["root", "0", "0:0", "root:root"])
def test_root_by_name_or_number_is_root(user: str) -> None:
    assert codes(GOOD.replace("10001", user)) == ["root-user"]


# ---------------------------------------------------------------- the order


def test_dependencies_come_before_code() -> None:
    assert proposed(NAIVE) == BETTER
    assert "copy-before-install" not in codes(BETTER)


@pytest.mark.parametrize(
    ("install", "files", "copied"),
    [
        ("npm ci", ("package.json", "package-lock.json", "index.js"), "package.json package-lock.json"),
        ("uv sync --frozen --no-install-project", ("pyproject.toml", "uv.lock"), "pyproject.toml uv.lock"),
        ("uv pip install -r ./req/prod.txt", ("req/prod.txt",), "req/prod.txt"),
        ("poetry install --no-root", ("pyproject.toml", "poetry.lock"), "pyproject.toml poetry.lock"),
        ("go mod download", ("go.mod", "go.sum", "main.go"), "go.mod go.sum"),
    ],
)  # fmt: skip
def test_each_installer_gets_what_it_reads(
    install: str, files: tuple[str, ...], copied: str
) -> None:
    text = f"FROM a\nCOPY . /app\nRUN {install}\n"

    assert proposed(text, files) == f"FROM a\nCOPY {copied} /app/\nRUN {install}\nCOPY . /app\n"


def test_every_stage_is_put_in_order_and_both_ways_of_writing_are_read() -> None:
    stage = 'FROM a\nADD ["./", "/app/"]\nENV X=1\nRUN npm ci\n'
    better = 'FROM a\nENV X=1\nCOPY package.json /app/\nRUN npm ci\nADD ["./", "/app/"]\n'

    assert proposed(stage + stage, ("package.json",)) == better + better


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM a\nCOPY . .\nRUN pip install flask\n", "not told by a file"),
        ("FROM a\nCOPY . .\nRUN pip install -r requirements.txt .\n", "the project itself"),
        (
            "FROM a\nCOPY . .\nRUN pip install -r requirements.txt -e .[dev] && x\n",
            "the project itself",
        ),
        (
            "FROM a\nCOPY . .\nRUN uv sync && pip install -r requirements.txt\n",
            "the project itself",
        ),
        (
            "FROM a\nCOPY . .\nRUN poetry install; pip install -r requirements.txt\n",
            "the project itself",
        ),
        (
            "FROM a\nCOPY . .\nRUN make\nRUN pip install -r requirements.txt\n",
            "line 3 stands in between",
        ),
        (
            "FROM a\nCOPY . .\nWORKDIR /b\nRUN pip install -r requirements.txt\n",
            "line 3 changes the folder",
        ),
        (GOOD, ""),
        ("FROM a\nCOPY . .\nRUN make\n", ""),
        ("FROM a\nCOPY src .\nRUN pip install -r requirements.txt\n", ""),
    ],
)
def test_where_the_order_is_not_sure_nothing_is_proposed(text: str, why: str) -> None:
    said = proposed(text)

    assert why in said
    assert bool(said) is bool(why)


def test_folder_that_is_changed_does_not_matter_to_a_whole_path() -> None:
    text = "FROM a\nCOPY . /app\nWORKDIR /app\nRUN pip install -r requirements.txt\n"

    assert proposed(text).splitlines()[1:3] == ["WORKDIR /app", "COPY requirements.txt /app/"]


# ---------------------------------------------------------------- the gain


def test_gain_counts_commits_that_leave_dependencies_alone() -> None:
    earlier = [("shop.py",), ("shop.py", "requirements.txt"), ("Dockerfile",), ("README.md",)]

    gain = gain_of(earlier, 40.0)

    assert gain == Gain(4, 2, 40.0)
    assert gain.seconds_a_commit == 20.0
    assert gain.in_words == (
        "2 of the last 4 commits would have kept the dependencies, 40.0 s each: 20.0 s a commit"
    )


def test_gain_says_what_is_not_known() -> None:
    assert "not measured yet" in gain_of([("a.py",)], None).in_words
    assert gain_of([("a.py",)], None).seconds_a_commit is None
    assert gain_of([], 4.0).in_words == "no earlier commit to tell the gain from"
    assert gain_of([], 4.0).seconds_a_commit is None


def test_review_takes_the_cost_of_the_installing_steps() -> None:
    steps = [
        ("FROM python:3.12", 3.0),
        ("RUN pip install -r requirements.txt", 9.0),
        ("RUN npm ci", 0.0),
    ]

    review = review_dockerfile(NAIVE, FILES, [("shop.py",)], steps)

    assert review.gain == Gain(1, 1, 9.0)
    assert review.proposal.patch.startswith("--- a/Dockerfile\n+++ b/Dockerfile\n")
    assert review.advice[0].code is AdviceCode.COPY_BEFORE_INSTALL
    assert review_dockerfile(NAIVE, FILES, [], []).gain.install_s is None
