"""The port Mirror: one contract for the fake and for git, and what only git can get wrong."""

from __future__ import annotations

import json
import multiprocessing
import socket
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from agentci_dagster.adapters.git import GitMirror, GitMirrors
from agentci_dagster.adapters.git.source import digest_of
from agentci_dagster.domain.diff import CommitKey, FileKind, FileStatus, ReadLimits, SymbolStatus
from agentci_dagster.domain.errors import GitError, UsageError
from agentci_dagster.ports import BranchTip, Mirror, Mirrors
from tests.adapters.repositories import RealRemote, Repository
from tests.fakes.git import FakeMirror, FakeMirrors

CART = (
    b"def total(prices):\n    return sum(prices)\n\n\ndef mean(prices):\n    return total(prices)\n"
)


class FakeRemote:
    def __init__(self, folder: Path, branches: tuple[str, ...] = ("main",)) -> None:
        self.mirror = FakeMirror(branches=branches)
        self.push, self.force, self.delete = (
            self.mirror.push,
            self.mirror.force,
            self.mirror.delete,
        )

    def set_reachable(self, *, is_reachable: bool) -> None:
        self.mirror.is_reachable = is_reachable


Remote = FakeRemote | RealRemote


@pytest.fixture(params=[FakeRemote, RealRemote], ids=["fake", "git"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    return request.param(tmp_path, ("main", "release/*"))


@pytest.fixture(params=["fake", "git"])
def mirrors(request: pytest.FixtureRequest, tmp_path: Path) -> Mirrors:
    if request.param == "fake":
        return FakeMirrors(FakeMirror("shop"))
    return GitMirrors(tmp_path, {"shop": (str(tmp_path / "shop"), ("main",))})


# ---------------------------------------------------------------- the contract


def tips_of(mirror: Mirror) -> dict[str, str]:
    return {tip.branch: tip.sha for tip in mirror.refresh().tips}


def test_refresh_tells_tips_of_watched_branches_only(remote: Remote) -> None:
    main = remote.push({"a": b"1\n"})
    release = remote.push({"a": b"2\n"}, branch="release/1")
    remote.push({"a": b"3\n"}, branch="feature")

    assert tips_of(remote.mirror) == {"main": main, "release/1": release}
    assert remote.mirror.refresh().missing == ()


def test_unborn_branch_is_missing_until_it_is_born(remote: Remote) -> None:
    before = remote.mirror.refresh()
    sha = remote.push({"a": b"1\n"})
    after = remote.mirror.refresh()

    assert (before.tips, before.missing) == ((), ("main", "release/*"))
    assert [t.sha for t in after.tips] == [sha]
    assert after.missing == ("release/*",)
    assert before.identity == after.identity


def test_deleted_branch_is_missing_and_heals(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    old = remote.push({"a": b"1\n"}, branch="release/1")
    remote.mirror.refresh()

    remote.delete("release/1")
    gone = remote.mirror.refresh()
    remote.force("release/1", old)
    back = remote.mirror.refresh()

    assert gone.missing == ("release/*",)
    assert back.missing == ()
    assert remote.mirror.commit(old).key.sha == old


def test_branch_may_turn_into_a_folder_of_branches(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    old = remote.push({"a": b"1\n"}, branch="release/1")
    remote.mirror.refresh()

    remote.delete("release/1")
    new = remote.push({"a": b"2\n"}, branch="release/1/fix")

    assert tips_of(remote.mirror)["release/1/fix"] == new
    assert remote.mirror.commit(old).key.sha == old


def test_force_push_loses_nothing(remote: Remote) -> None:
    first = remote.push({"a": b"1\n"})
    replaced = remote.push({"a": b"2\n"})
    identity = remote.mirror.refresh().identity

    remote.force("main", first)
    new = remote.push({"a": b"3\n"})
    refreshed = remote.mirror.refresh()

    assert [t.sha for t in refreshed.tips] == [new]
    assert refreshed.identity == identity
    assert remote.mirror.new_commits([new], [replaced], 25) == ((new,), 0)
    assert remote.mirror.diff(replaced).files[0].path == "a"


def test_refresh_tells_what_was_forced_and_what_is_gone(remote: Remote) -> None:
    first = remote.push({"a": b"1\n"})
    replaced = remote.push({"a": b"2\n"})
    old = remote.push({"b": b"1\n"}, branch="release/1")
    assert remote.mirror.refresh().replaced == ()

    remote.force("main", first)
    remote.push({"a": b"3\n"})
    remote.delete("release/1")
    told = remote.mirror.refresh()
    after = remote.mirror.refresh()

    assert told.replaced == (BranchTip("main", replaced),)
    assert told.gone == (BranchTip("release/1", old),)
    assert (after.replaced, after.gone) == ((), ())


def test_tips_come_in_the_order_of_the_settings(remote: Remote) -> None:
    remote.mirror.branches = ("z", "release/*", "*")
    for branch in ("a", "release/2", "release/1", "z"):
        remote.push({"a": branch.encode()}, branch=branch)

    tips = [tip.branch for tip in remote.mirror.refresh().tips]

    assert tips == ["z", "release/1", "release/2", "a"]


def test_branch_taken_from_the_settings_is_not_said_to_be_gone(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    remote.push({"b": b"1\n"}, branch="release/1")
    remote.mirror.refresh()
    remote.mirror.branches = ("main",)

    told = remote.mirror.refresh()

    assert told.gone == ()
    assert told.patterns == ("main",)


def test_remote_with_unwatched_branches_only_is_not_empty(remote: Remote) -> None:
    before = remote.mirror.refresh()
    remote.push({"a": b"1\n"}, branch="master")
    after = remote.mirror.refresh()

    assert (before.is_empty, after.is_empty) == (True, False)
    assert after.tips == ()


def test_unreachable_remote_is_an_error_and_the_mirror_stays(remote: Remote) -> None:
    sha = remote.push({"a": b"1\n"})
    before = remote.mirror.refresh()

    remote.set_reachable(is_reachable=False)
    with pytest.raises(GitError, match=r"Next: \w+"):
        remote.mirror.refresh()
    stale = remote.mirror.commit(sha)
    remote.set_reachable(is_reachable=True)

    assert stale.key.sha == sha
    assert remote.mirror.refresh() == before


def test_new_commits_come_oldest_first_and_bounded(remote: Remote) -> None:
    shas = [remote.push({"a": b"%d\n" % n}) for n in range(5)]
    remote.mirror.refresh()

    assert remote.mirror.new_commits([shas[-1]], [shas[0]], 3) == (tuple(shas[1:4]), 1)
    assert remote.mirror.new_commits([shas[-1]], [], 25) == (tuple(shas), 0)
    assert remote.mirror.new_commits([shas[-1]], [shas[-1]], 25) == ((), 0)
    assert remote.mirror.new_commits([], [], 25) == ((), 0)


def test_parents_come_before_children_across_branches(remote: Remote) -> None:
    root = remote.push({"a": b"0\n"})
    remote.force("release/1", root)
    side = remote.push({"b": b"1\n"}, branch="release/1")
    main = remote.push({"a": b"1\n"})
    merge = remote.push({"b": b"1\n"}, "merge", merge=[side])
    remote.mirror.refresh()

    shas, _ = remote.mirror.new_commits([merge, side], [], 25)

    assert sorted(shas) == sorted([root, side, main, merge])
    assert shas[0] == root
    assert shas[-1] == merge


def test_known_commits_that_never_existed_are_ignored(remote: Remote) -> None:
    sha = remote.push({"a": b"1\n"})
    remote.mirror.refresh()

    assert remote.mirror.new_commits([sha], ["0123456789" * 4], 25) == ((sha,), 0)


def test_revisions_are_resolved(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    tip = remote.push({"a": b"2\n"})
    remote.mirror.refresh()

    assert {remote.mirror.resolve(r) for r in (tip, tip[:10], "main", "HEAD")} == {tip}
    for nonsense in ("no-such-branch", "--all", "main;id", "", "f" * 40):
        with pytest.raises(UsageError):
            remote.mirror.resolve(nonsense)


def test_what_is_known_is_known_without_the_remote(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    tip = remote.push({"a": b"2\n"})
    assert remote.mirror.known("main") is None

    remote.mirror.refresh()
    remote.set_reachable(is_reachable=False)

    assert [remote.mirror.known(r) for r in (tip, tip[:10], "main", "HEAD")] == [tip] * 4
    assert {remote.mirror.known(r) for r in ("no-such-branch", "--all", "", "f" * 40)} == {None}


def test_commit_tells_its_facts(remote: Remote) -> None:
    root = remote.push({"a": b"1\n"}, author="Ada@example.org")
    sha = remote.push({"a": b"2\n"}, "Mend the sum\n\nIt was wrong.", author="ada@Example.org")
    remote.mirror.refresh()

    first, commit = remote.mirror.commit(root), remote.mirror.commit(sha)

    assert commit.key == CommitKey("shop", sha)
    assert commit.parents == (root,)
    assert commit.subject == "Mend the sum"
    assert commit.message == "Mend the sum\n\nIt was wrong."
    assert commit.author_id == first.author_id
    assert "@" not in commit.author_id
    assert first.parents == ()
    assert commit.committed_at > first.committed_at


def test_diff_tells_lines_hunks_kinds_and_symbols(remote: Remote) -> None:
    remote.push({"shop/cart.py": CART, "README.md": b"hi\n", "old.txt": b"x\n"})
    sha = remote.push(
        {
            "shop/cart.py": CART.replace(b"return total(prices)", b"return total(prices) / 2"),
            "tests/test_cart.py": b"def test_mean():\n    pass\n",
            "old.txt": None,
        }
    )
    remote.mirror.refresh()

    diff = remote.mirror.diff(sha)
    files = {f.path: f for f in diff.files}

    assert list(files) == ["old.txt", "shop/cart.py", "tests/test_cart.py"]
    assert files["old.txt"].status is FileStatus.DELETED
    assert files["shop/cart.py"].kind is FileKind.SOURCE
    assert files["tests/test_cart.py"].kind is FileKind.TEST
    assert (diff.lines_added, diff.lines_deleted) == (3, 2)
    assert files["shop/cart.py"].added_line_numbers == (6,)
    assert [(s.qualified_name, s.status) for s in files["shop/cart.py"].symbols] == [
        ("mean", SymbolStatus.CHANGED)
    ]
    assert [s.status for s in files["tests/test_cart.py"].symbols] == [SymbolStatus.ADDED]
    assert not diff.is_capped


def test_root_commit_adds_everything(remote: Remote) -> None:
    sha = remote.push({"a.py": CART, "b": b"1\n"})
    remote.mirror.refresh()

    diff = remote.mirror.diff(sha)

    assert {f.status for f in diff.files} == {FileStatus.ADDED}
    assert diff.lines_added == 7
    features = remote.mirror.features(diff)
    assert (features.developers, features.age_days, features.lines_before) == (None, None, None)
    assert features.experience == 0


def test_empty_commit_has_an_empty_diff(remote: Remote) -> None:
    remote.push({"a": b"1\n"})
    sha = remote.push({})
    remote.mirror.refresh()

    diff = remote.mirror.diff(sha)

    assert diff.files == ()
    assert remote.mirror.features(diff).files == 0


def test_merge_is_shown_against_its_first_parent(remote: Remote) -> None:
    root = remote.push({"a": b"0\n"})
    remote.force("release/1", root)
    remote.force("release/2", root)
    one = remote.push({"b": b"1\n"}, branch="release/1")
    two = remote.push({"c": b"1\n"}, branch="release/2")
    remote.push({"a": b"1\n"})
    octopus = remote.push({"b": b"1\n", "c": b"1\n"}, "merge both", merge=[one, two])
    remote.mirror.refresh()

    diff = remote.mirror.diff(octopus)

    assert diff.commit.is_merge
    assert [f.path for f in diff.files] == ["b", "c"]
    assert any("merge of 3 parents" in note for note in diff.notes)


def test_commits_with_the_very_same_tree_are_found_over_merges(remote: Remote) -> None:
    root = remote.push({"a": b"1\n"})
    remote.force("release/1", root)
    there = remote.push({"b": b"1\n"}, branch="release/1")
    merge = remote.push({"b": b"1\n"}, "bring it in", merge=[there])
    remote.push({"a": b"2\n"})
    back = remote.push({"a": b"1\n"})
    remote.mirror.refresh()

    assert remote.mirror.same_trees(merge, 50) == (there,)
    assert set(remote.mirror.same_trees(back, 50)) == {merge, there}
    assert remote.mirror.same_trees(back, 2) == ()
    assert remote.mirror.same_trees(root, 50) == ()


def test_recent_paths_are_told_commit_by_commit_without_merges(remote: Remote) -> None:
    first = remote.push({"a": b"1\n", "b/ü .txt": b"1\n"})
    remote.force("release/1", first)
    other = remote.push({"c": b"1\n"}, branch="release/1")
    remote.push({"a": b"2\n", "c": b"1\n"}, "bring it in", merge=[other])
    remote.push({})
    last = remote.push({"a": None})
    remote.mirror.refresh()

    told = remote.mirror.recent_paths(last, 10)

    assert [sorted(paths) for paths in told] == [["a"], [], ["c"], ["a", "b/ü .txt"]]
    assert len(remote.mirror.recent_paths(last, 2)) == 2


def test_features_know_ancestors_and_nothing_later(remote: Remote) -> None:
    remote.push({"shop/a.py": b"x = 1\ny = 2\n", "lib/c.py": b"1\n"}, author="ada@example.org")
    remote.push({"shop/a.py": b"x = 1\n"}, "Fix the sum", author="bob@example.org")
    remote.push({"lib/c.py": b"2\n"}, author="Ada@Example.org")
    sha = remote.push({"shop/a.py": b"x = 3\n", "shop/b.py": b"z\n"}, author="ada@example.org")
    remote.mirror.refresh()
    before = remote.mirror.features(remote.mirror.diff(sha))

    remote.push({"shop/a.py": b"x = 4\n"}, "fix again", author="eve@example.org")
    remote.mirror.refresh()
    features = remote.mirror.features(remote.mirror.diff(sha))

    assert features == before
    assert features.developers == 2
    assert features.earlier_fixes == 1
    assert features.unique_changes == 1
    assert features.experience == 2
    assert features.subsystem_experience == 1
    assert features.lines_before == 1
    assert features.age_days == pytest.approx(2 / 24 / 60)
    assert features.recent_experience == pytest.approx(2, abs=0.01)
    assert (features.files, features.directories, features.subsystems) == (2, 1, 1)


def test_branches_that_contain_a_commit_come_shortest_first(remote: Remote) -> None:
    root = remote.push({"a": b"0\n"})
    remote.force("release/1", root)
    tip = remote.push({"a": b"1\n"})
    remote.mirror.refresh()

    assert remote.mirror.branches_of(root) == ("main", "release/1")
    assert remote.mirror.branches_of(tip) == ("main",)


def test_files_are_listed_and_read(remote: Remote, tmp_path: Path) -> None:
    sha = remote.push({"a/b.py": b"b\0\n", "c": b"c\n", "empty": b""})
    remote.mirror.refresh()

    assert remote.mirror.files(sha) == ("a/b.py", "c", "empty")
    assert remote.mirror.read(sha, "a/b.py") == b"b\0\n"
    assert remote.mirror.read(sha, "empty") == b""
    assert remote.mirror.read(sha, "a") is None
    assert remote.mirror.read(sha, "../c") is None
    assert remote.mirror.read_all(sha, ["c", "none", "empty"]) == {"c": b"c\n", "empty": b""}


def test_export_writes_the_tree_into_an_empty_folder_only(remote: Remote, tmp_path: Path) -> None:
    sha = remote.push({"a/b.py": b"b\n", "c": b"c\0"})
    remote.mirror.refresh()

    remote.mirror.export(sha, tmp_path / "out")

    assert (tmp_path / "out/a/b.py").read_bytes() == b"b\n"
    assert (tmp_path / "out/c").read_bytes() == b"c\0"
    with pytest.raises(UsageError, match="not empty"):
        remote.mirror.export(sha, tmp_path / "out")


def test_unknown_repository_is_a_usage_error(mirrors: Mirrors) -> None:
    with pytest.raises(UsageError, match="No repository named 'other' is configured"):
        mirrors.of("other")

    assert mirrors.of("shop") is mirrors.of("shop")


# ---------------------------------------------------------------- git only


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "watched")


def test_mirror_is_made_and_filled_on_first_use(repository: Repository) -> None:
    sha = repository.commit({"a": b"1\n"})

    assert repository.mirror().commit(sha).key.sha == sha


def test_revisions_that_are_not_watched_are_fetched_by_name(repository: Repository) -> None:
    first = repository.commit({"a": b"1\n"})
    repository.git("tag", "-a", "v1", "-m", "first")
    repository.commit({"a": b"2\n"})
    repository.git("checkout", "-q", "-b", "feature")
    tip = repository.commit({"a": b"3\n"})
    mirror = repository.mirror()

    assert mirror.resolve("v1") == first
    assert mirror.resolve("HEAD") == tip
    assert mirror.resolve("HEAD~2") == first
    assert mirror.resolve("@^^") == first
    assert mirror.resolve("feature") == tip


def test_unwatched_branches_and_tags_are_looked_up_anew(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    repository.git("checkout", "-q", "-b", "feature")
    old = repository.commit({"a": b"2\n"})
    repository.git("tag", "nightly")
    mirror = repository.mirror()
    assert [mirror.resolve(name) for name in ("feature", "nightly")] == [old, old]
    new = repository.commit({"a": b"3\n"})
    repository.git("tag", "-f", "nightly")

    assert [mirror.resolve(name) for name in ("feature", "nightly")] == [new, new]


def test_cached_branch_stands_only_while_the_remote_cannot_be_asked(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a": b"1\n"})
    repository.git("checkout", "-q", "-b", "feature")
    tip = repository.commit({"a": b"2\n"})
    mirror = repository.mirror()
    mirror.resolve("feature")
    repository.git("checkout", "-q", "main")

    repository.folder.rename(tmp_path / "away")
    while_away = mirror.resolve("feature")
    with pytest.raises(UsageError, match=r"remote could not be asked: .* there is no folder"):
        mirror.resolve("other")
    (tmp_path / "away").rename(repository.folder)
    repository.git("branch", "-D", "feature")

    assert while_away == tip
    with pytest.raises(UsageError, match="has no commit 'feature'"):
        mirror.resolve("feature")


def test_branch_that_became_a_folder_of_branches_is_found(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    repository.git("branch", "feature")
    mirror = repository.mirror()
    mirror.resolve("feature")
    repository.git("branch", "-D", "feature")
    repository.git("checkout", "-q", "-b", "feature/x")
    deeper = repository.commit({"a": b"2\n"})

    assert mirror.resolve("feature/x") == deeper
    repository.git("checkout", "-q", "main")
    repository.git("branch", "-D", "feature/x")
    repository.git("branch", "feature", deeper)
    assert mirror.resolve("feature") == deeper


def test_head_that_is_unborn_now_is_unknown(repository: Repository) -> None:
    sha = repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    mirror.refresh()
    assert mirror.resolve("HEAD") == sha
    repository.git("symbolic-ref", "HEAD", "refs/heads/new")
    mirror.refresh()

    with pytest.raises(UsageError, match="has no commit 'HEAD'"):
        mirror.resolve("HEAD")


def test_commit_of_no_watched_branch_is_found_by_its_sha(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    repository.git("checkout", "-q", "-b", "feature")
    on_branch = repository.commit({"a": b"2\n"})
    repository.git("checkout", "-q", "--detach")
    of_none = repository.commit({"a": b"3\n"})
    mirror = repository.mirror()

    assert mirror.resolve(on_branch[:12]) == on_branch
    assert mirror.resolve(of_none) == of_none
    assert mirror.resolve(f"{of_none}~1") == on_branch
    assert mirror.diff(of_none).files[0].path == "a"


def test_name_of_a_branch_comes_before_an_abbreviated_sha(repository: Repository) -> None:
    first = repository.commit({"a": b"1\n"})
    second = repository.commit({"a": b"2\n"})
    repository.git("branch", first[:6], second)
    watching, not_watching = repository.mirror("*"), repository.mirror()
    watching.refresh()

    assert watching.resolve(first[:6]) == second
    not_watching.refresh()
    assert not_watching.resolve(first[:6]) == second
    assert not_watching.resolve(first[:7]) == first
    assert not_watching.resolve(first) == first


def test_identity_changes_when_the_address_holds_another_history(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    before = mirror.refresh().identity

    repository.folder.rename(tmp_path / "old")
    other = Repository(tmp_path / "watched")
    other.commit({"b": b"quite another\n"}, "another root")

    assert mirror.refresh().identity != before
    assert len(mirror.refresh().tips) == 1


def test_mirror_knows_its_address_again_by_a_digest(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    mirror = repository.mirror(url=f"file://{repository.folder}")
    identity = mirror.refresh().identity
    state = mirror.folder / "agentci.json"
    kept = json.loads(state.read_text())
    address = "https://me:hunter2@example.org/x"
    mirrors = GitMirrors(mirror.folder.parent, {})

    state.write_text(json.dumps(kept | {"address": digest_of(address)}))

    assert mirrors.is_free("shop", address)
    assert not mirrors.is_free("shop", "https://other@example.org/x")
    assert mirrors.is_free("never-seen", address)
    assert kept["address"] == digest_of(mirror.url)
    assert identity == kept["identity"]


def test_mirror_of_the_first_version_keeps_its_identity(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    identity = mirror.refresh().identity
    state = mirror.folder / "agentci.json"
    kept = json.loads(state.read_text())
    del kept["address"]
    state.write_text(json.dumps(kept))

    assert mirror.refresh().identity == identity
    assert json.loads(state.read_text())["address"] == digest_of(mirror.url)


def test_identity_survives_a_new_branch_without_common_history(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    mirror = repository.mirror("*")
    before = mirror.refresh().identity
    repository.git("checkout", "-q", "--orphan", "pages")
    repository.commit({"b": b"1\n"}, "another root")

    assert mirror.refresh().identity == before


def test_commits_replaced_by_force_survive_collection(repository: Repository) -> None:
    first = repository.commit({"a": b"1\n"})
    lost = repository.commit({"a": b"2\n"})
    mirror = repository.mirror()
    mirror.refresh()
    repository.git("reset", "-q", "--hard", first)
    repository.commit({"a": b"3\n"})
    mirror.refresh()

    repository.git("--git-dir", str(mirror.folder), "gc", "--quiet", "--prune=now")

    assert mirror.diff(lost).lines_added == 1


def test_shallow_source_is_read_and_its_edge_is_said(
    repository: Repository, tmp_path: Path
) -> None:
    for n in range(4):
        repository.commit({"a": b"%d\n" % n, "b": b"same\n"})
    address = f"file://{repository.folder}"
    repository.git("clone", "-q", "--depth=2", address, str(tmp_path / "shallow"))
    mirror = repository.mirror(url=str(tmp_path / "shallow"))
    (tip,) = mirror.refresh().tips

    shas, _ = mirror.new_commits([tip.sha], [], 25)
    edge, last = mirror.diff(shas[0]), mirror.diff(shas[1])

    assert len(shas) == 2
    assert edge.is_capped
    assert "shallow" in edge.notes[0]
    assert not last.is_capped
    assert mirror.features(last).experience == 1


def test_identity_survives_that_a_shallow_source_is_cut_off_elsewhere(
    repository: Repository, tmp_path: Path
) -> None:
    for n in range(3):
        repository.commit({"a": b"%d\n" % n})
    address, shallow = f"file://{repository.folder}", str(tmp_path / "shallow")
    repository.git("clone", "-q", "--depth=2", address, shallow)
    mirror = repository.mirror(url=shallow)
    before = mirror.refresh()
    for n in range(3):
        repository.commit({"a": b"later %d\n" % n})
    repository.git("-C", shallow, "fetch", "-q", "--depth=1")
    repository.git("-C", shallow, "reset", "-q", "--hard", "origin/main")

    after = mirror.refresh()

    assert after.identity == before.identity
    assert after.tips != before.tips
    assert after.replaced == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: None, "there is no folder"),
        (lambda place: place.mkdir(), "cannot be fetched"),
        (lambda place: place.write_text("not a repository"), "cannot be fetched"),
    ],
)
def test_what_is_no_repository_is_named(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "place")
    mirror = GitMirror(tmp_path / "m" / "shop.git", "shop", str(tmp_path / "place"))

    with pytest.raises(GitError, match=message) as caught:
        mirror.refresh()

    assert "Next: " in str(caught.value)


def test_partial_clone_is_told_how_to_become_whole(repository: Repository, tmp_path: Path) -> None:
    for n in range(2):
        repository.commit({"a": b"%d\n" % n})
    repository.git("config", "uploadpack.allowFilter", "true")
    options = ("--no-local", "--filter=blob:none", "--no-checkout")
    repository.git("clone", "-q", *options, str(repository.folder), str(tmp_path / "part"))
    mirror = repository.mirror(url=str(tmp_path / "part"))

    with pytest.raises(GitError, match=r"is a partial clone.*fetch --refetch --no-filter"):
        mirror.refresh()
    repository.git("-C", str(tmp_path / "part"), "fetch", "-q", "--refetch", "--no-filter")

    assert len(mirror.refresh().tips) == 1


def test_remote_that_does_not_answer_is_said_to_do_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://token@127.0.0.1:{silent.getsockname()[1]}/x"
        fetching = GitMirror(tmp_path / "shop.git", "shop", url)._fetching
        hurried = replace(fetching, ask_timeout=timedelta(milliseconds=300))

        with pytest.raises(GitError, match=r"https://\*\*\*@127.* did not answer within 0\.3 s"):
            hurried.refresh()


def test_waiting_for_another_fetch_has_an_end(tmp_path: Path, repository: Repository) -> None:
    mirror = repository.mirror()
    mirror.refresh()
    hurried = replace(mirror._fetching, lock_timeout=timedelta(milliseconds=100))

    with mirror._fetching._locked(), pytest.raises(GitError, match="by another process for 0"):
        hurried.refresh()


def test_sha256_repository_is_said_to_be_unsupported(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "watched", object_format="sha256")
    repository.commit({"a": b"1\n"})

    with pytest.raises(GitError, match="uses the sha256 object format, which is not supported"):
        repository.mirror().refresh()


def test_commit_that_is_not_there_is_named(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    mirror = repository.mirror()
    mirror.refresh()

    with pytest.raises(GitError, match=r"failed in shop\.git"):
        mirror.commit("f" * 40)
    with pytest.raises(GitError, match=r"failed in shop\.git"):
        mirror.files("f" * 40)
    with pytest.raises(UsageError, match="Not a full commit sha"):
        mirror.diff("--output=/tmp/x")


def refresh_often(mirror: GitMirror, n: int, tips: Sequence[str]) -> None:
    for _ in range(n):
        assert [t.sha for t in mirror.refresh().tips][-1:] == list(tips)


def test_two_processes_share_a_mirror(repository: Repository) -> None:
    tips = [repository.commit({"a": b"%d\n" % n}) for n in range(3)][-1:]
    context = multiprocessing.get_context("fork")
    mirrors = [repository.mirror() for _ in range(3)]
    processes = [context.Process(target=refresh_often, args=(m, 2, tips)) for m in mirrors]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [p.exitcode for p in processes] == [0, 0, 0]
    assert not list(repository.mirror().folder.rglob("*.lock"))


def test_renames_binaries_modes_and_types(repository: Repository) -> None:
    text = b"".join(b"line %d\n" % n for n in range(40))
    repository.commit({"old.py": text, "bin": b"\0\1", "run.sh": b"x\n", "kind": b"y\n"})
    repository.git("mv", "old.py", "new.py")
    (repository.folder / "new.py").write_bytes(text + b"one more\n")
    (repository.folder / "run.sh").chmod(0o755)
    (repository.folder / "bin").write_bytes(b"\0\2")
    (repository.folder / "kind").unlink()
    (repository.folder / "kind").symlink_to("run.sh")
    sha = repository.commit_all()

    diff = repository.mirror().diff(sha)
    files = {f.path: f for f in diff.files}

    assert (files["new.py"].status, files["new.py"].old_path) == (FileStatus.RENAMED, "old.py")
    assert (files["new.py"].lines_added, files["new.py"].lines_deleted) == (1, 0)
    assert files["new.py"].added_line_numbers == (41,)
    assert files["bin"].is_binary
    assert (files["run.sh"].churn, files["run.sh"].hunks) == (0, ())
    assert files["kind"].status is FileStatus.TYPE_CHANGED
    assert len(files["kind"].hunks) == 2
    assert any("'run.sh' is executable now" in n for n in diff.notes)
    assert any("'kind' is a symbolic link" in n for n in diff.notes)
    assert any("no functions known" in n for n in diff.notes)


def test_submodule_is_a_dependency_and_an_empty_folder(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a": b"1\n"})
    repository.git("update-index", "--add", "--cacheinfo", "160000", "a" * 40, "vendor/lib")
    repository.git("commit", "-q", "-m", "submodule")
    sha = repository.head
    mirror = repository.mirror()

    diff = mirror.diff(sha)
    mirror.export(sha, tmp_path / "out")

    assert diff.files[0].kind is FileKind.DEPENDENCY
    assert diff.notes == ("submodule 'vendor/lib': nothing -> aaaaaaaaaa; its content is not read",)
    assert list((tmp_path / "out/vendor/lib").iterdir()) == []
    assert mirror.files(sha) == ("a",)
    assert mirror.read(sha, "vendor/lib") is None


def test_large_diff_is_capped_and_says_so(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    lines = b"".join(b"x = %d\n" % n for n in range(200_000))
    sha = repository.commit({"big.py": lines, "z.sql": b"select 1;\n"})
    mirror = repository.mirror()

    whole = mirror.diff(sha)
    mirror.limits = ReadLimits(max_patch_bytes=100_000)
    capped = mirror.diff(sha)

    assert whole.lines_added == capped.lines_added == 200_001
    assert not whole.is_capped
    assert any("larger than 512 KiB" in n for n in whole.notes)
    assert capped.is_capped
    assert mirror.features(capped).is_capped == 1.0
    assert "MiB of the diff were read" in capped.notes[0]


def test_text_too_large_for_git_to_compare_is_capped_and_named(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    line = b"insert into prices values (1, 2, 3);\n"
    large = line * (17 * 1024 * 1024 // len(line))
    sha = repository.commit({"seed.sql": large, "video.bin": b"\0" + large, "small.bin": b"\0"})
    shrunk = repository.commit({"seed.sql": b"1\n", "video.bin": None})
    mirror = repository.mirror()

    grown, less = mirror.diff(sha), mirror.diff(shrunk)

    note = "'seed.sql' is larger than 16 MiB; its lines were not counted"
    assert (grown.is_capped, grown.notes) == (True, (note,))
    assert (less.is_capped, less.notes) == (True, (note,))


def test_too_many_files_keep_those_that_ask_for_care(repository: Repository) -> None:
    repository.commit({"a": b"1\n"})
    many = {f"docs/{n:03}.md": b"x\n" for n in range(50)}
    sha = repository.commit({**many, "z/migrations/1.sql": b"drop table t;\n", "z.py": b"1\n"})
    mirror = repository.mirror()
    mirror.limits = ReadLimits(max_files=4)

    diff = mirror.diff(sha)

    paths = [f.path for f in diff.files]
    assert paths == ["docs/000.md", "docs/001.md", "z.py", "z/migrations/1.sql"]
    assert diff.is_capped
    assert diff.notes[0] == "52 files changed, 4 of them were read"


def test_only_so_many_python_files_are_looked_into(repository: Repository) -> None:
    sha = repository.commit({f"{n}.py": b"def f(): pass\n" for n in range(3)})
    mirror = repository.mirror()
    mirror.limits = replace(mirror.limits, max_parsed_files=2)

    diff = mirror.diff(sha)

    assert [len(f.symbols) for f in diff.files] == [1, 1, 0]
    assert "no functions known of 1 more Python files" in diff.notes


def test_mending_a_syntax_error_gives_the_symbols_of_the_new_version(
    repository: Repository,
) -> None:
    broken = repository.commit({"a.py": b"def f(:\n"})
    mended = repository.commit({"a.py": b"def f():\n    pass\n"})
    mirror = repository.mirror()

    assert mirror.diff(broken).files[0].symbols == ()
    assert any("not valid Python" in n for n in mirror.diff(broken).notes)
    assert [s.qualified_name for s in mirror.diff(mended).files[0].symbols] == ["f"]


def test_dates_beyond_the_calendar_are_kept_within(repository: Repository) -> None:
    tree = repository.git("mktree", stdin=b"")
    body = (
        f"tree {tree}\nauthor A <a@b> 99999999999999 +0000\ncommitter A <a@b> 1 +0000\n\nodd\n"
    ).encode()
    sha = repository.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=body)
    repository.git("update-ref", "refs/heads/main", sha)
    mirror = repository.mirror()

    assert mirror.commit(sha).authored_at.year in (1970, 9999)
    assert mirror.features(mirror.diff(sha)).files == 0


@pytest.mark.parametrize("date", ["", "123", "notadate +0000", "9" * 30 + " +0000", "-5 +0000"])
@pytest.mark.parametrize("role", ["author", "committer"])
def test_malformed_date_is_an_oddity_and_stops_nothing(
    repository: Repository, role: str, date: str
) -> None:
    parent = repository.commit({"a": b"1\n"})
    tree = repository.git("rev-parse", "HEAD^{tree}")
    dates = {"author": "1700000000 +0000", "committer": "1700000000 +0000"} | {role: date}
    people = "".join(f"{who} A <a@b> {at}\n" for who, at in dates.items())
    body = f"tree {tree}\nparent {parent}\n{people}\nodd\n".encode()
    sha = repository.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=body)
    repository.git("reset", "-q", "--hard", sha)
    child = repository.commit({"a": b"2\n"}, author="a@b")
    mirror = repository.mirror()

    assert any("odd date" in note for note in mirror.diff(sha).notes)
    assert not mirror.diff(child).notes
    assert mirror.features(mirror.diff(child)).experience == 1


def test_diff_is_json(repository: Repository) -> None:
    sha = repository.commit({b"caf\xe9.txt": b"1\n", "naïve\n.md": b"2\n"}, "x \x1b[31m\u202e")

    assert json.loads(json.dumps(asdict(repository.mirror().diff(sha)), default=str))
