"""The guard as ASGI: everything that Dagster's UI is asked passes here first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from agentci_dagster.ui.login import PAGE, PATH, Login, set_cookie
from agentci_dagster.ui.rules import READ_ONLY, Asked, GuardPolicy, Refusal, mutates, refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MAX_FORM_BYTES = 4096
_ADDED = (
    # No other site may frame the UI and have its buttons clicked, or read what it answers.
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_ENTER = Refusal(401, "Log in, or send the token as Authorization: Bearer.")
_TOO_LARGE = Refusal(413, "The request is larger than this UI takes.")


class Guard:
    """Dagster's app, asked only what the rules allow."""

    def __init__(self, app: App, policy: GuardPolicy, login: Login) -> None:
        self._app = app
        self._policy = policy
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        asked = _asked(scope)
        if asked.path == PATH and not asked.is_socket and self._login.token:
            await self._log_in(asked, receive, send)
            return
        refused = refusal(asked, self._policy)
        if refused is None and not self._login.is_known(asked):
            refused = _ENTER
        if refused is not None:
            await _refuse(asked, refused, send)
        elif asked.method == "POST":
            await self._post(asked, scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _post(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive, self._policy.max_body_bytes)
        if body is None:
            await _refuse(asked, _TOO_LARGE, send)
        elif self._policy.is_read_only and _is_mutation(body):
            await _refuse(asked, READ_ONLY, send)
        else:
            await self._app(scope, _again(body, receive), _with_headers(send))

    async def _log_in(self, asked: Asked, receive: Receive, send: Send) -> None:
        # A form cannot send JSON; everything else holds for it too.
        as_json = {**asked.headers, "content-type": "application/json"}
        plain = Asked(asked.method, asked.path, as_json, asked.scheme)
        refused = refusal(plain, GuardPolicy(self._policy.names))
        if refused is not None:
            await _refuse(asked, refused, send)
        elif asked.method == "POST":
            form = await _body(receive, _MAX_FORM_BYTES) or b""
            given = parse_qs(form.decode(errors="replace")).get("token", [""])[0]
            await self._begin(asked, given, send)
        else:
            await _page(200, "Log in to see and steer deliveries.", send)

    async def _begin(self, asked: Asked, given: str, send: Send) -> None:
        if self._login.is_tired:
            await _page(429, "Too many wrong tokens. Wait a minute, then try again.", send)
            return
        session = self._login.begin(given)
        if session is None:
            await _page(401, "That is not the token. It is AGENTCI_UI_TOKEN of the server.", send)
            return
        cookie = set_cookie(session, is_secure=asked.scheme == "https")
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        await _answer(303, b"", headers, send)


def _asked(scope: Scope) -> Asked:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    is_socket = scope["type"] == "websocket"
    method = "GET" if is_socket else str(scope["method"]).upper()
    return Asked(method, scope["path"], headers, scope.get("scheme", "http"), is_socket)


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body; None when it is larger than allowed."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, in one piece, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def first_the_body() -> Message:
        return waiting.pop() if waiting else await receive()

    return first_the_body


def _is_mutation(body: bytes) -> bool:
    try:
        asked = json.loads(body)
    except ValueError:
        return True
    return not isinstance(asked, dict) or mutates(asked.get("query"))


async def _refuse(asked: Asked, refused: Refusal, send: Send) -> None:
    if asked.is_socket:
        # Before it is accepted, closing answers the handshake with 403.
        await send({"type": "websocket.close", "code": 1008, "reason": refused.words[:100]})
    elif refused is _ENTER and "text/html" in asked.header("accept"):
        await _answer(303, b"", [(b"location", PATH.encode())], send)
    else:
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        await _answer(refused.status, refused.words.encode() + b"\n", plain, send)


async def _page(status: int, words: str, send: Send) -> None:
    rules = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", rules)]
    await _answer(status, PAGE.format(words=words).encode(), headers, send)


async def _answer(
    status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]], send: Send
) -> None:
    told = [
        *headers,
        *_ADDED,
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    """What Dagster answers, framed and read by nobody else."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *_ADDED]}
        await send(message)

    return add
