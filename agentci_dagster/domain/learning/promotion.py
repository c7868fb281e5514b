"""Candidate against champion on the same later holdout, and the rule by which a candidate takes
over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning.linear import linear_probabilities
from agentci_dagster.domain.learning.quality import (
    base_rate_probabilities,
    churn_only_probabilities,
    efforts_of,
    evaluate,
)
from agentci_dagster.domain.learning.values import (
    CandidateModel,
    LearningPolicy,
    Metrics,
    ModelEvaluation,
    Promotion,
    Split,
)
from agentci_dagster.domain.risk.values import Scored

Score = Callable[[CommitFeatures, str], Scored]


def examine(
    split: Split, candidate: Score | None, champion: Score, champion_version: str
) -> ModelEvaluation:
    """Measure candidate, champion, base rate, churn alone and a linear model on the holdout.

    The baselines know the training rows only.
    """
    labels = [row.label for row in split.holdout]
    n_failures, efforts = sum(labels), efforts_of(split.holdout)

    def measure(score: Score) -> Metrics:
        risks = [score(row.features, row.key.repository).probability for row in split.holdout]
        return evaluate(risks, labels, efforts)

    return ModelEvaluation(
        candidate=None if candidate is None else measure(candidate),
        champion=measure(champion),
        base_rate=evaluate(base_rate_probabilities(split.train, len(labels)), labels, efforts),
        churn_only=evaluate(churn_only_probabilities(split.train, split.holdout), labels, efforts),
        linear=evaluate(linear_probabilities(split.train, split.holdout), labels, efforts),
        champion_version=champion_version,
        n_holdout=len(labels),
        n_holdout_failures=n_failures,
        note=(
            f"trained on {len(split.train)} earlier outcomes, measured on the {len(labels)} latest "
            f"({n_failures} failed); {split.n_embargoed} left out because their label came too late"
        ),
    )


def compare(
    candidate: CandidateModel, evaluation: ModelEvaluation, policy: LearningPolicy
) -> Promotion:
    """Promote only a candidate that beats the champion's Brier score on the same later holdout by
    more than the margin.

    Too few rows, or too few failures on either side of the split, and nothing is promoted: a win
    would be luck.
    """
    version = candidate.manifest.version if candidate.manifest else None
    ours = evaluation.candidate.brier if evaluation.candidate else None
    theirs = evaluation.champion.brier if evaluation.champion else None
    stays = Promotion(False, evaluation.champion_version, version, "")

    obstacle = _obstacle(candidate, evaluation, policy)
    if obstacle or version is None:
        return replace(stays, reason=f"not promoted: {obstacle}")
    if ours is None or theirs is None:
        return replace(stays, reason="not promoted: nothing to compare candidate and champion on")
    duel = (
        f"Brier score {ours:.4f} against {theirs:.4f} of {evaluation.champion_version} "
        f"on the same {evaluation.n_holdout} later outcomes (lower is better)"
    )
    if ours < theirs - policy.margin:
        return Promotion(True, version, version, f"promoted: {duel}")
    needed = f", {policy.margin:.4f} better needed" if policy.margin else ""
    return replace(stays, reason=f"not promoted: {duel}{needed}")


def _obstacle(
    candidate: CandidateModel, evaluation: ModelEvaluation, policy: LearningPolicy
) -> str:
    """Why no comparison would mean anything; empty when one does."""
    if candidate.n_rows < policy.min_rows:
        return f"{candidate.n_rows} labelled outcomes, {policy.min_rows} needed"
    if candidate.manifest is None:
        return candidate.note or "no candidate was trained"
    if candidate.manifest.n_failures < policy.min_failures:
        return f"{candidate.manifest.n_failures} failures to train on, {policy.min_failures} needed"
    if evaluation.n_holdout_failures < policy.min_failures:
        return (
            f"{evaluation.n_holdout_failures} failures in the {evaluation.n_holdout} latest"
            f" outcomes, {policy.min_failures} needed"
        )
    return ""
