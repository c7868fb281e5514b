"""Every edge, gate, job and sensor of the graph as a literal: renaming an asset is a change of schema."""

from __future__ import annotations

import dagster as dg
import pytest

from agentci_dagster.definitions import build
from agentci_dagster.settings import Settings, parse_settings

EDGES = {
    "commit_diff": set(),
    "champion_model": set(),
    "risk_score": {"commit_diff", "champion_model"},
    "generated_tests": {"commit_diff", "risk_score"},
    "test_report": {"commit_diff", "risk_score", "generated_tests"},
    "image": {"commit_diff", "risk_score", "test_report"},
    "deployment": {"commit_diff", "risk_score", "image"},
    "health_report": {"deployment"},
    "deploy_outcome": {"health_report"},
    "audit_report": {"commit_diff", "deploy_outcome"},
    "training_set": {"deploy_outcome"},
    "mined_history": {"training_set"},
    "candidate_model": {"training_set", "mined_history"},
    "model_evaluation": {"training_set", "candidate_model"},
    "champion_promotion": {"candidate_model", "model_evaluation"},
    "routing_thresholds": {"training_set", "champion_promotion"},
    "delivery_metrics": {"deploy_outcome"},
    "failure_trends": {"deploy_outcome"},
    "risk_quality": {"deploy_outcome"},
    "savings": {"deploy_outcome", "audit_report"},
    "build_savings": {"deploy_outcome"},
}
GATES = {
    ("risk_score", "risk_is_accepted"): True,
    ("test_report", "tests_allow_delivery"): True,
    ("image", "image_is_deployable"): True,
    ("health_report", "release_is_healthy"): False,
    ("training_set", "commits_look_as_before"): False,
    ("training_set", "failures_are_as_frequent"): False,
    ("training_set", "scores_keep_their_word"): False,
}
PER_COMMIT = {
    "commit_diff",
    "risk_score",
    "generated_tests",
    "test_report",
    "image",
    "deployment",
    "health_report",
    "deploy_outcome",
}
LEARNING = {
    "training_set",
    "mined_history",
    "candidate_model",
    "model_evaluation",
    "champion_promotion",
    "routing_thresholds",
}
TRENDS = {"delivery_metrics", "failure_trends", "risk_quality", "savings", "build_savings"}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    text = '[[repository]]\nname = "shop"\nurl = "shop"\n[[repository]]\nname = "a-b"\nurl = "b"\n'
    settings: Settings = parse_settings(text, home=tmp_path_factory.mktemp("home"))
    return build(settings)


def test_edges_are_as_drawn(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    edges = {
        key.to_user_string(): {p.to_user_string() for p in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }

    assert edges == EDGES


def test_every_per_commit_asset_and_no_other_is_partitioned_by_commit(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()

    partitioned = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).partitions_def is not None
    }

    assert partitioned == PER_COMMIT | {"audit_report"}
    names = {graph.get(dg.AssetKey(name)).partitions_def.name for name in partitioned}
    assert names == {"agentci_commits"}


def test_gates_block_before_traffic_and_not_after(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    gates = {
        (key.asset_key.to_user_string(), key.name): graph.get(key).blocking
        for key in graph.asset_check_keys
    }

    assert gates == GATES


def test_gates_have_the_partitions_of_their_assets(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    for key in graph.asset_check_keys:
        assert graph.get(key).partitions_def == graph.get(key.asset_key).partitions_def


def test_jobs_run_these_assets_in_one_process(definitions: dg.Definitions) -> None:
    jobs = {
        name: {
            key.to_user_string()
            for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        }
        for name in (
            "deliver_commit",
            "analyse_commit",
            "audit_commit",
            "learn_from_outcomes",
            "refresh_trends",
        )
    }

    assert jobs == {
        "deliver_commit": PER_COMMIT,
        "analyse_commit": {"commit_diff", "risk_score"},
        "audit_commit": {"audit_report"},
        "learn_from_outcomes": LEARNING | TRENDS,
        "refresh_trends": TRENDS,
    }
    for name in jobs:
        assert definitions.resolve_job_def(name).executor_def.name == "in_process"
        assert "dagster/max_runtime" in definitions.resolve_job_def(name).tags


def test_each_repository_has_a_sensor_and_all_sensors_run(definitions: dg.Definitions) -> None:
    sensors = {s.name: s for s in definitions.sensors or ()}

    assert set(sensors) == {
        "watch_shop",
        "watch_a_b",
        "settle_failed_runs",
        "reconcile",
        "continue_approved",
        "audit_fast_commits",
        "retrain",
        "retire_old_commits",
        "collect_artefacts",
    }
    assert {s.default_status for s in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}


def test_every_asset_says_in_a_sentence_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    for key in graph.get_all_asset_keys():
        assert (graph.get(key).description or "").endswith("."), key
