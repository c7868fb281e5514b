"""Settings say what is wrong, where, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentci_dagster.domain.errors import ConfigurationError
from agentci_dagster.settings import load_settings, parse_settings

SHOP = '[[repository]]\nname = "shop"\nurl = "../shop"\n'
HOME = Path("/nonexistent/home")


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = load_settings(home=tmp_path)

    assert settings.repository == ()
    assert settings.policy.canary.watch_s == 600
    assert settings.ledger_url == f"sqlite:///{tmp_path / 'ledger.db'}"


def test_file_in_home_is_found_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "agentci.toml").write_text(SHOP)

    settings = load_settings(home=tmp_path)

    assert settings.of("shop").url == str((tmp_path / "../shop").resolve())


def test_file_of_the_working_folder_is_remembered_wherever_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agentci.toml").write_text(SHOP + '[ledger]\nurl = "sqlite:///memory/l.db"\n')
    monkeypatch.chdir(tmp_path)

    found = load_settings(home=tmp_path / "home")
    named = load_settings(Path("agentci.toml"), home=tmp_path / "home")

    assert found == named
    assert found.file == tmp_path / "agentci.toml"
    assert found.ledger_url == f"sqlite:///{tmp_path / 'memory' / 'l.db'}"
    assert found.of("shop").url == str((tmp_path / "../shop").resolve())


@pytest.mark.parametrize(
    "url", ["", "sqlite:///:memory:", "sqlite:////var/l.db", "postgresql://h/x"]
)
def test_other_addresses_of_the_ledger_are_left_as_they_are(url: str) -> None:
    settings = parse_settings(f'[ledger]\nurl = "{url}"\n', home=HOME)

    assert settings.ledger.url == url


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no .*absent\.toml"):
        load_settings(tmp_path / "absent.toml", home=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHOP + 'branchs = ["main"]\n', r"line 4: .*branchs.*Did you mean 'branches'"),
        (SHOP + "[policy.canary]\nalhpa = 1\n", r"line 5: .*Did you mean 'alpha'"),
        (SHOP + '[policy.canary]\nalpha = "x"\n', r"line 5: policy\.canary\.alpha: .*number"),
        (SHOP + "[policy.risk]\nfast_below = 0.9\n", r"fast_below <= guarded_from"),
        ('[[repository]]\nurl = "x"\n', r"name: Field required"),
        ('[[repository]]\nname = "Big Shop"\nurl = "x"\n', r"line 2: repository\.name"),
        (SHOP + SHOP, r"two repositories are named shop"),
        (SHOP + SHOP.replace("shop", "a-b") + SHOP.replace("shop", "a_b"), r"named a-b, a_b"),
        (SHOP + '[repository.service]\ncommand = "uvicorn \'shop"\n', r"line 5: .*cannot be split"),
        (SHOP + '[repository.service]\ncommand = " "\n', r"line 5: .*it is empty"),
        ('file = "x"\n', r"no setting 'file'"),
        (SHOP + '[repository.test]\nsetup = "uv sync"\n', r"line 5: there is no setting"),
        ("x = [", r"not valid TOML"),
        ('home = "x"\n', r"AGENTCI_HOME"),
        ('llm_api_key = "x"\n', r"AGENTCI_LLM_API_KEY"),
        ('ui_token = "x"\n', r"AGENTCI_UI_TOKEN"),
    ],
)
def test_wrong_setting_names_its_line_and_cause(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_settings(text, home=HOME)


@pytest.mark.parametrize(("docker", "target"), [("always", "process"), ("never", "docker")])
def test_artefact_that_the_target_cannot_run_is_refused(docker: str, target: str) -> None:
    text = (
        f'{SHOP}[repository.service]\ncommand = "serve"\n'
        f'[repository.deploy]\ntarget = "{target}"\n[repository.image]\ndocker = "{docker}"\n'
    )

    with pytest.raises(ConfigurationError, match="needs another target"):
        parse_settings(text, home=HOME)


def test_service_in_docker_gets_an_image_and_its_runtime(tmp_path: Path) -> None:
    from agentci_dagster.adapters.runtimes.choice import Runtimes
    from agentci_dagster.resources import Resources

    text = (
        f'{SHOP}[repository.service]\ncommand = "serve"\n[repository.deploy]\ntarget = "docker"\n'
    )

    resources = Resources(parse_settings(text, home=tmp_path))

    assert isinstance(resources.runtime._runtime, Runtimes)
    builders = resources.builder._builder
    assert not builders._needs_bundle("shop")
    assert builders._use("shop").value == "always"


def test_git_addresses_are_left_as_they_are() -> None:
    text = '[[repository]]\nname = "a"\nurl = "git@example.org:a/b.git"\n'

    assert parse_settings(text, home=HOME).of("a").url == "git@example.org:a/b.git"


def test_key_of_the_model_comes_from_the_environment_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTCI_LLM_API_KEY", "hush")

    settings = parse_settings("", home=HOME)

    assert settings.llm_api_key.get_secret_value() == "hush"
    assert "hush" not in repr(settings)


def test_library_has_no_service_and_a_service_is_split_into_arguments() -> None:
    text = SHOP + '[repository.service]\ncommand = "{python} -m shop --port {port}"\n'

    service = parse_settings(text, home=HOME).catalogue.service("shop")

    assert parse_settings(SHOP, home=HOME).catalogue.service("shop") is None
    assert service is not None
    assert service.command == ("{python}", "-m", "shop", "--port", "{port}")


def test_unknown_repository_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"known: shop"):
        parse_settings(SHOP, home=HOME).of("shoe")


def test_the_example_is_valid() -> None:
    example = Path(__file__).parents[1] / "agentci.toml.example"

    settings = parse_settings(example.read_text(), home=HOME)

    assert settings.of("shop").service is not None
