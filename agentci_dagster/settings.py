"""Settings: `agentci.toml` and the environment, validated.

The only module that reads environment variables.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from agentci_dagster.domain.errors import ConfigurationError
from agentci_dagster.domain.health import CanaryPolicy
from agentci_dagster.domain.image import DockerUse, ImageWish
from agentci_dagster.domain.image.keeping import KeepingPolicy
from agentci_dagster.domain.learning import LearningPolicy
from agentci_dagster.domain.routing import RiskPolicy
from agentci_dagster.domain.trends import TrendPolicy
from agentci_dagster.ports import ServicePlan

RepositoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
EnvironmentName = RepositoryName
CONFIG_NAME = "agentci.toml"
_SECRETS = ("llm_api_key", "ui_token")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestSettings(_Section):
    """`[repository.test]`: how the repository's own tests are run."""

    __test__: ClassVar[bool] = False

    timeout_s: float = Field(600.0, gt=0)
    generate_budget_s: float = Field(60.0, ge=0)
    """CPU seconds for generated tests per commit; 0 writes none."""
    withhold_on_findings: bool = True
    """Whether a crash on ordinary input found by a generated test withholds the commit."""


class ServiceSettings(_Section):
    """`[repository.service]`: how to start it; `{port}` is filled in, `{python}` is the bundle's
    interpreter.
    """

    command: str
    health: str = "/healthz"
    migrate: str = ""
    """Command that brings the database to this version; printed lines `applied NAME` are recorded.
    """
    migrations: str = ""
    """Folder of SQL files, for the check that no query asks for a column which nothing creates."""
    variables: dict[str, str] = Field(default_factory=dict)
    probes: tuple[str, ...] = ()

    @field_validator("command", "migrate")
    @classmethod
    def _can_be_split(cls, command: str) -> str:
        try:
            shlex.split(command)
        except ValueError as error:
            raise ValueError(f"it cannot be split into arguments ({error})") from error
        return command

    @field_validator("command")
    @classmethod
    def _is_a_command(cls, command: str) -> str:
        if not command.strip():
            raise ValueError("it is empty; leave [repository.service] out for a library")
        return command


class DeploySettings(_Section):
    """`[repository.deploy]`: where the service goes."""

    target: Literal["process", "docker"] = "process"
    """`process` runs a bundle on this machine, `docker` the image of the repository's
    Dockerfile.
    """
    environment: EnvironmentName = "production"
    port: int = Field(0, ge=0, le=65535)
    """The router's port on loopback; 0 picks a free one and keeps it."""


class ImageSettings(_Section):
    """`[repository.image]`: what is built."""

    docker: DockerUse = DockerUse.AUTO
    """auto: an image where the repository has a Dockerfile and Docker works; never; always: a
    Dockerfile is written where there is none, and a commit waits for Docker.
    """
    base: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._/:@-]*)?$")
    """Base of a Dockerfile that is written; the official slim image when left out."""


class RepositorySettings(_Section):
    """`[[repository]]`: one watched repository."""

    name: RepositoryName
    url: str
    branches: tuple[str, ...] = ("main",)
    """Branch names or patterns with `*`."""
    test: TestSettings = TestSettings()
    service: ServiceSettings | None = None
    deploy: DeploySettings = DeploySettings()
    image: ImageSettings = ImageSettings()

    @model_validator(mode="after")
    def _artefact_fits_the_target(self) -> RepositorySettings:
        if self.image.docker is DockerUse.NEVER and self.deploy.target == "docker" and self.service:
            raise ValueError(
                'a service that runs in Docker is run from an image: docker = "never" needs '
                "another target"
            )
        wants_image = self.image.docker is DockerUse.ALWAYS
        if wants_image and self.service and self.deploy.target == "process":
            raise ValueError(
                'a service that runs as a process is run from a bundle: docker = "always" needs '
                "another target"
            )
        return self


class PolicySettings(_Section):
    """`[policy]`: every number that decides, each with its default in the domain."""

    risk: RiskPolicy = RiskPolicy()
    canary: CanaryPolicy = CanaryPolicy()
    learning: LearningPolicy = LearningPolicy()
    trends: TrendPolicy = TrendPolicy()
    keeping: KeepingPolicy = KeepingPolicy()


