"""The demo's `agentci.toml`: the sample service, and policies for minutes instead of days."""

from __future__ import annotations

from pathlib import Path

NAME = "shop"
ENVIRONMENT = "production"

_TEXT = """\
# Written by `agentci demo`. Windows are seconds where a real installation takes minutes.
[[repository]]
name = "{name}"
url = "{origin}"
branches = ["main", "team/*"]

[repository.test]
timeout_s = 120
generate_budget_s = 10

[repository.service]
command = "{{python}} -m shop --port {{port}}"
health = "/healthz"
migrate = "{{python}} -m shop.migrate"
migrations = "migrations"
variables = {{ SHOP_DATABASE = "{database}" }}
probes = ["/products"]

[repository.deploy]
environment = "{environment}"

[policy.risk]
audit_share = 0          # the play is about fourteen commits, each with one run

[policy.canary]
latency_warmup_s = 1.0   # the sample service has no cache to warm
min_requests = 25
fast_bake_s = 4.0
step_s = 4.0
watch_s = 3.0
fast_watch_s = 2.0
extend_s = 6.0
drain_s = 1.0

[policy.learning]
retrain_every = 13       # all but the skipped commit: the play ends with a retraining
maturity_s = 0           # nobody waits a week for the demo
min_rows = 8
min_failures = 1
"""


def demo_settings(origin: Path, database: Path) -> str:
    """The text of the file."""
    return _TEXT.format(name=NAME, environment=ENVIRONMENT, origin=origin, database=database)
