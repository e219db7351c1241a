"""The links of every task: to the right thing, in the right portal, and nowhere where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.sensors.pools import PoolNodesSensor
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from dags.resize_pool import resize_dag
from tests.operators.conftest import Run
from tests.operators.test_preflight import changed

VERSION = "2026.1122.20005"
STEM = "small-20261122T020005"


def connect(monkeypatch: pytest.MonkeyPatch, **extra: object) -> None:
    connection = {"conn_type": "azure", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(connection))


def links(run: Run, task: BaseOperator) -> dict[str, str]:
    """Return the links of a task as Airflow asks for them on a worker, by name, without their common beginning."""
    ti: Any = run.context(task)["ti"]
    ours = [link for link in task.operator_extra_links if type(link).__module__.startswith("golden_pools.")]
    return {link.name: link.get_link(task, ti_key=ti) for link in ours}


def of_task(run: Run, task_id: str, spec: PoolSpec | None = None) -> dict[str, str]:
    """Return the links of a task of the pool's DAG, to the ARM ids below the subscription."""
    found = links(run, pool_dag("small", spec or run.spec).get_task(task_id))
    begin = f"https://portal.azure.com/#resource/subscriptions/{run.spec.subscription}/resourceGroups/"
    assert all(url.startswith(begin) for url in found.values()), found
    return {name: url.removeprefix(begin) for name, url in found.items()}


COMPUTE = "images/providers/Microsoft.Compute"
VM = "golden/providers/Microsoft.Compute/virtualMachines/golden-vm"
IMAGE = f"{COMPUTE}/galleries/golden_gallery/images/small/versions/{VERSION}"
ACCOUNT = "batch/providers/Microsoft.Batch/batchAccounts/goldenbatch"


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        ("image.stop_golden_vm", {"Golden VM": VM}),
        ("image.start_golden_vm", {"Golden VM": VM}),
        ("image.snapshot", {"Golden VM": VM, "Resource group of the snapshots": "images"}),
        ("image.managed_image", {"Managed image": f"{COMPUTE}/images/{STEM}"}),
        ("image.publish", {"Image version": IMAGE}),
        ("replicate", {"Image version": IMAGE}),
        ("canary.pool", {"Batch account of the pool": ACCOUNT, "Image version": IMAGE}),
        ("canary.probe", {"Batch account of the pool": ACCOUNT}),
        ("canary.mark_bad", {"Image version": IMAGE}),
        ("pool.refresh", {"Batch account of the pool": ACCOUNT, "Image version": IMAGE}),
        ("pool.resize", {"Batch account of the pool": ACCOUNT}),
        ("pool.nodes", {"Batch account of the pool": ACCOUNT}),
        ("pool.switch", {"Batch account of the pool": ACCOUNT}),
        ("pool.record", {"Batch account of the pool": ACCOUNT, "Image version": IMAGE}),
        ("rollback.restore", {"Batch account of the pool": ACCOUNT}),
        ("rollback.report", {"Batch account of the pool": ACCOUNT}),
    ],
)
def test_a_task_leads_to_what_it_is_about(
    run: Run, monkeypatch: pytest.MonkeyPatch, task_id: str, expected: dict[str, str]
) -> None:
    connect(monkeypatch)
    assert of_task(run, task_id) == expected


def test_a_throwaway_vm_and_a_restore_point_have_links_of_their_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    vm = {"resource_group": "golden", "name": "golden-vm"}
    network = f"/subscriptions/{run.spec.subscription}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/n"
    clone = {**vm, "generalize": "clone", "clone": {"subnet_id": f"{network}/subnets/s"}}
    found = of_task(run, "image.clone_vm", changed(run.spec, golden_vm=clone))
    assert found == {"Throwaway VM": f"{COMPUTE}/virtualMachines/clone-20261122T020005-small"}
    point = changed(run.spec, golden_vm={**vm, "capture": "restore_point"})
    found = of_task(run, "image.restore_point", point)
    assert found["Golden VM"] == VM
    assert found["Restore point"].startswith(f"{COMPUTE}/restorePointCollections/")
    assert "/restorePoints/" not in found["Restore point"]


def test_the_sensor_leads_to_its_account_without_a_plan(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    where = {"subscription": run.spec.subscription, "resource_group": "batch", "account": "goldenbatch"}
    sensor = PoolNodesSensor(task_id="nodes", connection="azure_default", pool_name="small", **where)
    begin = f"https://portal.azure.com/#resource/subscriptions/{run.spec.subscription}/resourceGroups/"
    assert links(run, sensor) == {"Batch account of the pool": f"{begin}{ACCOUNT}"}


@pytest.mark.parametrize(
    ("environment", "portal"),
    [("AzureUSGovernment", "https://portal.azure.us/"), ("AzureChinaCloud", "https://portal.azure.cn/")],
)
def test_other_clouds_have_portals_of_their_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, environment: str, portal: str
) -> None:
    connect(monkeypatch, cloud_environment=environment)
    [url] = links(run, pool_dag("small", run.spec).get_task("pool.resize")).values()
    assert url.startswith(portal)


def empty(run: Run) -> bool:
    """Return whether no task of the DAGs has a link that leads anywhere."""
    tasks = pool_dag("small", run.spec).tasks
    return not any(url for task in tasks for url in links(run, task).values())


def test_a_simulator_has_no_portal(run: Run) -> None:
    assert empty(run)


def test_without_a_plan_there_are_no_links(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    run.xcoms.clear()
    assert empty(run)


def test_a_connection_that_is_wrong_takes_away_links_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_DEFAULT")
    assert empty(run)


def test_no_two_links_of_a_task_are_kept_in_one_place(run: Run) -> None:
    """Airflow keeps a link as an XCom by its class."""
    for dag in (pool_dag("small", run.spec), resize_dag(["small"])):
        for task in dag.tasks:
            keys = [link.xcom_key for link in task.operator_extra_links]
            assert len(set(keys)) == len(keys)
