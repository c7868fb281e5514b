"""Places are opened to the user inside, and never what a link in them leads to."""

from __future__ import annotations

import os

import pytest

from agentci_dagster.adapters.access import hand_over, let_read, make_readable

SOMEBODY = 1 << 30
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


def mode(path):
    return path.lstat().st_mode & 0o777


@pytest.fixture
def narrow(tmp_path):
    """A folder that only we can read, beside a secret that a link in it leads to."""
    (tmp_path / "secret").mkdir(mode=0o700)
    (tmp_path / "secret" / "key").write_text("s3cret")
    place = tmp_path / "place"
    (place / "a").mkdir(parents=True)
    (place / "a" / "text").write_text("text")
    (place / "a" / "program").write_text("program")
    (place / "a" / "program").chmod(0o700)
    for path in (tmp_path / "secret" / "key", place / "a" / "text"):
        path.chmod(0o600)
    for path in (place / "a", place):
        path.chmod(0o700)
    (place / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(place / "pipe", 0o600)
    return place


def test_all_of_a_place_is_made_readable_but_not_what_links_lead_to(narrow):
    make_readable(narrow)
    make_readable(narrow / "link")
    make_readable(narrow / "none")

    assert (mode(narrow), mode(narrow / "a")) == (0o755, 0o755)
    assert (mode(narrow / "a" / "text"), mode(narrow / "a" / "program")) == (0o644, 0o755)
    assert mode(narrow.parent / "secret") == 0o700
    assert mode(narrow.parent / "secret" / "key") == 0o600


def test_what_is_open_is_not_looked_through_again(narrow):
    let_read(narrow, SOMEBODY)
    (narrow / "a" / "text").chmod(0o600)
    (narrow / "later").touch(0o600)
    (narrow / "later").chmod(0o600)

    let_read(narrow, SOMEBODY)

    assert mode(narrow / "later") == 0o644
    assert mode(narrow / "a" / "text") == 0o600


def test_without_another_user_nothing_is_changed(narrow):
    let_read(narrow, 0)
    hand_over(narrow, 0)

    assert mode(narrow) == 0o700


@as_root
def test_what_comes_after_the_handing_over_stays_ours_and_is_readable(narrow):
    hand_over(narrow, SOMEBODY)
    (narrow / "ours").mkdir()
    (narrow / "ours" / "text").touch()
    (narrow / "ours" / "text").chmod(0o600)
    (narrow / "later").symlink_to(narrow.parent / "secret")

    hand_over(narrow, SOMEBODY)

    assert (narrow / "a" / "text").stat().st_uid == SOMEBODY
    assert mode(narrow / "a" / "text") == 0o600
    assert ((narrow / "ours" / "text").stat().st_uid, mode(narrow / "ours" / "text")) == (0, 0o644)
    assert mode(narrow.parent / "secret" / "key") == 0o600
