"""Image versions: sources, regions, replication, deletion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arm_client import DEFINITION, GOLDEN, IMAGES, VERSION, VM, Arm, arm_with_vm, error_of, message_of
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World

BOTH = ("West Europe", "northeurope")


def _replication(arm: Arm) -> tuple[str, dict[str, str]]:
    status = arm.get(f"{VERSION}?$expand=ReplicationStatus").json()["properties"]["replicationStatus"]
    return status["aggregatedState"], {entry["region"]: entry["state"] for entry in status["summary"]}


def _from_snapshots(arm: Arm, os_disk: str, data: dict[int, str] | None = None) -> dict[str, Any]:
    profile = {
        "osDiskImage": {"source": {"id": os_disk}},
        "dataDiskImages": [{"lun": lun, "source": {"id": source}} for lun, source in (data or {}).items()],
    }
    return {"location": "westeurope", "properties": {"storageProfile": profile}}


def test_a_version_is_ready_region_by_region(arm: Arm, world: World) -> None:
    arm.make_definition()
    answer = arm.put(VERSION, arm.version_body(arm.make_image(), BOTH))
    assert answer.status_code == 201
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert _replication(arm) == ("InProgress", {"West Europe": "Replicating", "North Europe": "Replicating"})
    world.clock.advance(world.settings.compute.version_home_region)
    assert _replication(arm) == ("InProgress", {"West Europe": "Completed", "North Europe": "Replicating"})
    assert (version.regions_ready, version.provisioning_state) == ({"westeurope"}, "Creating")
    assert arm.done(answer)["status"] == "Succeeded"
    assert _replication(arm) == ("Completed", {"West Europe": "Completed", "North Europe": "Completed"})
    assert (version.regions_ready, version.provisioning_state) == ({"westeurope", "northeurope"}, "Succeeded")


def test_replication_status_comes_only_when_asked_for(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    assert "replicationStatus" not in arm.get(VERSION).json()["properties"]


def test_a_version_that_fails_says_so_and_can_be_put_again(client: TestClient, arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image(), BOTH)
    failure = {"code": "ReplicationJobsNotCompleted", "message": "no luck"}
    client.post("/_simulator/faults", json={"path": "/versions/", "operation_error": failure})
    assert arm.done(arm.put(VERSION, body))["error"] == failure
    assert arm.get(VERSION).json()["properties"]["provisioningState"] == "Failed"
    assert _replication(arm)[0] == "Failed"
    assert arm.done(arm.put(VERSION, body))["status"] == "Succeeded"


@pytest.mark.parametrize("number", ["1", "1.0", "v1.0.0", "1.0.2147483648", "1.0.0.0", "1.0.x"])
def test_a_wrong_version_number_is_refused(arm: Arm, number: str) -> None:
    arm.make_definition()
    answer = arm.put(f"{DEFINITION}/versions/{number}", arm.version_body(arm.id(f"{IMAGES}/images/x")))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "Major(int).Minor(int).Patch(int)" in message_of(answer)


def test_a_version_number_of_a_date_fits(arm: Arm) -> None:
    arm.make_definition()
    path = f"{DEFINITION}/versions/2026.1122.235959"
    assert arm.put(path, arm.version_body(arm.make_image())).status_code == 201


def test_a_version_needs_its_definition(arm: Arm) -> None:
    assert error_of(arm.put(VERSION, arm.version_body("x"))) == (404, "ParentResourceNotFound")


def test_a_missing_source_is_refused(arm: Arm) -> None:
    arm.make_definition()
    answer = arm.put(VERSION, arm.version_body(arm.id(f"{IMAGES}/images/none")))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "same region 'westeurope'" in message_of(answer)


def test_a_source_in_another_region_is_refused(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image(), BOTH) | {"location": "northeurope"}
    assert error_of(arm.put(VERSION, body)) == (400, "InvalidParameter")


def test_target_regions_must_contain_the_home_region(arm: Arm) -> None:
    arm.make_definition()
    answer = arm.put(VERSION, arm.version_body(arm.make_image(), ("northeurope",)))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "must contain the location of image version 'westeurope'" in message_of(answer)


@pytest.mark.parametrize("regions", [("westeurope", "moonbase"), ("westeurope", "West Europe")])
def test_an_unknown_or_repeated_region_is_refused(arm: Arm, regions: tuple[str, ...]) -> None:
    arm.make_definition()
    assert error_of(arm.put(VERSION, arm.version_body(arm.make_image(), regions))) == (400, "InvalidParameter")


def test_a_version_has_a_hundred_replicas_at_most(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image(), BOTH)
    for target in body["properties"]["publishingProfile"]["targetRegions"]:
        target["regionalReplicaCount"] = 51
    answer = arm.put(VERSION, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert "at most 100 replicas" in message_of(answer)


def test_both_kinds_of_source_at_once_are_refused(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image())
    body["properties"]["storageProfile"]["osDiskImage"] = {"source": {"id": arm.take_snapshot("os")}}
    assert error_of(arm.put(VERSION, body)) == (400, "InvalidParameter")


def test_a_version_straight_from_snapshots(arm: Arm, world: World) -> None:
    arm.make_definition()
    body = _from_snapshots(arm, arm.take_snapshot("os"), {0: arm.take_snapshot("d0", "golden-vm-data-0")})
    arm.done(arm.put(VERSION, body))
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert (version.os_disk_gib, version.data_disk_luns) == (64, [0])
    profile = arm.get(VERSION).json()["properties"]["storageProfile"]
    assert (profile["osDiskImage"]["sizeInGB"], profile["dataDiskImages"][0]["sizeInGB"]) == (64, 128)


def test_the_same_lun_twice_is_refused(arm: Arm) -> None:
    arm.make_definition()
    body = _from_snapshots(arm, arm.take_snapshot("os"))
    disks = [{"lun": 1, "source": {"id": arm.take_snapshot(f"d{n}", f"golden-vm-data-{n}")}} for n in (0, 1)]
    body["properties"]["storageProfile"]["dataDiskImages"] = disks
    assert error_of(arm.put(VERSION, body)) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("definition", "label"),
    [
        ({"osType": "Windows"}, "OS Type"),
        ({"osState": "Specialized"}, "OS State"),
        ({"hyperVGeneration": "V1", "features": []}, "Hyper-V Generation"),
        ({"architecture": "Arm64"}, "Architecture"),
    ],
)
def test_a_source_that_does_not_fit_its_definition_is_refused(arm: Arm, definition: dict[str, Any], label: str) -> None:
    arm.make_definition(**definition)
    answer = arm.put(VERSION, arm.version_body(arm.make_image()))
    assert error_of(answer) == (400, "InvalidParameter")
    assert f"since the {label} in the parent gallery image" in message_of(answer)


def test_snapshots_do_not_go_with_trusted_launch_supported(arm: Arm) -> None:
    arm.make_definition(features=[{"name": "SecurityType", "value": "TrustedLaunchSupported"}])
    answer = arm.put(VERSION, _from_snapshots(arm, arm.take_snapshot("os")))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "Currently only Vhd Blob, User Image and Gallery Image Version sources" in message_of(answer)


def test_trusted_launch_supported_is_validated_for_an_hour(arm: Arm, world: World) -> None:
    arm.make_definition(features=[{"name": "SecurityType", "value": "TrustedLaunchSupported"}])
    answer = arm.put(VERSION, arm.version_body(arm.make_image()))
    world.clock.advance(timedelta(hours=1))
    assert arm.get(VERSION).json()["properties"]["provisioningState"] == "Creating"
    arm.done(answer)
    validation = arm.get(VERSION).json()["properties"]["validationsProfile"]["executedValidations"][0]
    assert validation["status"] == "Succeeded"


@pytest.mark.parametrize(("feature", "status"), [("TrustedLaunch", 201), ("Standard", 400)])
def test_a_trusted_launch_snapshot_needs_a_trusted_launch_definition(clock: Clock, feature: str, status: int) -> None:
    arm, _ = arm_with_vm(clock, security_type="TrustedLaunch")
    arm.make_definition(features=[{"name": "SecurityType", "value": feature}])
    assert arm.put(VERSION, _from_snapshots(arm, arm.take_snapshot("os"))).status_code == status


@pytest.mark.parametrize("with_plan", [True, False])
def test_the_purchase_plan_must_be_that_of_the_definition(clock: Clock, with_plan: bool) -> None:
    plan = {"name": "n", "publisher": "p", "product": "q"}
    arm, _ = arm_with_vm(clock, plan=plan)
    arm.make_definition(**({"purchasePlan": plan} if with_plan else {}))
    answer = arm.put(VERSION, _from_snapshots(arm, arm.take_snapshot("os")))
    assert answer.status_code == (201 if with_plan else 400)


def test_a_data_disk_beyond_a_tebibyte_is_refused(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, data_disks=[{"lun": 0, "name": "big", "size_gib": 1025}])
    arm.make_definition()
    answer = arm.put(VERSION, _from_snapshots(arm, arm.take_snapshot("os"), {0: arm.take_snapshot("d", "big")}))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "1024 GB" in message_of(answer)


def test_a_vm_as_source_must_be_generalized_like_its_definition(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body("") | {}
    body["properties"]["storageProfile"] = {"source": {"virtualMachineId": arm.id(VM)}}
    assert "OS State" in message_of(arm.put(VERSION, body))
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.call("POST", f"{VM}/generalize")
    assert arm.put(VERSION, body).status_code == 201


def test_a_vm_as_source_needs_a_newer_api_version(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body("")
    body["properties"]["storageProfile"] = {"source": {"virtualMachineId": arm.id(VM)}}
    answer = arm.put(VERSION, body, version="2022-08-03")
    assert error_of(answer) == (400, "InvalidParameter")
    assert "virtualMachineId" in message_of(answer)


def test_a_vm_with_an_ephemeral_disk_is_no_source(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, ephemeral_os_disk=True)
    arm.make_definition()
    body = arm.version_body("")
    body["properties"]["storageProfile"] = {"source": {"virtualMachineId": arm.id(VM)}}
    assert "cannot contain an ephemeral OS disk" in message_of(arm.put(VERSION, body))


def test_two_versions_from_one_source_at_once_are_throttled(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image())
    arm.put(VERSION, body)
    answer = arm.put(f"{DEFINITION}/versions/1.0.1", body)
    assert error_of(answer) == (429, "TooManyRequests")
    assert "Too many requests on source" in message_of(answer)


def test_that_can_be_switched_off(arm: Arm, world: World) -> None:
    world.settings = world.settings.patched({"compute": {"serialise_source": False}})
    arm.make_definition()
    body = arm.version_body(arm.make_image())
    arm.put(VERSION, body)
    assert arm.put(f"{DEFINITION}/versions/1.0.1", body).status_code == 201


def test_a_put_while_a_version_is_made_is_a_conflict(arm: Arm) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image())
    arm.put(VERSION, body)
    assert error_of(arm.put(VERSION, body)) == (409, "Conflict")


def test_a_region_can_be_added_and_removed(arm: Arm, world: World) -> None:
    arm.make_definition()
    image = arm.make_image()
    arm.done(arm.put(VERSION, arm.version_body(image)))
    answer = arm.put(VERSION, arm.version_body(image, BOTH))
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (200, "Updating")
    assert _replication(arm) == ("InProgress", {"West Europe": "Completed", "North Europe": "Replicating"})
    arm.done(answer)
    assert _replication(arm)[0] == "Completed"
    arm.done(arm.put(VERSION, arm.version_body(image)))
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert version.regions_ready == {"westeurope"}


def test_a_failed_update_keeps_the_replicas_that_were_there(client: TestClient, arm: Arm, world: World) -> None:
    arm.make_definition()
    image = arm.make_image()
    arm.done(arm.put(VERSION, arm.version_body(image)))
    client.post("/_simulator/faults", json={"path": "/versions/", "operation_error": {"code": "InternalServerError"}})
    arm.done(arm.put(VERSION, arm.version_body(image, BOTH)))
    version = world.compute.image_version(arm.id(VERSION))
    assert version is not None
    assert version.regions_ready == {"westeurope"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"storageAccountType": "Premium_LRS"}, "publishingProfile.storageAccountType"),
        ({"replicationMode": "Shallow"}, "publishingProfile.replicationMode"),
    ],
)
def test_storage_type_and_replication_mode_cannot_change(arm: Arm, change: dict[str, str], name: str) -> None:
    arm.make_definition()
    image = arm.make_image()
    arm.done(arm.put(VERSION, arm.version_body(image)))
    answer = arm.put(VERSION, arm.version_body(image, **change))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")
    assert name in message_of(answer)


def test_the_source_cannot_change(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    answer = arm.put(VERSION, arm.version_body(arm.make_image("second")))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")
    assert "storageProfile.source.id" in message_of(answer)


def test_what_a_client_read_it_can_send_back(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image(), BOTH)))
    read = arm.get(f"{VERSION}?$expand=ReplicationStatus").json()
    assert arm.done(arm.put(VERSION, read))["status"] == "Succeeded"


def test_a_version_is_protected_until_its_end_of_life(arm: Arm, world: World) -> None:
    arm.make_definition()
    body = arm.version_body(arm.make_image(), endOfLifeDate="2026-12-01T00:00:00Z")
    body["properties"]["safetyProfile"] = {"blockDeletionBeforeEndOfLife": True}
    arm.done(arm.put(VERSION, body))
    answer = arm.call("DELETE", VERSION)
    assert error_of(answer) == (409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife")
    world.clock.advance(timedelta(days=30))
    assert arm.call("DELETE", VERSION).status_code == 202


def test_a_patch_changes_what_may_change(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image(), BOTH)))
    properties = {"storageProfile": {}, "publishingProfile": {"excludeFromLatest": True}}
    answer = arm.call("PATCH", VERSION, {"tags": {"old": "yes"}, "properties": properties})
    assert (answer.status_code, arm.done(answer)["status"]) == (200, "Succeeded")
    body = arm.get(VERSION).json()
    profile = body["properties"]["publishingProfile"]
    assert (body["tags"], profile["excludeFromLatest"], len(profile["targetRegions"])) == ({"old": "yes"}, True, 2)


def test_a_patch_of_tags_alone_is_done_at_once(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    answer = arm.call("PATCH", VERSION, {"tags": {"a": "b"}})
    assert answer.json()["tags"] == {"a": "b"}
    assert answer.json()["properties"]["provisioningState"] == "Succeeded"


def test_a_patch_cannot_change_the_replication_mode(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    properties = {"storageProfile": {}, "publishingProfile": {"replicationMode": "Shallow"}}
    answer = arm.call("PATCH", VERSION, {"properties": properties})
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_a_patch_of_properties_needs_the_storage_profile(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    answer = arm.call("PATCH", VERSION, {"properties": {"publishingProfile": {"excludeFromLatest": True}}})
    assert error_of(answer) == (400, "InvalidParameter")
    assert "storageProfile' is missing" in message_of(answer)


def test_replicated_regions_can_be_protected(arm: Arm) -> None:
    arm.make_definition()
    image = arm.make_image()
    body = arm.version_body(image, BOTH)
    body["properties"]["safetyProfile"] = {"allowDeletionOfReplicatedLocations": False}
    arm.done(arm.put(VERSION, body))
    assert error_of(arm.put(VERSION, arm.version_body(image))) == (409, "OperationNotAllowed")


def test_a_version_that_nodes_boot_from_now_cannot_be_deleted(
    arm: Arm, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    monkeypatch.setattr(world.batch, "uses_image", lambda resource_id: resource_id == arm.id(VERSION))
    answer = arm.call("DELETE", VERSION)
    assert error_of(answer) == (409, "OperationNotAllowedOnVMImageAsVMsBeingProvisioned")


def test_latest_is_the_highest_number_that_is_ready_and_not_excluded(arm: Arm, world: World) -> None:
    arm.make_definition()
    image = arm.make_image()
    for number, excluded in (("1.9.0", False), ("1.10.0", False), ("2.0.0", True)):
        path = f"{DEFINITION}/versions/{number}"
        arm.done(arm.put(path, arm.version_body(image, excludeFromLatest=excluded)))
    arm.put(f"{DEFINITION}/versions/3.0.0", arm.version_body(image))
    latest = world.compute.latest_version(arm.id(DEFINITION))
    assert latest is not None
    assert latest.rid.name == "1.10.0"


def test_latest_of_a_definition_without_versions_is_none(arm: Arm, world: World) -> None:
    assert world.compute.latest_version(arm.id(arm.make_definition())) is None


def test_a_version_can_be_made_from_another_version(arm: Arm) -> None:
    arm.make_definition()
    arm.done(arm.put(VERSION, arm.version_body(arm.make_image())))
    answer = arm.put(f"{DEFINITION}/versions/1.0.1", arm.version_body(arm.id(VERSION)))
    assert arm.done(answer)["status"] == "Succeeded"


def test_a_disk_is_a_source_too(arm: Arm) -> None:
    arm.make_definition()
    assert arm.put(VERSION, _from_snapshots(arm, arm.id(f"{GOLDEN}/disks/golden-vm-os"))).status_code == 201


def test_an_unknown_operation_is_not_found(arm: Arm) -> None:
    path = "providers/Microsoft.Compute/locations/westeurope/capsOperations/nothing"
    assert error_of(arm.get(path, version="2026-03-03")) == (404, "NotFound")


def test_the_location_url_is_202_while_running_and_200_at_the_end(client: TestClient, arm: Arm) -> None:
    arm.make_definition()
    answer = arm.put(VERSION, arm.version_body(arm.make_image()))
    assert client.get(answer.headers["Location"]).status_code == 202
    arm.done(answer)
    assert client.get(answer.headers["Location"]).status_code == 200
