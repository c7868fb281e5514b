"""`savings`: what routing saves and misses, from the ledger."""

import dagster as dg

from agentci_dagster.domain.savings import Savings
from agentci_dagster.domain.savings import savings as counted
from agentci_dagster.journeys import audits
from agentci_dagster.ports import EventLog, Outcomes


# The ledger holds what the audits said: an input would load the report of every commit.
@dg.asset(group_name="trends", kinds={"sqlite"}, deps=["deploy_outcome", "audit_report"])
def savings(
    outcomes: dg.ResourceParam[Outcomes], log: dg.ResourceParam[EventLog]
) -> dg.MaterializeResult[Savings]:
    """Pipeline work that routing saved, and failing commits that it missed by the audit sample."""
    found = counted(outcomes.outcomes(), audits(log))
    metadata: dict[str, float] = {
        "n_commits": found.n_commits,
        "n_fast": found.n_fast,
        "n_skipped": found.n_skipped,
        "n_audited": found.n_audited,
        "n_failing_audits": found.failing_audits.n_hits,
        "n_caught": found.n_caught,
    }
    if found.spared.value is not None:
        metadata["spared_share"] = found.spared.value
    if found.seconds_saved is not None:
        metadata["seconds_saved"] = found.seconds_saved
    for name, estimate in (("missed", found.missed), ("caught_share", found.caught)):
        if estimate is not None:
            metadata |= {
                name: estimate.value,
                f"{name}_low": estimate.low,
                f"{name}_high": estimate.high,
            }
    return dg.MaterializeResult(value=found, metadata=metadata)
