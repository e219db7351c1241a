"""Managed images."""

from __future__ import annotations

import pytest
from arm_client import GALLERY, GOLDEN, IMAGES, VERSION, VM, Arm, arm_with_vm, error_of, message_of

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World

IMAGE = f"{IMAGES}/images/golden-image"


def test_an_image_from_snapshots(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"), {0: arm.take_snapshot("d0", "golden-vm-data-0")})
    answer = arm.put(IMAGE, body)
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (201, "Creating")
    arm.done(answer)
    properties = arm.get(IMAGE).json()["properties"]
    assert (properties["provisioningState"], properties["hyperVGeneration"]) == ("Succeeded", "V2")
    assert properties["storageProfile"] == body["properties"]["storageProfile"]


def test_the_batch_part_finds_the_image_in_any_case(arm: Arm, world: World) -> None:
    image = world.compute.managed_image(arm.make_image().upper())
    assert image is not None
    assert (image.os_type, image.os_disk_gib, image.data_disk_luns) == ("Linux", 64, [])


def test_the_generation_is_taken_from_the_snapshot_when_not_given(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    del body["properties"]["hyperVGeneration"]
    assert arm.put(IMAGE, body).json()["properties"]["hyperVGeneration"] == "V2"


def test_a_generation_that_the_snapshot_does_not_have_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    body["properties"]["hyperVGeneration"] = "V1"
    answer = arm.put(IMAGE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert "hyperVGeneration" in message_of(answer)


def test_the_same_lun_twice_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    data = [{"lun": 3, "snapshot": {"id": arm.take_snapshot(f"d{n}", f"golden-vm-data-{n}")}} for n in (0, 1)]
    body["properties"]["storageProfile"]["dataDisks"] = data
    answer = arm.put(IMAGE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert "'3'" in message_of(answer)


def test_the_same_source_twice_is_refused(arm: Arm) -> None:
    source = arm.take_snapshot("os")
    answer = arm.put(IMAGE, arm.image_body(source, {0: source}))
    assert error_of(answer) == (400, "InvalidParameter")


def test_a_specialized_image_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    body["properties"]["storageProfile"]["osDisk"]["osState"] = "Specialized"
    assert error_of(arm.put(IMAGE, body)) == (400, "InvalidParameter")


def test_an_os_disk_without_a_state_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    del body["properties"]["storageProfile"]["osDisk"]["osState"]
    answer = arm.put(IMAGE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert "'storageProfile.osDisk.osState' is missing" in message_of(answer)


def test_an_os_type_that_the_snapshot_does_not_have_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    body["properties"]["storageProfile"]["osDisk"]["osType"] = "Windows"
    assert error_of(arm.put(IMAGE, body)) == (400, "InvalidParameter")


def test_an_image_without_disks_is_refused(arm: Arm) -> None:
    assert error_of(arm.put(IMAGE, {"location": "westeurope", "properties": {}})) == (400, "InvalidParameter")


def test_a_disk_with_two_sources_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    body["properties"]["storageProfile"]["osDisk"]["managedDisk"] = {"id": arm.id(f"{GOLDEN}/disks/golden-vm-os")}
    answer = arm.put(IMAGE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert "Exactly one of" in message_of(answer)


def test_a_missing_snapshot_is_not_found(arm: Arm) -> None:
    assert error_of(arm.put(IMAGE, arm.image_body(arm.id(f"{IMAGES}/snapshots/none")))) == (404, "ResourceNotFound")


def test_a_snapshot_that_is_not_finished_cannot_be_used(arm: Arm) -> None:
    arm.put(f"{IMAGES}/snapshots/os", arm.snapshot_body())
    answer = arm.put(IMAGE, arm.image_body(arm.id(f"{IMAGES}/snapshots/os")))
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "Creating" in message_of(answer)


def test_an_image_in_another_region_than_its_snapshots_is_refused(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os")) | {"location": "northeurope"}
    assert error_of(arm.put(IMAGE, body)) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"security_type": "TrustedLaunch"}, "not supported for virtual machine with TrustedLaunch security type"),
        ({"security_type": "ConfidentialVM"}, "ConfidentialVM security type"),
        ({"architecture": "Arm64", "size": "Standard_D2ps_v5"}, "Arm64"),
    ],
)
def test_what_cannot_be_captured_is_refused(clock: Clock, change: dict[str, str], text: str) -> None:
    arm, _ = arm_with_vm(clock, **change)
    answer = arm.put(IMAGE, arm.image_body(arm.take_snapshot("os")))
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert text in message_of(answer)


def test_a_large_os_disk_is_refused(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, os_disk={"name": "golden-vm-os", "size_gib": 1024})
    answer = arm.put(IMAGE, arm.image_body(arm.take_snapshot("os")))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "1023" in message_of(answer)


def test_an_image_from_a_vm_needs_it_generalized(arm: Arm) -> None:
    body = {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": arm.id(VM)}}}
    assert error_of(arm.put(IMAGE, body)) == (409, "OperationNotAllowed")
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.call("POST", f"{VM}/generalize")
    assert arm.done(arm.put(IMAGE, body))["status"] == "Succeeded"


def test_a_second_put_changes_tags_only(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    arm.done(arm.put(IMAGE, body))
    answer = arm.put(IMAGE, body | {"tags": {"a": "b"}})
    assert (answer.status_code, answer.json()["tags"]) == (200, {"a": "b"})


def test_the_sources_of_an_image_cannot_change(arm: Arm) -> None:
    arm.make_image()
    answer = arm.put(IMAGE, arm.image_body(arm.take_snapshot("another")))
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_a_put_while_it_is_made_is_a_conflict(arm: Arm) -> None:
    body = arm.image_body(arm.take_snapshot("os"))
    arm.put(IMAGE, body)
    assert error_of(arm.put(IMAGE, body)) == (409, "Conflict")


def test_only_tags_may_be_patched(arm: Arm) -> None:
    arm.make_image()
    assert arm.call("PATCH", IMAGE, {"tags": {"a": "b"}}).json()["tags"] == {"a": "b"}
    answer = arm.call("PATCH", IMAGE, {"properties": {"hyperVGeneration": "V1"}})
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_an_image_cannot_be_deleted_while_a_version_is_made_from_it(arm: Arm) -> None:
    arm.make_definition()
    making = arm.put(VERSION, arm.version_body(arm.make_image()))
    assert error_of(arm.call("DELETE", IMAGE)) == (409, "OperationNotAllowed")
    arm.done(making)
    arm.done(arm.call("DELETE", IMAGE))
    assert arm.get(IMAGE).status_code == 404


def test_an_image_name_keeps_the_rule_of_compute(arm: Arm) -> None:
    answer = arm.put(f"{IMAGES}/images/-x", arm.image_body(arm.take_snapshot("os")))
    assert error_of(answer) == (400, "InvalidParameter")


def test_the_gallery_of_the_sample_world_has_no_definition(arm: Arm) -> None:
    assert arm.get(f"{GALLERY}/images").json()["value"] == []
