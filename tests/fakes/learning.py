"""A model store in memory, an advisor and a model that say what they are told to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from agentci_dagster.domain.diff import CommitDiff
from agentci_dagster.domain.errors import UsageError
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import (
    LearningPolicy,
    MinedCommit,
    ModelManifest,
    TrainingRow,
    training_obstacle,
)
from agentci_dagster.domain.promise import Promise
from agentci_dagster.domain.risk import Advice, Contribution, Scored
from agentci_dagster.ports import ScoringModel
from tests.builders import NOON


@dataclass(frozen=True)
class FixedModel:
    """Scores every commit alike."""

    probability: float = 0.05
    version: str = "prior-fixed"

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:
        reason = Contribution("lines_added", features.lines_added, 0.5)
        return Scored(self.probability, (reason,))


class FakeModelStore:
    """Models in memory; a trained one answers the share of failures among its rows."""

    def __init__(self, prior: ScoringModel | None = None) -> None:
        self.prior: ScoringModel = prior or FixedModel()
        self.models: dict[str, tuple[ScoringModel, ModelManifest]] = {}
        self.champion_version = self.prior.version
        self.promoted: list[str] = []

    def champion(self) -> ScoringModel:
        return self.load(self.champion_version)

    def train(self, rows: Sequence[TrainingRow], policy: LearningPolicy) -> ModelManifest:
        if training_obstacle(rows):
            raise UsageError(training_obstacle(rows))
        n_failures = sum(row.label for row in rows)
        digest = hashlib.sha256(repr((list(rows), policy)).encode()).hexdigest()
        version = f"outcomes-{len(rows)}-{digest[:10]}"
        manifest = ModelManifest(
            version=version,
            digest=digest,
            kind="share-of-failures",
            features=("lines_added",),
            trained_from=min(row.committed_at for row in rows),
            trained_to=max(row.committed_at for row in rows),
            n_rows=len(rows),
            n_failures=n_failures,
            metrics=None,
            libraries={},
            policy=policy,
            created_at=NOON,
        )
        self.models.setdefault(version, (FixedModel(n_failures / len(rows), version), manifest))
        return self.models[version][1]

    def load(self, version: str) -> ScoringModel:
        if version == self.prior.version:
            return self.prior
        if version not in self.models:
            raise UsageError(f"No model {version!r} is stored.")
        return self.models[version][0]

    def manifest(self, version: str) -> ModelManifest | None:
        return self.models[version][1] if version in self.models else None

    def versions(self) -> tuple[str, ...]:
        return tuple(self.models)

    def promote(self, version: str) -> None:
        self.load(version)
        self.champion_version = version
        self.promoted.append(version)


class FakeHistories:
    """Histories in memory, and which were read."""

    def __init__(self) -> None:
        self.commits: dict[str, tuple[MinedCommit, ...]] = {}
        self.asked: list[str] = []

    def mined(self, repository: str) -> tuple[MinedCommit, ...]:
        self.asked.append(repository)
        return self.commits.get(repository, ())


class FakePromises:
    """Promises in memory, by model."""

    def __init__(self) -> None:
        self.kept: dict[str, Promise] = {}

    def of(self, model_version: str) -> Promise | None:
        return self.kept.get(model_version)

    def keep(self, promise: Promise) -> None:
        self.kept[promise.model_version] = promise


class FakeAdvisor:
    """Gives the same advice on every commit, and remembers which it was asked about."""

    def __init__(self, advice: Advice | None = None) -> None:
        self.advice = advice or Advice()
        self.asked: list[CommitDiff] = []

    def advise(self, diff: CommitDiff) -> Advice:
        self.asked.append(diff)
        return self.advice
