"""The logins of docker-compose.yaml: Flask AppBuilder's, where local runs have the SimpleAuthManager's."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from include.local_airflow import ADMIN, API_SERVER, LocalAirflow, free_port

pytestmark = pytest.mark.e2e


def test_logins_of_docker_compose_work(tmp_path: Path) -> None:
    fab = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    airflow = LocalAirflow(tmp_path, port=free_port(), environment={"AIRFLOW__CORE__AUTH_MANAGER": fab})
    try:
        airflow.prepare()
        person = ("--username", ADMIN, "--firstname", "A", "--lastname", "B", "--email", "admin@localhost")
        airflow.run("users", "create", "--role", "Admin", *person, "--password", airflow.password, timeout_seconds=120)
        airflow.start_component(API_SERVER)
        airflow.wait_until_healthy(timeout_seconds=120)
        with airflow.client() as client:
            answer = client.get("/api/v2/dags")
        refused = httpx.get(f"{airflow.url}/api/v2/dags")
    finally:
        airflow.stop()

    assert answer.status_code == httpx.codes.OK
    assert refused.status_code == httpx.codes.UNAUTHORIZED
