"""Makes the embedded prior (`adapters/embedded_prior.json`) from the public ISSTA'21 data. Run by hand; the data is not shipped.

Usage: python benchmarks/train_prior.py DATA_FOLDER [OUT.json]

The model is additive: one piecewise-linear shape per measure (log-odds over log1p of the measure), fitted with bounds on
the signs where the field agrees, so that more churn never lowers the risk. Each project has its own intercept while
fitting, since projects differ in how often they break; the shapes therefore say what holds within a project.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize

from agentci_dagster.domain.learning import evaluate
from agentci_dagster.domain.risk import LogisticPrior

DATA_FILE = "issta21_kamei.parquet"
EMBEDDED = Path(__file__).parents[1] / "agentci_dagster" / "adapters" / "embedded_prior.json"

ASSUMED_BASE_RATE = 0.10
"""Change failure rate of the "high" cluster of DORA's State of DevOps Report 2023 (elite 0.05, high 0.10, medium 0.15)."""

RIDGE = 20.0
"""Penalty on the slope of each segment; on the last fifth of the training rows 5, 20 and 80 lie within 0.001 of AUC."""

QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.98, 0.998)

# +1: may only raise the risk, -1: may only lower it, 0: as the data says. Signs are those of Kamei et al. (2013); on the
# last fifth of the training rows they raise the mean AUC within projects from 0.7436 to 0.7447. `is_fix` reads the commit's
# message, which is untrusted text: it must not be able to lower a risk.
SIGNS = {
    "lines_added": 1,
    "lines_deleted": 1,
    "lines_before": 0,
    "files": 1,
    "directories": 1,
    "subsystems": 1,
    "entropy": 1,
    "developers": 1,
    "age_days": -1,
    "experience": -1,
    "recent_experience": -1,
    "subsystem_experience": -1,
    "is_fix": 1,
}
LINEAR = ("entropy", "is_fix")


def read(folder: Path) -> pd.DataFrame:
    """The data in the units of CommitFeatures.

    In the data the three experiences count the change itself, the lines before are summed over the touched files, and the
    entropy is in bits. `nuc` counts all earlier changes there, not the distinct last ones as here, so it is left out.
    """
    raw = pd.read_parquet(folder / DATA_FILE)
    bits = np.log2(raw.nf.clip(lower=2))
    return pd.DataFrame(
        {
            "project": raw.project,
            "period": raw.period,
            "split": raw.split,
            "ts": raw.ts,
            "y": raw.y.astype(int),
            "lines_added": raw.la,
            "lines_deleted": raw.ld,
            "lines_before": raw["lt"] / raw.nf,
            "files": raw.nf,
            "directories": raw.nd,
            "subsystems": raw.ns,
            "entropy": np.where(raw.nf > 1, (raw.ent / bits).clip(0, 1), 0.0),
            "developers": raw.ndev,
            "age_days": raw.age,
            "experience": (raw.exp - 1).clip(lower=0),
            "recent_experience": (raw.rexp - 1).clip(lower=0),
            "subsystem_experience": (raw.sexp - 1).clip(lower=0),
            "is_fix": raw.fix,
        }
    ).astype(dict.fromkeys(SIGNS, float))


def training_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The first 80 % of each project and period, and the older period whole: all of it before the recent test rows."""
    return rows[(rows.split == "train") | (rows.period == "old")]


def test_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The last 20 % of each project's recent period."""
    return rows[(rows.split == "test") & (rows.period == "recent")]


def train(rows: pd.DataFrame, base_rate: float = ASSUMED_BASE_RATE) -> dict:
    """The prior as the dictionary that LogisticPrior reads, shifted to the assumed base rate."""
    knots = {name: _knots(rows[name].to_numpy(), name) for name in SIGNS}
    design = np.hstack([_ramps(rows[name].to_numpy(), name, knots[name]) for name in SIGNS])
    groups = pd.get_dummies(rows.project + "/" + rows.period).to_numpy(float)
    weights = _fit(design, groups, rows.y.to_numpy(float), knots)

    shapes, at = [], 0
    for name in SIGNS:
        n = len(knots[name]) - 1
        values = np.concatenate([[0.0], np.cumsum(weights[at : at + n])])
        shapes.append(
            {
                "name": name,
                "scale": "linear" if name in LINEAR else "log1p",
                "knots": [round(float(k), 6) for k in knots[name]],
                "log_odds": [round(float(v), 6) for v in values],
                "median": round(float(rows[name].median()), 6),
                "usual": [round(float(q), 6) for q in rows[name].quantile([0.1, 0.9])],
            }
        )
        at += n
    linear = design @ weights[:at]
    shapes_digest = hashlib.sha256(json.dumps([shapes, base_rate]).encode()).hexdigest()
    return {
        "version": f"prior-1-{shapes_digest[:8]}",
        "assumed_base_rate": base_rate,
        "data_base_rate": round(float(rows.y.mean()), 6),
        "intercept": round(_intercept(linear, base_rate), 6),
        "intercept_of_data": round(_intercept(linear, float(rows.y.mean())), 6),
        "shapes": shapes,
    }


