"""Settings: `agentci.toml` and the environment, validated. The only module that reads environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from agentci_dagster.domain.errors import ConfigurationError
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.domain.trends import TrendPolicy

RepositoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
EnvironmentName = RepositoryName


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestSettings(_Section):
    """`[repository.test]`: how the repository's own tests are run."""

    __test__: ClassVar[bool] = False

    setup: str = ""
    command: str = "pytest"
    timeout_s: float = Field(600.0, gt=0)
    generate_budget_s: float = Field(60.0, ge=0)
    """CPU seconds for generated tests per commit; 0 writes none."""
    withhold_on_findings: bool = True
    """Whether a crash on ordinary input found by a generated test withholds the commit."""


class ServiceSettings(_Section):
    """`[repository.service]`: how to start it; `{port}` is filled in, `{python}` is the bundle's interpreter."""

    command: str
    health: str = "/healthz"
    migrate: str = ""
    """Command that brings the database to this version; printed lines `applied NAME` are recorded."""
    migrations: str = ""
    """Folder of SQL files, for the check that no query asks for a column which nothing creates."""
    variables: dict[str, str] = Field(default_factory=dict)
    probes: tuple[str, ...] = ()


class DeploySettings(_Section):
    """`[repository.deploy]`: where the service goes."""

    target: Literal["process"] = "process"
    environment: EnvironmentName = "production"
    port: int = Field(0, ge=0, le=65535)
    """The router's port on loopback; 0 picks a free one and keeps it."""


class RepositorySettings(_Section):
    """`[[repository]]`: one watched repository."""

    name: RepositoryName
    url: str
    branches: tuple[str, ...] = ("main",)
    """Branch names or patterns with `*`."""
    test: TestSettings = TestSettings()
    service: ServiceSettings | None = None
    deploy: DeploySettings = DeploySettings()


class PolicySettings(_Section):
    """`[policy]`: every number that decides, each with its default in the domain."""

    risk: RiskPolicy = RiskPolicy()
    canary: CanaryPolicy = CanaryPolicy()
    learning: LearningPolicy = LearningPolicy()
    trends: TrendPolicy = TrendPolicy()


class LlmSettings(_Section):
    """`[llm]`: an OpenAI-compatible endpoint that may advise. The key comes from `AGENTCI_LLM_API_KEY` only."""

    base_url: str
    model: str
    timeout_s: float = Field(20.0, gt=0)
    max_tokens: int = Field(800, gt=0)


class LedgerSettings(_Section):
    """`[ledger]`: where the memory lives; a SQLAlchemy address, by default SQLite in the home folder."""

    url: str = ""


class Settings(_Section):
    """Everything that a user can set."""

    home: Path
    repository: tuple[RepositorySettings, ...] = ()
    policy: PolicySettings = PolicySettings()
    llm: LlmSettings | None = None
    ledger: LedgerSettings = LedgerSettings()
    llm_api_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        names = [r.name for r in self.repository]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ValueError(f"two repositories are named {', '.join(doubled)}")
        return self

    def of(self, repository: str) -> RepositorySettings:
        """The settings of one repository; raises ConfigurationError for an unknown name."""
        for settings in self.repository:
            if settings.name == repository:
                return settings
        known = ", ".join(r.name for r in self.repository) or "none"
        raise ConfigurationError(
            f"No repository named {repository!r} is configured (known: {known}).",
            "add a [[repository]] section to agentci.toml",
        )

    @property
    def ledger_url(self) -> str:
        return self.ledger.url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def values_folder(self) -> Path:
        return self.home / "values"
