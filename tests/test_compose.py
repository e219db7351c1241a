"""``docker-compose.yaml``: valid, startable by the Airflow it installs, and without a password in it."""

from __future__ import annotations

import json
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from include.airflow_settings import ROOT, settings
from include.local_secrets import COMPOSE_SECRETS, main

COMPOSE_FILE = ROOT / "docker-compose.yaml"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
VARIABLE = re.compile(r"(?<!\$)\$\{?(\w+)(?:(:?[-?+])([^}]*))?\}?")


def _text() -> str:
    return COMPOSE_FILE.read_text(encoding="utf-8")


def _services(text: str) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(text)["services"])


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """What ``make env`` writes."""
    assert main(tmp_path / ".env") == 0
    lines = (tmp_path / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def resolved(secrets: dict[str, str]) -> str:
    """The file with its variables filled in."""
    return VARIABLE.sub(lambda match: secrets[match[1]], _text()).replace("$$", "$")


@pytest.fixture
def services(resolved: str) -> dict[str, dict[str, Any]]:
    return _services(resolved)


def _airflow_commands(service: dict[str, Any]) -> Iterator[list[str]]:
    """Every ``airflow`` command that a service runs, without the word ``airflow``."""
    command = service.get("command", [])
    if "entrypoint" not in service and isinstance(command, str):
        yield shlex.split(command)
    test = service.get("healthcheck", {}).get("test", [])
    for script in (*(command if isinstance(command, list) else ()), *test[1:]):
        for part in re.split(r"\n(?=airflow)|\|\|", script):
            if part.strip().startswith("airflow "):
                yield shlex.split(part.split(" > ")[0])[1:]


def test_it_follows_the_compose_specification(resolved: str) -> None:
    compose = PyCompose.from_json(json.dumps(yaml.safe_load(resolved)))

    compose.validate()

    assert len(compose) == len(_services(resolved))


def test_a_misspelt_key_would_be_refused(resolved: str) -> None:
    broken = resolved.replace("stop_grace_period:", "stop_grace_time:")

    with pytest.raises(ValueError, match="stop_grace_time"):
        PyCompose.from_json(json.dumps(yaml.safe_load(broken)))


def test_every_part_of_airflow_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "init", "postgres", "redis"} <= set(
        services
    )


def test_the_installed_airflow_knows_every_command(services: dict[str, dict[str, Any]]) -> None:
    from airflow.cli.cli_parser import get_parser

    commands = [command for service in services.values() for command in _airflow_commands(service)]
    parser = get_parser()

    assert {command[0] for command in commands} == {
        *COMPONENTS, "celery", "connections", "db", "jobs", "users",
    } - {"worker"}  # fmt: skip
    assert all(parser.parse_args(command).func for command in commands)


def test_every_variable_is_in_what_make_env_writes_and_has_no_default() -> None:
    used = [match.groups() for match in VARIABLE.finditer(_text())]

    assert {name for name, _, _ in used} == COMPOSE_SECRETS.keys()
    assert {(operator, hint) for _, operator, hint in used} == {(":?", "run make env")}


def test_no_secret_stands_in_the_file() -> None:
    def values(node: Any) -> Iterator[tuple[str, str]]:
        for key, value in node.items() if isinstance(node, dict) else ():
            yield from values(value) if isinstance(value, dict) else [(str(key), str(value))]

    secret = re.compile("PASSWORD|SECRET|FERNET|AUTH$|CONN$|BACKEND|BROKER")
    found = [(key, value) for key, value in values(yaml.safe_load(_text())) if secret.search(key)]

    assert len(found) > 6
    assert [key for key, value in found if "${" not in value] == []


def test_nothing_is_published_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert ports == {"api-server": ["127.0.0.1:8080:8080"]}


def test_everything_that_runs_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    lasting = {name for name, service in services.items() if service.get("restart") != "no"}

    assert {name for name in lasting if "healthcheck" not in services[name]} == set()


def test_airflow_gets_the_settings_and_the_code(services: dict[str, dict[str, Any]]) -> None:
    for name in COMPONENTS:
        service = services[name]
        assert service["env_file"] == "include/airflow.env", name
        mounted = {volume.split(":")[1] for volume in service["volumes"]}
        assert {"/opt/airflow/dags", "/opt/airflow/plugins", "/opt/airflow/include", "/opt/airflow/logs"} <= mounted, (
            name
        )
        assert service["environment"]["PYTHONPATH"] == "/opt/airflow:/opt/airflow/plugins", name


def test_only_what_the_place_asks_for_is_overridden(services: dict[str, dict[str, Any]]) -> None:
    overridden = {
        name: {key for key in service.get("environment", {}) if key in settings()} for name, service in services.items()
    }

    assert overridden["api-server"] == {"AIRFLOW__API__HOST", "AIRFLOW__CORE__PARALLELISM"}
    assert set().union(*overridden.values()) - overridden["api-server"] == set()
    assert all("AIRFLOW__API__HOST" not in keys for name, keys in overridden.items() if name != "api-server")


def test_the_worker_may_end_its_tasks(services: dict[str, dict[str, Any]]) -> None:
    worker = services["worker"]

    assert worker["stop_grace_period"] == "2m"
    assert worker["environment"]["DUMB_INIT_SETSID"] == "0"


def test_the_image_has_the_airflow_of_the_requirements(services: dict[str, dict[str, Any]]) -> None:
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    version = re.search(r"^apache-airflow==(\S+)", requirements, re.MULTILINE)

    assert version
    assert f"FROM apache/airflow:slim-{version[1]}-python3.12\n" in services["worker"]["build"]["dockerfile_inline"]


def test_the_simulators_connection_is_one_that_the_hooks_accept(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from golden_pools.hooks.connection import AzureConnection

    command = next(found for found in _airflow_commands(services["simulator-connection"]) if "add" in found)
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", command[command.index("--conn-json") + 1])

    connection = AzureConnection.get("azure_default")

    assert connection.arm_endpoint == "http://simulator:8070"
    assert connection.is_anonymous(connection.arm_endpoint)


def test_env_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    main(tmp_path / ".env")

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_env_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("MINE=1\n")

    assert main(tmp_path / ".env") == 1
    assert (tmp_path / ".env").read_text() == "MINE=1\n"
    assert "stays as it is" in capsys.readouterr().out


def test_every_env_is_another(tmp_path: Path) -> None:
    main(tmp_path / "one")
    main(tmp_path / "two")

    values = {line.split("=", 1)[1] for name in ("one", "two") for line in (tmp_path / name).read_text().splitlines()}
    assert len(values) == 2 * len(COMPOSE_SECRETS)


def test_the_fernet_key_is_one_that_airflow_can_use(secrets: dict[str, str]) -> None:
    from cryptography.fernet import Fernet

    key = Fernet(secrets["AIRFLOW_FERNET_KEY"].encode())

    assert key.decrypt(key.encrypt(b"text")) == b"text"
