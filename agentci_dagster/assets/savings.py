"""`savings` and `build_savings`: what routing and reuse save, and what routing misses."""

import dagster as dg

from agentci_dagster.domain.savings import Savings
from agentci_dagster.domain.savings import savings as counted
from agentci_dagster.domain.trends import BuildSavings
from agentci_dagster.domain.trends import build_savings as by_month
from agentci_dagster.journeys import audits
from agentci_dagster.ports import EventLog, Outcomes, Pictures


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


@dg.asset(group_name="trends", kinds={"sqlite"}, deps=["deploy_outcome"])
def build_savings(
    outcomes: dg.ResourceParam[Outcomes], pictures: dg.ResourceParam[Pictures]
) -> dg.MaterializeResult[BuildSavings]:
    """Seconds of building that reused layers saved, by month: what they took when last made."""
    found = by_month(outcomes.outcomes())
    saved = [(month.month, month.seconds_saved) for month in found.months]
    return dg.MaterializeResult(
        value=found,
        metadata={
            "n_builds": found.n_builds,
            "seconds_built": found.seconds_built,
            "seconds_saved": found.seconds_saved,
            "by_month": dg.MetadataValue.md(pictures.bars("Seconds saved by reuse", saved)),
            "months": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "month": month.month,
                            "builds": month.n_builds,
                            "with_reuse": month.n_with_reuse,
                            "seconds_built": round(month.seconds_built, 1),
                            "median_build_s": round(month.median_build_s, 2),
                            "seconds_saved": round(month.seconds_saved, 1),
                        }
                    )
                    for month in found.months
                ],
                schema=_MONTHS,
            ),
        },
    )


_MONTHS = dg.TableSchema(
    columns=[
        dg.TableColumn("month", "string"),
        dg.TableColumn("builds", "int"),
        dg.TableColumn("with_reuse", "int"),
        dg.TableColumn("seconds_built", "float"),
        dg.TableColumn("median_build_s", "float"),
        dg.TableColumn("seconds_saved", "float"),
    ]
)
