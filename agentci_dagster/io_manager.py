"""Stores what passes between assets as JSON or Parquet, and holds the lease of the run that makes
it.

Dagster's default pickles, and unpickling is code execution. The formats are
`adapters/json_values.py`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.ports import AssetValues, Leases
from agentci_dagster.run_lease import held


class ValueIOManager(dg.IOManager):
    """Hands values to and from the store by their annotated type."""

    def __init__(self, values: AssetValues) -> None:
        self._values = values

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store the value of one asset, of one commit where it is partitioned."""
        if obj is None:
            return
        path = self._values.store(context.asset_key.path[-1], obj, _key(context))
        context.add_output_metadata({"value": dg.MetadataValue.path(str(path))})

    def load_input(self, context: dg.InputContext) -> Any:
        """Load the upstream value; raises UsageError naming the asset to make first."""
        asset = context.asset_key.path[-1]
        value = self._values.find(asset, context.dagster_type.typing_type, _key(context))
        if value is None:
            of = f" for {context.partition_key}" if context.has_partition_key else ""
            raise UsageError(f"{asset} has no value{of}.", f"materialise {asset} first")
        return value


@contextmanager
def stored_values(
    context: dg.InitResourceContext, values: AssetValues, leases: Leases
) -> Iterator[ValueIOManager]:
    """The I/O manager of one run, which also holds the run's lease.

    Every asset needs an I/O manager, so its life is the life of the run's process: a lease that
    runs out tells the reconcile sensor that the worker was killed.
    """
    run = context.run
    partition = run.tags.get("dagster/partition") if run else None
    if run is None or partition is None:
        yield ValueIOManager(values)
        return
    with held(leases, run.run_id, CommitKey.parse(partition)):
        yield ValueIOManager(values)


def _key(context: dg.OutputContext | dg.InputContext) -> CommitKey | None:
    return CommitKey.parse(context.partition_key) if context.has_partition_key else None
