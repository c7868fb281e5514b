"""How good the embedded prior and the product's learner are on later rows; prints JSON.

Usage: python benchmarks/risk.py DATA_FOLDER [prior|issta21|commitguru113|speed]...

The learner is `agentci_dagster/adapters/boosting.py`, the one that is trained from outcomes. Its
rows: `issta21` (within project, official split), `commitguru113` (train before 2016, test 2016 to
2018, with labels of hindsight and labels known then; the first 50 commits of projects that the
training has not seen), `speed` (CPU seconds of training a stored model, wall time of a score).

The rows are the last 20 % of each project's recent period. `as_trained` keeps the data's own rate of defect-inducing
commits, so that its calibration can be measured; `as_shipped` is what a user sees: the same ranking, shifted to the
assumed base rate. `new_projects` leaves each project out of the training and asks how well the prior ranks it then:
what a repository that nobody here has seen gets.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jit_tables
import numpy as np
import pandas as pd
import train_prior

from agentci_dagster.adapters.boosting import Table, fit_boosted
from agentci_dagster.adapters.model_files import ModelFiles
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.learning import (
    LearningPolicy,
    TrainingRow,
    evaluate,
    latency_weights,
)
from agentci_dagster.domain.routing import RiskPolicy

PARTS = ("prior", "issta21", "commitguru113", "speed")
SEED = 20_130_601
T_2016, T_2019 = 1_451_606_400, 1_546_300_800


def main() -> None:
    names = sys.argv[2:] or list(PARTS)
    if len(sys.argv) < 2 or not set(names) <= set(PARTS):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    parts = {"prior": of_prior, "issta21": issta21, "commitguru113": commitguru113, "speed": speed}
    print(json.dumps({name: parts[name](folder) for name in names}, indent=1))


def issta21(folder: Path) -> dict:
    """Trained on each project's first 80 %, measured on its last 20 %, beside the published scores."""
    rows, columns = jit_tables.issta(folder)
    published = pd.read_parquet(folder / "issta21_published_scores.parquet")
    found, scores = {}, []
    for name, part in rows.groupby("project"):
        train, test = part[part.split == "train"], part[part.split == "test"]
        p, seconds = learnt(train, train.y, test, columns)
        others = published[published.project == name].drop(columns=["project", "commit", "y"])
        y = published[published.project == name].y
        best = {m: evaluate(others[m], y).auc for m in others if others[m].notna().all()}
        winner = max(best, key=lambda m: best[m] or 0)
        found[name] = measured(p, test.y.to_numpy(), test.la + test.ld) | {
            "linear": measured(linear(train, train.y, test, columns), test.y.to_numpy())["auc"],
            "best_published": {"model": winner, "auc": round(best[winner], 4)},
            "train_cpu_s": seconds,
        }
        scores.append(pd.DataFrame({"p": p, "y": test.y, "effort": test.la + test.ld}))
    every = pd.concat(scores)
    return {
        "mean_auc": round(float(np.mean([f["auc"] for f in found.values()])), 4),
        "mean_auc_linear": round(float(np.mean([f["linear"] for f in found.values()])), 4),
        "n_projects_above_every_published": sum(
            f["auc"] > f["best_published"]["auc"] for f in found.values()
        ),
        "mean_calibration_error": round(
            float(np.mean([f["calibration_error"] for f in found.values()])), 4
        ),
        "pooled": measured(every.p, every.y, every.effort),
        "per_project": found,
    }


