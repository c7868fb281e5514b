"""The contract of ModelStore, for the fake and the real one; then what only files can suffer."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from agentci_dagster.adapters.json_values import dump_json, load_json
from agentci_dagster.adapters.model_files import EMBEDDED_PRIOR, ModelFiles
from agentci_dagster.domain.errors import InfrastructureError, UsageError
from agentci_dagster.domain.learning import (
    CandidateModel,
    LearningPolicy,
    ModelManifest,
    TrainingRow,
    compare,
    examine,
    split_by_time,
)
from agentci_dagster.ports import ModelStore
from tests.builders import NOON, features, key
from tests.fakes.learning import FakeModelStore

POLICY = LearningPolicy()
DEMO = LearningPolicy(maturity_s=0, retrain_every=5, min_rows=8, min_failures=2)


class StoppedClock:
    def now(self):
        return NOON

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise AssertionError("nothing here waits")


def rows(n: int, seed: int = 7) -> list[TrainingRow]:
    """Commits of which the large ones and those with migrations tend to fail."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(n):
        added, migration = float(random.integers(1, 400)), float(random.random() < 0.2)
        risk = 1 / (1 + math.exp(-(added / 80 - 3.5 + 2 * migration)))
        committed = NOON + timedelta(minutes=10 * i)
        found.append(
            TrainingRow(
                key=key(i + 1),
                committed_at=committed,
                known_at=committed + timedelta(minutes=1),
                label=int(random.random() < risk) if i > 3 else i % 2,
                features=features(
                    lines_added=added,
                    files=float(1 + added // 60),
                    directories=1.0,
                    migration_files=migration,
                    developers=None if i % 5 == 0 else 2.0,
                    lines_before=None,
                    experience=float(i),
                ),
                probability=0.1,
            )
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def files(folder: Path) -> ModelFiles:
    return ModelFiles(folder, clock=StoppedClock())


# ------------------------------------------------------------------ contract


@pytest.fixture(params=["fake", "files"])
def store(request: pytest.FixtureRequest, folder: Path) -> ModelStore:
    return FakeModelStore() if request.param == "fake" else ModelFiles(folder, clock=StoppedClock())


def test_without_a_promotion_the_prior_is_champion(store):
    champion = store.champion()

    assert champion.version.startswith("prior-")
    assert store.manifest(champion.version) is None
    assert 0 < champion.score(features()).probability < 1


def test_a_trained_model_waits_until_it_is_promoted(store):
    manifest = store.train(rows(12), POLICY)

    assert store.champion().version.startswith("prior-")
    assert store.load(manifest.version).version == manifest.version
    assert store.manifest(manifest.version) == manifest
    store.promote(manifest.version)
    assert store.champion().version == manifest.version


def test_a_manifest_says_what_it_was_trained_on(store):
    trained_on = rows(12)

    manifest = store.train(trained_on, POLICY)

    assert manifest.n_rows == 12
    assert manifest.n_failures == sum(row.label for row in trained_on)
    assert (manifest.trained_from, manifest.trained_to) == (
        trained_on[0].committed_at,
        trained_on[-1].committed_at,
    )
    assert manifest.policy == POLICY
    assert manifest.features


def test_training_twice_on_the_same_rows_gives_the_same_model(store):
    assert store.train(rows(12), POLICY) == store.train(rows(12), POLICY)


def test_other_rows_give_another_model(store):
    assert store.train(rows(12), POLICY).version != store.train(rows(12, seed=8), POLICY).version


def test_rows_of_one_kind_teach_nothing(store):
    with pytest.raises(UsageError, match="nothing to tell apart"):
        store.train([replace(row, label=0) for row in rows(12)], POLICY)


def test_an_unknown_version_is_a_usage_error_and_promotes_nothing(store):
    with pytest.raises(UsageError, match="stored"):
        store.load("outcomes-1-unknown")
    with pytest.raises(UsageError, match="stored"):
        store.promote("outcomes-1-unknown")
    assert store.manifest("outcomes-1-unknown") is None
    assert store.champion().version.startswith("prior-")


def test_all_stored_models_are_listed(store):
    assert store.versions() == ()

    manifest = store.train(rows(12), POLICY)

    assert store.versions() == (manifest.version,)


def test_the_prior_can_be_promoted_back(store):
    prior = store.champion().version
    store.promote(store.train(rows(12), POLICY).version)

    store.promote(prior)

    assert store.champion().version == prior


# ------------------------------------------------------------------ the models


@pytest.mark.parametrize("n", [12, 260])
def test_contributions_sum_to_the_distance_from_the_usual_commit(files, n):
    model = files.load(files.train(rows(n), POLICY).version)

    for commit in (rows(n)[3].features, features(developers=None, lines_added=9999.0)):
        scored = model.score(commit)
        total = model.median_log_odds + sum(c.log_odds for c in scored.contributions)
        assert scored.probability == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-9)
        sizes = [abs(c.log_odds) for c in scored.contributions]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("n", [12, 260])
def test_more_churn_never_lowers_a_trained_models_risk(files, n):
    model = files.load(files.train(rows(n), POLICY).version)
    sizes = [0.0, 1.0, 5.0, 20.0, 80.0, 200.0, 399.0, 5000.0]

    for commit in [row.features for row in rows(8)]:
        risks = [model.score(replace(commit, lines_added=x)).probability for x in sizes]
        assert risks == sorted(risks)


@pytest.mark.parametrize("n", [12, 260])
def test_evidence_against_churn_never_turns_it_round(files, n):
    turned = [replace(row, label=int(row.features.lines_added < 100)) for row in rows(n)]
    model = files.load(files.train(turned, POLICY).version)

    small, large = (model.score(features(lines_added=x)).probability for x in (2.0, 900.0))

    assert large >= small


def test_few_rows_move_the_prior_a_little_and_towards_what_they_show(files):
    model = files.load(files.train(rows(12), POLICY).version)
    commit = features(lines_added=300.0, files=6.0)

    before = files.prior.score(commit).probability
    after = model.score(commit).probability

    assert before < after < 0.8


def test_many_rows_learn_what_the_prior_does_not_know(files):
    manifest = files.train(rows(600), POLICY)
    model = files.load(manifest.version)
    commit = features(lines_added=150.0, files=3.0)

    plain = model.score(commit).probability
    migrating = model.score(replace(commit, migration_files=1.0)).probability

    assert manifest.kind == "boosted-histograms"
    assert migrating > plain + 0.1


def test_a_repository_that_fails_more_scores_higher_and_its_reasons_still_sum(files):
    told = [
        replace(row, key=replace(row.key, repository="wild" if row.label else "calm"))
        if i % 3
        else replace(row, key=replace(row.key, repository="calm" if row.label else "wild"))
        for i, row in enumerate(rows(600))
    ]
    model = files.load(files.train(told, POLICY).version)
    commit = features(lines_added=150.0, files=3.0)

    wild, new, calm = (model.score(commit, name) for name in ("wild", "never seen", "calm"))

    assert wild.probability > new.probability > calm.probability
    for name, found in (("wild", wild), ("calm", calm), ("never seen", new)):
        total = model.median_log_odds_in(name) + sum(c.log_odds for c in found.contributions)
        assert found.probability == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-9)


