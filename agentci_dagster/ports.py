"""What the shell asks of the outside, in the domain's words.

Who answers is chosen in `resources.py`; nothing is implemented here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from agentci_dagster.domain.diff import Commit, CommitDiff, CommitKey
from agentci_dagster.domain.features import CommitFeatures
from agentci_dagster.domain.generated_tests import Candidate, GeneratedTests
from agentci_dagster.domain.health import RequestEvent
from agentci_dagster.domain.image import Image, SchemaFinding
from agentci_dagster.domain.image.keeping import StoredArtefact
from agentci_dagster.domain.learning import LearningPolicy, MinedCommit, ModelManifest, TrainingRow
from agentci_dagster.domain.outcome import DeployOutcome
from agentci_dagster.domain.promise import Promise
from agentci_dagster.domain.risk import Advice, Scored
from agentci_dagster.domain.rollout import Release, Rollout
from agentci_dagster.domain.selection import TestPlan, TestRun
from agentci_dagster.domain.trends import ControlChart, HeatMap, ReliabilityBin

T = TypeVar("T")

# ---------------------------------------------------------------- git


@dataclass(frozen=True, slots=True)
class BranchTip:
    """A watched branch and the commit it points to."""

    branch: str
    sha: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a fetch found.

    `tips` come in the order of the configured branches, then by name. `missing` are watched
    branches that the remote does not have (yet, or any more).
    """

    tips: tuple[BranchTip, ...]
    missing: tuple[str, ...]
    identity: str
    """Digest of the repository's address and root: a cursor made for another one is not used."""
    patterns: tuple[str, ...]
    """The watched branches as the settings name them."""
    is_empty: bool = False
    """The remote has no branch at all, watched or not."""
    replaced: tuple[BranchTip, ...] = ()
    """Branches that a force push moved since the last fetch, with the tips they had before."""
    gone: tuple[BranchTip, ...] = ()
    """Branches that were deleted since the last fetch, with the tips they had."""


