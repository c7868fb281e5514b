"""A whole installation in memory: the real graph over fakes of every port, on an ephemeral instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from agentci_dagster.adapters.json_values import ValueFiles
from agentci_dagster.definitions import ASSETS, dagster_resources
from agentci_dagster.domain.diff import CommitKey
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.image.keeping import KeepingPolicy
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.domain.trends import ControlChart, HeatMap, ReliabilityBin, TrendPolicy
from agentci_dagster.gates import GATES
from agentci_dagster.jobs import COMMIT_ASSETS, deliver_commit
from agentci_dagster.journeys import Journeys
from agentci_dagster.partitions import COMMITS
from agentci_dagster.ports import Advisor, LedgerEvent, ScoringModel
from agentci_dagster.rollouts import Rollouts
from agentci_dagster.settings import Catalogue, parse_settings
from tests.builders import NOON
from tests.fakes.deploy import Behaviour, FakeClock, FakeMetricSource, FakeRouter, FakeRuntime
from tests.fakes.git import FakeMirror, FakeMirrors
from tests.fakes.image import FakeArtefactStore, FakeImageBuilder, FakeSchemaProbe
from tests.fakes.learning import (
    FakeAdvisor,
    FakeHistories,
    FakeModelStore,
    FakePromises,
    FixedModel,
)
from tests.fakes.ledger import FakeLedger
from tests.fakes.test_bench import FakeTestBench, FakeTestWriter

CODE = b"def total(items):\n    return sum(items)\n"
TESTS = b"from cart import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"
_SERVICE = '[repository.service]\ncommand = "serve --port {port}"\n'
_SHOP = '[[repository]]\nname = "shop"\nurl = "https://example.org/shop.git"\n'


class FakePictures:
    """Pictures in words."""

    def bars(self, title: str, rows: Sequence[tuple[str, float]]) -> str:
        return f"{title}: {list(rows)}"

    def lines(self, title: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
        return f"{title}: {len(x)} points of {', '.join(series)}"

    def control(self, title: str, chart: ControlChart) -> str:
        return f"{title}: {len(chart.weeks)} weeks"

    def heat(self, title: str, found: HeatMap) -> str:
        return f"{title}: {', '.join(found.folders)}"

    def reliability(self, title: str, models: Mapping[str, Sequence[ReliabilityBin]]) -> str:
        return f"{title}: {', '.join(models)}"


class FakeNotifier:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def tell(self, title: str, body: str) -> None:
        self.told.append((title, body))


@dataclass
class House:
    """Everything that the graph asks of; the attributes are the fakes, to be set up and looked at."""

    folder: Path
    instance: dg.DagsterInstance
    is_service: bool = True
    model: ScoringModel = field(default_factory=FixedModel)
    advisor: Advisor = field(default_factory=FakeAdvisor)
    risk_policy: RiskPolicy = field(default_factory=RiskPolicy)
    canary_policy: CanaryPolicy = field(default_factory=lambda: CanaryPolicy(watch_s=60))
    learning_policy: LearningPolicy = field(default_factory=LearningPolicy)
    trend_policy: TrendPolicy = field(default_factory=TrendPolicy)

    def __post_init__(self) -> None:
        self.clock = FakeClock(NOON + timedelta(hours=2))
        self.ledger = FakeLedger(self.clock)
        self.values = ValueFiles(self.folder / "values")
        self.mirror = FakeMirror("shop")
        self.mirrors = FakeMirrors(self.mirror)
        self.journeys = Journeys(self.values, self.ledger, self.ledger)
        self.test_bench, self.test_writer = FakeTestBench(), FakeTestWriter()
        self.builder, self.schema_probe = FakeImageBuilder(), FakeSchemaProbe()
        self.artefacts, self.keeping_policy = FakeArtefactStore(), KeepingPolicy()
        self.runtime, self.router = FakeRuntime(self.clock), FakeRouter()
        self.metrics = FakeMetricSource(self.clock, self.router, self.runtime)
        self.models = FakeModelStore(self.model)
        self.promises, self.histories = FakePromises(), FakeHistories()
        self.pictures, self.notifier = FakePictures(), FakeNotifier()
        text = _SHOP + (_SERVICE if self.is_service else "")
        self.catalogue = Catalogue(parse_settings(text, home=self.folder))
        self.rollouts = self.new_rollouts()

    def new_rollouts(self) -> Rollouts:
        return Rollouts(
            runtime=self.runtime,
            router=self.router,
            metrics=self.metrics,
            clock=self.clock,
            journal=self.ledger,
            leases=self.ledger,
            log=self.ledger,
        )

    def push(
        self,
        message: str = "change",
        behaviour: Behaviour | None = None,
        files: Mapping[str, bytes | None] | None = None,
    ) -> CommitKey:
        """A commit, by default one that changes a tested function; its partition is there."""
        if not self.mirror.commits:
            # The first commit asks for care of its own; tests begin with an ordinary one.
            self.mirror.push({"cart.py": CODE, "test_cart.py": TESTS}, "first")
        n = len(self.mirror.commits)
        sha = self.mirror.push(files or {"cart.py": CODE + b"# %d\n" % n}, message)
        if behaviour is not None:
            self.runtime.behaviours[sha] = behaviour
        self.mirror.refresh()
        return self.live_key(CommitKey("shop", sha))

    def live_key(self, key: CommitKey) -> CommitKey:
        self.instance.add_dynamic_partitions(COMMITS, [str(key)])
        return key

    def by_name(self) -> dict[str, Callable[[], object]]:
        ledger = dict.fromkeys(("log", "outcomes", "leases"), lambda: self.ledger)
        names = (
            "catalogue", "clock", "journeys", "mirrors", "models", "advisor", "test_bench", "test_writer",
            "builder", "schema_probe", "rollouts", "pictures", "notifier", "risk_policy", "canary_policy",
            "promises", "histories", "artefacts", "keeping_policy",
            "learning_policy", "trend_policy",
        )  # fmt: skip
        return {**ledger, **{name: self._of(name) for name in names}}

    def _of(self, name: str) -> Callable[[], object]:
        return lambda: getattr(self, name)

    def resources(self, *names: str) -> dict[str, Any]:
        """The plain objects by these names."""
        return {name: make() for name, make in self.by_name().items() if name in names}

    def context(self, key: CommitKey) -> dg.AssetExecutionContext:
        """A context to call an asset function with."""
        return dg.build_asset_context(partition_key=str(key), instance=self.instance)

    def deliver(
        self, key: CommitKey, selection: Sequence[str] | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run the job of the sensors for one commit, whole or what a run request asks for."""
        definitions = dg.Definitions(
            assets=list(ASSETS),
            asset_checks=list(GATES),
            jobs=[deliver_commit],
            resources=dagster_resources(self),  # type: ignore[arg-type]
            executor=dg.in_process_executor,
        )
        return definitions.resolve_job_def("deliver_commit").execute_in_process(
            instance=self.instance,
            partition_key=str(key),
            asset_selection=[dg.AssetKey(name) for name in selection] if selection else None,
            tags={"agentci/branch": "main", **tags},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def say(self, key: CommitKey, *, is_approved: bool, n: int = 1) -> LedgerEvent:
        """A person's word, as `agentci approve` and `agentci reject` write it."""
        event = LedgerEvent(
            id=f"approval:{n}",
            kind="approval",
            at=self.clock.now(),
            repository=key.repository,
            sha=key.sha,
            body={"is_approved": is_approved, "by": "ada", "reason": "looked at"},
        )
        self.ledger.append(event)
        return event


@contextmanager
def house(folder: Path, **facts: Any) -> Iterator[House]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield House(folder, instance, **facts)


def made(result: dg.ExecuteInProcessResult) -> list[str]:
    """The assets that a run materialised, in the order of the journey."""
    events = result.get_asset_materialization_events()
    names = {event.asset_key.to_user_string() for event in events if event.asset_key}
    return [name for name in COMMIT_ASSETS if name in names]


def metadata(value: dg.MaterializeResult[Any]) -> dict[str, Any]:
    """What an asset told, as plain values."""
    return {name: getattr(told, "value", told) for name, told in dict(value.metadata or {}).items()}
