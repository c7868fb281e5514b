"""Who answers which port: the one place that knows both the settings and the adapters.

Everything is made on first use, and nothing here knows Dagster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from agentci_dagster.settings import Catalogue, Settings

if TYPE_CHECKING:
    from agentci_dagster.adapters.builders.attestations import Attestations
    from agentci_dagster.adapters.builders.docker import DockerBuilder
    from agentci_dagster.adapters.environments import Environments
    from agentci_dagster.adapters.haproxy_router import HaproxyRouter
    from agentci_dagster.adapters.json_values import ValueFiles
    from agentci_dagster.adapters.pytest_runner import PytestBench
    from agentci_dagster.adapters.sandbox import Sandbox
    from agentci_dagster.adapters.sql_ledger import SqlLedger
    from agentci_dagster.journeys import Journeys
    from agentci_dagster.ports import (
        Advisor,
        ArtefactStore,
        Clock,
        Histories,
        ImageBuilder,
        Mirrors,
        ModelStore,
        Notifier,
        Pictures,
        Promises,
        Runtime,
        SchemaProbe,
        TestWriter,
    )
    from agentci_dagster.rollouts import Rollouts


class Resources:
    """The answers to the ports for one installation.

    Free of Dagster, so that the command line can use it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def catalogue(self) -> Catalogue:
        return self.settings.catalogue

    @cached_property
    def clock(self) -> Clock:
        from agentci_dagster.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def ledger(self) -> SqlLedger:
        """Event log, outcomes, leases and rollout journal: one database."""
        from agentci_dagster.adapters.sql_ledger import SqlLedger

        return SqlLedger(self.settings.ledger_url, self.clock)

    @cached_property
    def values(self) -> ValueFiles:
        from agentci_dagster.adapters.json_values import ValueFiles

        return ValueFiles(self.settings.values_folder)

    @cached_property
    def journeys(self) -> Journeys:
        from agentci_dagster.journeys import Journeys

        return Journeys(self.values, self.ledger, self.ledger)

    @cached_property
    def mirrors(self) -> Mirrors:
        from agentci_dagster.adapters.git import GitMirrors

        watched = {r.name: (r.url, r.branches) for r in self.settings.repository}
        return GitMirrors(self.settings.home / "mirrors", watched)

    @cached_property
    def histories(self) -> Histories:
        from agentci_dagster.adapters.git.histories import MinedHistories

        return MinedHistories(self.mirrors)

    @cached_property
    def models(self) -> ModelStore:
        from agentci_dagster.adapters.model_files import ModelFiles

        return ModelFiles(self.settings.home / "models")

    @cached_property
    def promises(self) -> Promises:
        from agentci_dagster.adapters.promise_files import PromiseFiles

        return PromiseFiles(self.settings.home / "models")

    @cached_property
    def advisor(self) -> Advisor:
        from agentci_dagster.adapters.openai_client import NoAdvisor, OpenAIAdvisor

        llm = self.settings.llm
        if llm is None:
            return NoAdvisor()
        return OpenAIAdvisor(
            base_url=llm.base_url,
            model=llm.model,
            api_key=self.settings.llm_api_key.get_secret_value(),
            timeout_s=llm.timeout_s,
            max_tokens=llm.max_tokens,
        )

    @cached_property
    def sandbox(self) -> Sandbox:
        from agentci_dagster.adapters.sandbox import Sandbox

        return Sandbox()

    @cached_property
    def environments(self) -> Environments:
        """Interpreters with dependencies, shared by tests and bundles."""
        from agentci_dagster.adapters.environments import Environments

        cache = self.settings.home / "cache"
        return Environments(cache / "environments", cache / "test-tools", self.sandbox)

    @cached_property
    def test_bench(self) -> PytestBench:
        from agentci_dagster.adapters.pytest_runner import PytestBench

        folder = self.settings.home / "checkouts"
        return PytestBench(self.mirrors, self.environments, self.sandbox, folder)

    @cached_property
    def test_writer(self) -> TestWriter:
        from agentci_dagster.adapters.test_writers.offline import OfflineTestWriter

        return OfflineTestWriter(self.test_bench, self.mirrors)

    @cached_property
    def builder(self) -> ImageBuilder:
        from agentci_dagster.adapters.builders.attestations import AttestingBuilder
        from agentci_dagster.adapters.builders.bundle import BundleBuilder
        from agentci_dagster.adapters.builders.choice import ImageBuilders
        from agentci_dagster.domain.image import DockerUse

        def is_service(repository: str) -> bool:
            return self.catalogue.service(repository) is not None

        bundle = BundleBuilder(
            self.settings.home / "bundles",
            self.mirrors,
            self.environments,
            is_service,
            self.sandbox,
        )
        images = {r.name for r in self.settings.repository if r.deploy.target == "docker"}
        builders = ImageBuilders(
            bundle,
            self.docker,
            needs_bundle=lambda r: is_service(r) and r not in images,
            use=lambda r: DockerUse.ALWAYS if r in images else self.catalogue.image(r).docker,
        )
        return AttestingBuilder(builders, self.attestations)

    @cached_property
    def attestations(self) -> Attestations:
        """Statements about artefacts, checked before anything is started from them."""
        from agentci_dagster.adapters.builders.attestations import Attestations

        folder = self.settings.home / "attestations"
        return Attestations(folder, self.mirrors, lambda: self.docker.program)

    @cached_property
    def artefacts(self) -> ArtefactStore:
        from agentci_dagster.adapters.builders.stored_artefacts import StoredArtefacts

        home = self.settings.home
        return StoredArtefacts(
            home / "bundles",
            home / "cache" / "environments",
            home / "attestations",
            lambda: self.docker.program,
        )

    @cached_property
    def docker(self) -> DockerBuilder:
        from agentci_dagster.adapters.builders.docker import DockerBuilder

        return DockerBuilder(
            self.settings.home / "images", self.mirrors, wish=self.catalogue.image_wish
        )

    @cached_property
    def schema_probe(self) -> SchemaProbe:
        from agentci_dagster.adapters.schema_probe import SqliteSchemaProbe

        return SqliteSchemaProbe(self.mirrors, self.catalogue.migrations_folder)

    @cached_property
    def runtime(self) -> Runtime:
        from agentci_dagster.adapters.builders.attestations import VerifyingRuntime
        from agentci_dagster.adapters.runtimes.process import ProcessRuntime

        folder = self.settings.home / "environments"
        targets = {
            r.deploy.environment: r.deploy.target for r in self.settings.repository if r.service
        }
        process = ProcessRuntime(folder)
        if "docker" not in targets.values():
            return VerifyingRuntime(process, self.attestations.verify)
        from agentci_dagster.adapters.runtimes.choice import Runtimes
        from agentci_dagster.adapters.runtimes.docker import DockerRuntime

        both = Runtimes({"process": process, "docker": DockerRuntime(folder)}, targets)
        return VerifyingRuntime(both, self.attestations.verify)

    @cached_property
    def router(self) -> HaproxyRouter:
        """The router, which is the source of request events too."""
        from agentci_dagster.adapters.haproxy_router import HaproxyRouter

        ports = {r.deploy.environment: r.deploy.port for r in self.settings.repository if r.service}
        return HaproxyRouter(self.settings.home / "environments", ports)

    @cached_property
    def rollouts(self) -> Rollouts:
        from agentci_dagster.rollouts import Rollouts

        return Rollouts(
            runtime=self.runtime,
            router=self.router,
            metrics=self.router,
            clock=self.clock,
            journal=self.ledger,
            leases=self.ledger,
            log=self.ledger,
            mirrors=self.mirrors,
        )

    @cached_property
    def pictures(self) -> Pictures:
        from agentci_dagster.adapters.charts import Charts

        return Charts()

    @cached_property
    def notifier(self) -> Notifier:
        from agentci_dagster.adapters.notifier import LogNotifier

        return LogNotifier()

    def by_name(self) -> dict[str, Callable[[], object]]:
        """Resource keys of the assets and sensors, each with the way to get its answer."""
        policy = self.settings.policy
        return {
            "catalogue": lambda: self.catalogue,
            "clock": lambda: self.clock,
            "log": lambda: self.ledger,
            "outcomes": lambda: self.ledger,
            "leases": lambda: self.ledger,
            "journeys": lambda: self.journeys,
            "mirrors": lambda: self.mirrors,
            "histories": lambda: self.histories,
            "models": lambda: self.models,
            "promises": lambda: self.promises,
            "advisor": lambda: self.advisor,
            "test_bench": lambda: self.test_bench,
            "test_writer": lambda: self.test_writer,
            "builder": lambda: self.builder,
            "artefacts": lambda: self.artefacts,
            "keeping_policy": lambda: policy.keeping,
            "schema_probe": lambda: self.schema_probe,
            "rollouts": lambda: self.rollouts,
            "pictures": lambda: self.pictures,
            "notifier": lambda: self.notifier,
            "risk_policy": lambda: policy.risk,
            "canary_policy": lambda: policy.canary,
            "learning_policy": lambda: policy.learning,
            "trend_policy": lambda: policy.trends,
        }
