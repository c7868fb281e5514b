"""The guard before an app that remembers, and before Dagster's own, whose runs are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from agentci_dagster.ui.guard import Guard, Message, Receive, Scope, Send
from agentci_dagster.ui.login import Login
from agentci_dagster.ui.rules import GuardPolicy
from tests.ui.asking import ask, shake_hands

JSON = {"content-type": "application/json"}


class Remembering:
    """An app that notes what reaches it and answers with headers that a page could misuse."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.n_sockets = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        if scope["type"] == "websocket":
            self.n_sockets += 1
            await send({"type": "websocket.accept"})
            return
        message: Message = await receive()
        self.bodies.append(message.get("body", b""))
        headers = [(b"access-control-allow-origin", b"*"), (b"x-kept", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"answered"})


@pytest.fixture
def app() -> Remembering:
    return Remembering()


def guarded(app: Remembering, token: str = "", **policy: object) -> Guard:
    return Guard(app, GuardPolicy(**policy), Login(token, lambda: 1_000.0))  # type: ignore[arg-type]


def test_bodies_come_through_whole_and_answers_are_not_for_other_sites(app: Remembering) -> None:
    answer = ask(guarded(app), "POST", "/graphql", b'{"query": "{ version }"}', JSON)

    assert (answer.status, answer.body) == (200, b"answered")
    assert app.bodies == [b'{"query": "{ version }"}']
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-kept"] == "1"
    assert answer.headers["x-frame-options"] == "DENY"


def test_body_without_end_is_not_taken(app: Remembering) -> None:
    answer = ask(guarded(app, max_body_bytes=10), "POST", "/graphql", b"x" * 30, JSON)

    assert answer.status == 413
    assert app.bodies == []


def test_read_only_lets_queries_through_and_no_mutation(app: Remembering) -> None:
    guard = guarded(app, is_read_only=True)
    bodies = [b'{"query": "mutation { a }"}', b"[]", b"no json", b'{"query": 1}']

    refused = [ask(guard, "POST", "/graphql", body, JSON).status for body in bodies]

    assert refused == [403] * 4
    assert ask(guard, "POST", "/graphql", b'{"query": "{ a }"}', JSON).status == 200


def test_start_and_end_of_the_server_are_passed_on(app: Remembering) -> None:
    import asyncio

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    asyncio.run(guarded(app)({"type": "lifespan"}, receive, send))

    assert [m["type"] for m in sent] == ["lifespan.startup.complete"]


def test_sockets_of_other_sites_are_closed_before_they_open(app: Remembering) -> None:
    guard = guarded(app)

    assert shake_hands(guard, "/graphql", {"origin": "http://evil.example"}) == "websocket.close"
    assert shake_hands(guard, "/graphql", {"origin": "http://127.0.0.1:3000"}) == "websocket.accept"
    assert shake_hands(guarded(app, "s3cret"), "/graphql", {}) == "websocket.close"
    assert app.n_sockets == 1


def test_who_is_not_known_is_asked_for_the_token(app: Remembering) -> None:
    guard = guarded(app, "s3cret")

    page = ask(guard, "GET", "/", headers={"accept": "text/html"})
    program = ask(guard, "POST", "/graphql", b"{}", JSON)

    assert (page.status, page.headers["location"]) == (303, "/agentci-login")
    assert program.status == 401
    assert app.bodies == []
    assert ask(guard, "GET", "/agentci-login").body.startswith(b"<!doctype html>")


def test_token_in_the_form_begins_a_session(app: Remembering) -> None:
    guard = guarded(app, "s3cret")
    form = {"content-type": "application/x-www-form-urlencoded", "origin": "http://127.0.0.1:3000"}

    wrong = ask(guard, "POST", "/agentci-login", b"token=guess", form)
    right = ask(guard, "POST", "/agentci-login", b"token=s3cret", form)

    assert (wrong.status, "set-cookie" in wrong.headers) == (401, False)
    assert right.status == 303
    cookie = right.headers["set-cookie"].partition(";")[0]
    assert ask(guard, "GET", "/runs", headers={"cookie": cookie}).status == 200
    for _ in range(5):
        ask(guard, "POST", "/agentci-login", b"token=guess", form)
    assert ask(guard, "POST", "/agentci-login", b"token=s3cret", form).status == 429


def test_form_of_another_site_begins_no_session(app: Remembering) -> None:
    form = {"content-type": "application/x-www-form-urlencoded", "origin": "http://evil.example"}

    answer = ask(guarded(app, "s3cret"), "POST", "/agentci-login", b"token=s3cret", form)

    assert answer.status == 403


def test_login_page_is_the_apps_own_path_without_a_token(app: Remembering) -> None:
    assert ask(guarded(app), "GET", "/agentci-login").body == b"answered"


