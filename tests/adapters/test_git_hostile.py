"""A watched repository that means harm: nothing of it runs, and names come out right. Each trick would leave a canary."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from agentci_dagster.adapters.git import GitMirror
from agentci_dagster.adapters.git.source import configuration_for, parse_source, without_secret
from agentci_dagster.domain.diff import FileKind
from agentci_dagster.domain.errors import AgentCIError, ConfigurationError, GitError
from tests.adapters.repositories import Repository

HOOKS = (
    "pre-commit", "post-commit", "post-checkout", "post-merge", "pre-push", "post-rewrite", "reference-transaction",
    "pre-receive", "update", "post-receive", "post-update", "pre-auto-gc", "fsmonitor-watchman", "post-index-change",
)  # fmt: skip

ODD_NAMES = {
    "new\nline.py": b"new\nline.py",
    'quo"te\\.py': b'quo"te\\.py',
    "tab\t.py": b"tab\t.py",
    "naïve-日本.py": "naïve-日本.py".encode(),
    "caf\\xe9.py": b"caf\xe9.py",
    "-rf.py": b"-rf.py",
    "--output=canary.py": b"--output=canary.py",
    "esc\x1b[31m.py": b"esc\x1b[31m.py",
    " space .py": b" space .py",
    ":(glob)star*.py": b":(glob)star*.py",
    "a/b/:100644 100644.py": b"a/b/:100644 100644.py",
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "watched")


def arm(repository: Repository, canary: Path) -> None:
    """Set every trap that a repository can set for those who read it."""
    trap = repository.folder / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{canary}'\ncat\n")
    trap.chmod(0o755)
    included = repository.folder / ".git/more"
    included.write_text(f'[core]\n\tsshCommand = {trap}\n\tpager = {trap}\n\teditor = "{trap}"\n')
    hooks = repository.folder / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        (hooks / name).symlink_to(trap)
    with (repository.folder / ".git/config").open("a") as config:
        config.write(
            f"""