def test_the_usual_commit_has_no_reasons(files):
    model = files.load(files.train(rows(260), POLICY).version)

    found = model.score(model.usual)

    assert found.probability == pytest.approx(1 / (1 + math.exp(-model.median_log_odds)))
    assert {c.log_odds for c in found.contributions} == {0.0}


def test_many_rows_with_the_latest_all_alike_still_train(files):
    alike = [replace(row, label=row.label if i < 200 else 0) for i, row in enumerate(rows(260))]
    only_late = [replace(row, label=int(i > 250)) for i, row in enumerate(rows(260))]

    for trained_on in (alike, only_late):
        model = files.load(files.train(trained_on, POLICY).version)
        assert 0 < model.score(features()).probability < 1


def test_a_dozen_rows_are_trained_measured_and_compared(files):
    split = split_by_time(rows(13), DEMO)
    manifest = files.train(split.train, DEMO)
    candidate = CandidateModel(manifest, 13, 6, 0, 1, "")

    evaluation = examine(
        split, files.load(manifest.version).score, files.champion().score, files.prior.version
    )
    promotion = compare(candidate, evaluation, DEMO)

    assert manifest.n_rows == 9
    assert evaluation.n_holdout == 4
    assert evaluation.candidate is not None
    assert evaluation.candidate.brier is not None
    assert promotion.reason.startswith(("promoted: ", "not promoted: "))


