"""Dagster's UI behind the guard, as a process: `python -m agentci_dagster.ui`.

The token comes by the environment, which others cannot read: AGENTCI_UI_TOKEN.
"""

from __future__ import annotations

import argparse
import os
import time

from agentci_dagster.ui.guard import App, Guard
from agentci_dagster.ui.login import Login
from agentci_dagster.ui.rules import LOOPBACK_NAMES, GuardPolicy

_STATEMENT_TIMEOUT_MS = 15_000
_POOL_RECYCLE_S = 3_600
_POOL_OVERFLOW = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m agentci_dagster.ui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workspace", required=True, help="workspace.yaml")
    parser.add_argument("--trust", action="append", default=[], help="a name it answers to")
    parser.add_argument("--read-only", action="store_true")
    options = parser.parse_args()
    names = LOOPBACK_NAMES | {name.lower() for name in (options.host, *options.trust)}
    policy = GuardPolicy(frozenset(names), is_read_only=options.read_only)
    serve(options.host, options.port, options.workspace, policy)


def serve(host: str, port: int, workspace: str, policy: GuardPolicy) -> None:
    """Answer until interrupted."""
    import uvicorn
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    login = Login(os.environ.get("AGENTCI_UI_TOKEN", ""), time.time)
    with DagsterInstance.get() as instance:
        # As Dagster's own command has it for a server that lives long.
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_S, _POOL_OVERFLOW)
        with WorkspaceProcessContext(
            instance,
            version=__version__,
            read_only=policy.is_read_only,
            workspace_load_target=WorkspaceFileTarget([workspace]),
        ) as context:
            app: App = create_app_from_workspace_process_context(context)
            guard = Guard(app, policy, login)
            uvicorn.run(guard, host=host, port=port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
