"""Asks for the full tests of the audit sample, after the delivery and off its path.

Which commits are drawn: `domain/savings.py`.
"""

import dagster as dg

from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.domain.savings import asks_for_audit
from agentci_dagster.jobs import audit_commit
from agentci_dagster.partitions import COMMITS, commits
from agentci_dagster.ports import Outcomes

_PER_TICK = 5


@dg.sensor(
    job=audit_commit,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs all tests on a share of the delivered fast commits.",
)
def audit_fast_commits(
    context: dg.SensorEvaluationContext,
    outcomes: dg.ResourceParam[Outcomes],
    risk_policy: dg.ResourceParam[RiskPolicy],
) -> dg.SensorResult | dg.SkipReason:
    """One run for each drawn commit settled since the cursor, a few a tick.

    The cursor is the place in the order of settling; an empty one begins with what is settled now.
    """
    settled = outcomes.outcomes()
    if context.cursor is None:
        return dg.SensorResult(
            skip_reason=dg.SkipReason("Audits begin with the next fast commit."),
            cursor=_place(settled[-1]) if settled else "",
        )
    new = [o for o in settled if _place(o) > context.cursor]
    drawn = [o for o in new if asks_for_audit(o, risk_policy.audit_share)]
    asked, left = drawn[:_PER_TICK], drawn[_PER_TICK:]
    seen = asked[-1] if left else new[-1] if new else None
    cursor = _place(seen) if seen else context.cursor
    if not asked:
        return dg.SensorResult(skip_reason=dg.SkipReason("Nothing to audit."), cursor=cursor)
    live = set(context.instance.get_dynamic_partitions(COMMITS))
    retired = [str(o.key) for o in asked if str(o.key) not in live]
    return dg.SensorResult(
        run_requests=[_request(outcome) for outcome in asked],
        dynamic_partitions_requests=[commits.build_add_request(retired)] if retired else [],
        cursor=cursor,
    )


def _place(outcome: DeployOutcome) -> str:
    """Sorts as the ledger does: by the instant of settling, then by the key."""
    return f"{outcome.settled_at.isoformat(timespec='microseconds')} {outcome.key}"


def _request(outcome: DeployOutcome) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"audit:{outcome.key}",
        partition_key=str(outcome.key),
        tags={
            "agentci/repository": outcome.key.repository,
            "agentci/title": clean_text(outcome.subject, 200) or "untitled",
            "agentci/audit": "true",
        },
    )
