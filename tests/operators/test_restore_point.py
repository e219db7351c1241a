"""``capture: restore_point``: all disks of a running VM at one moment, and nothing left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.source import Capture

from dags.golden_pools import pool_dag
from include.azure_simulator.compute.machines import PowerState, VirtualMachine
from tests.operators.conftest import COMPUTE, Cloud, Run, kill_at_write
from tests.operators.dag_run import DagRun, State
from tests.operators.test_sources import BUILD_VM, Nights, check_runs_on_it
from tests.virtual_time import virtual_cloud

COLLECTION = f"{COMPUTE}/restorePointCollections/small-build-vm"
STEM = "small-20261122T020005"
COPIES = [f"{STEM}-data-1", f"{STEM}-os"]


@pytest.fixture
def nights() -> Iterator[Nights]:
    """A world with a VM that runs and whose disks a restore point catches at one moment."""
    with virtual_cloud() as (cloud, virtual):
        made = Nights(cloud, virtual)
        made.make_vm(power_state="running", os_disk={"name": "build-os", "size_gib": 32, "caching": "ReadOnly"})
        yield made


def captured(nights: Nights, **parts: Any) -> PoolSpec:
    return nights.spec(golden_vm={**BUILD_VM, "capture": "restore_point"}, **parts)


def machine(cloud: Cloud) -> VirtualMachine:
    return next(one for one in cloud.world.compute.machines if one.rid.name == "build-vm")


def left(cloud: Cloud) -> list[str]:
    """Return what there is of restore points: collections, points, disks."""
    compute = cloud.world.compute
    points = compute.restore_points
    disks = [disk for disk in compute.disks if disk.attached_to is None]
    return sorted(one.rid.name for one in (*points.collections, *points.points, *disks))


def snapshots(cloud: Cloud) -> list[str]:
    return sorted(one.rid.name for one in cloud.world.compute.snapshots)


def stages(nights: Nights, spec: PoolSpec) -> tuple[Run, dict[str, BaseOperator]]:
    """Return a run that has looked at its source, and the tasks that copy the disks."""
    run = Run(spec, stamp=nights.virtual.now(), fire=nights.virtual.fire)
    tasks = pool_dag("small", spec).task_dict
    run.do(tasks["source"])
    nights.cloud.forget()
    names = ("restore_point", "snapshot", "remove_restore_point")
    return run, {name: tasks[f"image.{name}"] for name in names}


def test_the_disks_of_a_running_vm_are_copied_at_one_moment(nights: Nights) -> None:
    night = nights.night(captured(nights))
    check_runs_on_it(nights, night)
    assert [write for write in nights.cloud.writes() if "/virtualMachines/" in write] == []
    assert machine(nights.cloud).power_state.value == "running"
    passport = night.run.xcom("pool.record")
    assert passport["consistency"] == {"word": "one_moment", "note": ""}
    assert [disk["size_gib"] for disk in passport["disks"]] == [32, 8]
    assert all(disk["disk"].rpartition("/")[2] in ("build-os", "build-data") for disk in passport["disks"])


@pytest.mark.parametrize(
    ("capture", "word", "note"),
    [
        ("deallocated", "at_rest", ""),
        ("stopped", "at_rest", ""),
        ("running", "disk_by_disk", "its 2 disks were copied one by one and may differ by moments"),
    ],
)
def test_the_passport_says_what_the_copies_are_worth(nights: Nights, capture: str, word: str, note: str) -> None:
    night = nights.night(nights.spec(golden_vm={**BUILD_VM, "capture": capture}))
    check_runs_on_it(nights, night)
    said = night.run.xcom("pool.record")["consistency"]
    assert said["word"] == word
    assert note in said["note"]
    assert bool(note) is bool(said["note"])
    assert machine(nights.cloud).power_state.value == "running"


def test_the_point_is_taken_as_of_a_power_cut_and_its_disks_are_restored(nights: Nights) -> None:
    assert nights.night(captured(nights)).succeeded
    bodies = {
        entry["url"].partition("?")[0].rpartition("/")[2]: json.loads(entry["request_body"])
        for entry in nights.cloud.requests()
        if entry["method"] == "PUT" and ("/restorePoints/" in entry["url"] or "/disks/" in entry["url"])
    }
    assert bodies[STEM]["properties"]["consistencyMode"] == "CrashConsistent"
    for name in COPIES:
        creation = bodies[name]["properties"]["creationData"]
        assert creation["createOption"] == "Restore"
        assert "/diskRestorePoints/" in creation["sourceResourceId"]


def test_a_clone_of_a_vm_with_trusted_launch_is_made_of_a_restore_point(nights: Nights) -> None:
    """Both throw disks away, each its own."""
    os_disk = {"name": "trusted-os", "size_gib": 32, "caching": "ReadOnly"}
    nights.make_vm(name="trusted", power_state="running", security_type="TrustedLaunch", os_disk=os_disk, data_disks=[])
    subnet = f"/subscriptions/{nights.cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
    clone = {"subnet_id": f"{subnet}/virtualNetworks/golden-net/subnets/builders", "vm_size": "Standard_D2s_v5"}
    golden = {**BUILD_VM, "name": "trusted", "capture": "restore_point", "generalize": "clone", "clone": clone}
    check_runs_on_it(nights, nights.night(nights.spec(golden_vm=golden)))
    assert left(nights.cloud) == []


def test_nothing_of_the_restore_point_is_left(nights: Nights) -> None:
    assert nights.night(captured(nights)).succeeded
    assert left(nights.cloud) == []
    assert snapshots(nights.cloud) == COPIES


def test_the_graph_has_no_stop_where_nothing_is_stopped(nights: Nights) -> None:
    tasks = {name.partition(".")[2] for name in pool_dag("small", captured(nights)).task_dict if name[:6] == "image."}
    assert tasks == {"restore_point", "snapshot", "remove_restore_point", "managed_image", "publish"}


def test_a_second_night_uses_the_name_of_the_collection_again(nights: Nights) -> None:
    assert nights.night(captured(nights)).succeeded
    nights.virtual.sleep(86400)
    assert nights.night(captured(nights), run_id="manual__2").succeeded
    assert next(write for write in nights.cloud.writes() if write.endswith("/small-build-vm")).startswith("PUT")
    assert left(nights.cloud) == []


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("victim", "number"),
    [
        *[("restore_point", number) for number in range(1, 5)],
        *[("snapshot", number) for number in range(1, 3)],
        *[("remove_restore_point", number) for number in range(1, 5)],
    ],
)
def test_a_worker_killed_at_any_write_leaves_nothing_and_loses_nothing(
    nights: Nights, victim: str, number: int, sent: bool
) -> None:
    run, tasks = stages(nights, captured(nights))
    for name, task in tasks.items():
        if name == victim:
            kill_at_write(run, task, number, sent=sent)
        run.do(task)
    assert left(nights.cloud) == []
    assert snapshots(nights.cloud) == COPIES
    assert machine(nights.cloud).power_state.value == "running"
    points = [write for write in nights.cloud.writes() if write.startswith("PUT") and "/restorePoints/" in write]
    assert len(points) == 1


def test_every_stage_done_twice_makes_nothing_twice(nights: Nights) -> None:
    run, tasks = stages(nights, captured(nights))
    for task in tasks.values():
        run.do(task)
        run.do(task)
    first = nights.cloud.writes()
    for task in tasks.values():  # cleared
        run.do(task)
    assert nights.cloud.writes() == first
    assert len(first) == len(set(first))


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "PUT", "path": "/restorePointCollections/[^/]+$", "status": 403, "code": "AuthorizationFailed"},
        {"method": "PUT", "path": "/restorePoints/", "status": 409, "code": "OperationNotAllowed"},
        {"method": "PUT", "path": "/restorePoints/", "operation_error": {"code": "InternalFailure"}},
        {"method": "PUT", "path": "/disks/.*-os$", "status": 409, "code": "OperationNotAllowed"},
        {"method": "PUT", "path": "/disks/.*-data-1$", "operation_error": {"code": "DiskFailed"}},
        {"method": "PUT", "path": "/snapshots/.*-os$", "status": 409, "code": "SnapshotCountExceeded"},
        {"method": "PUT", "path": "/snapshots/.*-data-1$", "operation_error": {"code": "DiskFailed"}},
        {"method": "PUT", "path": "Compute/images/small-", "operation_error": {"code": "ImageFailed"}},
    ],
)
def test_whatever_fails_nothing_is_left_and_the_vm_runs(nights: Nights, fault: dict[str, Any]) -> None:
    nights.cloud.fault(count=1, **fault)
    night = nights.night(captured(nights))
    assert not night.succeeded
    (error,) = night.errors.values()
    assert isinstance(error, AzureRefusedError)
    assert error.advice
    assert left(nights.cloud) == []
    assert machine(nights.cloud).power_state.value == "running"


def test_a_point_that_failed_is_taken_again_by_the_next_try(nights: Nights) -> None:
    nights.cloud.fault(method="PUT", path="/restorePoints/", operation_error={"code": "InternalFailure"}, count=1)
    run, tasks = stages(nights, captured(nights))
    with pytest.raises(AzureRefusedError):
        run.do(tasks["restore_point"])
    for task in tasks.values():
        run.do(task)
    assert left(nights.cloud) == []
    assert snapshots(nights.cloud) == COPIES


def by_somebody(nights: Nights, number: int) -> None:
    """Take restore points of the VM, as a backup does."""
    source = {"id": machine(nights.cloud).id}
    path = f"{COMPUTE}/restorePointCollections/backup"
    nights.cloud.arm("PUT", path, {"location": "westeurope", "properties": {"source": source}})
    for one in range(number):
        body = {"properties": {"consistencyMode": "CrashConsistent"}}
        nights.cloud.arm("PUT", f"{path}/restorePoints/backup-{one}", body)
        nights.cloud.advance(minutes=5)


def test_a_limit_for_the_hour_is_waited_out(nights: Nights) -> None:
    by_somebody(nights, 3)
    before = nights.virtual.now()
    night = nights.night(captured(nights))
    check_runs_on_it(nights, night)
    assert "SoakTrigger" in night.run.deferrals
    assert nights.virtual.now() - before > timedelta(minutes=40)
    assert len(list(nights.cloud.world.compute.restore_points.points)) == 3  # those of the backup


def test_a_limit_that_is_never_lifted_is_busy(nights: Nights) -> None:
    nights.cloud.fault(
        method="PUT", path="/restorePoints/", status=429, code="TooManyRequests", retry_after_seconds=3000, count=9
    )
    run, tasks = stages(nights, captured(nights))
    with pytest.raises(AzureBusyError, match="TooManyRequests"):
        run.do(tasks["restore_point"])
    assert run.deferrals.count("SoakTrigger") == 2


@pytest.mark.parametrize("refusal", ["at_once", "in_operation"])
def test_a_point_of_somebody_else_in_the_making_is_busy(nights: Nights, refusal: str) -> None:
    nights.cloud.configure(compute={"restore_point_refusal": refusal, "restore_point_create": "PT30M"})
    run, tasks = stages(nights, captured(nights))
    by_somebody(nights, 1)
    with pytest.raises(AzureBusyError) as busy:
        run.do(tasks["restore_point"])
    assert "concurrent" in busy.value.answer
    assert "another restore point of the VM may be in the making" in busy.value.advice


def test_a_collection_of_somebody_else_is_not_used(nights: Nights) -> None:
    source = {"id": machine(nights.cloud).id}
    nights.cloud.arm("PUT", COLLECTION, {"location": "westeurope", "properties": {"source": source}})
    run, tasks = stages(nights, captured(nights))
    with pytest.raises(OwnershipError) as conflict:
        run.do(tasks["restore_point"])
    assert "somebody else" in conflict.value.answer
    run.do(tasks["remove_restore_point"])
    assert nights.cloud.writes() == []


def test_a_collection_with_somebodys_point_stays(nights: Nights) -> None:
    run, tasks = stages(nights, captured(nights))
    run.do(tasks["restore_point"])
    nights.cloud.arm("PUT", f"{COLLECTION}/restorePoints/before-the-update", {"properties": {}})
    nights.cloud.advance(minutes=5)
    run.do(tasks["snapshot"])
    run.do(tasks["remove_restore_point"])
    assert left(nights.cloud) == ["before-the-update", "small-build-vm"]


def test_what_a_run_has_left_that_died_for_good_goes_with_the_next(nights: Nights) -> None:
    run, tasks = stages(nights, captured(nights))
    run.do(tasks["restore_point"])
    nights.virtual.sleep(86400)
    assert nights.night(captured(nights), run_id="manual__2").succeeded
    assert left(nights.cloud) == []


def test_a_set_in_pieces_without_its_disks_says_what_to_clear(nights: Nights) -> None:
    run, tasks = stages(nights, captured(nights))
    run.do(tasks["restore_point"])
    run.do(tasks["remove_restore_point"])
    with pytest.raises(OwnershipError) as refused:
        run.do(tasks["snapshot"])
    assert "clear the task restore_point" in refused.value.advice
    for task in tasks.values():
        run.do(task)
    assert snapshots(nights.cloud) == COPIES


def test_a_disk_that_is_attached_in_mid_run(nights: Nights) -> None:
    run, tasks = stages(nights, captured(nights))
    run.begin(tasks["restore_point"])
    nights.cloud.advance(minutes=5)
    vm = machine(nights.cloud)
    vm.disk_ids[7] = next(disk.rid for disk in nights.cloud.world.compute.disks if disk.rid.name == "golden-vm-data-0")
    disks = [*vm.section.data_disks, vm.section.data_disks[0].model_copy(update={"lun": 7})]
    vm.section = vm.section.model_copy(update={"data_disks": disks})
    with pytest.raises(OwnershipError, match="has not all disks"):
        run.do(tasks["restore_point"])


@pytest.mark.parametrize(
    ("vm", "check", "advice"),
    [
        ({"os_disk": {"name": "o", "size_gib": 32}}, "restore-point-disks:", "set its caching to ReadOnly or None"),
        (
            {
                "size": "Standard_D2s_v6",
                "disk_controller": "NVMe",
                "data_disks": [{"lun": lun, "name": f"d{lun}", "size_gib": 8} for lun in (0, 1)],
            },
            "restore-point-of-many-disks:",
            "use one data disk",
        ),
        ({"size": "Standard_A2_v2", "generation": "V1"}, "restore-point-vm-size:", "an s in its name"),
        (
            {"data_disks": [{"lun": 0, "name": "d", "size_gib": 8, "sku": "PremiumV2_LRS", "caching": "None"}]},
            "restore-point-disks:",
            "move its content to a Premium or Standard SSD",
        ),
    ],
)
def test_what_a_restore_point_does_not_promise_is_refused_before_anything_is_written(
    nights: Nights, vm: dict[str, Any], check: str, advice: str
) -> None:
    os_disk = {"name": "o", "size_gib": 32, "caching": "ReadOnly"}
    nights.make_vm(name="unfit", **{"os_disk": os_disk, **vm})
    spec = nights.spec(golden_vm={**BUILD_VM, "name": "unfit", "capture": "restore_point"})
    error = nights.night(spec).errors["preflight"]
    assert check in str(error)
    assert advice in str(error)
    assert "golden_vm.capture: deallocated or stopped" in str(error)
    assert nights.cloud.writes() == []


def test_plan_only_says_what_a_restore_point_takes(nights: Nights) -> None:
    night: DagRun = nights.night(captured(nights), plan_only=True)
    said = [
        (one["stage"], one["resource"].rpartition("/")[2])
        for one in night.run.pushed["preflight", "plan_table"]["rows"]
    ]
    assert said[:4] == [
        ("restore_point", STEM),
        ("snapshot", f"{STEM}-os"),
        ("snapshot", f"{STEM}-data-1"),
        ("remove_restore_point", STEM),
    ]
    assert night.states["image.restore_point"] == State.SKIPPED
    assert nights.cloud.writes() == []


FAULTS = [
    None,
    {"method": "POST", "path": "/(deallocate|powerOff)$", "status": 409, "code": "OperationNotAllowed"},
    {"method": "POST", "path": "/(deallocate|powerOff)$", "operation_error": {"code": "VMStopFailed"}},
    {"method": "POST", "path": "/(deallocate|powerOff|start)$", "lose_reply": True},
    {"method": "PUT", "path": "/restorePoints/", "operation_error": {"code": "InternalFailure"}},
    {"method": "PUT", "path": "/disks/", "operation_error": {"code": "DiskFailed"}},
    {"method": "PUT", "path": "/snapshots/.*-os$", "status": 403, "code": "AuthorizationFailed"},
    {"method": "PUT", "path": "/snapshots/.*-data-1$", "status": 409, "code": "SnapshotCountExceeded"},
    {"method": "PUT", "path": "/snapshots/.*-data-1$", "operation_error": {"code": "DiskFailed"}},
    {"method": "DELETE", "path": "/(snapshots|disks|restorePoints)/", "status": 500, "code": "InternalServerError"},
    {"method": "PUT", "path": "Compute/images/", "operation_error": {"code": "ImageFailed"}},
]

IMAGE = r"image\.(remove_restore_point|start_golden_vm|managed_image)"


@pytest.mark.parametrize("capture", list(Capture))
@pytest.mark.parametrize("found", ["running", "stopped", "deallocated"])
def test_whatever_fails_the_vm_is_in_the_end_as_it_was_found(nights: Nights, capture: Capture, found: str) -> None:
    """And nothing in between is left, nor a set in pieces: one night after the other in one world."""
    vm = machine(nights.cloud)
    vm.power_state = PowerState(found)
    for number, fault in enumerate(FAULTS):
        if fault:
            nights.cloud.fault(count=1, **fault)
        spec = nights.spec(golden_vm={**BUILD_VM, "capture": capture.value}, image={"build": {"when": "always"}})
        run = Run(spec, run_id=f"manual__{number}", stamp=nights.virtual.now(), fire=nights.virtual.fire)
        up_to_the_image = pool_dag("small", spec).partial_subset(IMAGE, include_upstream=True)
        DagRun(up_to_the_image, run, run.do_with_retries).go()
        nights.cloud.control("DELETE", "faults")
        assert vm.power_state == found, fault
        assert left(nights.cloud) == [], fault
        stems = [name.removesuffix("-os").removesuffix("-data-1") for name in snapshots(nights.cloud)]
        assert all(stems.count(stem) == 2 for stem in stems), fault
        nights.virtual.sleep(4 * 3600)