# ------------------------------------------------------------------ files


def broken_champion(files: ModelFiles, folder: Path, **changes) -> str:
    """Promote a model, then change its manifest behind the store's back."""
    manifest = files.train(rows(12), POLICY)
    files.promote(manifest.version)
    wrong = replace(manifest, **changes)
    (folder / f"{manifest.version}.json").write_text(dump_json(wrong))
    return manifest.version


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "0" * 64}, "other digest"),
        ({"version": "outcomes-9-other"}, "manifest is that of"),
        ({"kind": "oracle"}, "kind 'oracle' is not known"),
        ({"features": ("lines_added",)}, "other features"),
        ({"libraries": {"scikit-learn": "0.1.0"}}, "scikit-learn 0.1.0"),
        ({"libraries": {"torch": "2.0"}}, "torch 2.0, here is none"),
        ({"libraries": {}}, "other libraries"),
    ],
)
def test_a_champion_that_does_not_fit_its_manifest_is_refused_and_the_prior_scores(
    files, folder, caplog, changes, why
):
    version = broken_champion(files, folder, **changes)

    with pytest.raises(InfrastructureError, match=why):
        files.load(version)
    with caplog.at_level(logging.WARNING):
        champion = files.champion()

    assert champion.version == files.prior.version
    assert why in caplog.text


def test_a_model_that_stands_on_another_prior_is_refused(files, folder, tmp_path):
    version = files.train(rows(12), POLICY).version
    document = json.loads(EMBEDDED_PRIOR.read_text()) | {"version": "prior-2-other"}
    (tmp_path / "prior.json").write_text(json.dumps(document))

    with pytest.raises(InfrastructureError, match="embedded-prior"):
        ModelFiles(folder, tmp_path / "prior.json").load(version)


def test_a_minor_release_of_scikit_learn_is_another_series_but_a_patch_is_not(files, folder):
    version = files.train(rows(12), POLICY).version
    path = folder / f"{version}.json"
    manifest = load_json(ModelManifest, path.read_bytes())
    major, minor, *_ = manifest.libraries["scikit-learn"].split(".")

    path.write_text(
        dump_json(
            replace(
                manifest, libraries=manifest.libraries | {"scikit-learn": f"{major}.{minor}.99"}
            )
        )
    )
    assert files.load(version).version == version

    path.write_text(
        dump_json(
            replace(
                manifest, libraries=manifest.libraries | {"scikit-learn": f"{major}.{minor}9.0"}
            )
        )
    )
    with pytest.raises(InfrastructureError, match="scikit-learn"):
        files.load(version)


def swap_model_file(files: ModelFiles, folder: Path, content: bytes) -> str:
    """A model file of somebody else's, with a manifest that describes it truthfully."""
    manifest = files.train(rows(12), POLICY)
    (folder / f"{manifest.version}.skops").write_bytes(content)
    honest = replace(manifest, digest=hashlib.sha256(content).hexdigest())
    (folder / f"{manifest.version}.json").write_text(dump_json(honest))
    return manifest.version


