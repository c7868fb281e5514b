"""What may be asked of the UI: names, methods, origins, forms, and reading only."""

from __future__ import annotations

import pytest

from agentci_dagster.ui.rules import (
    LOOPBACK_NAMES,
    Asked,
    GuardPolicy,
    is_loopback,
    mutates,
    name_of,
    refusal,
)

POLICY = GuardPolicy(LOOPBACK_NAMES | {"ci.example.org"})
HOST = {"host": "127.0.0.1:3000"}
JSON = {**HOST, "content-type": "application/json"}


def post(path: str = "/graphql", **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked("POST", path, {**JSON, **named})


def get(path: str = "/", **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked("GET", path, {**HOST, **named})


@pytest.mark.parametrize(
    "asked",
    [
        get(),
        get("/runs/1"),
        get("/graphql", accept="text/html,*/*"),
        get(host="localhost"),
        get(host="[::1]:3000"),
        get(host="CI.example.org"),
        post(),
        post(origin="http://127.0.0.1:3000", sec_fetch_site="same-origin"),
        post(content_type="application/json; charset=utf-8"),
        post(host="ci.example.org", origin="https://ci.example.org"),
        Asked("GET", "/graphql", {**HOST, "origin": "http://127.0.0.1:3000"}, "ws", True),
        Asked("GET", "/graphql", HOST, "ws", True),
    ],
    ids=str,
)
def test_what_people_and_programs_ask_is_answered(asked: Asked) -> None:
    assert refusal(asked, POLICY) is None


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (421, get(host="evil.example")),
        (421, get(host="")),
        (421, get(host="127.0.0.1:3000,evil.example")),
        (421, get(host="127.0.0.1.evil.example:3000")),
        (421, get(host="user@127.0.0.1:3000")),
        (421, Asked("GET", "/graphql", {"host": "evil.example"}, "ws", True)),
        (405, Asked("PUT", "/graphql", JSON)),
        (405, Asked("OPTIONS", "/graphql", JSON)),
        (405, get("/graphql")),
        (405, get("/graphql/")),
        (405, Asked("HEAD", "/graphql", HOST)),
        (403, post(origin="http://evil.example")),
        (403, post(origin="null")),
        (403, post(origin="http://127.0.0.1:3001")),
        (403, post(host="ci.example.org", origin="http://127.0.0.1:3000")),
        (403, post(sec_fetch_site="cross-site")),
        (403, post(sec_fetch_site="same-site")),
        (403, get("/graphql", accept="text/html", sec_fetch_site="cross-site")),
        (403, Asked("GET", "/graphql", {**HOST, "origin": "http://evil.example"}, "ws", True)),
        (403, Asked("POST", "/graphql", {**JSON, "origin": "http://127.0.0.1:3000"}, "https")),
        (415, post(content_type="")),
        (415, post(content_type="text/plain; application/json")),
        (415, post(content_type="application/graphql")),
        (415, post(content_type="multipart/form-data; boundary=application/json")),
        (415, post("/report_asset_materialization/image", content_type="")),
    ],
    ids=str,
)
def test_what_others_ask_is_refused(status: int, asked: Asked) -> None:
    refused = refusal(asked, POLICY)

    assert refused is not None
    assert refused.status == status
    assert refused.words.endswith(".")


def test_read_only_takes_no_reports() -> None:
    report = post("/report_asset_materialization/image")

    assert refusal(report, POLICY) is None
    refused = refusal(report, GuardPolicy(is_read_only=True))
    assert refused is not None
    assert refused.status == 403
    assert refusal(post(), GuardPolicy(is_read_only=True)) is None


@pytest.mark.parametrize(
    ("query", "is_one"),
    [
        ("{ version }", False),
        ("query A { version }", False),
        ("subscription S { x }", False),
        ("fragment mutation on Q { x } query { ...mutation }", False),
        ("mutation { launchRun }", True),
        ("query A { version } mutation B { launchRun }", True),
        ("mutat" + "ion", True),
        (None, True),
        (7, True),
        ("{" * 100_000, True),
    ],
    ids=lambda v: str(v)[:40],
)
def test_mutations_are_known_and_riddles_count_as_such(query: object, is_one: bool) -> None:
    assert mutates(query) is is_one


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:3000", "localhost"),
        ("LOCALHOST", "localhost"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("::1", ""),
        ("a:b:80", ""),
        ("localhost:x", ""),
        ("a/b:80", ""),
        (" localhost ", "localhost"),
    ],
)
def test_name_of_a_host_header(host: str, name: str) -> None:
    assert name_of(host) == name


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("10.0.0.1", False), ("ci.example.org", False)],
)  # fmt: skip
def test_loopback_is_this_machine_only(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours
