"""The stored past against the whole history read at once, on real repositories made at random."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.git import mining
from agentci_dagster.adapters.git.log import Shown, entries, entry_of
from agentci_dagster.adapters.git.mirror import GitMirror
from agentci_dagster.adapters.git.past import FILE
from agentci_dagster.domain.errors import GitError
from agentci_dagster.domain.features import CommitFeatures, measure
from agentci_dagster.domain.history import History
from tests.adapters.repositories import Repository
from tests.builders import NOON


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "watched")


def grow(repository: Repository, n: int, seed: int) -> list[str]:
    """Commits on several branches: edits, renames, deletions, clean, evil and octopus merges, and
    clocks that go wrong.
    """
    draw = random.Random(seed)
    tips = {"main": repository.commit({f"{x}.py": b"0\n1\n2\n3\n" for x in "abc"}, "begin")}
    made = [tips["main"]]
    for number in range(n):
        branch = draw.choice(("main", "main", "left", "right"))
        repository.git("checkout", "-q", "-f", "--detach", tips.get(branch, draw.choice(made)))
        paths = repository.git("ls-files").split()
        roll, at = draw.random(), NOON + timedelta(minutes=draw.choice((number, 500 - number)))
        author = draw.choice(("ada@x", "bob@x"))
        if roll < 0.25 and len(tips) > 1:
            others = draw.sample(sorted(tips.values()), draw.choice((1, 1, 2)) % len(tips) or 1)
            if draw.random() < 0.5:
                (repository.folder / f"evil{number}.py").write_bytes(b"evil\n")
                repository.git("add", "-A")
            tree = repository.git("write-tree")
            parents = [repository.head, *(o for o in others if o != repository.head)]
            flags = [part for p in parents for part in ("-p", p)]
            made.append(repository.git("commit-tree", tree, *flags, "-m", f"merge {number}"))
            tips[branch] = made[-1]
            continue
        if roll < 0.4 and paths:
            old = draw.choice(paths)
            new = draw.choice(("lib/", "")) + draw.choice("abcdef") + ".py"
            (repository.folder / "lib").mkdir(exist_ok=True)
            (repository.folder / old).rename(repository.folder / new)
        elif roll < 0.5 and len(paths) > 1:
            (repository.folder / draw.choice(paths)).unlink()
        else:
            path = repository.folder / (draw.choice(paths) if paths else "a.py")
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            lines.insert(draw.randint(0, len(lines)), b"if f(%d):\n" % number)
            if draw.random() < 0.5:
                del lines[draw.randrange(len(lines))]
            path.write_bytes(b"".join(lines))
        message = draw.choice(("add", "fix", 'Revert "add"'))
        made.append(repository.commit_all(message, author=author, at=at))
        tips[branch] = made[-1]
    for branch, sha in tips.items():
        repository.git("update-ref", f"refs/heads/{branch}", sha)
    repository.git("symbolic-ref", "HEAD", "refs/heads/main")
    return made


def whole_history(mirror: GitMirror, tips: list[str]) -> dict[str, CommitFeatures]:
    history, rows = History(), {}
    # Of merges, too, so that every commit has a row.
    for entry in entries(mirror._ready, tips, shown=Shown.CHANGES_AND_MERGES):
        rows[entry.change.sha] = measure(entry.change, history)
        history.add(entry.change)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_row_of_a_new_commit_equals_that_of_the_whole_history(
    repository: Repository, seed: int
) -> None:
    made = grow(repository, 40, seed)
    mirror = repository.mirror("*")
    mirror.refresh()
    tips = [t.sha for t in mirror.refresh().tips]
    whole = whole_history(mirror, tips)
    order = [sha for sha in made if sha in whole]
    random.Random(seed).shuffle(order)

    online = {sha: mirror.features(mirror.diff(sha)) for sha in order}

    assert online == {sha: whole[sha] for sha in order}
    assert len(order) > 30
    assert mirror.features(mirror.diff(order[0])) == whole[order[0]]  # asked for again


def test_past_is_brought_forward_and_not_read_again(repository: Repository) -> None:
    first = repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    mirror.features(mirror.diff(first))
    second = repository.commit({"a": b"2\n"}, author="bob@x")
    third = repository.commit({"a": b"3\n"})
    mirror.refresh()

    features = mirror.features(mirror.diff(third))

    with sqlite3.connect(mirror.folder / FILE) as database:
        rows = database.execute("select sha from commits order by number").fetchall()
        tips = database.execute("select sha from tips").fetchall()
    assert [sha for (sha,) in rows] == [first, second, third]
    assert tips == [(third,)]
    assert (features.developers, features.lines_before) == (2, 1)


@pytest.mark.parametrize("harm", ["text", "version"])
def test_a_file_that_cannot_be_used_is_made_again(repository: Repository, harm: str) -> None:
    sha = repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    before = mirror.features(mirror.diff(sha))
    if harm == "text":
        (mirror.folder / FILE).write_bytes(b"this is no database" * 1000)
    else:
        with sqlite3.connect(mirror.folder / FILE) as database:
            database.execute("pragma user_version = 99")

    assert mirror.features(mirror.diff(sha)) == before


def test_a_place_that_cannot_be_written_is_told(repository: Repository) -> None:
    sha = repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    diff = mirror.diff(sha)
    (mirror.folder / FILE).mkdir()

    with pytest.raises(GitError, match="stored past"):
        mirror.features(diff)


def test_shallow_history_is_flagged_where_it_ends(repository: Repository, tmp_path: Path) -> None:
    shas = [repository.commit({"a": b"%d\n" % n}) for n in range(4)]
    shallow = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth=2", f"file://{repository.folder}", str(shallow))
    mirror = repository.mirror(url=str(shallow))

    rows = [mirror.features(mirror.diff(sha)) for sha in shas[2:]]

    assert [row.is_capped for row in rows] == [1, 0]
    assert [row.experience for row in rows] == [0, 1]


def test_capped_diff_stays_capped(repository: Repository) -> None:
    mirror = repository.mirror()
    sha = repository.commit({"a": b"1\n"})
    diff = mirror.diff(sha)

    assert mirror.features(diff).is_capped == 0
    assert mirror.features(replace(diff, is_capped=True)).is_capped == 1


def test_odd_histories_are_read(repository: Repository) -> None:
    blob = repository.blob(b"x\n")
    names = [b"new\nline", b"caf\xe9", b"tab\t", b'"quoted"', b":colon", b"\x01odd"]
    link = "a" * 40
    entries_ = sorted([("100644", blob, n) for n in names], key=lambda e: e[2])
    tree = repository.raw_tree(*entries_, ("160000", link, b"sub"), ("120000", blob, b"zlink"))
    root = repository.commit_tree(tree)
    body = f"tree {tree}\nparent {root}\nauthor \xff <> 1 +0000\ncommitter a <b@c> 9999999999999 +0000\n\n"
    message = b"fix \xff\x01 \n\n" + b"diff --git a/x b/x\n@@ -1 +1 @@\n" * 3
    odd = repository.git(
        "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
        stdin=body.encode("latin-1") + message,
    )  # fmt: skip
    repository.git("update-ref", "refs/heads/main", odd)
    mirror = repository.mirror()

    first, second = (mirror.features(mirror.diff(sha)) for sha in (root, odd))

    assert (first.files, first.lines_added) == (8, 8)
    assert first.dependency_files == 1
    assert (second.files, second.is_fix) == (0, 1)


def test_commits_with_missing_objects_are_flagged_and_the_rest_is_read(
    repository: Repository,
) -> None:
    first = repository.commit({"a.py": b"1\n"})
    broken = repository.commit({"a.py": b"2\n", "b.py": b"lost\n"})
    last = repository.commit({"c.py": b"3\n"})
    mirror = repository.mirror()
    mirror.refresh()
    lost = repository.git("rev-parse", f"{broken}:b.py")
    packs = list((mirror.folder / "objects").glob("pack/*.pack"))
    for one in packs:  # so that a single object can be taken away
        content = one.read_bytes()
        for part in one.parent.glob(f"{one.stem}.*"):
            part.unlink()
        mirror.plumbing.ask("unpack-objects", "-q", input=content)
    (mirror.folder / "objects" / lost[:2] / lost[2:]).unlink()

    found = {e.change.sha: e.change for e in entries(mirror.plumbing, [last])}

    assert list(found) == [first, broken, last]
    assert [c.is_capped for c in found.values()] == [False, True, False]
    assert [f.path for f in found[broken].files] == ["a.py", "b.py"]
    assert mirror.features(mirror.diff(last)).experience == 2
    assert entry_of(mirror.plumbing, broken).change.is_capped


@pytest.mark.parametrize("seed", range(3))
def test_lines_are_blamed_as_git_blames_them(repository: Repository, seed: int) -> None:
    grow(repository, 40, seed)
    with mining.opened(repository.folder) as (plumbing, tip):
        fixes = list(mining.labels(plumbing, tip))
        checked = mining.check_with_blame(plumbing, fixes, 100, seed=0)

    assert checked.differing == ()
