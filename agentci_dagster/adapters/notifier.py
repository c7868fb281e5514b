"""Tells people through the log.

Services that carry messages further are other adapters of the same port.
"""

from __future__ import annotations

import logging

_LOG = logging.getLogger("agentci")


class LogNotifier:
    """Writes one log record per message."""

    def tell(self, title: str, body: str) -> None:
        """Log the message as a warning, so that it stands out."""
        _LOG.warning("%s\n%s", title, body)