def score(prior: dict, rows: pd.DataFrame, intercept: str = "intercept") -> np.ndarray:
    """Probabilities of many rows at once; equal to LogisticPrior's (tested)."""
    z = np.full(len(rows), prior[intercept])
    for shape in prior["shapes"]:
        x = rows[shape["name"]].to_numpy()
        scaled = x if shape["scale"] == "linear" else np.log1p(x)
        z += np.interp(scaled, shape["knots"], shape["log_odds"])
    return 1 / (1 + np.exp(-z))


def _knots(values: np.ndarray, name: str) -> np.ndarray:
    if name == "is_fix":
        return np.array([0.0, 1.0])
    if name == "entropy":
        return np.array([0.0, 0.4, 0.7, 0.9, 1.0])
    knots = np.unique(np.round(np.log1p(np.quantile(values, QUANTILES)), 6))
    return knots if len(knots) > 1 else np.array([knots[0], knots[0] + 1.0])


def _ramps(values: np.ndarray, name: str, knots: np.ndarray) -> np.ndarray:
    x = values if name in LINEAR else np.log1p(values)
    return np.column_stack([np.clip((x - a) / (b - a), 0, 1) for a, b in pairwise(knots)])


def _fit(design, groups, y, knots) -> np.ndarray:
    # scikit-learn's logistic regression knows no bounds on signs, hence SciPy's bounded optimiser.
    matrix = np.hstack([design, groups])
    bound = {1: (0.0, None), -1: (None, 0.0), 0: (None, None)}
    bounds = [bound[SIGNS[name]] for name in SIGNS for _ in knots[name][1:]]
    bounds += [(None, None)] * groups.shape[1]
    penalty = np.concatenate([np.full(design.shape[1], RIDGE), np.full(groups.shape[1], 1e-3)])

    def loss(w):
        z = matrix @ w
        p = 1 / (1 + np.exp(-z))
        value = (np.logaddexp(0, z) - y * z).sum() + 0.5 * (penalty * w * w).sum()
        return value, matrix.T @ (p - y) + penalty * w

    found = minimize(
        loss, np.zeros(matrix.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 1000},
    )  # fmt: skip
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    return found.x


def _intercept(linear: np.ndarray, base_rate: float) -> float:
    """The intercept at which the mean probability over the training rows is the base rate."""
    return float(brentq(lambda b: (1 / (1 + np.exp(-(linear + b)))).mean() - base_rate, -30, 30))


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rows = read(Path(sys.argv[1]))
    fitted, held_out = training_rows(rows), test_rows(rows)
    prior = train(fitted)
    metrics = evaluate(score(prior, held_out, "intercept_of_data"), held_out.y.to_numpy())
    document = {
        "version": prior["version"],
        "origin": "Zeng, Zhang, Zhang, Zhang: Deep just-in-time defect prediction: how far are we? ISSTA 2021. "
        "Repository ZZR0/ISSTA21-JIT-DP, change measures of openstack, qt, go, gerrit, platform, jdt",
        "licence": "MIT, Copyright (c) 2021 Zhengran Zeng, Yuqun Zhang, Haotian Zhang, Lingming Zhang",
        "made_by": "benchmarks/train_prior.py",
        "base_rate_source": "Change failure rate of the high cluster, DORA, Accelerate State of DevOps Report 2023",
        "trained": {
            "n_rows": len(fitted),
            "n_failures": int(fitted.y.sum()),
            "from": _day(fitted.ts.min()),
            "to": _day(fitted.ts.max()),
        },
        "held_out": {
            "n_rows": len(held_out),
            "auc": round(metrics.auc or 0, 4),
            "average_precision": round(metrics.average_precision or 0, 4),
        },
        **prior,
    }
    LogisticPrior(document)
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else EMBEDDED
    out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({k: document[k] for k in ("version", "trained", "held_out", "intercept")}))


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()


if __name__ == "__main__":
    main()
