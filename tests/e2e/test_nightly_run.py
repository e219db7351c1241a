"""The whole DAG of a sample pool in a real Airflow, and what a person sees of it: the README's pictures."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import DAG_ID, GONE_WELL, STAGES
from tests.e2e.graph import PICTURES, graph_of, take_picture
from tests.e2e.real_airflow import RealAirflow
from tests.simulator import SimulatorProcess

pytestmark = pytest.mark.e2e


def test_a_run_takes_the_golden_vm_to_ready_nodes(airflow: RealAirflow, first_run: str) -> None:
    assert airflow.task_states(DAG_ID, first_run) == GONE_WELL
    passport = airflow.xcom(DAG_ID, first_run, "pool.record")
    assert passport["pools"][0]["ready"] == {"dedicated": 2, "spot": 0}
    assert passport["run"]["triggered_by"] == "admin"
    events = {event["name"]: event["extra"] for event in airflow.get("assets/events")["asset_events"]}
    assert events["batch-pool/goldenbatch/small"] == passport
    assert events["golden-image/golden_gallery/small"]["image"] == passport["image"]


def test_a_cleared_stage_adopts_what_its_run_made(
    airflow: RealAirflow, shared_simulator: SimulatorProcess, first_run: str
) -> None:
    before, tries = len(shared_simulator.writes()), airflow.tries(DAG_ID, first_run)
    airflow.clear(DAG_ID, first_run, "image.snapshot")
    assert airflow.wait(DAG_ID, first_run) == "success"
    assert airflow.tries(DAG_ID, first_run)["image.snapshot"] == tries["image.snapshot"] + 1
    assert len(shared_simulator.writes()) == before


def test_the_next_run_refreshes_the_pool_in_place(airflow: RealAirflow, first_run: str) -> None:
    run = airflow.trigger(DAG_ID)
    assert airflow.wait(DAG_ID, run) == "success", airflow.task_states(DAG_ID, run)
    pool = airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]
    assert pool["action"] == "refreshed"
    assert pool["image_before"] == airflow.xcom(DAG_ID, first_run, "pool.record")["image"]
    assert pool["ready"] == {"dedicated": 2, "spot": 0}


def test_a_plan_only_run_writes_nothing(airflow: RealAirflow, shared_simulator: SimulatorProcess) -> None:
    before = len(shared_simulator.writes())
    run = airflow.trigger(DAG_ID, {"plan_only": True})
    assert airflow.wait(DAG_ID, run) == "success"
    states = airflow.task_states(DAG_ID, run)
    assert {name for name, state in states.items() if state == "success"} == {"plan", "source", "preflight", "alert"}
    assert "Plan only: this is what the run would do" in airflow.log(DAG_ID, run, "preflight")
    assert airflow.xcom(DAG_ID, run, "preflight", "plan_table")["markdown"].startswith("### Plan of pool small")
    assert len(shared_simulator.writes()) == before


def test_what_a_person_does_waits_for_the_database(airflow: RealAirflow) -> None:
    """Another process writes for longer than SQLite waits by itself."""
    airflow.wait_for_dag(DAG_ID)
    with closing(
        sqlite3.connect(airflow.local.database, timeout=120, isolation_level=None, check_same_thread=False)
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        release = threading.Timer(8, database.rollback)
        release.start()
        airflow.unpause(DAG_ID)
        release.join()


def test_an_unknown_key_of_the_conf_is_refused(airflow: RealAirflow) -> None:
    run = airflow.trigger(DAG_ID, {"dedicatd": 5})
    assert airflow.wait(DAG_ID, run) == "failed"
    assert "did you mean dedicated?" in airflow.log(DAG_ID, run, "plan")
    tasks = airflow.tasks_by_id(DAG_ID, run)
    assert tasks["plan"]["try_number"] == 1  # there is nothing to retry
    assert {name for name, task in tasks.items() if task["state"] == "failed"} == {"plan"}


def test_a_run_with_a_given_version_skips_the_image_group(airflow: RealAirflow, first_run: str) -> None:
    version = airflow.xcom(DAG_ID, first_run, "pool.record")["version"]
    run = airflow.trigger(DAG_ID, {"image_version": version, "dedicated": 3})
    assert airflow.wait(DAG_ID, run) == "success"
    states = airflow.task_states(DAG_ID, run)
    assert {state for name, state in states.items() if name.startswith("image.")} == {"skipped"}
    assert airflow.xcom(DAG_ID, run, "pool.record")["pools"][0]["ready"] == {"dedicated": 3, "spot": 0}


def test_a_person_resizes_the_pool_by_form(airflow: RealAirflow, first_run: str) -> None:
    """The resize ends in the triggerer, and the sensor waits for the counts that its XCom says."""
    del first_run  # made the pool
    run = airflow.trigger("resize_pool", {"pool": "small", "dedicated": 1, "why": "there is less to do"})
    assert airflow.wait("resize_pool", run) == "success", airflow.task_states("resize_pool", run)
    # Airflow 3.3.2 encodes the XCom of a task that ends in the triggerer twice.
    resized, ready = (json.loads(airflow.xcom("resize_pool", run, task)) for task in ("resize", "nodes"))
    assert (resized["targets"], resized["resizes"]) == ({"dedicated": 1, "spot": 0}, 1)
    assert ready == {"pool": "small", "dedicated": 1, "spot": 0}


@pytest.mark.browser
def test_the_graph_shows_the_stages_of_a_run(
    chromium: str, airflow: RealAirflow, first_run: str, tmp_path: Path
) -> None:
    with graph_of(chromium, airflow, DAG_ID, first_run) as page:
        shown = set(page.locator(".react-flow").first.inner_text().split())
        assert {stage.rpartition(".")[2] for stage in STAGES} <= shown
        folder = Path(PICTURES or tmp_path)
        take_picture(page, ["plan", "source", "preflight", "image", "canary"], folder / "image.png")
        take_picture(page, ["pool", "rollback"], folder / "pool.png")
