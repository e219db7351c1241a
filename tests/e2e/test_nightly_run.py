"""The whole DAG of a sample pool in a real Airflow: every process, its own database, the simulator over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import pytest

from include.local_airflow import TRIGGERER
from tests.e2e.conftest import DAG_ID
from tests.e2e.real_airflow import CELERY, RealAirflow, celery_services
from tests.simulator import SimulatorProcess, start_simulator

pytestmark = pytest.mark.e2e

STAGES = {
    "plan",
    "preflight",
    "image.stop_golden_vm",
    "image.snapshot",
    "image.start_golden_vm",
    "image.managed_image",
    "image.publish",
    "pool.refresh",
    "pool.resize",
    "pool.nodes",
    "pool.record",
}


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


def test_a_run_takes_the_golden_vm_to_ready_nodes(airflow: RealAirflow, first_run: str) -> None:
    assert airflow.task_states(DAG_ID, first_run) == dict.fromkeys(STAGES, "success")
    passport = airflow.xcom(DAG_ID, first_run, "pool.record")
    assert passport["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}
    assert passport["run"]["triggered_by"] == "admin"
    events = {event["name"]: event["extra"] for event in airflow.get("assets/events")["asset_events"]}
    assert events["batch-pool/goldenbatch/small"] == passport
    assert events["golden-image/golden_gallery/small"]["image"] == passport["image"]


def test_a_cleared_stage_adopts_what_its_run_made(
    airflow: RealAirflow, shared_simulator: SimulatorProcess, first_run: str
) -> None:
    before = len(shared_simulator.writes())
    airflow.clear(DAG_ID, first_run, "image.snapshot")
    assert airflow.wait(DAG_ID, first_run) == "success"
    assert airflow.tasks_by_id(DAG_ID, first_run)["image.snapshot"]["try_number"] == 2
    assert len(shared_simulator.writes()) == before


def test_the_next_run_refreshes_the_pool_in_place(airflow: RealAirflow, first_run: str) -> None:
    run = airflow.trigger(DAG_ID)
    assert airflow.wait(DAG_ID, run, timeout_seconds=240) == "success", airflow.task_states(DAG_ID, run)
    pool = airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]
    assert pool["action"] == "refreshed"
    assert pool["image_before"] == airflow.xcom(DAG_ID, first_run, "pool.record")["image"]
    assert pool["ready"] == {"dedicated": 2, "spot": 0}


def test_a_plan_only_run_writes_nothing(airflow: RealAirflow, shared_simulator: SimulatorProcess) -> None:
    before = len(shared_simulator.writes())
    run = airflow.trigger(DAG_ID, {"plan_only": True})
    assert airflow.wait(DAG_ID, run) == "success"
    states = airflow.task_states(DAG_ID, run)
    assert {name for name, state in states.items() if state == "success"} == {"plan", "preflight"}
    assert "Plan only. This run would:" in airflow.log(DAG_ID, run, "preflight")
    assert len(shared_simulator.writes()) == before


def test_an_unknown_key_of_the_conf_is_refused(airflow: RealAirflow) -> None:
    run = airflow.trigger(DAG_ID, {"dedicatd": 5})
    assert airflow.wait(DAG_ID, run) == "failed"
    assert "did you mean dedicated?" in airflow.log(DAG_ID, run, "plan")
    assert airflow.tasks_by_id(DAG_ID, run)["plan"]["try_number"] == 1  # there is nothing to retry


def test_a_run_with_a_given_version_skips_the_image_group(airflow: RealAirflow, first_run: str) -> None:
    version = airflow.xcom(DAG_ID, first_run, "pool.record")["version"]
    run = airflow.trigger(DAG_ID, {"image_version": version, "dedicated": 3})
    assert airflow.wait(DAG_ID, run, timeout_seconds=120) == "success"
    states = airflow.task_states(DAG_ID, run)
    assert {state for name, state in states.items() if name.startswith("image.")} == {"skipped"}
    assert airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]["ready"] == {"dedicated": 3, "spot": 0}


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
            _until(lambda: any(write.endswith("-os") for write in simulator.writes()))
            airflow.kill_task(DAG_ID, run, "image.snapshot")
            simulator.set_speed(20)  # so that replication takes longer than it takes to see it
            _until(lambda: any("/versions/" in write for write in simulator.writes()), seconds=240)
            airflow.local.kill_component(TRIGGERER)
            airflow.local.start_component(TRIGGERER)
            simulator.set_speed(600)
            airflow.wait(DAG_ID, run, timeout_seconds=240)
            yield Disturbed(airflow, simulator, run)


def test_a_disturbed_run_ends_as_an_undisturbed_one(disturbed: Disturbed) -> None:
    assert disturbed.airflow.task_states(DAG_ID, disturbed.run) == dict.fromkeys(STAGES, "success")
    passport = disturbed.airflow.xcom(DAG_ID, disturbed.run, "pool.record")
    assert passport["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}


def test_a_disturbed_run_makes_nothing_twice(disturbed: Disturbed) -> None:
    assert made(disturbed.simulator) == {"snapshots": 3, "images": 1, "versions": 1, "pools": 1}


def test_a_killed_worker_costs_one_try_of_its_task_alone(disturbed: Disturbed) -> None:
    tasks = disturbed.airflow.tasks_by_id(DAG_ID, disturbed.run)
    tries = {name: task["try_number"] for name, task in tasks.items()}
    assert tries == {**dict.fromkeys(STAGES, 1), "image.snapshot": 2}


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
        assert airflow.wait(DAG_ID, run, timeout_seconds=240) == "success", airflow.task_states(DAG_ID, run)
        assert airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}
        living = airflow.local.processes()
        airflow.local.stop()
        assert len(living) > len(CELERY)
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in living)


def _until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
