"""A tiny service as a bundle, for tests with real processes: its file says how it behaves."""

from __future__ import annotations

import sys
from pathlib import Path

from agentci_dagster.domain.image import Image, ImageKind

SERVICE = """
import http.server, os, sys, threading, time

BEHAVIOUR = {behaviour!r}
if BEHAVIOUR == "crash":
    sys.exit("no setting PAYMENT_URL")
count = 0
lock = threading.Lock()

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        global count
        with lock:
            count += 1
            bad = BEHAVIOUR == "errors" and self.path != "/healthz"
        if self.path == "/slow":
            time.sleep(0.3)
        body = os.environ["AGENTCI_RELEASE"].encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    def handle_error(self, request, client_address):
        pass

print("serving", os.environ.get("GREETING", ""), flush=True)
Server(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""

COMMAND = ("{python}", "serve.py", "{port}")


def bundle(folder: Path, behaviour: str = "good", migrations: str = "") -> Image:
    """A bundle folder whose interpreter is the one that runs the tests."""
    (folder / "app").mkdir(parents=True)
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "python").symlink_to(sys.executable)
    (folder / "bundle.json").write_text('{"import_roots": [""]}')
    (folder / "app" / "serve.py").write_text(SERVICE.replace("{behaviour!r}", repr(behaviour)))
    (folder / "app" / "migrate.py").write_text(migrations or "print('applied 0001_first')\n")
    return Image(ImageKind.BUNDLE, str(folder), f"sha256:{folder.name}", (), 0.0, "")
