"""`agentci model`: the life of the risk model, by hand. The same steps as the learning assets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentci_dagster.cli.printing import ConfigOption, JsonFlag, console, print_json, print_table
from agentci_dagster.domain.errors import UsageError

if TYPE_CHECKING:
    from agentci_dagster.domain.learning import (
        CandidateModel,
        Metrics,
        ModelEvaluation,
        ModelManifest,
        Split,
        TrainingRows,
    )
    from agentci_dagster.resources import Resources

app = typer.Typer(
    help="Train, measure, look at and promote the risk model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Version = Annotated[str, typer.Argument(help="A stored model; left out: the newest.")]

_MEASURES = (
    ("auc", "AUC"),
    ("average_precision", "avg. precision"),
    ("brier", "Brier"),
    ("calibration_error", "ECE"),
    ("recall_at_20_effort", "recall at 20 % effort"),
    ("p_opt", "P_opt"),
)


@app.command("train")
def train(as_json: JsonFlag = False, config: ConfigOption = "") -> None:
    """Train a candidate on the earlier outcomes and store it. It does not score yet."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.learning import pool, training_obstacle

    resources = open_resources(config)
    policy = resources.settings.policy.learning
    known, split = _past(resources)
    obstacle = training_obstacle(split.train)
    if obstacle:
        raise UsageError(
            f"{obstacle[0].upper()}{obstacle[1:]}. {known.n_censored} good outcomes are too young, "
            f"{known.n_unlabelled} teach nothing.",
            "deliver more commits; until then the embedded prior scores",
        )
    with console(stderr=True).status("reading what the histories teach"):
        mined = _mined(resources, len(known.rows))
    pooled = pool(split.train, mined.rows, policy, split.begins_at)
    manifest = resources.models.train(pooled.rows, policy)
    if as_json:
        print_json({**_of(manifest), "pooling": pooled.in_words, "n_held_out": len(split.holdout)})
        return
    out = console()
    out.print(f"{manifest.version} ({manifest.kind}): {pooled.in_words}", markup=False)
    out.print(f"  {len(split.holdout)} later outcomes are held out to measure it", markup=False)
    out.print(f"Next: agentci model evaluate {manifest.version}", markup=False)


