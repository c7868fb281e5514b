"""`agentci status`: environments, open rollouts, newest outcomes, and whether the daemon lives.

Never imports Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json, print_table

if TYPE_CHECKING:
    from agentci_dagster.resources import Resources

_NEWEST = 15


def status(as_json: JsonFlag = False, config: ConfigOption = "") -> None:
    """Say what is live, what is under way and what happened last."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    state = _state(resources)
    if as_json:
        print_json(state)
        return
    home = resources.settings.home
    console().print(f"home {home}   daemon {state['daemon']}", markup=False)
    print_table(
        "Environments",
        ("environment", "live", "commit", "open rollout"),
        [(e["environment"], e["live"], e["commit"], e["open"]) for e in state["environments"]],
    )
    print_table(
        "Newest commits",
        ("settled (UTC)", "commit", "ending", "cause", "route", "title"),
        [
            (o["settled_at"], o["commit"], o["ending"], o["cause"], o["route"], o["title"])
            for o in state["outcomes"]
        ],
    )
    if not state["outcomes"]:
        console().print("No commit has been settled yet. Next: agentci up, then push a commit.")


def _state(resources: Resources) -> dict[str, Any]:
    from agentci_dagster.domain.plain_text import clean_text
    from agentci_dagster.instance import daemon_state

    ledger = resources.ledger
    names = {r.deploy.environment for r in resources.settings.repository if r.service}
    names |= {rollout.environment for rollout in ledger.rollouts()}
    newest = ledger.outcomes(newest=_NEWEST)[::-1]
    return {
        "home": str(resources.settings.home),
        "daemon": daemon_state(resources.settings.home),
        "environments": [_environment(resources, name) for name in sorted(names)],
        "outcomes": [
            {
                "settled_at": f"{o.settled_at:%Y-%m-%d %H:%M:%S}",
                "commit": f"{o.key.repository}@{o.key.sha[:12]}",
                "ending": o.ending.value,
                "cause": o.cause.value if o.cause else "",
                "route": o.route.value if o.route else "",
                "title": clean_text(o.subject, 80),
            }
            for o in newest
        ],
    }


def _environment(resources: Resources, name: str) -> dict[str, Any]:
    live = resources.ledger.live(name)
    under_way = resources.ledger.rollouts(name, is_open=True)
    return {
        "environment": name,
        "live": live.name if live else "",
        "commit": str(live.key) if live else "",
        "open": ", ".join(f"{r.key.sha[:12]} {r.state.value}" for r in under_way),
    }