[core]
\tfsmonitor = {trap}
\thooksPath = {hooks}
\tattributesFile = {repository.folder / ".gitattributes"}
\talternateRefsCommand = {trap}
\tgitProxy = {trap}
[include]
\tpath = more
[filter "bad"]
\tclean = {trap}
\tsmudge = {trap}
\tprocess = {trap}
\trequired = true
[diff]
\texternal = {trap}
[diff "bad"]
\tcommand = {trap}
\ttextconv = {trap}
[merge "bad"]
\tdriver = {trap}
[uploadpack]
\tpackObjectsHook = {trap}
\tallowFilter = true
[credential]
\thelper = !{trap}
[gpg]
\tprogram = {trap}
[log]
\tshowSignature = true
[remote "origin"]
\turl = ext::{trap}
\tpromisor = true
\tpartialCloneFilter = blob:none
\tuploadpack = {trap}
[extensions]
\tpartialClone = origin
[core]
\trepositoryFormatVersion = 1
"""
        )


def exercise(mirror: GitMirror, folder: Path) -> None:
    """Everything that a mirror can be asked."""
    refreshed = mirror.refresh()
    shas, _ = mirror.new_commits([t.sha for t in refreshed.tips], [], 100)
    for sha in shas:
        diff = mirror.diff(sha)
        mirror.features(diff)
        mirror.branches_of(sha)
        for path in mirror.files(sha):
            mirror.read(sha, path)
        mirror.export(sha, folder / sha)


def test_nothing_that_a_repository_configures_runs(repository: Repository, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    repository.commit(
        {
            ".gitattributes": b"* filter=bad diff=bad merge=bad export-subst\n",
            ".gitmodules": b'[submodule "x"]\n\tpath = x\n\turl = -u./trap.sh\n\tupdate = !sh trap.sh\n',
            "a.txt": b"$Format:%H$\n",
        }
    )
    repository.commit({"a.txt": b"$Format:%H$ again\n"})
    arm(repository, canary)

    exercise(repository.mirror("*"), tmp_path / "out")

    assert not canary.exists(), canary.read_text()


def test_missing_objects_of_a_partial_clone_are_not_fetched_by_its_rules(
    repository: Repository, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    sha = repository.commit({"a.txt": b"gone\n"})
    blob = repository.git("rev-parse", f"{sha}:a.txt")
    (repository.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    arm(repository, canary)

    with pytest.raises(GitError, match="cannot be fetched"):
        repository.mirror().refresh()

    assert not canary.exists(), canary.read_text()


def test_the_traps_of_these_tests_do_snap(repository: Repository, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    repository.commit({".gitattributes": b"* diff=bad\n", "a.txt": b"1\n"})
    repository.commit({"a.txt": b"2\n"})
    arm(repository, canary)

    repository.git("log", "-p", "--ext-diff", "-1")

    assert canary.exists()


def test_inherited_git_variables_change_nothing(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repository.commit({"a.txt": b"1\n"})
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "touch canary")
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch canary")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "canary"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "touch canary")

    mirror = repository.mirror()
    mirror.refresh()

    assert mirror.diff(sha).files[0].path == "a.txt"
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "nowhere").exists()


def test_attributes_do_not_change_what_is_exported(repository: Repository, tmp_path: Path) -> None:
    sha = repository.commit(
        {
            ".gitattributes": b"*.txt export-subst text eol=crlf ident\nsecret export-ignore\n*.py -diff\n",
            "a.txt": b"$Format:%H$ $Id$\n",
            "secret": b"there\n",
            "a.py": b"x = 1\n",
        }
    )
    mirror = repository.mirror()

    mirror.export(sha, tmp_path / "out")

    assert (tmp_path / "out/a.txt").read_bytes() == b"$Format:%H$ $Id$\n"
    assert (tmp_path / "out/secret").read_bytes() == b"there\n"
    assert {f.path: f.lines_added for f in mirror.diff(sha).files}["a.py"] == 1


def test_odd_file_names_come_out_right(repository: Repository, tmp_path: Path) -> None:
    repository.commit(dict.fromkeys(ODD_NAMES.values(), b"def f(): pass\n"))
    sha = repository.commit(dict.fromkeys(ODD_NAMES.values(), b"def f(): return 1\n"))
    mirror = repository.mirror()

    diff = mirror.diff(sha)
    features = mirror.features(diff)
    mirror.export(sha, tmp_path / "out")

    assert sorted(f.path for f in diff.files) == sorted(ODD_NAMES)
    assert sorted(mirror.files(sha)) == sorted(ODD_NAMES)
    assert all((f.lines_added, f.lines_deleted) == (1, 1) for f in diff.files)
    assert all(len(f.symbols) == 1 for f in diff.files)
    assert all(f.added_line_numbers == (1,) for f in diff.files)
    assert all(mirror.read(sha, name) == b"def f(): return 1\n" for name in ODD_NAMES)
    assert features.files == len(ODD_NAMES)
    written = {
        (place + b"/" + name).removeprefix(os.fsencode(tmp_path / "out") + b"/")
        for place, _, names in os.walk(os.fsencode(tmp_path / "out"))
        for name in names
    }
    assert written == set(ODD_NAMES.values())


def test_past_of_a_name_that_is_no_text_is_found(repository: Repository) -> None:
    repository.commit({b"caf\xe9.py": b"1\n2\n", "\\x.py": b"1\n"}, author="bob@example.org")
    sha = repository.commit({b"caf\xe9.py": b"1\n"})
    mirror = repository.mirror()

    features = mirror.features(mirror.diff(sha))

    assert (features.developers, features.lines_before) == (1, 2)


def test_name_that_no_command_takes_has_no_past(repository: Repository) -> None:
    repository.commit({"a.py": b"1\n"})
    blob = repository.git("hash-object", "-w", "--stdin", stdin=b"2\n")
    long = repository.raw_tree(("100644", blob, b"n" * 200_000), ("100644", blob, b"o.py"))
    sha = repository.commit_tree(long, repository.head)
    mirror = repository.mirror()

    features = mirror.features(mirror.diff(sha))

    assert features.files == 3
    assert features.developers == 1


def test_history_of_a_sweeping_author_is_read_whole(repository: Repository) -> None:
    names = [b"vendor/%s/%d.js" % (b"d" * 200, n) for n in range(8_000)]
    stream = b"blob\nmark :1\ndata 2\na\n\nblob\nmark :2\ndata 2\nb\n\n"
    for n in range(16):
        stream += b"commit refs/heads/main\ncommitter A <bot@b> %d +0000\ndata 1\nm\n" % (10**9 + n)
        stream += b"".join(b"M 100644 :%d %s\n" % (n % 2 + 1, name) for name in names)
    repository.git("fast-import", "--quiet", stdin=stream)
    repository.git("symbolic-ref", "HEAD", "refs/heads/other")
    tree = repository.git("rev-parse", "main^{tree}")
    sha = repository.git("commit-tree", tree, "-p", "main", "-m", "x", GIT_AUTHOR_EMAIL="bot@b")
    repository.git("update-ref", "refs/heads/main", sha)
    mirror = repository.mirror()
    mirror.refresh()

    assert mirror.features(mirror.diff(sha)).experience == 16


def test_renames_between_odd_names_come_out_right(repository: Repository) -> None:
    text = b"".join(b"line %d\n" % n for n in range(30))
    repository.commit({b"old\n\xff": text})
    repository.commit({b"old\n\xff": None}, "drop")
    repository.git("reset", "-q", "--hard", "HEAD~1")
    sha = repository.commit({b"old\n\xff": None, b"-new\t\xfe": text})

    (file,) = repository.mirror().diff(sha).files

    assert (file.path, file.old_path) == ("-new\t\\xfe", "old\n\\xff")


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "--upload-pack=touch canary",
        "-",
        "@",
        "a'b",
        "HEAD",
        "a\u2028b",
        "a\u0085b",
        "a\u2029b",
    ],
)
def test_odd_branch_names_are_only_names(repository: Repository, name: str) -> None:
    name = name.replace(" ", "\u00a0")
    sha = repository.commit({"a": b"1\n"})
    repository.git("update-ref", f"refs/heads/{name}", sha)
    mirror = repository.mirror("*")

    tips = {t.branch: t.sha for t in mirror.refresh().tips}

    assert tips == {"main": sha, name: sha}
    assert name in mirror.branches_of(sha)
    assert not (repository.folder / "canary").exists()


def test_odd_authors_and_messages_are_only_text(repository: Repository) -> None:
    repository.commit({"a": b"1\n"}, "\x01" + "f" * 40 + "\n:100644", author="a.*@example.org")
    repository.commit({"a": b"2\n"}, "-x\n\n\x1b[2J", author="--all@example.org")
    sha = repository.commit({"a": b"3\n"}, "fix", author="a.*@example.org")
    mirror = repository.mirror()

    features = mirror.features(mirror.diff(sha))

    assert features.experience == 1
    assert features.developers == 2
    assert mirror.commit(f"{sha}").message == "fix"


def test_names_that_look_alike_are_two_files(repository: Repository, tmp_path: Path) -> None:
    sha = repository.commit({b"\xff.py": b"1\n", "\\xff.py": b"2\n"})

    repository.mirror().export(sha, tmp_path / "out")

    written = {os.fsencode(f.name): f.read_bytes() for f in (tmp_path / "out").iterdir()}
    assert written == {b"\xff.py": b"1\n", b"\\xff.py": b"2\n"}


def test_what_no_file_system_takes_is_left_out(repository: Repository, tmp_path: Path) -> None:
    blob, link = repository.blob(b"1\n"), repository.blob(b"x/" * 3_000 + b"y")
    inner = repository.raw_tree(("100644", blob, b"good.py"))
    tree = repository.raw_tree(
        ("120000", link, b"link"),
        ("100644", blob, b"n" * 300),
        ("40000", inner, b"o" * 300),
        ("100644", blob, b"p.py"),
    )
    sha = repository.commit_tree(tree)
    mirror = repository.mirror()

    mirror.export(sha, tmp_path / "out")

    assert [p.name for p in (tmp_path / "out").iterdir()] == ["p.py"]
    assert len([n for n in mirror.diff(sha).notes if "longer than a file system takes" in n]) == 2


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"git~1", b".git. "])
def test_paths_that_lead_outside_are_refused_and_said(
    repository: Repository, tmp_path: Path, name: bytes
) -> None:
    blob = repository.blob(b"bad\n")
    inner = repository.raw_tree(("100644", blob, b"config"))
    tree = repository.raw_tree(("40000", inner, name), ("100644", blob, b"good.txt"))
    sha = repository.commit_tree(tree)
    mirror = repository.mirror()

    mirror.export(sha, tmp_path / "exports/out")

    assert [p.name for p in (tmp_path / "exports").rglob("*") if p.is_file()] == ["good.txt"]
    assert any("would leave the tree" in note for note in mirror.diff(sha).notes)


def test_file_is_not_written_through_a_link_of_the_same_name(
    repository: Repository, tmp_path: Path
) -> None:
    link = repository.blob(str(tmp_path).encode())
    inner = repository.raw_tree(("100644", repository.blob(b"bad\n"), b"canary"))
    tree = repository.raw_tree(("120000", link, b"x"), ("40000", inner, b"x"))
    sha = repository.commit_tree(tree)

    with contextlib.suppress(AgentCIError):  # to refuse aloud is as good as to leave it out
        repository.mirror().export(sha, tmp_path / "out")

    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("link", "target", "is_made"),
    [
        ("a/link", "../top.txt", True),
        ("a/link", "b.txt", True),
        ("link", "a/./b.txt", True),
        ("link", "../outside", False),
        ("a/link", "../../outside", False),
        ("link", "/etc/passwd", False),
        ("link", "a/link2/../x", False),
        ("link", ".git/config", False),
        ("a/link", "..", True),
    ],
)
def test_links_are_made_only_when_they_stay_inside(
    repository: Repository, tmp_path: Path, link: str, target: str, is_made: bool
) -> None:
    repository.commit({"top.txt": b"1\n", "a/b.txt": b"1\n"})
    (repository.folder / link).symlink_to(target)
    sha = repository.commit_all()

    repository.mirror().export(sha, tmp_path / "out")

    assert (tmp_path / "out" / link).is_symlink() == is_made


def test_executable_bit_is_kept_and_no_other(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "run.sh").write_text("#!/bin/sh\n")
    (repository.folder / "run.sh").chmod(0o4755)
    sha = repository.commit({"a": b"1\n"})

    repository.mirror().export(sha, tmp_path / "out")

    assert (tmp_path / "out/run.sh").stat().st_mode & 0o7777 == 0o755
    assert not (tmp_path / "out/a").stat().st_mode & 0o111


def test_documentation_that_is_a_link_or_a_program_is_not_documentation(
    repository: Repository,
) -> None:
    (repository.folder / "README.md").symlink_to("run.sh")
    (repository.folder / "CHANGES.md").write_text("#!/bin/sh\n")
    (repository.folder / "CHANGES.md").chmod(0o755)
    sha = repository.commit({"AUTHORS.md": b"1\n"})

    kinds = {f.path: f.kind for f in repository.mirror().diff(sha).files}

    assert kinds == {
        "README.md": FileKind.OTHER,
        "CHANGES.md": FileKind.OTHER,
        "AUTHORS.md": FileKind.DOCS,
    }


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch canary'",
        "fd::7",
        "http://example.org/x",
        "git://example.org/x",
        "ftp://example.org/x",
        "-oProxyCommand=touch canary",
        "ssh://-oProxyCommand=touch/x",
        "file://relative",
        "https:///path",
        "",
        "a\nb",
    ],
)
def test_addresses_that_run_programs_or_travel_unprotected_are_refused(
    url: str, tmp_path: Path
) -> None:
    mirror = GitMirror(tmp_path / "m" / "shop.git", "shop", url)

    with pytest.raises(ConfigurationError, match="is refused"):
        mirror.refresh()


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://example.org/x.git", "https"),
        ("ssh://git@example.org/x.git", "ssh"),
        ("git@example.org:team/x.git", "ssh"),
        ("file:///srv/x.git", "file"),
        ("/srv/x.git", "file"),
        ("../x", "file"),
        ("./odd:name", "file"),
    ],
)
def test_protocol_of_an_address_is_the_only_one_allowed(url: str, protocol: str) -> None:
    assert parse_source(url, "shop").protocol == protocol


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ghp_token@github.com/x", "https://***@github.com/x"),
        ("https://me:hunter2@example.org/x", "https://***@example.org/x"),
        ("https://u:p/w@127.0.0.1:1/x", "https://***@127.0.0.1:1/x"),
        ("https://u:p@ss@127.0.0.1/x", "https://***@127.0.0.1/x"),
        ("HTTPS://u@x/y", "HTTPS://***@x/y"),
        ("for 'https://tok@h': no", "for 'https://***@h': no"),
        ("https://example.org/x", "https://example.org/x"),
        ("ssh://git@example.org/x", "ssh://git@example.org/x"),
        ("ssh://git:pw@example.org/x", "ssh://git:***@example.org/x"),
        ("git@example.org:team/x", "git@example.org:team/x"),
        ("/srv/a@b", "/srv/a@b"),
        ("file:///srv/a@b", "file:///srv/a@b"),
    ],
)
def test_secrets_in_an_address_are_not_shown(text: str, shown: str) -> None:
    assert without_secret(text) == shown


@pytest.mark.parametrize("login", ["me:hunter2", "hunter2", "me:hunter2/x", "a@b:hunter2"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_secrets_do_not_get_into_errors(tmp_path: Path, scheme: str, login: str) -> None:
    mirror = GitMirror(tmp_path / "shop.git", "shop", f"{scheme}://{login}@127.0.0.1:1/x")

    with pytest.raises(AgentCIError) as caught:
        mirror.refresh()

    assert "hunter2" not in str(caught.value)
    assert "***@127.0.0.1" in str(caught.value)


def test_only_the_watched_folder_is_called_safe(tmp_path: Path) -> None:
    odd = tmp_path / 'a"b\\c'

    text = configuration_for(parse_source(str(odd), "shop"))

    assert text.startswith("[safe]\n")
    assert '\\"b\\\\c"' in text
    assert configuration_for(parse_source("https://example.org/x", "shop")) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_repository_of_another_user_can_be_watched(repository: Repository) -> None:
    sha = repository.commit({"a": b"1\n"})
    for place, _, names in os.walk(repository.folder):
        for name in [*names, "."]:
            os.chown(f"{place}/{name}", 65534, 65534)

    assert [t.sha for t in repository.mirror().refresh().tips] == [sha]
