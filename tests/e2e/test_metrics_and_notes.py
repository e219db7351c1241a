"""What a run leaves in a real Airflow beside its tasks: metrics of all processes, notes, links, the nodes over time."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import DAG_ID, STAGES
from tests.e2e.real_airflow import RealAirflow
from tests.stats_receivers import StatsD

pytestmark = pytest.mark.e2e


def test_scheduler_workers_and_triggerer_send_metrics(airflow: RealAirflow, first_run: str, statsd: StatsD) -> None:
    assert airflow.run_state(DAG_ID, first_run) == "success"
    airflow.wait_for_note(DAG_ID, first_run)
    values = statsd.values()
    assert values["golden_pools.runs.small.refresh.refreshed"] >= 1  # by the scheduler
    stages = {f"golden_pools.stage_duration.small.{stage.replace('.', '_')}.success" for stage in STAGES}
    assert stages <= values.keys()
    assert values["golden_pools.resizes.small.reached.AtTarget"] >= 1  # by the triggerer, as nodes
    assert "golden_pools.nodes.small.idle" in values
    assert values["golden_pools.requests.compute.202"] > 3  # by workers
    assert values["golden_pools.requests.batch_data.200"] > 0


def test_a_run_and_its_tasks_have_notes(airflow: RealAirflow, first_run: str) -> None:
    note = airflow.wait_for_note(DAG_ID, first_run)
    version = airflow.xcom(DAG_ID, first_run, "pool.record")["version"]
    assert note.startswith(f"refreshed: image {version}, 2 of 2 nodes ready (2 dedicated, 0 Spot), 1 resize, ")
    tasks = airflow.tasks_by_id(DAG_ID, first_run)
    assert tasks["pool.nodes"]["note"] == "2 of 2 nodes ready (2 dedicated, 0 Spot)"
    assert tasks["pool.resize"]["note"].startswith("reached: ")


def test_a_run_that_failed_says_so_in_its_note(airflow: RealAirflow) -> None:
    run = airflow.trigger(DAG_ID, {"dedicatd": 5})
    airflow.wait(DAG_ID, run)
    note = airflow.wait_for_note(DAG_ID, run)
    assert note.startswith("failed at plan: ")
    assert "dedicatd" in note


def test_a_resize_leaves_its_nodes_over_time(airflow: RealAirflow, first_run: str) -> None:
    samples = airflow.xcom(DAG_ID, first_run, "pool.resize", "samples")
    # Airflow 3.3.2 encodes the XCom of a task that ends in the triggerer twice.
    points = json.loads(samples) if isinstance(samples, str) else samples
    assert points[-1][1] == 2


def test_a_simulator_has_links_to_nowhere(airflow: RealAirflow, first_run: str) -> None:
    """Links of a task that ended in the triggerer are there since its first leg; a real portal has none of these."""
    links = airflow.get(f"dags/{DAG_ID}/dagRuns/{first_run}/taskInstances/pool.resize/links")["extra_links"]
    assert links == {"Batch account of the pool": None}
