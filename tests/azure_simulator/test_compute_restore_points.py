"""VM restore points: taken, restored to disks, deleted, and refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arm_client import GOLDEN, IMAGES, VM, Arm, arm_with_vm, error_of, message_of
from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.compute.restore_point_rules import has_azure_boost
from include.azure_simulator.world import World

COLLECTION = f"{GOLDEN}/restorePointCollections/c"


def _body(mode: str | None = "CrashConsistent", *excluded: str) -> dict[str, Any]:
    properties: dict[str, Any] = {} if mode is None else {"consistencyMode": mode}
    if excluded:
        properties["excludeDisks"] = [{"id": disk} for disk in excluded]
    return {"properties": properties}


def _collection(arm: Arm) -> Response:
    return arm.put(COLLECTION, {"location": "westeurope", "properties": {"source": {"id": arm.id(VM)}}})


def _take(arm: Arm, name: str = "p", body: dict[str, Any] | None = None) -> Response:
    _collection(arm)
    return arm.put(f"{COLLECTION}/restorePoints/{name}", _body() if body is None else body)


def _taken(arm: Arm, name: str = "p", body: dict[str, Any] | None = None) -> dict[str, Any]:
    arm.done(_take(arm, name, body))
    properties: dict[str, Any] = arm.get(f"{COLLECTION}/restorePoints/{name}").json()["properties"]
    return properties


def _set(world: World, **settings: object) -> None:
    world.settings = world.settings.patched({"compute": {**settings}})  # type: ignore[dict-item]


def test_a_collection_is_made_at_once_and_again(arm: Arm) -> None:
    first, second = _collection(arm), _collection(arm)
    assert (first.status_code, second.status_code) == (201, 200)
    assert "Azure-AsyncOperation" not in first.headers
    assert first.json()["properties"]["source"] == {"id": arm.id(VM), "location": "westeurope"}
    assert first.json()["properties"]["provisioningState"] == "Succeeded"


def test_a_collection_stays_with_its_vm(arm: Arm) -> None:
    _collection(arm)
    other = arm.make_vm()
    answer = arm.put(COLLECTION, {"location": "westeurope", "properties": {"source": {"id": other}}})
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_a_collection_needs_a_vm_in_its_region(arm: Arm) -> None:
    missing = {"location": "westeurope", "properties": {"source": {"id": arm.id(f"{GOLDEN}/virtualMachines/nobody")}}}
    assert error_of(arm.put(COLLECTION, missing)) == (404, "ResourceNotFound")
    elsewhere = {"location": "northeurope", "properties": {"source": {"id": arm.id(VM)}}}
    assert error_of(arm.put(COLLECTION, elsewhere)) == (400, "InvalidParameter")


def test_a_restore_point_holds_all_disks_and_what_the_vm_was(arm: Arm) -> None:
    answer = _take(arm)
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (201, "Creating")
    assert arm.done(answer)["status"] == "Succeeded"
    point = arm.get(f"{COLLECTION}/restorePoints/p?$expand=instanceView").json()
    properties = point["properties"]
    assert (point["type"], properties["consistencyMode"]) == (
        "Microsoft.Compute/restorePointCollections/restorePoints",
        "CrashConsistent",
    )
    storage = properties["sourceMetadata"]["storageProfile"]
    assert storage["osDisk"]["managedDisk"]["id"] == arm.id(f"{GOLDEN}/disks/golden-vm-os")
    ids = [disk["diskRestorePoint"]["id"] for disk in (storage["osDisk"], *storage["dataDisks"])]
    assert [disk.rpartition("/")[2].rpartition("_")[0] for disk in ids] == [
        "golden-vm-os",
        "golden-vm-data-0",
        "golden-vm-data-1",
    ]
    assert [disk["lun"] for disk in storage["dataDisks"]] == [0, 1]
    assert properties["sourceMetadata"]["vmId"] == arm.get(VM).json()["properties"]["vmId"]
    assert [view["id"] for view in properties["instanceView"]["diskRestorePoints"]] == ids


def test_disk_restore_points_are_read_and_listed(arm: Arm) -> None:
    os_point = _taken(arm)["sourceMetadata"]["storageProfile"]["osDisk"]["diskRestorePoint"]["id"]
    listed = arm.get(f"{COLLECTION}/restorePoints/p/diskRestorePoints").json()["value"]
    assert len(listed) == 3
    read = arm.get(os_point.split("/", 3)[3]).json()
    assert read in listed
    assert read["properties"]["sourceResourceId"] == arm.id(f"{GOLDEN}/disks/golden-vm-os")
    assert read["properties"]["osType"] == "Linux"


def test_a_disk_is_restored_and_a_snapshot_taken_of_it(arm: Arm, world: World) -> None:
    storage = _taken(arm)["sourceMetadata"]["storageProfile"]
    source = storage["osDisk"]["diskRestorePoint"]["id"]
    answer = arm.put(f"{IMAGES}/disks/restored", arm.disk_body_of(source, "Restore"))
    assert arm.done(answer)["status"] == "Succeeded"
    disk = arm.get(f"{IMAGES}/disks/restored").json()["properties"]
    assert (disk["creationData"]["sourceResourceId"], disk["osType"], disk["diskSizeGB"]) == (source, "Linux", 64)
    arm.done(arm.call("DELETE", COLLECTION))
    snapshot = arm.snapshot_body()
    snapshot["properties"]["creationData"]["sourceResourceId"] = arm.id(f"{IMAGES}/disks/restored")
    arm.done(arm.put(f"{IMAGES}/snapshots/s", snapshot))
    base = world.compute.base_image(arm.id(f"{IMAGES}/snapshots/s"))
    assert base == ("canonical", "ubuntu-24_04-lts", "server")


def test_a_restore_point_that_is_being_made_cannot_be_restored(arm: Arm) -> None:
    answer = _take(arm)
    point = answer.json()["properties"]["sourceMetadata"]["storageProfile"]["osDisk"]["diskRestorePoint"]["id"]
    refused = arm.put(f"{IMAGES}/disks/d", arm.disk_body_of(point, "Restore"))
    assert error_of(refused) == (409, "OperationNotAllowed")


def test_restore_reads_nothing_but_disk_restore_points(arm: Arm) -> None:
    body = arm.disk_body_of(arm.take_snapshot("s"), "Restore")
    assert error_of(arm.put(f"{IMAGES}/disks/d", body)) == (404, "ResourceNotFound")


def test_disks_that_are_left_out_have_no_restore_point(arm: Arm) -> None:
    left_out = arm.id(f"{GOLDEN}/disks/golden-vm-data-0")
    properties = _taken(arm, body=_body("CrashConsistent", left_out))
    disks = properties["sourceMetadata"]["storageProfile"]["dataDisks"]
    assert ["diskRestorePoint" in disk for disk in disks] == [False, True]
    assert properties["excludeDisks"] == [{"id": left_out}]


def test_only_disks_of_the_vm_can_be_left_out(arm: Arm) -> None:
    answer = _take(arm, body=_body("CrashConsistent", arm.id(f"{GOLDEN}/disks/other")))
    assert error_of(answer) == (400, "InvalidParameter")


@pytest.mark.parametrize(("os_type", "mode"), [("Linux", "FileSystemConsistent"), ("Windows", "ApplicationConsistent")])
def test_without_a_mode_the_system_says_how_consistent_it_is(clock: Clock, os_type: str, mode: str) -> None:
    arm, _ = arm_with_vm(clock, os_type=os_type)
    assert _taken(arm, body=_body(None))["consistencyMode"] == mode


def test_only_crash_consistency_can_be_asked_for_unless_a_setting_says_otherwise(arm: Arm, world: World) -> None:
    answer = _take(arm, body=_body("ApplicationConsistent"))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "Allowed values are 'CrashConsistent'" in message_of(answer)
    _set(world, restore_point_consistency_input="any")
    assert _taken(arm, body=_body("ApplicationConsistent"))["consistencyMode"] == "ApplicationConsistent"


def test_three_restore_points_an_hour_of_each_kind(arm: Arm, world: World) -> None:
    for number in range(3):
        _taken(arm, f"p{number}")
    refused = _take(arm, "p3")
    assert error_of(refused) == (429, "OperationNotAllowed")
    assert refused.json()["error"]["details"][0]["code"] == "TooManyRequests"
    assert int(refused.headers["Retry-After"]) == 57 * 60
    _taken(arm, "other", _body(None))
    world.clock.advance(timedelta(minutes=57))
    _taken(arm, "p3")


def test_the_rate_may_be_refused_with_409(arm: Arm, world: World) -> None:
    _set(world, restore_points_per_hour=1, restore_point_rate_status=409)
    _taken(arm)
    refused = _take(arm, "again")
    assert (error_of(refused), "Retry-After" in refused.headers) == ((409, "OperationNotAllowed"), False)


def test_two_restore_points_of_a_vm_cannot_be_made_at_once(arm: Arm) -> None:
    _take(arm)
    refused = _take(arm, "second")
    assert error_of(refused) == (409, "VMRestorePointClientError")
    assert "a concurrent 'Create RestorePoint' operation" in message_of(refused)


def test_a_refusal_may_come_with_the_operation(arm: Arm, world: World) -> None:
    _set(world, restore_point_refusal="in_operation", restore_points_per_vm=1)
    _taken(arm)
    answer = _take(arm, "second")
    assert arm.done(answer)["error"]["code"] == "VMRestorePointClientError"
    failed = arm.get(f"{COLLECTION}/restorePoints/second").json()["properties"]
    assert failed["provisioningState"] == "Failed"


def test_a_vm_has_no_more_restore_points_than_the_limit(arm: Arm, world: World) -> None:
    _set(world, restore_points_per_vm=1)
    _taken(arm)
    refused = _take(arm, "second")
    assert error_of(refused) == (409, "VMRestorePointClientError")
    assert "delete some existing restore points" in message_of(refused)
    arm.done(arm.call("DELETE", f"{COLLECTION}/restorePoints/p"))
    _taken(arm, "second")


def test_a_restore_point_fails_when_the_disks_of_its_vm_change_meanwhile(arm: Arm) -> None:
    arm.copy_disk("more", "golden-vm-data-1")
    answer = _take(arm)
    body = arm.get(VM).json()
    entry = {"lun": 7, "createOption": "Attach", "managedDisk": {"id": arm.id(f"{IMAGES}/disks/more")}}
    body["properties"]["storageProfile"]["dataDisks"].append(entry)
    assert arm.put(VM, body).status_code == 200
    error = arm.done(answer)["error"]
    assert (error["code"], "Changes were made to the Virtual Machine" in error["message"]) == (
        "OperationNotAllowed",
        True,
    )


def test_a_failed_restore_point_can_be_put_again(client: TestClient, arm: Arm) -> None:
    fault = {"method": "PUT", "path": "/restorePoints/", "operation_error": {"code": "VMRestorePointInternalError"}}
    client.post("/_simulator/faults", json=fault)
    assert arm.done(_take(arm))["error"]["code"] == "VMRestorePointInternalError"
    assert _taken(arm)["provisioningState"] == "Succeeded"
    assert len(arm.get(f"{COLLECTION}/restorePoints/p/diskRestorePoints").json()["value"]) == 3


def test_a_restore_point_that_exists_is_not_taken_again(arm: Arm, world: World) -> None:
    _taken(arm)
    assert error_of(_take(arm)) == (409, "OperationNotAllowed")
    _set(world, restore_point_again="answer")
    answer = _take(arm)
    assert (answer.status_code, "Azure-AsyncOperation" in answer.headers) == (201, False)


def test_a_busy_vm_gives_no_restore_point(arm: Arm) -> None:
    arm.call("POST", f"{VM}/deallocate")
    assert error_of(_take(arm)) == (409, "Conflict")


def test_a_restore_point_needs_its_collection(arm: Arm) -> None:
    answer = arm.put(f"{COLLECTION}/restorePoints/p", _body())
    assert error_of(answer) == (404, "ParentResourceNotFound")


def test_old_api_versions_know_no_restore_points(arm: Arm) -> None:
    _collection(arm)
    answer = arm.put(f"{COLLECTION}/restorePoints/p", _body(), version="2021-03-01")
    assert error_of(answer) == (400, "BadRequest")


def test_deleting_a_restore_point_leaves_the_collection(arm: Arm) -> None:
    _taken(arm)
    answer = arm.call("DELETE", f"{COLLECTION}/restorePoints/p")
    assert (answer.status_code, arm.done(answer)["status"]) == (202, "Succeeded")
    assert arm.get(f"{COLLECTION}/restorePoints/p").status_code == 404
    assert arm.get(COLLECTION).status_code == 200
    assert arm.call("DELETE", f"{COLLECTION}/restorePoints/p").status_code == 204


def test_deleting_a_collection_deletes_its_restore_points(arm: Arm, world: World) -> None:
    _taken(arm)
    expanded = arm.get(f"{COLLECTION}?$expand=restorePoints").json()["properties"]["restorePoints"]
    assert [point["name"] for point in expanded] == ["p"]
    arm.done(arm.call("DELETE", COLLECTION))
    assert arm.get(COLLECTION).status_code == 404
    assert arm.call("DELETE", COLLECTION).status_code == 204
    _collection(arm)
    assert arm.get(f"{COLLECTION}/restorePoints/p").status_code == 404
    assert list(world.compute.restore_points.disk_points) == []


def test_collections_are_listed_and_tagged(arm: Arm) -> None:
    _collection(arm)
    arm.call("PATCH", COLLECTION, {"tags": {"golden.run": "r"}})
    for path in ("providers/Microsoft.Compute/restorePointCollections", f"{GOLDEN}/restorePointCollections"):
        assert [found["tags"] for found in arm.get(path).json()["value"]] == [{"golden.run": "r"}]


@pytest.mark.parametrize(("of_os", "of_data"), [("ReadOnly", "ReadWrite"), ("ReadWrite", "ReadOnly")])
def test_crash_consistency_that_is_not_guaranteed_is_refused_when_the_setting_says_so(
    clock: Clock, of_os: str, of_data: str
) -> None:
    cached = [{"lun": 0, "size_gib": 32, "caching": of_data}]
    arm, world = arm_with_vm(clock, data_disks=cached, os_disk={"size_gib": 32, "caching": of_os})
    _set(world, restore_point_unsafe_crash="refuse")
    answer = _take(arm)
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "ReadWrite host caching" in message_of(answer)
    _taken(arm, body=_body(None))
    _set(world, restore_point_unsafe_crash="allow")
    _taken(arm, "q")


def test_premium_v2_disks_have_no_crash_consistent_restore_point(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, data_disks=[{"lun": 0, "size_gib": 32, "sku": "PremiumV2_LRS"}])
    assert error_of(_take(arm)) == (409, "OperationNotAllowed")


@pytest.mark.parametrize(
    ("size", "boost"),
    [
        ("Standard_D4s_v5", False),
        ("Standard_D4s_v6", True),
        ("Standard_E8ds_v6", True),
        ("Standard_D4as_v6", False),
        ("Standard_D4ads_v7", True),
        ("Standard_D4ps_v6", False),
        ("Standard_F4s_v2", False),
        ("Standard_NC6", False),
    ],
)
def test_which_sizes_cannot_catch_several_disks_at_one_moment(size: str, boost: bool) -> None:
    assert has_azure_boost(size) is boost