class Intruder:
    """A type that no model needs."""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda dumps: dumps({"regression": Intruder()}), "not trusted.*Intruder"),
        (lambda dumps: dumps([1, 2]), "holds a list"),
        (lambda dumps: dumps({"regression": "none"}), "cannot be read"),
        (lambda dumps: b"not a model", "cannot be read"),
    ],
    ids=["unknown type", "no parts", "wrong part", "no archive"],
)
def test_a_model_file_of_other_content_is_refused_although_its_digest_fits(
    files, folder, content, why
):
    from skops.io import dumps

    version = swap_model_file(files, folder, content(dumps))

    with pytest.raises(InfrastructureError, match=why):
        files.load(version)


@pytest.mark.parametrize("version", ["../champion", "a/b", "", "-x", "A", "x" * 99])
def test_a_version_that_is_no_name_reads_no_file(files, version):
    with pytest.raises(UsageError, match="no model version"):
        files.load(version)


@pytest.mark.parametrize("pointer", ["", "[]", "{}", '{"version": "../../x"}', '{"version": 5}'])
def test_a_broken_pointer_falls_back_to_the_prior_with_a_warning(files, folder, caplog, pointer):
    folder.mkdir()
    (folder / "champion.json").write_text(pointer)

    with caplog.at_level(logging.WARNING):
        assert files.champion().version == files.prior.version

    assert "prior scores instead" in caplog.text


def test_a_lost_model_file_is_refused_and_made_again_by_training(files, folder):
    manifest = files.train(rows(12), POLICY)
    (folder / f"{manifest.version}.skops").unlink()

    with pytest.raises(InfrastructureError, match="cannot be read"):
        files.load(manifest.version)
    again = files.train(rows(12), POLICY)

    assert again.version == manifest.version
    assert files.load(again.version).version == manifest.version


def test_nothing_half_written_is_left_behind(files, folder):
    files.promote(files.train(rows(12), POLICY).version)

    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".json", ".skops"]


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")

    with pytest.raises(InfrastructureError, match="cannot be written"):
        ModelFiles(tmp_path / "taken", clock=StoppedClock()).train(rows(12), POLICY)


def test_a_lost_prior_says_what_to_do(tmp_path):
    with pytest.raises(InfrastructureError, match="install agentci-dagster again"):
        ModelFiles(tmp_path, tmp_path / "none.json").champion()


# ------------------------------------------------------------------ a fresh process

_FRESH = """
import json, sys
from pathlib import Path
from agentci_dagster.adapters.model_files import ModelFiles
from agentci_dagster.domain.features import CommitFeatures
commit = CommitFeatures(**dict.fromkeys(CommitFeatures.__dataclass_fields__, 1.0))
store = ModelFiles(Path(sys.argv[1]))
models = [store.champion(), *map(store.load, sys.argv[2:])]
scores = [[model.version, model.score(commit).probability] for model in models]
heavy = [m for m in ("sklearn", "skops", "pandas", "scipy", "numpy", "openai", "dagster") if m in sys.modules]
print(json.dumps([scores, heavy]))
"""
ONES = features(**dict.fromkeys(features().__dataclass_fields__, 1.0))


def in_a_fresh_process(folder: Path, *versions: str) -> tuple[dict[str, float], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(folder), *versions],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    scores, heavy = json.loads(done.stdout)
    return dict(scores), heavy


def test_scoring_with_the_prior_imports_nothing_heavy(files, folder):
    scores, heavy = in_a_fresh_process(folder)

    assert scores == {files.prior.version: files.prior.score(ONES).probability}
    assert heavy == []


def test_trained_models_score_alike_in_a_fresh_process(files, folder):
    few, many = (files.train(rows(n), POLICY).version for n in (12, 260))
    files.promote(many)

    scores, _ = in_a_fresh_process(folder, few)

    assert list(scores) == [many, few]
    for version, probability in scores.items():
        assert probability == pytest.approx(files.load(version).score(ONES).probability, abs=1e-12)