class Mirror(Protocol):
    """A bare mirror of one watched repository; nothing of the repository is ever run in it."""

    def refresh(self) -> Refreshed:
        """Fetch. Raises GitError when the remote cannot be reached; the mirror then stays as it
        was.
        """

    def new_commits(
        self, tips: Sequence[str], known: Sequence[str], limit: int
    ) -> tuple[tuple[str, ...], int]:
        """Shas reachable from `tips` and not from `known`, oldest first, at most `limit`; and how
        many were left.

        Known shas that no longer exist (after a force push and a prune) are ignored.
        """

    def resolve(self, revision: str) -> str:
        """The full sha of a revision, looked up at the remote where the mirror does not watch it;
        raises UsageError when there is none.
        """

    def known(self, revision: str) -> str | None:
        """The full sha of a revision as the mirror knows it now; the remote is not asked."""

    def commit(self, sha: str) -> Commit:
        """The commit's own facts."""

    def diff(self, sha: str) -> CommitDiff:
        """What it changes against its first parent, with changed functions where the language is
        known.
        """

    def features(self, diff: CommitDiff) -> CommitFeatures:
        """The measures of the commit as of its own moment: its ancestors only."""

    def branches_of(self, sha: str) -> tuple[str, ...]:
        """Watched branches that contain the commit, shortest name first."""

    def files(self, sha: str) -> tuple[str, ...]:
        """All paths of the tree, in git's order."""

    def same_trees(self, sha: str, n: int) -> tuple[str, ...]:
        """Other commits with the very same tree, among the last `n` that `sha` descends from."""

    def recent_paths(self, sha: str, n: int) -> tuple[tuple[str, ...], ...]:
        """The paths that each of the last `n` commits up to `sha` changed, newest first; merges are
        left out.
        """

    def read(self, sha: str, path: str) -> bytes | None:
        """A file's content, None when the tree has none of that name; at most 4 MiB are read."""

    def read_all(self, sha: str, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of many files in one go; names that the tree does not have are left out."""

    def export(self, sha: str, folder: Path) -> None:
        """Write the tree into an empty folder: no filters, no hooks, symbolic links that leave it
        are not made.
        """


class Mirrors(Protocol):
    """The mirrors of the configured repositories."""

    def of(self, repository: str) -> Mirror:
        """The mirror of one repository; raises UsageError for an unknown name."""


# ---------------------------------------------------------------- tests


@dataclass(frozen=True, slots=True)
class Checkout:
    """A throwaway copy of a commit's tree with the environment its code runs in."""

    key: CommitKey
    folder: Path
    python: Path
    """The environment's interpreter."""
    environment_digest: str
    is_environment_reused: bool
    environment_seconds: float
    import_roots: tuple[str, ...]
    """Repository folders that go on the import path, for instance `src` or an empty string."""
    trouble: str = ""
    """Why the environment is incomplete; empty when it is whole."""


class TestBench(Protocol):
    """Runs a commit's code, and only ever inside the sandbox."""

    __test__: ClassVar[bool] = False

    def checkout(self, key: CommitKey) -> AbstractContextManager[Checkout]:
        """A throwaway checkout, removed afterwards, with the cached environment for its lock."""

    def run(
        self, checkout: Checkout, plan: TestPlan, extra: Sequence[Candidate], timeout: timedelta
    ) -> TestRun:
        """Run the planned test files and extra generated modules under coverage."""

    def rerun(self, checkout: Checkout, tests: Sequence[str], timeout: timedelta) -> TestRun:
        """Run these tests only, once; those that the tree does not have are left out."""


class TestWriter(Protocol):
    """Writes and judges tests for what a diff adds."""

    __test__: ClassVar[bool] = False

    def write(self, checkout: Checkout, diff: CommitDiff, budget: timedelta) -> GeneratedTests:
        """Candidates for the changed functions, each run five times on the new code before it is
        kept.
        """


# ---------------------------------------------------------------- image


class ImageBuilder(Protocol):
    """Makes the deployable artefact."""

    def build(self, key: CommitKey, diff: CommitDiff) -> Image:
        """Build from the commit; the commit's own failure is a value, a broken machine an
        InfrastructureError.
        """


class ArtefactStore(Protocol):
    """The artefacts that are stored."""

    def artefacts(self) -> tuple[StoredArtefact, ...]:
        """All of them, in no order."""

    def remove(self, artefact: StoredArtefact) -> None:
        """Take one away; taking away what is gone is fine."""

    def remove_environments(self, before: datetime) -> int:
        """Take away environments that no artefact stands on and that were not used since
        `before`; how many.
        """


class SchemaProbe(Protocol):
    """Asks whether the migrated schema can answer the queries of the changed code."""

    def findings(self, key: CommitKey, diff: CommitDiff) -> tuple[SchemaFinding, ...]:
        """Queries in changed files that the schema made by all migrations of this commit cannot
        answer.
        """


# ---------------------------------------------------------------- deployment


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """How a repository's service is run. Commands are argument lists; `{port}` is filled in."""

    repository: str
    environment: str
    command: tuple[str, ...]
    health_path: str
    migrate_command: tuple[str, ...]
    """Empty: no migrations."""
    variables: dict[str, str]
    """Environment of the service, for instance its database address."""
    probe_paths: tuple[str, ...]
    """Paths asked while warming up, harmless by contract."""


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """What running the migrations did; `failure` is empty when all went well."""

    applied: tuple[str, ...]
    failure: str
    seconds: float


class Runtime(Protocol):
    """A place where releases run beside each other."""

    def migrate(self, service: ServicePlan, image: Image, timeout: timedelta) -> MigrationRun:
        """Run the image's migrations once against the service's database."""

    def start(self, service: ServicePlan, image: Image, name: str, key: CommitKey) -> Release:
        """Start a release in a session of its own; it outlives this process."""

    def is_alive(self, release: Release) -> bool:
        """Whether exactly this release still runs (not another process with its number)."""

    def stop(self, release: Release, grace: timedelta) -> None:
        """End it, politely and then not; ending what has ended is fine."""

    def log_tail(self, release: Release) -> str:
        """The end of its log, at most 4,000 characters."""

    def ask(self, release: Release, path: str, timeout: timedelta) -> RequestEvent:
        """Ask the release itself, past the router; status 0 when it gives no answer in time."""

    def releases(self, environment: str) -> tuple[Release, ...]:
        """All that run in the environment, found from the outside, so that orphans show."""


class Router(Protocol):
    """Shares the traffic of one environment between releases without losing a request."""

    def ensure(self, environment: str) -> str:
        """Start the router or adopt the running one; returns its address `http://host:port`."""

    def add(self, environment: str, release: Release, health_path: str) -> None:
        """Make a release that answers known, with weight 0; adding it again keeps its weight."""

    def weights(self, environment: str, shares: dict[str, float]) -> None:
        """Set shares of traffic (fractions that sum to 1) by release name; releases not named get
        none.
        """

    def remove(self, environment: str, release: str) -> None:
        """Forget a release that has no traffic; removing twice is fine."""

    def shares(self, environment: str) -> dict[str, float]:
        """The shares as the router has them now."""


class MetricSource(Protocol):
    """The answers that releases gave, one by one."""

    def events(
        self, environment: str, since: datetime, until: datetime | None = None
    ) -> tuple[RequestEvent, ...]:
        """Events in time order; losing events is counted by `n_lost`, never hidden."""

    def n_lost(self, environment: str) -> int:
        """Events known to be lost since the router started."""


class Clock(Protocol):
    """Time. Tests run a ten-minute watch in milliseconds."""

    def now(self) -> datetime:
        """The instant, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


# ---------------------------------------------------------------- ledger


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """One thing that happened. `id` makes writing repeatable: the same id twice is one event."""

    id: str
    kind: str
    at: datetime
    repository: str
    sha: str
    body: dict[str, Any]
    """JSON values only."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive something, until it expires. `generation` fences off earlier holders."""

    name: str
    holder: str
    generation: int
    expires_at: datetime
    subject: str
    """What is driven, for instance a partition key."""


class EventLog(Protocol):
    """Append-only, hash-chained memory."""

    def append(self, event: LedgerEvent) -> None:
        """Add the event; does nothing when its id is known."""

    def events(
        self, kind: str | None = None, repository: str | None = None, sha: str | None = None
    ) -> tuple[LedgerEvent, ...]:
        """Events in the order of writing."""

    def verify(self) -> int:
        """Check the hash chain; returns the number of events, raises LedgerError naming the first
        broken one.
        """


class Outcomes(Protocol):
    """Settled commits, at most one outcome for each; a later one replaces an infrastructure ending
    only.
    """

    def settle(self, outcome: DeployOutcome) -> DeployOutcome:
        """Record; returns what stands (the earlier one when the commit was settled for good
        before).
        """

    def outcome(self, key: CommitKey) -> DeployOutcome | None:
        """The settled outcome, None while open."""

    def outcomes(
        self,
        repository: str | None = None,
        since: datetime | None = None,
        *,
        newest: int | None = None,
    ) -> tuple[DeployOutcome, ...]:
        """All of them, or only the `newest` ones, by time of settling (the newest last)."""


class Leases(Protocol):
    """Who drives what."""

    def acquire(self, name: str, holder: str, subject: str, ttl: timedelta) -> Lease | None:
        """Take a free or expired lease with the next generation; None while another holds it."""

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Hold on; raises LeaseLostError when another took it."""

    def release(self, lease: Lease) -> None:
        """Give it up; giving up a lost one is fine."""

    def expired(self) -> tuple[Lease, ...]:
        """Leases that ran out without being given up."""


class RolloutJournal(Protocol):
    """The rollouts of all environments and the last known good release of each."""

    def open(self, rollout: Rollout) -> Rollout:
        """Record a new rollout; raises EnvironmentBusyError while another is open in its
        environment.
        """

    def advance(self, rollout: Rollout, *, live: Release | None = None) -> None:
        """Write a new state, fenced by `rollout.generation`; `live` becomes last known good in the
        same transaction.

        Raises LeaseLostError when the journal holds a higher generation.
        """

    def take_over(self, rollout_id: str) -> Rollout:
        """Raise the generation, so that the earlier driver's writes are refused, and return the
        rollout.
        """

    def rollouts(
        self,
        environment: str | None = None,
        key: CommitKey | None = None,
        *,
        is_open: bool | None = None,
    ) -> tuple[Rollout, ...]:
        """Rollouts by time of opening."""

    def live(self, environment: str) -> Release | None:
        """Last known good."""


# ---------------------------------------------------------------- learning and advice


class Histories(Protocol):
    """What the histories of the watched repositories teach before there are outcomes."""

    def mined(self, repository: str) -> tuple[MinedCommit, ...]:
        """Every commit of its history that is no merge, parents first; empty before the first look
        at the repository. May be older by a twentieth of the history.
        """


class ScoringModel(Protocol):
    """A model that scores one commit."""

    @property
    def version(self) -> str: ...

    def score(self, features: CommitFeatures, repository: str = "") -> Scored:
        """Probability of failure and its additive reasons.

        A repository that the model has not learnt from is unknown to it, as is the empty name.
        """


class ModelStore(Protocol):
    """Models with their manifests, and which of them is champion."""

    def champion(self) -> ScoringModel:
        """The champion; the embedded prior when there is none or it does not fit its manifest."""

    def train(self, rows: Sequence[TrainingRow], policy: LearningPolicy) -> ModelManifest:
        """Train on the rows and store the candidate."""

    def load(self, version: str) -> ScoringModel:
        """A stored model; raises InfrastructureError when it does not fit its manifest."""

    def manifest(self, version: str) -> ModelManifest | None:
        """The manifest of a stored model; None for the prior."""

    def versions(self) -> tuple[str, ...]:
        """The versions of all stored models, oldest first."""

    def promote(self, version: str) -> None:
        """Point to a new champion."""


class Promises(Protocol):
    """Where the fast lane may end for each model, kept beside it."""

    def of(self, model_version: str) -> Promise | None:
        """The newest promise for that model; None when none was made or it cannot be read."""

    def keep(self, promise: Promise) -> None:
        """Store it in place of the model's earlier one."""


class Advisor(Protocol):
    """A language model that may ask for more care."""

    def advise(self, diff: CommitDiff) -> Advice:
        """Advice on one commit; an advisor that fails or answers nonsense gives empty advice that
        says so.
        """


class AssetValues(Protocol):
    """The stored values of assets."""

    def find(self, asset: str, kind: type[T], key: CommitKey | None = None) -> T | None:
        """The value of an asset (of one commit, or of an unpartitioned one); None when it was
        never made.
        """

    def store(self, asset: str, value: object, key: CommitKey | None = None) -> Path:
        """Write the value beside and rename; returns the file."""


class Pictures(Protocol):
    """Charts for people, as Markdown that carries the picture and needs no other file."""

    def bars(self, title: str, rows: Sequence[tuple[str, float]]) -> str:
        """One bar a row."""

    def lines(self, title: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
        """One line a series over the same x."""

    def control(self, title: str, chart: ControlChart) -> str:
        """Shares by week between the limits of chance."""

    def heat(self, title: str, found: HeatMap) -> str:
        """Failures by folder and week."""

    def reliability(self, title: str, models: Mapping[str, Sequence[ReliabilityBin]]) -> str:
        """What was said beside what happened, by model."""


class Notifier(Protocol):
    """Tells people."""

    def tell(self, title: str, body: str) -> None:
        """Send; never raises and never blocks for long."""
