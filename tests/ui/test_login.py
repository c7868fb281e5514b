"""The token: known by a header or by a session that ends."""

from __future__ import annotations

import pytest

from agentci_dagster.ui.login import SESSION_S, Login, set_cookie
from agentci_dagster.ui.rules import Asked


class Watch:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def login(watch: Watch) -> Login:
    return Login("s3cret", watch)


def with_cookie(session: str) -> Asked:
    return Asked("GET", "/", {"cookie": f"other=1; agentci_session={session}"})


def test_without_a_token_everybody_is_let_in(watch: Watch) -> None:
    assert Login("", watch).is_known(Asked("GET", "/"))


@pytest.mark.parametrize(
    ("header", "is_known"),
    [("Bearer s3cret", True), ("bearer  s3cret", True), ("Bearer s3cre", False), ("Basic s3cret", False),
     ("s3cret", False), ("", False), ("Bearer ", False), ("Bearer sécret", False)],
)  # fmt: skip
def test_programs_send_the_token(login: Login, header: str, is_known: bool) -> None:
    assert login.is_known(Asked("GET", "/", {"authorization": header})) is is_known


def test_browsers_get_a_session_that_ends(login: Login, watch: Watch) -> None:
    session = login.begin("s3cret")

    assert session is not None
    assert login.is_known(with_cookie(session))
    watch.seconds += SESSION_S + 1
    assert not login.is_known(with_cookie(session))


@pytest.mark.parametrize("made_up", ["", ".", "1000000.", "1000000.00", "x.y", "-1.z", '"'])
def test_sessions_that_nobody_began_are_not_known(login: Login, made_up: str) -> None:
    assert not login.is_known(with_cookie(made_up))


def test_session_of_another_token_or_time_is_not_known(login: Login, watch: Watch) -> None:
    other = Login("another", watch).begin("another")
    session = login.begin("s3cret")
    assert other is not None
    assert session is not None

    assert not login.is_known(with_cookie(other))
    later = str(int(watch.seconds) + 10) + "." + session.partition(".")[2]
    assert not login.is_known(with_cookie(later))


def test_after_five_wrong_tokens_in_a_minute_even_the_right_one_waits(
    login: Login, watch: Watch
) -> None:
    for _ in range(5):
        assert login.begin("guess") is None

    assert login.is_tired
    assert login.begin("s3cret") is None
    watch.seconds += 61
    assert login.begin("s3cret") is not None


def test_cookie_is_for_this_site_only_and_for_no_script() -> None:
    cookie = set_cookie("1.2", is_secure=False)

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert set_cookie("1.2", is_secure=True).endswith("; Secure")
