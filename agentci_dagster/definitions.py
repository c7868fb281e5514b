"""The front door: puts assets, gates, jobs, sensors and resources together; nothing else."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg

# Partitions on asset checks are what makes per-commit gates possible; a test holds both directions.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from agentci_dagster import jobs  # noqa: E402 - after the filter that its definitions need
from agentci_dagster.assets import (  # noqa: E402
    deployment,
    diff,
    generated_tests,
    health,
    image,
    learning,
    outcome,
    promise,
    risk,
    savings,
    trends,
)
from agentci_dagster.gates import GATES  # noqa: E402
from agentci_dagster.io_manager import ValueIOManager, stored_values  # noqa: E402
from agentci_dagster.resources import Resources  # noqa: E402
from agentci_dagster.sensors.approvals import continue_approved  # noqa: E402
from agentci_dagster.sensors.audits import audit_fast_commits  # noqa: E402
from agentci_dagster.sensors.commits import commit_sensor  # noqa: E402
from agentci_dagster.sensors.learning import retrain  # noqa: E402
from agentci_dagster.sensors.reconcile import reconcile  # noqa: E402
from agentci_dagster.sensors.retention import collect_artefacts, retire_old_commits  # noqa: E402
from agentci_dagster.sensors.settle import settle_failed_runs  # noqa: E402
from agentci_dagster.settings import Settings, load_settings  # noqa: E402

ASSETS: tuple[dg.AssetsDefinition | dg.AssetSpec, ...] = (
    diff.commit_diff,
    risk.champion_model,
    risk.risk_score,
    generated_tests.generated_tests,
    generated_tests.test_report,
    generated_tests.audit_report,
    image.image,
    deployment.deployment,
    health.health_report,
    outcome.deploy_outcome,
    learning.training_set,
    learning.mined_history,
    learning.candidate_model,
    learning.model_evaluation,
    learning.champion_promotion,
    promise.routing_thresholds,
    trends.delivery_metrics,
    trends.failure_trends,
    trends.risk_quality,
    savings.savings,
    savings.build_savings,
)


@dg.definitions
def defs() -> dg.Definitions:
    """The code location; nothing is read before Dagster asks for it."""
    return build(load_settings())


def build(settings: Settings) -> dg.Definitions:
    """The definitions for one set of settings."""
    return dg.Definitions(
        assets=list(ASSETS),
        asset_checks=list(GATES),
        jobs=[
            jobs.deliver_commit,
            jobs.analyse_commit,
            jobs.audit_commit,
            jobs.learn_from_outcomes,
            jobs.refresh_trends,
        ],
        schedules=[
            dg.ScheduleDefinition(
                name="hourly_trends",
                job=jobs.refresh_trends,
                cron_schedule="7 * * * *",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
        sensors=[
            *(commit_sensor(r.name) for r in settings.repository),
            settle_failed_runs,
            reconcile,
            continue_approved,
            audit_fast_commits,
            retrain,
            retire_old_commits,
            collect_artefacts,
        ],
        resources=dagster_resources(Resources(settings)),
        executor=dg.in_process_executor,
    )


def dagster_resources(resources: Resources) -> dict[str, Any]:
    """Plain objects as Dagster resources, each made only when a step asks for it."""
    named = {key: _lazily(make) for key, make in resources.by_name().items()}

    @contextmanager
    def values(context: dg.InitResourceContext) -> Iterator[ValueIOManager]:
        with stored_values(context, resources.values, resources.ledger) as manager:
            yield manager

    return {**named, "io_manager": dg.IOManagerDefinition(cast("Any", values))}


def _lazily(make: Callable[[], object]) -> dg.ResourceDefinition:
    return dg.ResourceDefinition(lambda _context: make())
