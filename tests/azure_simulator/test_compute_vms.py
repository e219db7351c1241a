"""Virtual machines: what may be done to them, and when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from arm_client import GOLDEN, IMAGES, VM, Arm, arm_with_vm, error_of, message_of
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import World


def _codes(arm: Arm) -> list[str]:
    return [status["code"] for status in arm.get(f"{VM}/instanceView").json()["statuses"]]


def test_a_vm_shows_its_disks_image_and_tags(arm: Arm) -> None:
    body = arm.get(VM).json()
    storage = body["properties"]["storageProfile"]
    assert storage["osDisk"]["managedDisk"]["id"] == arm.id(f"{GOLDEN}/disks/golden-vm-os")
    assert [disk["lun"] for disk in storage["dataDisks"]] == [0, 1]
    assert storage["imageReference"]["publisher"] == "canonical"
    assert body["tags"] == {"golden.generalized": "true"}
    assert "instanceView" not in body["properties"]


def test_the_instance_view_comes_when_asked_for(arm: Arm) -> None:
    view = arm.get(f"{VM}?$expand=instanceView").json()["properties"]["instanceView"]
    assert view["hyperVGeneration"] == "V2"
    assert [status["code"] for status in view["statuses"]] == ["ProvisioningState/succeeded", "PowerState/running"]


@pytest.mark.parametrize(
    ("action", "meanwhile", "final"),
    [("deallocate", "deallocating", "deallocated"), ("powerOff", "stopping", "stopped")],
)
def test_stopping_goes_through_a_state_in_between(arm: Arm, action: str, meanwhile: str, final: str) -> None:
    answer = arm.call("POST", f"{VM}/{action}")
    assert (answer.status_code, answer.content) == (202, b"")
    assert _codes(arm) == ["ProvisioningState/updating", f"PowerState/{meanwhile}"]
    assert arm.done(answer)["status"] == "Succeeded"
    assert _codes(arm) == ["ProvisioningState/succeeded", f"PowerState/{final}"]


def test_a_stopped_vm_starts_again(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.done(arm.call("POST", f"{VM}/start"))
    assert "PowerState/running" in _codes(arm)


def test_deallocating_twice_is_one_operation(arm: Arm, world: World) -> None:
    first = arm.call("POST", f"{VM}/deallocate")
    world.clock.advance(timedelta(seconds=30))
    second = arm.call("POST", f"{VM}/deallocate")
    assert first.headers["Azure-AsyncOperation"] == second.headers["Azure-AsyncOperation"]


def test_deallocating_a_deallocated_vm_is_done_at_once(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    answer = arm.call("POST", f"{VM}/deallocate")
    assert "PowerState/deallocated" in _codes(arm)
    assert arm.done(answer)["status"] == "Succeeded"


def test_powering_off_a_deallocated_vm_leaves_it_deallocated(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.done(arm.call("POST", f"{VM}/powerOff"))
    assert "PowerState/deallocated" in _codes(arm)


def test_starting_while_deallocating_is_a_conflict(arm: Arm) -> None:
    arm.call("POST", f"{VM}/deallocate")
    assert error_of(arm.call("POST", f"{VM}/start")) == (409, "Conflict")


def test_a_deallocation_that_fails_leaves_the_vm_running(client: TestClient, arm: Arm) -> None:
    client.post(
        "/_simulator/faults", json={"path": "deallocate$", "operation_error": {"code": "InternalExecutionError"}}
    )
    assert arm.done(arm.call("POST", f"{VM}/deallocate"))["status"] == "Failed"
    assert _codes(arm) == ["ProvisioningState/failed", "PowerState/running"]


def test_a_running_vm_cannot_be_generalized(arm: Arm) -> None:
    assert error_of(arm.call("POST", f"{VM}/generalize")) == (409, "OperationNotAllowed")


def test_a_generalized_vm_cannot_be_started(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    assert arm.call("POST", f"{VM}/generalize").status_code == 200
    assert "OSState/generalized" in _codes(arm)
    answer = arm.call("POST", f"{VM}/start")
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "since the VM is generalized" in message_of(answer)


def test_disks_follow_their_vm(arm: Arm) -> None:
    disk = f"{GOLDEN}/disks/golden-vm-os"
    assert arm.get(disk).json()["properties"]["diskState"] == "Attached"
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    assert arm.get(disk).json()["properties"]["diskState"] == "Reserved"


def test_an_unknown_vm_is_not_found(arm: Arm) -> None:
    answer = arm.call("POST", f"{GOLDEN}/virtualMachines/nobody/start")
    assert error_of(answer) == (404, "ResourceNotFound")
    assert "'Microsoft.Compute/virtualMachines/nobody' under resource group 'golden'" in message_of(answer)


def test_tags_can_be_changed(arm: Arm) -> None:
    assert arm.call("PATCH", VM, {"tags": {"a": "b"}}).json()["tags"] == {"a": "b"}


def test_nothing_but_tags_can_be_changed(arm: Arm) -> None:
    answer = arm.call("PATCH", VM, {"properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}}})
    assert error_of(answer) == (409, "PropertyChangeNotAllowed")


def test_a_run_command_gives_the_scripted_output(clock: Clock) -> None:
    arm, world = arm_with_vm(clock, run_commands=[{"matches": "waagent", "stdout": "2.14"}, {"stdout": "other"}])
    answer = arm.call("POST", f"{VM}/runCommand", {"commandId": "RunShellScript", "script": ["waagent --version"]})
    output = arm.done(answer)["properties"]["output"]
    assert output["value"][0]["message"] == "Enable succeeded: \n[stdout]\n2.14\n[stderr]\n\n"
    final = TestClient(build_app(world)).get(answer.headers["Location"])
    assert (final.status_code, final.json()) == (200, output)


def test_a_run_command_succeeds_whatever_the_exit_code_and_a_script_may_tell_it(clock: Clock) -> None:
    """Azure/azure-cli#14425, #25948."""
    arm, _ = arm_with_vm(clock, run_commands=[{"matches": "waagent", "stderr": "no such option", "exit_code": 3}])
    script = ["(", "waagent -deprovision", ")", 'echo "it was $?"']
    answer = arm.call("POST", f"{VM}/runCommand", {"commandId": "RunShellScript", "script": script})
    (status,) = arm.done(answer)["properties"]["output"]["value"]
    assert status["code"] == "ProvisioningState/succeeded"
    assert status["message"] == "Enable succeeded: \n[stdout]\nit was 3\n\n[stderr]\nno such option\n"