# ------------------------------------------------------------ Dagster's own app

LAUNCH = """
mutation Launch($p: ExecutionParams!) {
  launchRun(executionParams: $p) { __typename ... on PythonError { message } }
}
"""
SELECTOR = {
    "repositoryLocationName": "tiny", "repositoryName": "__repository__", "jobName": "tiny_job",
}  # fmt: skip
VARIABLES = {"p": {"selector": SELECTOR, "runConfigData": "{}", "mode": "default"}}
BODY = json.dumps({"query": LAUNCH, "variables": VARIABLES}).encode()
QUERY = f"query={quote(LAUNCH)}&variables={quote(json.dumps(VARIABLES))}"
OURS = {"origin": "http://127.0.0.1:3000"}
THEIRS = {"origin": "http://evil.example"}


def forged() -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """What pages of other sites can make a browser send, and what strangers' names bring."""
    for origin in ({}, OURS, THEIRS, {"origin": "null"}):
        for accept in ("*/*", "application/json", "image/avif"):
            yield "GET", f"/graphql?{QUERY}", b"", {**origin, "accept": accept}
        for form in (
            "text/plain", "text/plain; application/json", "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json", "",
        ):  # fmt: skip
            yield "POST", f"/graphql?{QUERY}", BODY, {**origin, "content-type": form}
    for headers in (
        THEIRS, {"origin": "null"}, {"origin": "http://127.0.0.1:3001"}, {"origin": "http://localhost:3000"},
        {"origin": "https://127.0.0.1:3000.evil.example"}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"}, {**OURS, "sec-fetch-site": "cross-site"},
        {"host": "evil.example"}, {"host": "evil.example:3000", "origin": "http://evil.example:3000"},
        {"host": "127.0.0.1.evil.example"}, {"host": ""},
    ):  # fmt: skip
        yield "POST", "/graphql", BODY, {**JSON, **headers}
    yield "POST", "/graphql", BODY, {"content-type": "application/graphql", **OURS}
    yield "PUT", "/graphql", BODY, {**JSON, **OURS}
    yield "HEAD", f"/graphql?{QUERY}", b"", {}
    yield (
        "POST",
        "/report_asset_materialization/tiny?metadata={}",
        b"",
        {"content-type": "text/plain"},
    )
    yield "POST", "/report_asset_materialization/tiny", b"{}", {**JSON, **THEIRS}
    yield "POST", "/report_asset_observation/tiny", b"{}", {**JSON, "origin": "null"}
    yield "POST", "/report_asset_check/tiny", b"{}", {**JSON, "host": "evil.example"}


@pytest.fixture(scope="module")
def dagster_app(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Guard, dg.DagsterInstance]]:
    from dagster_webserver.app import create_app_from_workspace_process_context

    folder = tmp_path_factory.mktemp("dagster")
    (folder / "tiny.py").write_text(
        "import dagster as dg\n@dg.asset\ndef tiny(): ...\n"
        "defs = dg.Definitions([tiny], jobs=[dg.define_asset_job('tiny_job')])\n"
    )
    (folder / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: tiny.py, location_name: tiny}\n"
    )
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        target = WorkspaceFileTarget([str(folder / "workspace.yaml")])
        with WorkspaceProcessContext(instance, target) as context:
            app = create_app_from_workspace_process_context(context)
            yield Guard(app, GuardPolicy(), Login("", lambda: 0.0)), instance


def test_no_forged_request_starts_a_run_or_makes_a_record(
    dagster_app: tuple[Guard, dg.DagsterInstance],
) -> None:
    guard, instance = dagster_app
    requests = list(forged())
    before = len(instance.get_runs())

    statuses = [ask(guard, *request).status for request in requests]

    assert len(requests) >= 40
    assert set(statuses) <= {403, 405, 415, 421}
    assert len(instance.get_runs()) == before
    assert instance.get_latest_materialization_event(dg.AssetKey("tiny")) is None


def test_the_same_mutation_asked_by_the_ui_starts_a_run(
    dagster_app: tuple[Guard, dg.DagsterInstance],
) -> None:
    guard, instance = dagster_app
    before = len(instance.get_runs())

    answer = ask(guard, "POST", "/graphql", BODY, {**JSON, **OURS, "sec-fetch-site": "same-origin"})

    assert json.loads(answer.body)["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
    assert len(instance.get_runs()) == before + 1


def test_without_the_guard_a_link_starts_a_run(
    dagster_app: tuple[Guard, dg.DagsterInstance],
) -> None:
    """The reason for the guard; when this fails, Dagster has closed the hole."""
    guard, instance = dagster_app
    before = len(instance.get_runs())

    ask(guard._app, "GET", f"/graphql?{QUERY}", headers={"host": "evil.example", **THEIRS})

    assert len(instance.get_runs()) == before + 1
