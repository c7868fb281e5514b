"""The partition set that every per-commit asset shares: one key `<repository>@<full sha>` per
commit.
"""

from functools import partial

import dagster as dg

from agentci_dagster.domain.diff import CommitKey

COMMITS = "agentci_commits"
"""The name is shared by all code locations of an instance."""

commits = dg.DynamicPartitionsDefinition(name=COMMITS)

commit_asset = partial(dg.asset, partitions_def=commits)
"""An asset of one commit."""


def key_of(context: dg.AssetExecutionContext) -> CommitKey:
    """The commit that this step works on."""
    return CommitKey.parse(context.partition_key)
