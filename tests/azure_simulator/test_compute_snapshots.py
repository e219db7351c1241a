"""Snapshots."""

from __future__ import annotations

from datetime import timedelta

import pytest
from arm_client import GOLDEN, IMAGES, Arm, error_of, message_of
from starlette.testclient import TestClient

from include.azure_simulator.world import World

SNAPSHOT = f"{IMAGES}/snapshots/nightly"


def test_a_snapshot_is_creating_then_succeeded(arm: Arm) -> None:
    answer = arm.put(SNAPSHOT, arm.snapshot_body(tags={"run": "1"}))
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (202, "Creating")
    assert arm.done(answer)["status"] == "Succeeded"
    body = arm.get(SNAPSHOT).json()
    assert (body["properties"]["provisioningState"], body["properties"]["completionPercent"]) == ("Succeeded", 100)
    assert body["tags"] == {"run": "1"}


def test_a_snapshot_takes_over_what_its_disk_is(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    properties = arm.get(SNAPSHOT).json()["properties"]
    assert (properties["osType"], properties["hyperVGeneration"], properties["diskSizeGB"]) == ("Linux", "V2", 64)
    assert properties["supportedCapabilities"]["architecture"] == "x64"


def test_incremental_snapshots_of_a_disk_are_one_family(arm: Arm) -> None:
    for name in ("a", "b"):
        arm.take_snapshot(name)
    arm.take_snapshot("c", "golden-vm-data-0")
    ids = [arm.get(f"{IMAGES}/snapshots/{name}").json()["properties"]["incrementalSnapshotFamilyId"] for name in "abc"]
    assert ids[0] == ids[1] != ids[2]


def test_a_second_put_takes_no_new_copy(arm: Arm, world: World) -> None:
    arm.take_snapshot("nightly")
    before = arm.get(SNAPSHOT).json()["properties"]["timeCreated"]
    world.clock.advance(timedelta(hours=1))
    answer = arm.put(SNAPSHOT, arm.snapshot_body(tags={"new": "tag"}))
    assert (answer.status_code, answer.json()["tags"]) == (200, {"new": "tag"})
    assert answer.json()["properties"]["timeCreated"] == before


def test_a_second_put_while_it_is_made_is_the_same_operation(arm: Arm) -> None:
    """A client whose reply was lost asks again; there must not be two copies."""
    first, second = (arm.put(SNAPSHOT, arm.snapshot_body()) for _ in range(2))
    assert (second.status_code, second.headers["Location"]) == (202, first.headers["Location"])


def test_the_source_of_a_snapshot_cannot_change(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    answer = arm.put(SNAPSHOT, arm.snapshot_body("golden-vm-data-0"))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")
    assert "'sourceResourceId'" in message_of(answer)


def test_a_failed_snapshot_can_be_taken_again(client: TestClient, arm: Arm) -> None:
    client.post("/_simulator/faults", json={"method": "PUT", "operation_error": {"code": "InternalServerError"}})
    arm.done(arm.put(SNAPSHOT, arm.snapshot_body()))
    assert arm.done(arm.put(SNAPSHOT, arm.snapshot_body()))["status"] == "Succeeded"


def test_a_missing_source_is_not_found(arm: Arm) -> None:
    assert error_of(arm.put(SNAPSHOT, arm.snapshot_body("nothing"))) == (404, "ResourceNotFound")


def test_a_source_in_another_region_is_refused(arm: Arm) -> None:
    answer = arm.put(SNAPSHOT, arm.snapshot_body(location="northeurope"))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "same region" in message_of(answer)


def test_a_snapshot_cannot_move_to_another_region(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    answer = arm.put(SNAPSHOT, arm.snapshot_body(location="northeurope"))
    assert error_of(answer) == (409, "InvalidResourceLocation")


@pytest.mark.parametrize("name", ["_start", "-start", "end-", "end.", "a" * 81, "sp ace"])
def test_a_wrong_name_is_refused(arm: Arm, name: str) -> None:
    answer = arm.put(f"{IMAGES}/snapshots/{name}", arm.snapshot_body())
    assert error_of(answer) == (400, "InvalidParameter")
    assert "validation rule" in message_of(answer)


@pytest.mark.parametrize("name", ["a", "golden_2026-11-22.os", "a" * 80, "ends_"])
def test_a_right_name_is_accepted(arm: Arm, name: str) -> None:
    assert arm.put(f"{IMAGES}/snapshots/{name}", arm.snapshot_body()).status_code == 202


def test_incremental_snapshots_are_not_premium(arm: Arm) -> None:
    assert error_of(arm.put(SNAPSHOT, arm.snapshot_body(sku={"name": "Premium_LRS"}))) == (400, "InvalidParameter")


def test_an_unknown_sku_is_refused(arm: Arm) -> None:
    assert error_of(arm.put(SNAPSHOT, arm.snapshot_body(sku={"name": "Gold"}))) == (400, "InvalidParameter")


def test_seven_incremental_snapshots_per_disk_in_five_minutes(arm: Arm, world: World) -> None:
    for number in range(7):
        assert arm.put(f"{IMAGES}/snapshots/s{number}", arm.snapshot_body()).status_code == 202
    answer = arm.put(f"{IMAGES}/snapshots/s7", arm.snapshot_body())
    assert error_of(answer) == (429, "OperationNotAllowed")
    assert answer.headers["Retry-After"] == "300"
    assert arm.put(f"{IMAGES}/snapshots/other", arm.snapshot_body("golden-vm-data-0")).status_code == 202
    world.clock.advance(timedelta(minutes=5))
    assert arm.put(f"{IMAGES}/snapshots/s7", arm.snapshot_body()).status_code == 202


def test_the_status_of_that_limit_is_a_switch(arm: Arm, world: World) -> None:
    change = {"compute": {"snapshot_rate_status": 409, "incremental_snapshots_per_window": 1}}
    world.settings = world.settings.patched(change)
    arm.put(f"{IMAGES}/snapshots/one", arm.snapshot_body())
    answer = arm.put(f"{IMAGES}/snapshots/two", arm.snapshot_body())
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "Retry-After" not in answer.headers


def test_the_number_of_incremental_snapshots_of_a_disk_is_limited(arm: Arm, world: World) -> None:
    world.settings = world.settings.patched({"compute": {"incremental_snapshots_per_disk": 1}})
    arm.take_snapshot("one")
    answer = arm.put(f"{IMAGES}/snapshots/two", arm.snapshot_body())
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "maximum of 1 incremental snapshots" in message_of(answer)


def test_deleting_is_an_operation_and_deleting_nothing_is_no_content(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    answer = arm.call("DELETE", SNAPSHOT)
    assert answer.status_code == 202
    assert arm.get(SNAPSHOT).json()["properties"]["provisioningState"] == "Deleting"
    arm.done(answer)
    assert arm.call("DELETE", SNAPSHOT).status_code == 204


def test_a_deletion_that_fails_leaves_the_snapshot(client: TestClient, arm: Arm) -> None:
    arm.take_snapshot("nightly")
    client.post("/_simulator/faults", json={"method": "DELETE", "operation_error": {"code": "InternalServerError"}})
    arm.done(arm.call("DELETE", SNAPSHOT))
    assert arm.get(SNAPSHOT).json()["properties"]["provisioningState"] == "Succeeded"


def test_a_snapshot_cannot_be_deleted_while_an_image_is_made_from_it(arm: Arm) -> None:
    making = arm.put(f"{IMAGES}/images/i", arm.image_body(arm.take_snapshot("nightly")))
    answer = arm.call("DELETE", SNAPSHOT)
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "'i' is being created" in message_of(answer)
    arm.done(making)
    assert arm.call("DELETE", SNAPSHOT).status_code == 202


def test_lists_are_by_group_and_by_subscription(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    counts = [len(arm.get(f"{scope}/snapshots").json()["value"]) for scope in (IMAGES, GOLDEN)]
    assert counts == [1, 0]
    assert len(arm.get("providers/Microsoft.Compute/snapshots").json()["value"]) == 1


def test_tags_can_be_changed(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    assert arm.call("PATCH", SNAPSHOT, {"tags": {"keep": "yes"}}).json()["tags"] == {"keep": "yes"}


def test_nothing_but_tags_can_be_patched(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    answer = arm.call("PATCH", SNAPSHOT, {"properties": {"diskSizeGB": 1}})
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_old_clients_do_not_see_what_came_later(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    assert "snapshotAccessState" not in arm.get(SNAPSHOT, version="2023-10-02").json()["properties"]
    assert arm.get(SNAPSHOT).json()["properties"]["snapshotAccessState"] == "Available"


def test_what_a_client_read_it_can_send_back(arm: Arm) -> None:
    arm.take_snapshot("nightly")
    assert arm.put(SNAPSHOT, arm.get(SNAPSHOT).json()).status_code == 200


@pytest.mark.parametrize("sku", ["PremiumV2_LRS", "UltraSSD_LRS"])
def test_snapshots_of_some_disks_are_filled_in_the_background(arm: Arm, world: World, sku: str) -> None:
    """Disks and images cannot be made from them before."""
    next(disk for disk in world.compute.disks if disk.rid.name == "golden-vm-data-0").sku = sku
    arm.take_snapshot("nightly", "golden-vm-data-0")
    snapshot = arm.get(SNAPSHOT).json()
    properties = snapshot["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert (properties["completionPercent"] < 100, properties["snapshotAccessState"]) == (True, "Pending")
    body = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": snapshot["id"]}},
    }
    refused = arm.put(f"{IMAGES}/disks/early", body)
    assert error_of(refused) == (409, "OperationNotAllowed")
    assert "completionPercent" in message_of(refused)
    world.clock.advance(world.settings.compute.snapshot_copy)
    properties = arm.get(SNAPSHOT).json()["properties"]
    assert (properties["completionPercent"], properties["snapshotAccessState"]) == (100, "Available")
    assert arm.put(f"{IMAGES}/disks/early", body).status_code in (201, 202)
