"""The golden VM's stages: what is stopped, started, copied, and what is left alone because it is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.hooks import compute_facts
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.golden_vm import StartGoldenVmOperator, StopGoldenVmOperator
from golden_pools.operators.image import CreateManagedImageOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.rules.facts import GoldenVm, PowerState
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import COMPUTE, Cloud, Run, kill_at_write, left_running

VM = "resourceGroups/golden/providers/Microsoft.Compute/virtualMachines/golden-vm"


def preflight() -> BaseOperator:
    return PreflightOperator(task_id="preflight")


def stop() -> BaseOperator:
    return StopGoldenVmOperator(task_id="stop")


def snapshot() -> BaseOperator:
    return SnapshotGoldenVmOperator(task_id="snapshot")


def start() -> BaseOperator:
    return StartGoldenVmOperator(task_id="start", stop_task_id="stop")


def managed_image() -> BaseOperator:
    return CreateManagedImageOperator(task_id="managed_image", snapshot_task_id="snapshot")


def publish() -> BaseOperator:
    return PublishImageVersionOperator(task_id="publish", snapshot_task_id="snapshot", image_task_id="managed_image")


def power_state(cloud: Cloud) -> str:
    statuses = cloud.arm("GET", f"{VM}/instanceView")["statuses"]
    return str(next(status["code"] for status in statuses if status["code"].startswith("PowerState/")))


def actions(cloud: Cloud) -> list[str]:
    """Return what was done to VMs, in order."""
    return [write.rsplit("/", 1)[-1] for write in cloud.writes() if "/virtualMachines/" in write]


def captured(spec: PoolSpec, capture: str) -> PoolSpec:
    """Return the spec with another way to copy the disks."""
    whole = spec.model_dump(mode="json")
    return PoolSpec.model_validate({**whole, "golden_vm": {**whole["golden_vm"], "capture": capture}})


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


@pytest.mark.parametrize("capture", ["deallocated", "stopped"])
@pytest.mark.parametrize(("action", "state"), [("deallocate", "deallocated"), ("powerOff", "stopped")])
def test_a_vm_that_was_at_rest_stays_as_it_was(
    cloud: Cloud, spec: PoolSpec, capture: str, action: str, state: str
) -> None:
    run = Run(captured(spec, capture))
    cloud.arm("POST", f"{VM}/{action}")
    cloud.advance(minutes=5)
    cloud.forget()
    run.do(preflight())
    run.do(stop())
    assert run.do(start()) == f"skipped: the golden VM was {state} before this run, and so it stays"
    assert power_state(cloud) == f"PowerState/{state}"
    assert cloud.writes() == []
    assert run.do(snapshot())["consistency"] == {"word": "at_rest", "note": ""}


def test_a_vm_that_is_powered_off_for_it_keeps_its_machine_and_runs_again(cloud: Cloud, spec: PoolSpec) -> None:
    run = Run(captured(spec, "stopped"))
    run.do(preflight())
    run.do(stop())
    assert power_state(cloud) == "PowerState/stopped"
    assert run.do(snapshot())["consistency"] == {"word": "at_rest", "note": ""}
    run.do(start())
    assert power_state(cloud) == "PowerState/running"
    assert actions(cloud) == ["powerOff", "start"]
    asked = next(entry["url"] for entry in cloud.requests() if "/powerOff" in entry["url"])
    assert "skipShutdown=true" not in asked


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("capture", ["deallocated", "stopped"])
def test_a_stop_whose_worker_is_killed_forgets_nothing(cloud: Cloud, spec: PoolSpec, capture: str, sent: bool) -> None:
    """The second try finds a VM at rest: that is not the state to be given back."""
    run = Run(captured(spec, capture))
    run.do(preflight())
    kill_at_write(run, stop(), 1, sent=sent)
    cloud.advance(minutes=5)
    run.do(stop())
    assert power_state(cloud) != "PowerState/running"
    kill_at_write(run, start(), 1, sent=sent)
    cloud.advance(minutes=5)
    run.do(start())
    assert power_state(cloud) == "PowerState/running"


def test_a_stop_that_is_never_tried_again_forgets_nothing(cloud: Cloud, run: Run) -> None:
    """Its XCom goes when the next try starts, which may die at once: then preflight remembers."""
    run.do(preflight())
    kill_at_write(run, stop(), 1, sent=True)
    run.start_try(stop())
    cloud.advance(minutes=5)
    run.do(start())
    assert power_state(cloud) == "PowerState/running"


def test_a_vm_that_somebody_starts_after_preflight_runs_in_the_end(cloud: Cloud, run: Run) -> None:
    """What the stop has found counts, through its retries, and not what preflight saw before."""
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=5)
    run.do(preflight())
    cloud.arm("POST", f"{VM}/start")
    cloud.advance(minutes=5)
    kill_at_write(run, stop(), 1, sent=True)
    cloud.advance(minutes=5)
    run.do(stop())
    run.do(start())
    assert power_state(cloud) == "PowerState/running"


def test_a_vm_that_somebody_stops_after_preflight_is_not_started(cloud: Cloud, run: Run) -> None:
    run.do(preflight())
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=5)
    run.do(stop())
    assert run.do(start()) == "skipped: the golden VM was deallocated before this run, and so it stays"


def test_a_run_that_makes_no_image_does_not_start_the_vm(cloud: Cloud, run: Run) -> None:
    run.do(preflight())
    cloud.arm("POST", f"{VM}/deallocate")
    cloud.advance(minutes=5)
    run.xcoms["source"] |= {"builds": False, "version_id": "somebody's"}
    cloud.forget()
    run.do(stop())
    assert "makes no image" in str(run.do(start()))
    assert cloud.writes() == []


def test_a_vm_whose_power_state_nobody_knows_is_left_alone(
    cloud: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = compute_facts.golden_vm

    def without_state(*arguments: Any) -> GoldenVm:
        return replace(seen(*arguments), power_state=PowerState.UNKNOWN)

    monkeypatch.setattr(compute_facts, "golden_vm", without_state)
    run.do(preflight())
    with pytest.raises(AzureBusyError, match="does not tell the power state"):
        run.do(stop())
    assert cloud.writes() == []


def test_nobody_starts_the_vm_of_a_run_that_never_looked_at_it(cloud: Cloud, run: Run) -> None:
    assert str(run.do(start())).startswith("skipped:")
    assert cloud.requests() == []


def test_the_vm_is_never_generalized(cloud: Cloud, run: Run) -> None:
    """Pitfall 18: generalizing destroys the golden VM."""
    for task in (preflight(), stop(), snapshot(), start()):
        run.do(task)
    assert actions(cloud) == ["deallocate", "start"]


def test_one_failed_disk_fails_the_set_and_is_named(cloud: Cloud, running_capture: Run) -> None:
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed", "message": "the disk is ill"})
    with pytest.raises(AzureRefusedError) as failed:
        running_capture.do(snapshot())
    assert failed.value.what == "Could not make snapshot small-20261122T020005-data-0 of disk golden-vm-data-0"
    assert failed.value.answer == "DiskFailed: the disk is ill"
    assert running_capture.xcom("snapshot") is None


def snapshots_there(cloud: Cloud) -> list[str]:
    return sorted(snapshot.rid.name.partition("-")[2].partition("-")[2] for snapshot in cloud.world.compute.snapshots)


WHOLE = ["data-0", "data-1", "os"]


def test_one_failed_disk_takes_the_set_with_it(cloud: Cloud, running_capture: Run) -> None:
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed"})
    by_hand = put_snapshot(cloud, "by-hand", "golden-vm-os", {})
    with pytest.raises(AzureRefusedError):
        running_capture.do(snapshot())
    assert [found.id for found in cloud.world.compute.snapshots] == [by_hand]


@pytest.mark.parametrize("disk", WHOLE)
def test_a_disk_that_azure_refuses_at_once_takes_the_set_with_it(cloud: Cloud, running_capture: Run, disk: str) -> None:
    cloud.fault(method="PUT", path=f"-{disk}$", status=409, code="SnapshotCountExceeded")
    with pytest.raises(AzureRefusedError) as failed:
        running_capture.do(snapshot())
    assert failed.value.what == f"Could not make snapshot small-20261122T020005-{disk} of disk golden-vm-{disk}"
    assert "delete old ones" in failed.value.advice
    assert snapshots_there(cloud) == []


def test_the_next_try_makes_the_whole_set_anew(cloud: Cloud, running_capture: Run) -> None:
    """A set shows one moment: the disk that failed is not copied by itself a little later."""
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed"})
    with pytest.raises(AzureRefusedError):
        running_capture.do(snapshot())
    cloud.forget()
    running_capture.do(snapshot())
    assert [write.rsplit("-", 2)[-1] for write in cloud.writes()] == ["os", "0", "1"]
    assert snapshots_there(cloud) == WHOLE


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_set_whose_worker_is_killed_is_whole_in_the_end(
    cloud: Cloud, running_capture: Run, number: int, sent: bool
) -> None:
    kill_at_write(running_capture, snapshot(), number, sent=sent)
    found = running_capture.do(snapshot())
    assert snapshots_there(cloud) == WHOLE
    assert [disk["lun"] for disk in found["data"]] == [0, 1]
    in_pieces = number + sent not in (1, 4)
    assert any(write.startswith("DELETE") for write in cloud.writes()) is in_pieces


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("number", [4, 5, 6])
def test_a_removal_whose_worker_is_killed_goes_on(cloud: Cloud, running_capture: Run, number: int, sent: bool) -> None:
    """The fourth write of the try is the first deletion."""
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed"}, count=1)
    kill_at_write(running_capture, snapshot(), number, sent=sent)
    running_capture.do(snapshot())
    assert snapshots_there(cloud) == WHOLE
    assert all(one.provisioning_state.value == "Succeeded" for one in cloud.world.compute.snapshots)


def test_what_cannot_be_removed_is_told_with_the_disk_that_failed(cloud: Cloud, running_capture: Run) -> None:
    cloud.fault(method="PUT", path="-data-0$", operation_error={"code": "DiskFailed", "message": "the disk is ill"})
    cloud.fault(method="DELETE", path="-os$", status=409, code="ScopeLocked")
    with pytest.raises(AzureRefusedError) as failed:
        running_capture.do(snapshot())
    assert failed.value.what == "Could not make snapshot small-20261122T020005-data-0 of disk golden-vm-data-0"
    assert "DiskFailed: the disk is ill; then the rest of the set could not be removed" in failed.value.answer
    assert "ScopeLocked" in failed.value.answer
    assert "a lock stands on the resource" in failed.value.advice
    running_capture.do(snapshot())
    assert snapshots_there(cloud) == WHOLE


def test_a_set_from_which_an_image_was_made_is_not_removed(cloud: Cloud, running_capture: Run) -> None:
    """Nodes may need it: somebody has deleted one of its snapshots, and somebody clears the task."""
    running_capture.do(preflight())
    running_capture.do(snapshot())
    running_capture.do(managed_image())
    cloud.arm("DELETE", f"{COMPUTE}/snapshots/small-20261122T020005-data-1")
    cloud.advance(minutes=1)
    cloud.forget()
    with pytest.raises(OwnershipError, match="not whole any more, but an image was made from it"):
        running_capture.do(snapshot())
    assert cloud.writes() == []


@pytest.fixture
def copied_later(cloud: Cloud) -> Cloud:
    """The golden VM has a Premium SSD v2."""
    next(disk for disk in cloud.world.compute.disks if disk.rid.name == "golden-vm-data-1").sku = "PremiumV2_LRS"
    return cloud


def test_a_snapshot_that_azure_fills_in_the_background_is_waited_for(copied_later: Cloud, running_capture: Run) -> None:
    running_capture.do(preflight())
    running_capture.do(snapshot())
    seen = copied_later.arm("GET", f"{COMPUTE}/snapshots/small-20261122T020005-data-1")["properties"]
    assert (seen["completionPercent"], seen["snapshotAccessState"]) == (100, "Available")
    running_capture.do(managed_image())
    (copies,) = [operation["copies"] for operation in running_capture.kwargs[0]["operations"] if operation["copies"]]
    assert copies


def test_a_set_that_is_still_being_filled_is_waited_for_by_the_next_try_too(
    copied_later: Cloud, running_capture: Run
) -> None:
    running_capture.begin(snapshot())
    copied_later.advance(minutes=5)
    copied_later.forget()
    running_capture.do(snapshot())
    seen = copied_later.arm("GET", f"{COMPUTE}/snapshots/small-20261122T020005-data-1")["properties"]
    assert seen["completionPercent"] == 100
    assert copied_later.writes() == []


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