class LlmSettings(_Section):
    """`[llm]`: an OpenAI-compatible endpoint that may advise.

    The key comes from `AGENTCI_LLM_API_KEY` only.
    """

    base_url: str
    model: str
    timeout_s: float = Field(20.0, gt=0)
    max_tokens: int = Field(800, gt=0)


class LedgerSettings(_Section):
    """`[ledger]`: where the memory lives; a SQLAlchemy address, by default SQLite in the home
    folder.
    """

    url: str = ""


class UiSettings(_Section):
    """`[ui]`: where the Dagster UI listens, and what it answers to.

    A token comes from `AGENTCI_UI_TOKEN` only; without one the UI listens on loopback only.
    """

    host: str = "127.0.0.1"
    trusted_hosts: tuple[str, ...] = ()
    """Names beside those of loopback under which browsers may ask for it."""
    read_only: bool = False


class Settings(_Section):
    """Everything that a user can set."""

    home: Path
    file: Path | None = None
    """The `agentci.toml` that was read; None when there was none."""
    repository: tuple[RepositorySettings, ...] = ()
    policy: PolicySettings = PolicySettings()
    llm: LlmSettings | None = None
    ledger: LedgerSettings = LedgerSettings()
    ui: UiSettings = UiSettings()
    llm_api_key: SecretStr = SecretStr("")
    ui_token: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        # Sensors are named by words, which have no hyphen: a-b and a_b would be one.
        names = [r.name.replace("-", "_") for r in self.repository]
        doubled = [
            r.name for r, n in zip(self.repository, names, strict=True) if names.count(n) > 1
        ]
        if doubled:
            alike = ", ".join(sorted(set(doubled)))
            raise ValueError(f"two repositories are named {alike} (a hyphen counts as _)")
        homes = [r.deploy.environment for r in self.repository if r.service]
        shared = sorted({e for e in homes if homes.count(e) > 1})
        if shared:
            raise ValueError(
                f"two services are deployed to {', '.join(shared)}; each needs an environment of "
                "its own ([repository.deploy] environment)"
            )
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
    def catalogue(self) -> Catalogue:
        return Catalogue(self)

    @property
    def ledger_url(self) -> str:
        return self.ledger.url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def values_folder(self) -> Path:
        return self.home / "values"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the shell needs to know about each repository, in the words of the ports."""

    settings: Settings

    @property
    def repositories(self) -> tuple[str, ...]:
        return tuple(r.name for r in self.settings.repository)

    @property
    def services(self) -> tuple[ServicePlan, ...]:
        """All services, one for each environment."""
        plans = (self.service(name) for name in self.repositories)
        return tuple(plan for plan in plans if plan is not None)

    def migrations_folder(self, repository: str) -> str:
        """The folder of SQL files that was named; empty when none was."""
        service = self.settings.of(repository).service
        return service.migrations if service else ""

    def tests(self, repository: str) -> TestSettings:
        """How the repository's own tests are run."""
        return self.settings.of(repository).test

    def image(self, repository: str) -> ImageSettings:
        """What is built for the repository."""
        return self.settings.of(repository).image

    def image_wish(self, repository: str) -> ImageWish:
        """What a Dockerfile that we write for it should say."""
        service = self.service(repository)
        base = self.image(repository).base
        if service is None:
            return ImageWish(base)
        return ImageWish(base, service.command, service.health_path)

    def service(self, repository: str) -> ServicePlan | None:
        """How its service is run; None for a library."""
        configured = self.settings.of(repository)
        service = configured.service
        if service is None:
            return None
        return ServicePlan(
            repository=repository,
            environment=configured.deploy.environment,
            command=tuple(shlex.split(service.command)),
            health_path=service.health,
            migrate_command=tuple(shlex.split(service.migrate)),
            variables=dict(service.variables),
            probe_paths=service.probes,
        )


