"""Git: bare, hardened mirrors of the watched repositories. What a diff means and what a commit is
worth belongs to `domain/`.
"""

from __future__ import annotations

from agentci_dagster.adapters.git.mirror import GitMirror, GitMirrors

__all__ = ["GitMirror", "GitMirrors"]
