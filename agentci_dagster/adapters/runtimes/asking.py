"""Asking a release itself, past the router; where it runs does not matter."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.rollout import Release


def asked(release: Release, path: str, timeout: timedelta) -> RequestEvent:
    """The release's answer; status 0 when it gives none in time."""
    began = time.monotonic()
    seconds = timeout.total_seconds()
    connection = http.client.HTTPConnection(release.host, release.port, timeout=seconds)
    status = 0
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection.connect()
        # The socket's own limit begins anew with every byte: who drips would hold us for ever.
        cut = threading.Timer(seconds, _cut, (connection.sock,))
        cut.daemon = True
        cut.start()
        try:
            connection.request("GET", path, headers={"User-Agent": "agentci-probe"})
            response = connection.getresponse()
            response.read(65_536)
            status = response.status
        finally:
            cut.cancel()
    connection.close()
    taken_s = time.monotonic() - began
    answered = status if taken_s <= seconds else 0
    return RequestEvent(datetime.now(UTC), release.name, answered, taken_s * 1000)


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
