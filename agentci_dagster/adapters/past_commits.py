"""Past commits to play through a policy: from a repository's history or a table in a Parquet file.

What a policy would have done with them is `domain/simulate.py`'s.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agentci_dagster.adapters.model_files import EMBEDDED_PRIOR, ModelFiles
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.history import moment_of
from agentci_dagster.domain.learning import (
    LearningPolicy,
    MinedCommit,
    mined_rows,
    training_obstacle,
)
from agentci_dagster.domain.risk import Advice, LogisticPrior
from agentci_dagster.domain.routing import RiskPolicy, Route, decide_route
from agentci_dagster.domain.simulate import PastCommit
from agentci_dagster.ports import Mirror

if TYPE_CHECKING:
    import pandas as pd

_NAME = ("commit", "sha", "key")
_REPOSITORY = ("repository", "project")
_TIME = ("committed_at", "ts")
_LABEL = ("label", "y", "has_failed")
_KNOWN = ("known_at", "first_fix_ts")
_SCORE = ("probability", "risk", "score")

_USUAL_DELAY = timedelta(days=90)
"""Where a table does not say when a failure was known: half of those of the public table
commitguru113 are fixed by then."""

# Names of Kamei et al. (2013) for the measures that the prior reads.
_KAMEI = {
    "lines_added": "la",
    "lines_deleted": "ld",
    "files": "nf",
    "directories": "nd",
    "subsystems": "ns",
    "developers": "ndev",
    "age_days": "age",
    "experience": "exp",
    "recent_experience": "rexp",
    "subsystem_experience": "sexp",
    "is_fix": "fix",
}


@dataclass(frozen=True, slots=True)
class Policies:
    """What a history is played by."""

    risk: RiskPolicy
    learning: LearningPolicy


def from_history(
    commits: Sequence[MinedCommit],
    mirror: Mirror,
    n: int,
    policies: Policies,
    tell: Callable[[int, int], None],
) -> list[PastCommit]:
    """The last `n` commits of a history, and before them up to `n` times `_LED_IN` which the
    promise may learn from, by time.

    A commit failed when a later fix blames it, and is known to have failed from then on. Its score
    is that of a model trained, every `_RETRAIN_EVERY` commits, on what was known by then; the
    embedded prior scores until there is enough. Guard rules ask for what they ask for in the last
    `n`. `tell` gets how many of how many are read.
    """
    ordered = sorted(commits, key=lambda c: (c.committed_s, c.sha))
    first = max(0, len(ordered) - (1 + _LED_IN) * n)
    begin = max(first, len(ordered) - n)
    risks = _of_their_day(ordered, first, policies.learning)
    repository = mirror.commit(ordered[0].sha).key.repository if ordered else ""
    found = []
    for place, (commit, risk) in enumerate(zip(ordered[first:], risks, strict=True), first):
        asks = Route.FAST
        if place >= begin:
            diff = mirror.diff(commit.sha)
            asks = decide_route(0.0, diff, Advice(), policies.risk).route
            tell(place - begin + 1, len(ordered) - begin)
        at = moment_of(commit.committed_s)
        fixed_at = None if commit.fixed_s is None else max(at, moment_of(commit.fixed_s))
        found.append(
            PastCommit(commit.sha, repository, at, fixed_at or at, fixed_at is not None, risk, asks)
        )
    return found


def _of_their_day(
    commits: Sequence[MinedCommit], first: int, policy: LearningPolicy
) -> Iterator[float]:
    """The risks of the commits from `first` on, by models that knew what was known then."""
    # These models served only the past; no store keeps them.
    with tempfile.TemporaryDirectory() as folder:
        models = ModelFiles(Path(folder))
        for low in range(first, len(commits), _RETRAIN_EVERY):
            now = moment_of(commits[low].committed_s)
            earlier = commits[max(0, low - _MOST_ROWS) : low]
            known = mined_rows("history", earlier, now, policy).rows
            is_ready = len(known) >= policy.min_rows and not training_obstacle(known)
            model = models.load(models.train(known, policy).version) if is_ready else models.prior
            for commit in commits[low : low + _RETRAIN_EVERY]:
                yield model.score(commit.features, "history").probability


def from_table(path: Path) -> list[PastCommit]:
    """The rows of a Parquet file.

    It needs a time (`committed_at`, or `ts` in seconds), a label (`label`, `y`) and either a score
    (`probability`, `risk`, `score`) or measures, by the names of CommitFeatures or of Kamei et al.;
    then the embedded prior scores. Merges are left out.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as Parquet: {error}.", "check --data") from error
    if "is_merge" in table:
        table = table[table["is_merge"] == 0]
    names, repositories = _found(table, _NAME), _found(table, _REPOSITORY)
    if names:
        # The same commit in two parts of a table is one commit.
        table = table.drop_duplicates([repositories, names] if repositories else [names])
    at = _instants(table, _column(table, _TIME, "a time"))
    labels = table[_column(table, _LABEL, "a label")].astype(bool)
    known = _known(table, at)
    return [
        PastCommit(
            name=f"{repository}@{name}",
            repository=str(repository),
            at=moment,
            known_at=known_at,
            has_failed=bool(label),
            probability=probability,
        )
        for name, repository, moment, known_at, label, probability in zip(
            table[names] if names else range(len(table)),
            table[repositories] if repositories else ["data"] * len(table),
            at,
            known,
            labels,
            _scores(table),
            strict=True,
        )
    ]