def test_a_script_that_fails_does_not_generalize(clock: Clock) -> None:
    arm, world = arm_with_vm(clock, guest_generalized=False, run_commands=[{"exit_code": 3}])
    script = {"commandId": "RunShellScript", "script": ["waagent -deprovision+user"]}
    arm.done(arm.call("POST", f"{VM}/runCommand", script))
    (machine,) = world.compute.machines
    assert not world.compute.machines.guest(machine).generalized


def test_a_run_command_needs_a_running_vm(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    answer = arm.call("POST", f"{VM}/runCommand", {"commandId": "RunShellScript", "script": ["true"]})
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "when the VM is not running" in message_of(answer)


def test_a_vm_with_an_ephemeral_disk_has_no_disk_resource_and_cannot_be_deallocated(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, ephemeral_os_disk=True)
    disk = arm.get(VM).json()["properties"]["storageProfile"]["osDisk"]
    assert (disk["diffDiskSettings"]["option"], "managedDisk" in disk) == ("Local", False)
    assert error_of(arm.call("POST", f"{VM}/deallocate")) == (409, "OperationNotAllowed")


def test_an_unmanaged_disk_shows_its_blob(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, os_disk={"size_gib": 30, "vhd_uri": "https://store.localhost/vhds/os.vhd"})
    disk = arm.get(VM).json()["properties"]["storageProfile"]["osDisk"]
    assert (disk["vhd"]["uri"], "managedDisk" in disk) == ("https://store.localhost/vhds/os.vhd", False)


def test_extensions_are_listed_with_the_vm_and_apart(clock: Clock) -> None:
    extension = {"name": "script", "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript"}
    arm, _ = arm_with_vm(clock, extensions=[extension])
    ids = [entry["id"] for entry in arm.get(f"{VM}/extensions").json()["value"]]
    assert ids == [entry["id"] for entry in arm.get(VM).json()["resources"]]
    assert ids == [arm.id(f"{VM}/extensions/script")]


def test_trusted_launch_shows_on_the_vm_and_its_os_disk(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, security_type="TrustedLaunch")
    assert arm.get(VM).json()["properties"]["securityProfile"]["securityType"] == "TrustedLaunch"
    profile = arm.get(f"{GOLDEN}/disks/golden-vm-os").json()["properties"]["securityProfile"]
    assert profile == {"securityType": "TrustedLaunch"}


def test_encryption_and_plan_show_on_vm_and_disk(clock: Clock) -> None:
    plan = {"name": "n", "publisher": "p", "product": "q"}
    arm, _ = arm_with_vm(clock, encrypted=True, plan=plan)
    vm, disk = arm.get(VM).json(), arm.get(f"{GOLDEN}/disks/golden-vm-os").json()["properties"]
    assert vm["properties"]["storageProfile"]["osDisk"]["encryptionSettings"]["enabled"] is True
    assert disk["encryptionSettingsCollection"]["enabled"] is True
    assert vm["plan"] == disk["purchasePlan"] == plan


def test_an_attached_disk_cannot_be_deleted(arm: Arm) -> None:
    answer = arm.call("DELETE", f"{GOLDEN}/disks/golden-vm-os")
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "is attached to VM" in message_of(answer)


def test_a_disk_can_be_made_from_a_snapshot_and_deleted(arm: Arm) -> None:
    source = arm.take_snapshot("s")
    creation = {"createOption": "Copy", "sourceResourceId": source}
    answer = arm.put(f"{IMAGES}/disks/clone", {"location": "westeurope", "properties": {"creationData": creation}})
    assert answer.status_code == 202
    arm.done(answer)
    body = arm.get(f"{IMAGES}/disks/clone").json()["properties"]
    assert (body["hyperVGeneration"], body["diskSizeGB"], body["diskState"]) == ("V2", 64, "Unattached")
    arm.done(arm.call("DELETE", f"{IMAGES}/disks/clone"))
    assert arm.get(f"{IMAGES}/disks/clone").status_code == 404


def test_an_empty_disk_needs_a_size(arm: Arm) -> None:
    body = {"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}}}
    assert error_of(arm.put(f"{IMAGES}/disks/d", body)) == (400, "InvalidParameter")


def test_usages_count_the_cores_of_vms_that_are_not_deallocated(arm: Arm) -> None:
    path = "providers/Microsoft.Compute/locations/westeurope/usages"

    def cores() -> dict[str, int]:
        return {entry["name"]["value"]: entry["currentValue"] for entry in arm.get(path).json()["value"]}

    assert (cores()["cores"], cores()["standardDSv3Family"]) == (4, 4)
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    assert cores()["cores"] == 0


def test_skus_tell_generations_architecture_and_disk_controllers(arm: Arm) -> None:
    path = "providers/Microsoft.Compute/skus?$filter=location eq 'westeurope'"
    skus = {
        sku["name"]: {capability["name"]: capability["value"] for capability in sku["capabilities"]}
        for sku in arm.get(path).json()["value"]
    }
    wanted = ("HyperVGenerations", "CpuArchitectureType", "DiskControllerTypes")
    assert {name: tuple(skus[name][key] for key in wanted) for name in skus} == {
        "Standard_D4s_v3": ("V1,V2", "x64", "SCSI"),
        "Standard_D2s_v5": ("V1,V2", "x64", "SCSI"),
        "Standard_D4s_v5": ("V1,V2", "x64", "SCSI"),
        "Standard_D8s_v5": ("V1,V2", "x64", "SCSI"),
        "Standard_E4s_v5": ("V1,V2", "x64", "SCSI"),
        "Standard_F4s_v2": ("V1,V2", "x64", "SCSI"),
        "Standard_A2_v2": ("V1", "x64", "SCSI"),
        "Standard_D2ps_v5": ("V2", "Arm64", "SCSI"),
        "Standard_D2s_v6": ("V2", "x64", "NVMe"),
    }


def test_skus_of_all_regions_come_without_a_filter(arm: Arm) -> None:
    regions = {sku["locations"][0] for sku in arm.get("providers/Microsoft.Compute/skus").json()["value"]}
    assert regions == {"westeurope", "northeurope"}
