"""Who may ask: a shared token, by a header for programs and by a signed cookie for browsers."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from agentci_dagster.ui.rules import Asked

COOKIE = "agentci_session"
PATH = "/agentci-login"
SESSION_S = 12 * 3600
_MAX_WRONG = 5
_WITHIN_S = 60.0


@dataclass(slots=True)
class Login:
    """Checks the token and the sessions that were begun with it.

    Args:
        token: the shared secret; empty lets everybody in.
        now: seconds since 1970.
    """

    token: str
    now: Callable[[], float]
    _wrong: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_WRONG))

    def is_known(self, asked: Asked) -> bool:
        """Whether the request carries the token or a session."""
        if not self.token:
            return True
        scheme, _, given = asked.header("authorization").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        return self._is_session(_cookie(asked.header("cookie")))

    @property
    def is_tired(self) -> bool:
        """Whether so many wrong tokens came within a minute that none is looked at any more."""
        are_full = len(self._wrong) == _MAX_WRONG
        return are_full and self.now() - self._wrong[0] < _WITHIN_S

    def begin(self, given: str) -> str | None:
        """A new session for the right token, else None."""
        if self.is_tired or not self._is_token(given):
            self._wrong.append(self.now())
            return None
        begun = str(int(self.now()))
        return f"{begun}.{self._sign(begun)}"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _is_session(self, value: str) -> bool:
        begun, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(begun).encode()):
            return False
        return 0 <= self.now() - int(begun) <= SESSION_S

    def _sign(self, begun: str) -> str:
        text = f"agentci session {begun}".encode()
        return hmac.new(self.token.encode(), text, hashlib.sha256).hexdigest()


def set_cookie(session: str, *, is_secure: bool) -> str:
    """The header that gives a browser its session."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={session}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict{secure}"


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>AgentCI</title>
<style>body {{ font: 16px sans-serif; max-width: 24em; margin: 15vh auto; padding: 0 1em }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; margin: .4em 0 }}
</style></head><body><h1>AgentCI</h1><p>{words}</p>
<form method="post" action="/agentci-login"><label>Token
<input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Log in</button></form></body></html>
"""