def commitguru113(folder: Path) -> dict:
    """Merges dropped, train before 2016, test 2016 to 2018; the labels to train with in two ways."""
    rows, columns = jit_tables.commitguru(folder)
    train = rows[rows.ts < T_2016]
    test = rows[(rows.ts >= T_2016) & (rows.ts < T_2019)]
    known = ((train.y == 1) & (train.first_fix_ts.astype(float) <= T_2016)).astype(int)
    found = {"n_train": len(train), "n_test": len(test)}
    delays = (train.first_fix_ts.astype(float) - train.ts).where(known == 1).to_numpy(float)
    silence = latency_weights(T_2016 - train.ts, delays.clip(min=0), train.project.astype(str))
    every = np.ones(len(train))
    for labels, y, weights in (
        ("hindsight", train.y, every),
        ("known_at_the_time", known, silence),
    ):
        p, seconds = learnt(train, y, test, columns, weights)
        found[labels] = of_projects(p, test) | {"train_cpu_s": seconds}
    churn = of_projects(squashed((test.la + test.ld).fillna(0)), test)
    # A ranking is no probability.
    found["churn"] = {k: v for k, v in churn.items() if k not in ("brier", "calibration_error")}
    return found | {"first_50_commits_of_a_new_project": first_commits(rows, columns)}


def of_projects(p, test) -> dict:
    """All together, and the mean over the projects with at least 50 test rows of both labels."""
    scored = test.assign(p=p)
    aucs = [
        evaluate(part.p, part.y).auc
        for _, part in scored.groupby("project", observed=True)
        if len(part) >= 50 and part.y.nunique() == 2
    ]
    found = measured(scored.p, scored.y, (scored.la + scored.ld).fillna(0))
    return found | {"mean_auc_per_project": round(float(np.mean(aucs)), 4), "n_projects": len(aucs)}


def first_commits(rows, columns, n_folds: int = 3) -> dict:
    """A third of the projects is left out at a time; their first 50 commits are scored by the rest.

    Here training is not cut by time: "never seen" means the project, as in the figures of others.
    """
    number = rows.groupby("project", observed=True).cumcount()
    fold = rows.project.cat.codes % n_folds
    scored = []
    for k in range(n_folds):
        test = rows[(fold == k) & (number < 50)]
        # The other projects' first thousand commits are what a young project looks like.
        train = rows[(fold != k) & (number < 1000)].sort_values("ts")
        p, _ = learnt(train, train.y, test, columns)
        scored.append(test.assign(p=p))
    every = pd.concat(scored)
    return of_pooled(every.p, every)


def of_pooled(p, test) -> dict:
    churn = measured(squashed(test.la.fillna(0)), test.y.to_numpy())
    return measured(p, test.y.to_numpy()) | {"lines_added_auc": churn["auc"], "n_rows": len(test)}


def speed(_folder: Path) -> dict:
    """Training and storing a model from outcomes, and scoring one commit with its reasons."""
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as home:
        store = ModelFiles(Path(home))
        for n in (10_000, 200_000):
            rows = made_up(n)
            begin = time.process_time()
            manifest = store.train(rows, LearningPolicy())
            found[f"train_{n}_cpu_s"] = round(time.process_time() - begin, 1)
            model = store.load(manifest.version)
            model.score(rows[0].features)
            begin = time.process_time()
            for row in rows[:50]:
                model.score(row.features)
            found[f"score_cpu_ms_after_{n}"] = round((time.process_time() - begin) * 20, 2)
    return found


def made_up(n: int) -> list[TrainingRow]:
    """Rows of plausible size; their content does not matter for the time they take."""
    random = np.random.default_rng(SEED)
    names = [field.name for field in fields(CommitFeatures)]
    values = np.floor(np.exp(random.normal(1.5, 1.5, (n, len(names)))))
    failed = random.random(n) < 1 / (1 + np.exp(3 - np.log1p(values[:, 0]) / 2))
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = []
    for i in range(n):
        at = start + timedelta(minutes=30 * i)
        commit = CommitFeatures(**dict(zip(names, values[i].tolist(), strict=True)))
        rows.append(
            TrainingRow(CommitKey("made-up", f"{i:040x}"), at, at, int(failed[i]), commit, None)
        )
    return rows


