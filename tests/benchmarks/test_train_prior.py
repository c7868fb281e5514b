"""The script that makes the prior, on a small made-up table of the data's own form."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agentci_dagster.domain.risk import LogisticPrior
from tests.builders import features

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "train_prior.py"


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(3)
    n = 900
    added = random.integers(0, 500, n)
    table = {
        "project": np.where(np.arange(n) % 2 == 0, "one", "two"),
        "period": "recent",
        "split": np.where(np.arange(n) < 700, "train", "test"),
        "ts": 1_400_000_000 + np.arange(n) * 3_600,
        "y": (random.random(n) < np.clip(added / 700 + 0.1, 0, 1)).astype("int8"),
        "la": added,
        "nf": random.integers(1, 9, n),
        "ent": random.random(n) * 3,
        "fix": random.integers(0, 2, n),
    }
    for name in ("ld", "lt", "nd", "ns", "ndev", "age", "nuc", "exp", "rexp", "sexp"):
        table[name] = random.integers(1, 60, n)
    pd.DataFrame(table).to_parquet(tmp_path / "issta21_kamei.parquet")
    return tmp_path


def test_the_script_makes_a_prior_that_scores_like_its_own_arithmetic(
    data_folder, monkeypatch, capsys
):
    out = data_folder / "prior.json"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(data_folder), str(out)])

    script = runpy.run_path(str(SCRIPT), run_name="__main__")

    document = json.loads(out.read_text())
    prior = LogisticPrior(document)
    assert json.loads(capsys.readouterr().out)["version"] == prior.version
    assert document["trained"]["n_rows"] == 700
    assert document["held_out"]["n_rows"] == 200
    assert document["held_out"]["auc"] > 0.55
    assert document["licence"].startswith("MIT")

    held_out = script["test_rows"](script["read"](data_folder))
    at_once = script["score"](document, held_out)
    for (_, row), probability in list(zip(held_out.iterrows(), at_once, strict=True))[:20]:
        commit = features(**{name: float(row[name]) for name in prior.features})
        assert prior.score(commit).probability == pytest.approx(probability, abs=1e-9)
    on_training = script["score"](document, script["training_rows"](script["read"](data_folder)))
    assert on_training.mean() == pytest.approx(document["assumed_base_rate"], abs=1e-4)
