"""The harness itself: what it starts does what Airflow does, and nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from include.local_airflow import ADMIN, API_SERVER, TRIGGERER, LocalAirflow, free_port

from .real_airflow import CELERY, RealAirflow, celery_services

pytestmark = pytest.mark.e2e

PROBE = """
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, task


class Wait(BaseOperator):
    template_fields = ("seconds",)

    def __init__(self, *, seconds, **arguments):
        super().__init__(**arguments)
        self.seconds = seconds

    def execute(self, context):
        self.log.info("about to wait")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=int(self.seconds))), method_name="resume")

    def resume(self, context, event=None):
        self.log.info("waited")
        return int(self.seconds)


with DAG("probe", params={"seconds": 2, "busy": False}):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def work(params, ti):
        if params["busy"] and ti.try_number == 1:
            import time

            time.sleep(300)
        return ti.try_number

    Wait(task_id="wait", seconds="{{ params.seconds }}") >> work()
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one DAG: a deferrable operator, then a task that hangs in its first try when ``busy``."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, dags: Path) -> Iterator[RealAirflow]:
    """An Airflow with that DAG. A test that kills a component starts it again."""
    with RealAirflow(tmp_path_factory.mktemp("probe"), dags=dags) as running:
        yield running


def test_a_deferred_task_waits_in_the_triggerer_and_resumes(probe: RealAirflow) -> None:
    run = probe.trigger("probe", {"seconds": 3})

    assert probe.wait_for_task("probe", run, "wait", states={"deferred"}) == "deferred"
    assert probe.wait("probe", run) == "success"
    assert probe.xcom("probe", run, "wait") == 3
    assert "waited" in probe.log("probe", run, "wait")


def test_a_cleared_task_runs_again(probe: RealAirflow) -> None:
    run = probe.trigger("probe", {"seconds": 0})
    probe.wait("probe", run)

    probe.clear("probe", run, "work")

    assert probe.run_state("probe", run) in {"queued", "running"}
    assert probe.wait("probe", run) == "success"
    assert probe.xcom("probe", run, "work") == 2


def test_a_wait_survives_a_lost_triggerer(probe: RealAirflow) -> None:
    run = probe.trigger("probe", {"seconds": 5})
    probe.wait_for_task("probe", run, "wait", states={"deferred"})

    probe.local.kill_component(TRIGGERER)
    probe.local.start_component(TRIGGERER)

    assert probe.wait("probe", run) == "success"


@pytest.mark.parametrize("with_worker", [False, True], ids=["task killed", "worker lost"])
def test_a_killed_task_is_tried_again(probe: RealAirflow, with_worker: bool) -> None:
    run = probe.trigger("probe", {"seconds": 0, "busy": True})
    probe.wait_for_task("probe", run, "work", states={"running"})

    probe.kill_task("probe", run, "work", with_worker=with_worker)

    assert probe.wait("probe", run) == "success"
    assert probe.xcom("probe", run, "work") == 2


@pytest.mark.services
def test_celery_runs_tasks_and_leaves_nothing_behind(start_airflow: Callable[..., RealAirflow], dags: Path) -> None:
    with celery_services() as services:
        airflow = start_airflow(dags=dags, environment=services, components=CELERY)
        run = airflow.trigger("probe", {"seconds": 1, "busy": True})
        airflow.wait_for_task("probe", run, "work", states={"running"})
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
