"""Runs that need an Airflow of their own: one that is disturbed, and the stack of docker-compose.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from include.local_airflow import ADMIN, API_SERVER, TRIGGERER, LocalAirflow, free_port
from tests.e2e.conftest import DAG_ID, GONE_WELL, STAGES
from tests.e2e.real_airflow import CELERY, RealAirflow, celery_services, wait_for
from tests.simulator import SimulatorProcess, start_simulator

pytestmark = pytest.mark.e2e


def made(simulator: SimulatorProcess) -> dict[str, int]:
    """Return how many resources of a kind a run made; a repeated PUT of one resource counts once."""
    puts = {write for write in simulator.writes() if write.startswith("PUT")}
    kinds = {
        "snapshots": "Compute/snapshots/",
        "images": "Compute/images/",
        "versions": "/versions/",
        "pools": "/pools/",
    }
    return {kind: sum(part in put for put in puts) for kind, part in kinds.items()}


@dataclass(frozen=True)
class Disturbed:
    """A run whose worker and whose triggerer were killed."""

    airflow: RealAirflow
    simulator: SimulatorProcess
    run: str


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """Kill the snapshot task between its first write and its wait, and the triggerer during the replication."""
    home = tmp_path_factory.mktemp("disturbed")
    with start_simulator(home / "simulator.log", speed=600) as simulator:
        simulator.fault(method="PUT", path="/snapshots/.*-data-0$", delay_seconds=20, count=1)
        environment = {"AIRFLOW_CONN_AZURE_DEFAULT": simulator.connection}
        with RealAirflow(home / "airflow", environment=environment) as airflow:
            run = airflow.trigger(DAG_ID)
            airflow.wait_for_task(DAG_ID, run, "image.snapshot", states={"running"})
            wait_for(simulator.writes, lambda writes: any(one.endswith("-os") for one in writes), lambda: "no snapshot")
            airflow.kill_task(DAG_ID, run, "image.snapshot")
            simulator.set_speed(20)  # so that replication takes longer than it takes to see it
            wait_for(simulator.writes, lambda writes: any("/versions/" in one for one in writes), lambda: "no version")
            airflow.local.kill_component(TRIGGERER)
            airflow.local.start_component(TRIGGERER)
            simulator.set_speed(600)
            airflow.wait(DAG_ID, run)
            yield Disturbed(airflow, simulator, run)


def test_a_disturbed_run_ends_as_an_undisturbed_one(disturbed: Disturbed) -> None:
    assert disturbed.airflow.task_states(DAG_ID, disturbed.run) == GONE_WELL
    passport = disturbed.airflow.xcom(DAG_ID, disturbed.run, "pool.record")
    assert passport["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}


def test_a_disturbed_run_makes_nothing_twice(disturbed: Disturbed) -> None:
    assert made(disturbed.simulator) == {"snapshots": 3, "images": 1, "versions": 1, "pools": 2}


def test_a_killed_worker_costs_one_try_of_its_task_alone(disturbed: Disturbed) -> None:
    assert disturbed.airflow.tasks_by_id(DAG_ID, disturbed.run)["image.snapshot"]["try_number"] > 1
    tries = disturbed.airflow.tries(DAG_ID, disturbed.run)
    assert {name: tries[name] for name in STAGES} == dict.fromkeys(STAGES, 1)


@pytest.mark.services
def test_the_same_run_on_celery_postgresql_and_redis(
    start_airflow: Callable[..., RealAirflow], simulator: SimulatorProcess
) -> None:
    """The stack of docker-compose.yaml, without containers."""
    with celery_services() as services:
        airflow = start_airflow(
            environment={**services, "AIRFLOW_CONN_AZURE_DEFAULT": simulator.connection}, components=CELERY
        )
        run = airflow.trigger(DAG_ID)
        assert airflow.wait(DAG_ID, run) == "success", airflow.task_states(DAG_ID, run)
        assert airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}
        assert airflow.wait_for_note(DAG_ID, run).startswith("refreshed: ")
        living = airflow.local.processes()
        airflow.local.stop()
        assert len(living) > len(CELERY)
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in living)


def test_logins_of_docker_compose_work(tmp_path: Path) -> None:
    fab = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    airflow = LocalAirflow(tmp_path, port=free_port(), environment={"AIRFLOW__CORE__AUTH_MANAGER": fab})
    try:
        airflow.prepare()
        person = ("--username", ADMIN, "--firstname", "A", "--lastname", "B", "--email", "admin@localhost")
        airflow.run("users", "create", "--role", "Admin", *person, "--password", airflow.password, timeout_seconds=300)
        airflow.start_component(API_SERVER)
        airflow.wait_until_healthy(timeout_seconds=300)
        with airflow.client() as client:
            answer = client.get("/api/v2/dags")
        refused = httpx.get(f"{airflow.url}/api/v2/dags", timeout=120)
    finally:
        airflow.stop()

    assert answer.status_code == httpx.codes.OK
    assert refused.status_code == httpx.codes.UNAUTHORIZED