def _found(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table), None)


def _column(table: pd.DataFrame, names: tuple[str, ...], what: str) -> str:
    found = _found(table, names)
    if found is None:
        raise UsageError(
            f"The table has no column with {what}.", f"name one of them {' or '.join(names)}"
        )
    return found


def _instants(table: pd.DataFrame, column: str) -> list[datetime]:
    values = table[column]
    if values.dtype.kind == "M":
        return [moment.astimezone(UTC) for moment in values.dt.to_pydatetime()]
    return [datetime.fromtimestamp(float(seconds), UTC) for seconds in values]


def _known(table: pd.DataFrame, at: list[datetime]) -> list[datetime]:
    column = _found(table, _KNOWN)
    if column is None:
        return [moment + _USUAL_DELAY for moment in at]
    is_told = table[column].notna().to_numpy()
    told = iter(_instants(table[is_told], column))
    return [
        next(told) if has else moment + _USUAL_DELAY
        for has, moment in zip(is_told, at, strict=True)
    ]


def _scores(table: pd.DataFrame) -> list[float]:
    column = _found(table, _SCORE)
    if column is not None:
        return [float(score) for score in table[column]]
    measured = [name for name in CommitFeatures.__dataclass_fields__ if name in table]
    kamei = [name for name in _KAMEI.values() if name in table]
    if not measured and not kamei:
        raise UsageError(
            "The table has neither scores nor measures of its commits.",
            f"name a column of scores {' or '.join(_SCORE)}",
        )
    prior = _prior()
    rows = table[measured or kamei + [name for name in ("lt", "ent") if name in table]]
    read = _features if measured else _features_of_kamei
    records = cast("list[dict[str, Any]]", rows.to_dict("records"))
    return [prior.score(read(row)).probability for row in records]


def _features(row: Mapping[str, Any]) -> CommitFeatures:
    fields = CommitFeatures.__dataclass_fields__
    known = {name: row[name] for name in row if not math.isnan(row[name])}
    optional = dict.fromkeys(("lines_before", "developers", "age_days"))
    return CommitFeatures(**{**dict.fromkeys(fields, 0.0), **optional, **known})


def _features_of_kamei(row: Mapping[str, Any]) -> CommitFeatures:
    """The lines before are a sum over the touched files there, and the entropy is in bits."""
    found = {name: row[short] for name, short in _KAMEI.items() if short in row}
    files = row.get("nf", 0)
    if "lt" in row and files:
        found["lines_before"] = row["lt"] / files
    if "ent" in row and files > 1:
        found["entropy"] = min(1.0, max(0.0, row["ent"] / math.log2(files)))
    return _features(found)


def _prior() -> LogisticPrior:
    return LogisticPrior(json.loads(EMBEDDED_PRIOR.read_text(encoding="utf-8")))


_LED_IN = 4
_RETRAIN_EVERY = 250
_MOST_ROWS = 20_000