def learnt(train, y, test, columns, weights=None) -> tuple[np.ndarray, float]:
    """Probabilities of the product's learner, and the CPU seconds that its training took."""
    order = np.argsort(train.ts.to_numpy(), kind="stable")
    weights = np.ones(len(train)) if weights is None else weights
    train, y = train.iloc[order], y.iloc[order]
    table = Table(
        matrix=train[columns].to_numpy(float),
        labels=y.to_numpy(float),
        moments=train.ts.to_numpy(float),
        weights=weights[order],
        signs=[int(name in jit_tables.NEVER_LOWER) for name in columns],
        repositories=train.project.astype(str).tolist(),
    )
    begin = time.process_time()
    learnt = fit_boosted(table, SEED)
    seconds = round(time.process_time() - begin, 1)
    log_odds = learnt.log_odds(test[columns].to_numpy(float), test.project.astype(str).tolist())
    return 1 / (1 + np.exp(-log_odds)), seconds


def linear(train, y, test, columns) -> np.ndarray:
    """Logistic regression on log(1 + measure), scaled on the training rows: the baseline beside it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def flat(part):
        return np.log1p(part[columns].fillna(0).clip(lower=0).to_numpy(float))

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return model.fit(flat(train), y).predict_proba(flat(test))[:, 1]


def of_prior(folder: Path) -> dict:
    rows = train_prior.read(folder)
    fitted, held_out = train_prior.training_rows(rows), train_prior.test_rows(rows)
    prior = json.loads(train_prior.EMBEDDED.read_text())
    return {
        "prior": prior["version"],
        "n_rows": len(held_out),
        "share_inducing": round(float(held_out.y.mean()), 4),
        "pooled": compared(prior, fitted, held_out),
        "per_project": {
            name: compared(prior, fitted[fitted.project == name], part)
            for name, part in held_out.groupby("project")
        },
        "mean_auc_within_projects": {
            "prior": mean_auc(held_out, lambda part: train_prior.score(prior, part)),
            "lines_added": mean_auc(held_out, lambda part: squashed(part.lines_added)),
            "new_projects": mean_auc(held_out, lambda part: as_new(fitted, part)),
        },
        "routes": routes(prior, held_out),
    }


def compared(prior, fitted, held_out) -> dict:
    """The prior beside the base rate of the training rows and lines added alone."""
    y = held_out.y.to_numpy()
    lines_added = measured(squashed(held_out.lines_added), y)
    return {
        "n_rows": len(y),
        "as_trained": measured(train_prior.score(prior, held_out, "intercept_of_data"), y),
        "as_shipped_mean_probability": round(float(train_prior.score(prior, held_out).mean()), 4),
        "base_rate": measured(np.full(len(y), fitted.y.mean()), y),
        # A ranking is no probability: only its two measures of rank mean anything.
        "lines_added": {k: lines_added[k] for k in ("auc", "average_precision")},
    }


def measured(probabilities, labels, efforts=None) -> dict:
    found = asdict(evaluate(probabilities, labels, efforts)).items()
    return {k: None if v is None else round(v, 4) for k, v in found}


def squashed(values) -> np.ndarray:
    return (values / (1 + values)).to_numpy(float)


def mean_auc(held_out, score) -> float:
    aucs = [evaluate(score(part), part.y.to_numpy()).auc for _, part in held_out.groupby("project")]
    return round(float(np.mean(aucs)), 4)


def as_new(fitted, part) -> np.ndarray:
    others = fitted[fitted.project != part.project.iloc[0]]
    return train_prior.score(train_prior.train(others), part)


def routes(prior, held_out) -> dict:
    """Share of commits and of defect-inducing commits on each route of the default policy, guard rules left out."""
    policy = RiskPolicy()
    edges = [0.0, policy.fast_below, policy.guarded_from, policy.hold_from, 1.0 + 1e-9]
    p, y = train_prior.score(prior, held_out), held_out.y.to_numpy()
    found = {}
    for name, low, high in zip(
        ("fast", "standard", "guarded", "hold"), edges, edges[1:], strict=False
    ):
        inside = (p >= low) & (p < high)
        found[name] = {
            "share_of_commits": round(float(inside.mean()), 4),
            "share_of_inducing": round(float(y[inside].sum() / y.sum()), 4),
        }
    return found


if __name__ == "__main__":
    main()
