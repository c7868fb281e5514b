"""The two kinds of trained model, and which is used: decided by the number of rows.

Files and manifests belong to `model_files.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentci_dagster.adapters.anchored_model import AnchoredModel
from agentci_dagster.adapters.boosted_model import BoostedModel

BOOSTED_FROM_ROWS = 200
"""Fewer rows than this cannot carry trees; the prior does, corrected by what the rows show."""

KINDS: Mapping[str, type[AnchoredModel] | type[BoostedModel]] = {
    AnchoredModel.kind: AnchoredModel,
    BoostedModel.kind: BoostedModel,
}


def kind_for(n_rows: int) -> type[AnchoredModel] | type[BoostedModel]:
    """The kind of model that so many rows can carry."""
    return AnchoredModel if n_rows < BOOSTED_FROM_ROWS else BoostedModel
