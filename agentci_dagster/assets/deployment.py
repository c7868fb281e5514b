"""`deployment`: the canary beside the live release, ready and without traffic.

Driving it is `rollouts.py`'s.
"""

import dagster as dg

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.image import Image
from agentci_dagster.domain.plain_text import clean_text
from agentci_dagster.domain.risk import RiskScore
from agentci_dagster.domain.rollout import Deployment
from agentci_dagster.partitions import commit_asset, key_of
from agentci_dagster.rollouts import Rollouts
from agentci_dagster.settings import Catalogue


@commit_asset(group_name="deploy_agent", kinds={"haproxy"})
def deployment(
    context: dg.AssetExecutionContext,
    commit_diff: CommitDiff,
    risk_score: RiskScore,
    image: Image,
    rollouts: dg.ResourceParam[Rollouts],
    catalogue: dg.ResourceParam[Catalogue],
    canary_policy: dg.ResourceParam[CanaryPolicy],
) -> dg.MaterializeResult[Deployment]:
    """The new release, migrated and started beside the live one, waiting for its first traffic."""
    service = catalogue.service(key_of(context).repository)
    begun = rollouts.begin(service, image, commit_diff.commit, risk_score.route, canary_policy)
    return dg.MaterializeResult(
        value=begun,
        metadata={
            "status": begun.status.value,
            "environment": begun.environment,
            "release": begun.canary.name if begun.canary else "none",
            "baseline": begun.baseline.name if begun.baseline else "none",
            "migrations": ", ".join(begun.migrations) or "none",
            "seconds": begun.seconds,
            "note": clean_text(begun.note, 500),
            "log_tail": dg.MetadataValue.md(_code(begun.log_tail)),
        },
    )


def _code(text: str) -> str:
    fenced = clean_text(text, 4_000).replace("```", "'''")
    return f"```\n{fenced}\n```" if text else "none"