def load_settings(path: Path | None = None, home: Path | None = None) -> Settings:
    """Read `agentci.toml` and the environment.

    Args:
        path: the file; default `$AGENTCI_CONFIG`, else `agentci.toml` in `home`, else in the
            working folder.
            A file that was named must exist; without one the defaults apply.
        home: where state lives; default `$AGENTCI_HOME`, else `~/.agentci`.

    Raises:
        ConfigurationError: the file cannot be read or says something wrong, with the line and
            the nearest right key.
    """
    home = (home or Path(os.environ.get("AGENTCI_HOME", "~/.agentci"))).expanduser().absolute()
    named = path or (Path(p) if (p := os.environ.get("AGENTCI_CONFIG")) else None)
    candidates = [named] if named else [home / CONFIG_NAME, Path.cwd() / CONFIG_NAME]
    found = next((c for c in candidates if c.is_file()), None)
    if named and found is None:
        raise ConfigurationError(
            f"There is no {named}.", "correct --config, or begin with agentci.toml.example"
        )
    if found is None:
        return parse_settings("", home=home, source="defaults")
    file = found.absolute()
    settings = parse_settings(_read(file), home=home, source=str(file), folder=file.parent)
    return settings.model_copy(update={"file": file})


def parse_settings(
    text: str, *, home: Path, source: str = CONFIG_NAME, folder: Path | None = None
) -> Settings:
    """Validate the text of an `agentci.toml`; relative paths in it are relative to `folder`, by
    default the working folder.
    """
    try:
        stated = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{source} is not valid TOML: {error}.", "correct that line"
        ) from error
    if "file" in stated:
        raise ConfigurationError(f"{source}: there is no setting 'file'.", "take it out")
    for reserved in ("home", *_SECRETS):
        if reserved in stated:
            raise ConfigurationError(
                f"{source}, line {_line_of(text, reserved)}: {reserved} is not set in the file.",
                f"use the environment variable AGENTCI_{reserved.upper()}",
            )
    secrets = {name: os.environ.get(f"AGENTCI_{name.upper()}", "") for name in _SECRETS}
    try:
        settings = Settings.model_validate({**stated, **secrets, "home": home})
    except ValidationError as error:
        raise ConfigurationError(
            _explain(error, text, source), "correct it and try again"
        ) from error
    folder = folder or Path.cwd()
    repositories = tuple(
        r.model_copy(update={"url": _absolute(r.url, folder)}) for r in settings.repository
    )
    ledger = LedgerSettings(url=_absolute_file(settings.ledger.url, folder))
    return settings.model_copy(update={"repository": repositories, "ledger": ledger})


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", "check the file") from error


def _absolute(url: str, folder: Path) -> str:
    is_address = "://" in url or re.match(r"[^/]+@[^/]+:", url)
    return url if is_address else str((folder / Path(url).expanduser()).resolve())


def _absolute_file(url: str, folder: Path) -> str:
    """A SQLite address whose file does not depend on where a process was started."""
    scheme, sign, path = url.partition(":///")
    is_relative = scheme.startswith("sqlite") and sign and not path.startswith(("/", ":"))
    return f"{scheme}:///{folder.absolute() / path}" if is_relative and path else url


def _explain(error: ValidationError, text: str, source: str) -> str:
    """The first problem, with its line and, for an unknown key, the nearest known one."""
    problem = error.errors()[0]
    names = [str(part) for part in problem["loc"] if isinstance(part, str)]
    where = ".".join(names) or "the file"
    line = _line_of(text, names[-1]) if names else None
    place = f"{source}, line {line}" if line else source
    if problem["type"] not in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{place}: {where}: {problem['msg']}."
    nearest = difflib.get_close_matches(names[-1], _known_keys(), n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{place}: there is no setting {where!r}.{hint}"


def _line_of(text: str, key: str) -> int | None:
    pattern = re.compile(rf"^\s*(\[+[\w.]*\b{re.escape(key)}\]+|\"?{re.escape(key)}\"?\s*=)")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.search(line):
            return number
    return None


def _known_keys() -> list[str]:
    sections = (
        Settings, RepositorySettings, TestSettings, ServiceSettings, DeploySettings,
        ImageSettings, PolicySettings, LlmSettings, LedgerSettings,
    )  # fmt: skip
    policies = (RiskPolicy, CanaryPolicy, LearningPolicy, TrendPolicy, KeepingPolicy)
    keys = [name for section in sections for name in section.model_fields]
    return keys + [f.name for policy in policies for f in fields(policy)]
