"""How good the embedded prior is on later rows that it never saw; prints JSON.

Usage: python benchmarks/risk.py DATA_FOLDER

The rows are the last 20 % of each project's recent period. `as_trained` keeps the data's own rate of defect-inducing
commits, so that its calibration can be measured; `as_shipped` is what a user sees: the same ranking, shifted to the
assumed base rate. `new_projects` leaves each project out of the training and asks how well the prior ranks it then:
what a repository that nobody here has seen gets.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import train_prior

from agentci_dagster.domain.learning import evaluate
from agentci_dagster.domain.routing import RiskPolicy


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = train_prior.read(Path(sys.argv[1]))
    fitted, held_out = train_prior.training_rows(rows), train_prior.test_rows(rows)
    prior = json.loads(train_prior.EMBEDDED.read_text())
    print(
        json.dumps(
            {
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
            },
            indent=1,
        )
    )


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


def measured(probabilities, labels) -> dict:
    return {
        k: None if v is None else round(v, 4)
        for k, v in asdict(evaluate(probabilities, labels)).items()
    }


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
