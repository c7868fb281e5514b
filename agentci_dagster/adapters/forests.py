"""Fitted trees as plain arrays, and the walk from their roots to their leaves in NumPy.

scikit-learn takes milliseconds per call before it looks at the first row; a score with its reasons
asks for few rows of many trees. Arrays also need no trusted type to be read back from a file.
Fitting belongs to `boosting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float64, int32
    from numpy.typing import NDArray

    Floats = NDArray[float64]
    Ints = NDArray[int32]

_ROWS_AT_ONCE = 2_048
"""Bounds the memory of a walk: so many rows times the trees are under way at once."""

_MOST = 1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees of one model, node after node in one set of arrays.

    A row goes left at a node when its value is at most the threshold. Unknown values (NaN) are
    told apart by the column that a node reads: `column` below the number of columns means that
    unknown goes left, from there on that it goes right. Leaves have no children (-1). Scores are
    `start` plus the sum of the leaves' values, or, when `is_share`, the log-odds of their mean.
    """

    roots: Ints
    columns: Ints
    thresholds: Floats
    left: Ints
    right: Ints
    values: Floats
    start: float
    is_share: bool
    n_columns: int

    def __post_init__(self) -> None:
        import numpy as np

        n = len(self.values)
        sizes = {len(a) for a in (self.columns, self.thresholds, self.left, self.right)}
        # Children come after their parent: a walk always ends.
        is_whole = (
            sizes == {n}
            and bool(np.all((np.minimum(self.left, self.right) > np.arange(n))[self.left >= 0]))
            and bool(np.all((self.left < n) & (self.right < n)))
            and bool(np.all((self.columns >= 0) & (self.columns < 2 * self.n_columns)))
            and bool(np.all((self.roots >= 0) & (self.roots < n)))
        )
        if not is_whole:
            raise ValueError("these arrays are no trees")

    def log_odds(self, matrix: Floats) -> Floats:
        """One per row of `matrix`, `n_rows x n_columns`, NaN for unknown."""
        import numpy as np

        if matrix.ndim != 2 or matrix.shape[1] != self.n_columns:
            raise ValueError(f"these trees read {self.n_columns} columns")
        blocks = [
            self._of_leaves(self._leaves(matrix[at : at + _ROWS_AT_ONCE]))
            for at in range(0, len(matrix), _ROWS_AT_ONCE)
        ]
        return np.concatenate(blocks) if blocks else np.empty(0)

    def _leaves(self, matrix: Floats) -> Ints:
        """`n_rows x n_trees`: the leaf that each row reaches in each tree."""
        import numpy as np

        known = np.clip(matrix, -_MOST, _MOST)
        is_unknown = np.isnan(known)
        both = np.hstack(
            [np.where(is_unknown, -np.inf, known), np.where(is_unknown, np.inf, known)]
        )
        n_trees, width = len(self.roots), both.shape[1]
        at = np.tile(self.roots, len(matrix))
        places = np.flatnonzero(self.left[at] >= 0)
        flat = both.ravel()
        starts = places // n_trees * width
        here = at[places]
        while places.size:
            goes_left = flat[starts + self.columns[here]] <= self.thresholds[here]
            here = np.where(goes_left, self.left[here], self.right[here])
            goes_on = self.left[here] >= 0
            has_ended = ~goes_on
            at[places[has_ended]] = here[has_ended]
            places, starts, here = places[goes_on], starts[goes_on], here[goes_on]
        return at.reshape(len(matrix), n_trees)

    def _of_leaves(self, leaves: Ints) -> Floats:
        import numpy as np

        found = self.values[leaves]
        if self.is_share:
            share = np.clip(found.mean(axis=1), _LEAST_SHARE, 1 - _LEAST_SHARE)
            of_share: Floats = np.log(share / (1 - share))
            return of_share
        # One after the other, as scikit-learn adds them: the same sum to the last bit.
        first = np.full((len(found), 1), self.start)
        summed: Floats = np.cumsum(np.hstack([first, found]), axis=1)[:, -1]
        return summed


_LEAST_SHARE = 1e-4
"""A mean of leaves may be 0; no commit is that safe."""


def boosted_forest(model: Any) -> Forest:
    """The trees of a fitted HistGradientBoostingClassifier for two classes."""
    import numpy as np

    trees = [predictors[0].nodes for predictors in model._predictors]
    if any(nodes["is_categorical"].any() for nodes in trees):
        raise ValueError("trees with categories are not read here")
    nodes = np.concatenate(trees)
    sizes = [len(tree) for tree in trees]
    offsets = np.repeat(_roots(sizes), sizes)
    is_leaf = nodes["is_leaf"].astype(bool)
    n_columns = int(model.n_features_in_)
    columns = nodes["feature_idx"] + n_columns * (nodes["missing_go_to_left"] == 0)
    return Forest(
        roots=_roots(sizes),
        columns=np.where(is_leaf, 0, columns).astype(np.int32),
        # An infinite threshold parts the known from the unknown; the known are finite here.
        thresholds=np.clip(np.where(is_leaf, 0.0, nodes["num_threshold"]), -_MOST, _MOST),
        left=np.where(is_leaf, -1, nodes["left"] + offsets).astype(np.int32),
        right=np.where(is_leaf, -1, nodes["right"] + offsets).astype(np.int32),
        values=nodes["value"].astype(float),
        start=float(np.ravel(model._baseline_prediction)[0]),
        is_share=False,
        n_columns=n_columns,
    )


def averaged_forest(model: Any, raised: Floats) -> Forest:
    """The trees of a fitted ExtraTreesClassifier for two classes, which was given logarithms.

    `raised` holds, per node of all trees, the threshold in the measure's own unit. Unknown values
    were given as the least of all, so that they go left everywhere.
    """
    import numpy as np

    trees = [tree.tree_ for tree in model.estimators_]
    sizes = [tree.node_count for tree in trees]
    offsets = np.repeat(_roots(sizes), sizes)
    left = np.concatenate([tree.children_left for tree in trees])
    right = np.concatenate([tree.children_right for tree in trees])
    is_leaf = left < 0
    return Forest(
        roots=_roots(sizes),
        columns=np.where(is_leaf, 0, np.concatenate([t.feature for t in trees])).astype(np.int32),
        thresholds=np.where(is_leaf, 0.0, raised),
        left=np.where(is_leaf, -1, left + offsets).astype(np.int32),
        right=np.where(is_leaf, -1, right + offsets).astype(np.int32),
        values=np.concatenate([tree.value[:, 0, 1] for tree in trees]),
        start=0.0,
        is_share=True,
        n_columns=int(model.n_features_in_),
    )


def forest_parts(forest: Forest) -> dict[str, Any]:
    """What to store: arrays and numbers only."""
    return {name: getattr(forest, name) for name in Forest.__dataclass_fields__}


def forest_from(parts: Mapping[str, Any]) -> Forest:
    """The forest that was stored; ValueError when the parts are none."""
    return Forest(**{name: parts[name] for name in Forest.__dataclass_fields__})


def _roots(sizes: Sequence[int]) -> Ints:
    import numpy as np

    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
