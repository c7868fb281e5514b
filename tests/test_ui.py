"""The Dagster UI in a real browser: the lineage, one commit's run, and a rerun of one step from there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.resources import Resources
from agentci_dagster.settings import load_settings
from tests.adapters.repositories import Repository

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.journey, pytest.mark.sandbox]

LIMIT_S = 300.0
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
RERUN = """
async ([runId, location]) => {
  const query = `mutation Rerun($execution: ExecutionParams!) {
    launchRunReexecution(executionParams: $execution) {
      __typename
      ... on LaunchRunSuccess { run { runId } }
      ... on PythonError { message }
      ... on RunConfigValidationInvalid { errors { message } }
    }
  }`;
  const execution = {
    selector: {
      repositoryLocationName: location, repositoryName: '__repository__',
      jobName: 'deliver_commit',
    },
    runConfigData: '{}',
    mode: 'default',
    stepKeys: ['test_report'],
    executionMetadata: {rootRunId: runId, parentRunId: runId, tags: TAGS},
  };
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({query, variables: {execution}}),
  });
  return await answer.json();
}
"""
STATUS = """
async (runId) => {
  const query = `query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }`;
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({query, variables: {id: runId}}),
  });
  return (await answer.json()).data.runOrError.status;
}
"""


FORGE = """
async ([address, body]) => {
  const url = address + '/graphql';
  const get = url + '?query=' + encodeURIComponent(JSON.parse(body).query)
    + '&variables=' + encodeURIComponent(JSON.stringify(JSON.parse(body).variables));
  const tried = [];
  const attempt = async (name, how) => {
    try { await how(); tried.push(name + ': sent'); } catch (error) { tried.push(name + ': refused'); }
  };
  await attempt('link', () => fetch(get, {mode: 'no-cors', credentials: 'include'}));
  await attempt('picture', () => new Promise(done => {
    const image = new Image(); image.onload = image.onerror = done; image.src = get;
  }));
  for (const type of ['text/plain', 'text/plain; application/json', 'application/x-www-form-urlencoded']) {
    await attempt(type, () => fetch(url, {
      method: 'POST', mode: 'no-cors', credentials: 'include', headers: {'content-type': type}, body,
    }));
  }
  await attempt('json', () => fetch(url, {
    method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'}, body,
  }));
  await attempt('form', () => new Promise(done => {
    const frame = document.createElement('iframe'); frame.name = 'out'; frame.onload = done;
    document.body.append(frame);
    const form = document.createElement('form');
    Object.assign(form, {method: 'post', action: get, target: 'out', enctype: 'text/plain'});
    document.body.append(form); form.submit();
  }));
  await attempt('socket', () => new Promise((done, fail) => {
    const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-ws');
    socket.onopen = done; socket.onerror = fail;
  }));
  return tried;
}
"""
N_RUNS = """
async () => {
  const query = '{ runsOrError { ... on Runs { count } } }';
  const answer = await fetch('/graphql', {
    method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({query}),
  });
  return (await answer.json()).data.runsOrError.count;
}
"""


class EmptyPage(BaseHTTPRequestHandler):
    """The web page of somebody who means harm."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>free puppies</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def other_site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Any) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.3)
    return found


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1500, "height": 900})
        browser.close()


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[tuple[str, Resources, CommitKey]]:
    # The settings lie where the person works, not where AgentCI keeps its state.
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    library = Repository(tmp_path / "library")
    sha = library.commit(
        {
            "cart.py": b"def total(items: list[int]) -> int:\n    return sum(items)\n",
            "test_cart.py": b"from cart import total\n\n\ndef test_total():\n"
            b"    assert total([1, 2]) == 3\n",
        },
        "Add up a cart",
    )
    (work / "agentci.toml").write_text(
        '[[repository]]\nname = "cart"\nurl = "../library"\nbranches = ["main"]\n'
    )
    port = free_port()
    up = subprocess.Popen(
        [sys.executable, "-m", "agentci_dagster", "up", "--port", str(port)],
        env={**os.environ, "AGENTCI_HOME": str(home)},
        cwd=work,
        stdout=subprocess.DEVNULL,
    )
    try:
        resources = Resources(load_settings(work / "agentci.toml", home))
        yield f"http://127.0.0.1:{port}", resources, CommitKey("cart", sha)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def answers(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    try:
        with socket.create_connection((host, int(port)), 0.5):
            return True
    except OSError:
        return False


def test_ui_shows_and_reruns_a_commit_and_obeys_no_other_site(
    ui: tuple[str, Resources, CommitKey], page: Page, other_site: str
) -> None:
    address, resources, key = ui
    outcome = wait_for("an outcome", lambda: resources.ledger.outcome(key))
    assert outcome.ending.value == "delivered"
    wait_for("the UI", lambda: answers(address))

    page.goto(f"{address}/asset-groups/orchestrator", wait_until="domcontentloaded")
    page.get_by_text("orchestrator").first.wait_for(timeout=60_000)
    page.goto(f"{address}/assets/deploy_outcome", wait_until="domcontentloaded")
    page.get_by_text("What finally happened to the commit").first.wait_for(timeout=60_000)
    page.get_by_text("delivered").first.wait_for(timeout=60_000)
    page.goto(f"{address}/runs/{outcome.run_id}", wait_until="domcontentloaded")
    page.get_by_text("test_report").first.wait_for(timeout=60_000)

    tags = [{"key": "dagster/partition", "value": str(key)}]
    launched = page.evaluate(RERUN.replace("TAGS", json.dumps(tags)), [outcome.run_id, "agentci"])
    run_id = launched["data"]["launchRunReexecution"]["run"]["runId"]

    wait_for(
        "the end of the rerun",
        lambda: page.evaluate(STATUS, run_id) in {"SUCCESS", "FAILURE"},
    )
    assert page.evaluate(STATUS, run_id) == "SUCCESS"

    before = page.evaluate(N_RUNS)
    page.goto(other_site)
    tried = page.evaluate(FORGE, [address, forged_launch(key)])
    page.goto(address, wait_until="domcontentloaded")
    assert page.evaluate(N_RUNS) == before
    assert {"json: refused", "socket: refused"} <= set(tried)


def forged_launch(key: CommitKey) -> str:
    """A deployment, as a page would ask for it."""
    query = "mutation L($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    parameters = {
        "selector": {
            "repositoryLocationName": "agentci",
            "repositoryName": "__repository__",
            "jobName": "deliver_commit",
        },
        "runConfigData": "{}",
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(key)}]},
    }
    return json.dumps({"query": query, "variables": {"p": parameters}})