@app.command("evaluate")
def evaluate(
    version: Version = "",
    blocks: Annotated[
        int, typer.Option("--blocks", help="Also relive the past in so many retrainings.", min=0)
    ] = 0,
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Measure a model on later outcomes, beside the champion and three baselines."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.learning import routing_table

    resources = open_resources(config)
    known, split = _past(resources)
    if not split.holdout:
        raise UsageError(
            f"There are {len(known.rows)} labelled outcomes; nothing can be held out.",
            "deliver more commits, then try again",
        )
    name = version or _newest(resources)
    _candidate, evaluation = _examined(resources, known, split, name)
    model = resources.models.load(name) if name else resources.models.champion()
    risks = [model.score(row.features, row.key.repository).probability for row in split.holdout]
    table = routing_table(
        risks, [row.label for row in split.holdout], resources.settings.policy.risk
    )
    compared: dict[str, Metrics | None] = {
        name or "candidate (none)": evaluation.candidate,
        f"champion {evaluation.champion_version}": evaluation.champion,
        "base rate": evaluation.base_rate,
        "churn alone": evaluation.churn_only,
        "linear": evaluation.linear,
    }
    relived = _relived(resources, known, blocks) if blocks else None
    if as_json:
        print_json(
            {
                **asdict(evaluation),
                "version": name or None,
                "routes": [asdict(share) for share in table],
                "prequential": relived,
            }
        )
        return
    print_table(
        f"{evaluation.n_holdout} later outcomes, {evaluation.n_holdout_failures} failed",
        ["model", *(title for _, title in _MEASURES)],
        [[who, *(_number(metrics, m) for m, _ in _MEASURES)] for who, metrics in compared.items()],
    )
    print_table(
        f"Routes by {model.version} alone, guard rules left out",
        ["route", "commits", "of all commits", "failures", "of all failures"],
        [
            [s.route.value, s.n_commits, _share(s.share_of_commits), s.n_failures,
             _share(s.share_of_failures)]
            for s in table
        ],
    )  # fmt: skip
    if relived:
        print_table(
            "As it would have lived: trained on what was known then",
            ["from", "known", "scored", "failed", *(title for _, title in _MEASURES[:4])],
            [
                [b["begins_at"], b["n_known"], b["n_scored"], b["n_failures"],
                 *(_shown(b["metrics"][m]) for m, _ in _MEASURES[:4])]
                for b in relived["blocks"]
            ],
        )  # fmt: skip
    console().print(evaluation.note, markup=False)


@app.command("show")
def show(version: Version = "", as_json: JsonFlag = False, config: ConfigOption = "") -> None:
    """Show the champion and the stored models, or one model's manifest."""
    from agentci_dagster.cli.wiring import open_resources

    resources = open_resources(config)
    champion = resources.models.champion().version
    if version:
        manifest = resources.models.manifest(version)
        if manifest is None and version != champion:
            raise UsageError(f"No model {version!r} is stored.", "agentci model show")
        body = _of(manifest) if manifest else {"version": version, "kind": "embedded prior"}
        if as_json:
            print_json({**body, "is_champion": version == champion})
            return
        print_table(version, ["what", "value"], [[k, v] for k, v in body.items()])
        return
    stored = [m for v in resources.models.versions() if (m := resources.models.manifest(v))]
    if as_json:
        print_json({"champion": champion, "models": [_of(m) for m in stored]})
        return
    console().print(f"champion: {champion}", markup=False)
    rows = [[m.version, m.kind, m.n_rows, m.n_failures, m.created_at.date()] for m in stored]
    print_table("Stored models", ["version", "kind", "rows", "failures", "made"], rows)


@app.command("promote")
def promote(
    version: Annotated[str, typer.Argument(help="A stored model, or the prior's version.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even when it has not beaten the champion.")
    ] = False,
    as_json: JsonFlag = False,
    config: ConfigOption = "",
) -> None:
    """Make a model the champion: from now on it scores new commits."""
    from agentci_dagster.cli.wiring import open_resources
    from agentci_dagster.domain.learning import compare

    resources = open_resources(config)
    resources.models.load(version)
    reason = "promoted by hand"
    if not force:
        known, split = _past(resources)
        candidate, evaluation = _examined(resources, known, split, version)
        decision = compare(candidate, evaluation, resources.settings.policy.learning)
        if not decision.is_promoted:
            raise UsageError(
                f"{version} was {decision.reason}.",
                f"agentci model promote {version} --force makes it champion all the same",
            )
        reason = decision.reason
    resources.models.promote(version)
    if as_json:
        print_json({"champion": version, "reason": reason})
    else:
        console().print(f"{version} scores new commits now ({reason}).", markup=False)


def _past(resources: Resources) -> tuple[TrainingRows, Split]:
    from agentci_dagster.domain.learning import split_by_time, training_rows

    policy = resources.settings.policy.learning
    known = training_rows(resources.ledger.outcomes(), resources.clock.now(), policy)
    return known, split_by_time(known.rows, policy)


def _mined(resources: Resources, n_outcomes: int) -> TrainingRows:
    from agentci_dagster.domain.learning import merge_rows, mined_rows

    policy, now = resources.settings.policy.learning, resources.clock.now()
    names = resources.catalogue.repositories if n_outcomes < policy.mined_until else ()
    histories = resources.histories
    return merge_rows(mined_rows(n, histories.mined(n), now, policy) for n in names)


def _newest(resources: Resources) -> str:
    return next(reversed(resources.models.versions()), "")


def _examined(
    resources: Resources, known: TrainingRows, split: Split, version: str
) -> tuple[CandidateModel, ModelEvaluation]:
    from agentci_dagster.domain.learning import CandidateModel, examine

    models = resources.models
    champion = models.champion()
    manifest = models.manifest(version) if version else None
    seen_to = manifest.trained_to if manifest else None
    if seen_to and split.holdout and seen_to >= split.holdout[0].committed_at:
        raise UsageError(
            f"{version} was trained on some of the outcomes that it would be measured on.",
            "agentci model train makes one that was not",
        )
    score = models.load(version).score if version else None
    candidate = CandidateModel(
        manifest, len(known.rows), known.n_failures, known.n_censored, known.n_unlabelled, ""
    )
    return candidate, examine(split, score, champion.score, champion.version)


def _relived(resources: Resources, known: TrainingRows, blocks: int) -> dict[str, Any]:
    import tempfile
    from pathlib import Path

    from agentci_dagster.adapters.model_files import ModelFiles
    from agentci_dagster.domain.learning import prequential

    policy = resources.settings.policy.learning
    # These models served only the past; the store keeps none of them.
    with tempfile.TemporaryDirectory() as folder:
        models = ModelFiles(Path(folder))
        found = prequential(
            known.rows,
            lambda rows: models.load(models.train(rows, policy).version).score,
            models.prior.score,
            policy,
            blocks,
        )
    return asdict(found)


def _of(manifest: ModelManifest) -> dict[str, Any]:
    return asdict(manifest)


def _number(metrics: Metrics | None, name: str) -> str:
    return _shown(getattr(metrics, name, None))


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
