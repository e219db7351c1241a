"""The golden VM's stages: what is stopped, started, copied, and what is left alone because it is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import AzureRefusedError, OwnershipError
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.golden_vm import SnapshotGoldenVmOperator, StartGoldenVmOperator, StopGoldenVmOperator
from golden_pools.operators.image import CreateManagedImageOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import COMPUTE, Cloud, Run, left_running

VM = "resourceGroups/golden/providers/Microsoft.Compute/virtualMachines/golden-vm"


def preflight() -> BaseOperator:
    return PreflightOperator(task_id="preflight")


def stop() -> BaseOperator:
    return StopGoldenVmOperator(task_id="stop")


def snapshot() -> BaseOperator:
    return SnapshotGoldenVmOperator(task_id="snapshot")


def start() -> BaseOperator:
    return StartGoldenVmOperator(task_id="start")


def managed_image() -> BaseOperator:
    return CreateManagedImageOperator(task_id="managed_image", snapshot_task_id="snapshot")


def publish() -> BaseOperator:
    return PublishImageVersionOperator(task_id="publish", snapshot_task_id="snapshot", image_task_id="managed_image")


def power_state(cloud: Cloud) -> str:
    statuses = cloud.arm("GET", f"{VM}/instanceView")["statuses"]
    return str(next(status["code"] for status in statuses if status["code"].startswith("PowerState/")))


@pytest.fixture
def running_capture(spec: PoolSpec) -> Run:
    """A run that copies the disks of the running VM."""
    return Run(left_running(spec))


def test_a_capture_of_the_running_vm_leaves_it_alone(cloud: Cloud, running_capture: Run) -> None:
    run = running_capture
    for task in (preflight(), stop(), snapshot()):
        run.do(task)
    assert run.xcom("snapshot")["consistency"]["word"] == "disk_by_disk"
    assert run.xcom("snapshot")["os"]["size_gib"] == 64
    assert run.do(start()) == "skipped: this run does not stop the golden VM (capture: running)"
    assert power_state(cloud) == "PowerState/running"
    assert all("/snapshots/" in write for write in cloud.writes())


def test_the_vm_runs_again_although_a_snapshot_failed(cloud: Cloud, run: Run) -> None:
    cloud.fault(method="PUT", path="/snapshots/", operation_error={"code": "BadRequest"})
    run.do(preflight())
    run.do(stop())
    assert power_state(cloud) == "PowerState/deallocated"
    with pytest.raises(AzureRefusedError):
        run.do(snapshot())
    run.do(start())
    assert power_state(cloud) == "PowerState/running"


def test_a_vm_that_was_at_rest_stays_at_rest(cloud: Cloud, run: Run) -> None:
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=5)
    cloud.forget()
    run.do(preflight())
    run.do(stop())
    assert str(run.do(start())).startswith("skipped: the golden VM was not running before this run")
    assert power_state(cloud) == "PowerState/deallocated"
    assert cloud.writes() == []


def test_nobody_starts_the_vm_of_a_run_that_never_looked_at_it(cloud: Cloud, run: Run) -> None:
    assert str(run.do(start())).startswith("skipped:")
    assert cloud.requests() == []


def test_the_vm_is_never_generalized(cloud: Cloud, run: Run) -> None:
    """Pitfall 18: generalizing destroys the golden VM."""
    for task in (preflight(), stop(), snapshot(), start()):
        run.do(task)
    actions = [write for write in cloud.writes() if "/virtualMachines/" in write]
    assert {action.rsplit("/", 1)[-1] for action in actions} == {"deallocate", "start"}


def test_one_failed_disk_fails_the_set_and_is_named(cloud: Cloud, running_capture: Run) -> None:
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed", "message": "the disk is ill"})
    with pytest.raises(AzureRefusedError) as failed:
        running_capture.do(snapshot())
    assert failed.value.what == "Could not make snapshot small-20261122T020005-data-0 of disk golden-vm-data-0"
    assert failed.value.answer == "DiskFailed: the disk is ill"
    assert running_capture.xcom("snapshot") is None


def test_a_clear_makes_only_the_failed_snapshot_again(cloud: Cloud, running_capture: Run) -> None:
    """Pitfall 27: what is there is adopted."""
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed"})
    with pytest.raises(AzureRefusedError):
        running_capture.do(snapshot())
    cloud.forget()
    running_capture.do(snapshot())
    assert [write.rsplit("/", 1)[-1] for write in cloud.writes()] == ["small-20261122T020005-data-0"]


def test_throttled_snapshots_are_not_made_twice(cloud: Cloud, running_capture: Run) -> None:
    """Pitfall 27: 429 in the middle of a set."""
    cloud.fault(method="PUT", path="/snapshots/", skip=1, status=429, code="TooManyRequests", retry_after_seconds=1)
    running_capture.do_with_retries(snapshot())
    assert len(list(cloud.world.compute.snapshots)) == 3


def snapshots_of(run: Run) -> dict[str, Any]:
    """Return the XCom of the snapshot stage of a VM without data disks."""
    return {
        "golden_vm": "vm",
        "os": {"disk": "disk", "snapshot": run.plan.snapshot_id(None)},
        "data": [],
    }


def put_snapshot(cloud: Cloud, name: str, disk: str, tags: dict[str, str]) -> str:
    """Make a snapshot by hand; returns its ARM id."""
    source = f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Compute/disks/{disk}"
    properties = {"creationData": {"createOption": "Copy", "sourceResourceId": source}, "incremental": True}
    body = {"location": "westeurope", "tags": tags, "properties": properties}
    cloud.arm("PUT", f"{COMPUTE}/snapshots/{name}", body)
    cloud.advance(minutes=5)
    return f"/subscriptions/{cloud.subscription}/{COMPUTE}/snapshots/{name}"


def a_foreign_snapshot(cloud: Cloud, run: Run) -> BaseOperator:
    put_snapshot(cloud, run.plan.snapshot_name(0), "golden-vm-data-0", {})
    return snapshot()


def a_foreign_image(cloud: Cloud, run: Run) -> BaseOperator:
    source = put_snapshot(cloud, run.plan.snapshot_name(None), "golden-vm-os", run.plan.tags)
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    name = run.plan.managed_image_name
    cloud.arm("PUT", f"{COMPUTE}/images/{name}", {"location": "westeurope", "properties": properties})
    return managed_image()


def a_foreign_version(cloud: Cloud, run: Run) -> BaseOperator:
    cloud.make_version(run.plan.version_name)
    return publish()


@pytest.mark.parametrize(
    ("arrange", "what"),
    [(a_foreign_snapshot, "snapshot"), (a_foreign_image, "managed image"), (a_foreign_version, "image version")],
)
def test_what_somebody_else_made_is_never_adopted(
    cloud: Cloud, running_capture: Run, arrange: Callable[[Cloud, Run], BaseOperator], what: str
) -> None:
    run = running_capture
    run.xcoms["snapshot"] = snapshots_of(run)
    task = arrange(cloud, run)
    cloud.forget()
    with pytest.raises(OwnershipError) as conflict:
        run.do(task)
    assert conflict.value.what == f"There is already a {what} under the name that this run needs"
    assert "somebody else" in conflict.value.answer
    assert "not to run manual__1" in conflict.value.answer
    assert "trigger a new run" in conflict.value.advice
    assert what != "managed image" or cloud.writes() == []


def test_a_disk_that_was_swapped_in_mid_run(cloud: Cloud, running_capture: Run) -> None:
    run = running_capture
    put_snapshot(cloud, run.plan.snapshot_name(None), "golden-vm-data-1", run.plan.tags)
    with pytest.raises(OwnershipError) as conflict:
        run.do(snapshot())
    assert "shows another disk" in conflict.value.what
    assert "golden-vm-data-1" in conflict.value.answer
    assert "golden-vm-os" in conflict.value.answer


def test_disks_of_a_vm_that_somebody_started_again_are_not_copied(cloud: Cloud, run: Run) -> None:
    """They would not show one moment, as the spec asks."""
    run.do(preflight())
    run.do(stop())
    run.do(start())
    with pytest.raises(OwnershipError) as refused:
        run.do(snapshot())
    assert "it is running" in refused.value.answer
    assert "clear the task stop_golden_vm" in refused.value.advice
    assert not [write for write in cloud.writes() if "/snapshots/" in write]
