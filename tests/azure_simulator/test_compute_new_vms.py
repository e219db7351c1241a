"""Virtual machines that come and go: made from copies of disks, changed, deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from arm_client import GOLDEN, IMAGES, NETWORK, VM, Arm, arm_with_vm, error_of, message_of
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.resources import timestamp
from include.azure_simulator.world import World

CLONE = f"{IMAGES}/virtualMachines/clone"


def _codes(arm: Arm, vm: str = CLONE) -> list[str]:
    return [status["code"] for status in arm.get(f"{vm}/instanceView").json()["statuses"]]


def _disk(arm: Arm, name: str, group: str = IMAGES) -> dict[str, Any]:
    properties: dict[str, Any] = arm.get(f"{group}/disks/{name}").json()["properties"]
    return properties


def _usage(arm: Arm, name: str = "cores") -> int:
    usages = arm.get("providers/Microsoft.Compute/locations/westeurope/usages").json()["value"]
    return next(int(usage["currentValue"]) for usage in usages if usage["name"]["value"] == name)


def test_a_vm_boots_from_a_copy_of_the_golden_disks(arm: Arm) -> None:
    body = arm.vm_body(data_disks={0: arm.copy_disk("clone-data-0", "golden-vm-data-0")})
    answer = arm.put(CLONE, body)
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert _codes(arm) == ["ProvisioningState/creating", "PowerState/starting"]
    assert arm.done(answer)["status"] == "Succeeded"
    assert _codes(arm) == ["ProvisioningState/succeeded", "PowerState/running"]
    properties = arm.get(CLONE).json()["properties"]
    assert "osProfile" not in properties
    assert "imageReference" not in properties["storageProfile"]
    os_disk = properties["storageProfile"]["osDisk"]
    assert (os_disk["createOption"], os_disk["managedDisk"]["id"]) == ("Attach", arm.id(f"{IMAGES}/disks/clone-os"))
    assert [disk["lun"] for disk in properties["storageProfile"]["dataDisks"]] == [0]
    assert properties["networkProfile"]["networkInterfaces"][0]["id"] == arm.id(
        f"{NETWORK}/networkInterfaces/clone-nic"
    )


def test_disks_and_interface_of_a_new_vm_belong_to_it(arm: Arm) -> None:
    arm.make_vm()
    disk = arm.get(f"{IMAGES}/disks/clone-os").json()
    assert (disk["managedBy"], disk["properties"]["diskState"]) == (arm.id(CLONE), "Attached")
    interface = arm.get(f"{NETWORK}/networkInterfaces/clone-nic").json()["properties"]
    assert (interface["virtualMachine"]["id"], interface["primary"]) == (arm.id(CLONE), True)


def test_a_vm_that_is_deleted_lets_go_of_its_disks_and_its_interface(arm: Arm) -> None:
    arm.make_vm()
    answer = arm.call("DELETE", f"{CLONE}?forceDeletion=true")
    assert answer.status_code == 202
    assert _disk(arm, "clone-os")["diskState"] == "Attached"
    assert arm.get(CLONE).json()["properties"]["provisioningState"] == "Deleting"
    assert arm.done(answer)["status"] == "Succeeded"
    assert error_of(arm.get(CLONE)) == (404, "ResourceNotFound")
    assert _disk(arm, "clone-os")["diskState"] == "Unattached"
    for path in (f"{NETWORK}/networkInterfaces/clone-nic", f"{IMAGES}/disks/clone-os"):
        arm.done(arm.call("DELETE", path))
        assert arm.get(path).status_code == 404


def test_what_is_to_be_deleted_with_a_vm_goes_with_it(arm: Arm) -> None:
    body = arm.vm_body(data_disks={0: arm.copy_disk("clone-data-0", "golden-vm-data-0")})
    body["properties"]["storageProfile"]["osDisk"]["deleteOption"] = "Delete"
    body["properties"]["networkProfile"]["networkInterfaces"][0]["properties"] = {"deleteOption": "Delete"}
    arm.done(arm.put(CLONE, body))
    assert arm.get(CLONE).json()["properties"]["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    arm.done(arm.call("DELETE", CLONE))
    assert arm.get(f"{IMAGES}/disks/clone-os").status_code == 404
    assert arm.get(f"{NETWORK}/networkInterfaces/clone-nic").status_code == 404
    assert _disk(arm, "clone-data-0")["diskState"] == "Unattached"


def test_deleting_a_vm_that_does_not_exist_is_done(arm: Arm) -> None:
    assert arm.call("DELETE", CLONE).status_code == 204


def test_deleting_a_vm_twice_is_one_operation(arm: Arm) -> None:
    arm.make_vm()
    first, second = arm.call("DELETE", CLONE), arm.call("DELETE", CLONE)
    assert first.headers["Azure-AsyncOperation"] == second.headers["Azure-AsyncOperation"]


def test_a_deletion_overtakes_what_is_being_done_to_the_vm(arm: Arm) -> None:
    made = arm.put(CLONE, arm.vm_body())
    deletion = arm.call("DELETE", CLONE)
    assert arm.done(made)["error"]["code"] == "OperationPreempted"
    assert arm.done(deletion)["status"] == "Succeeded"
    assert arm.get(CLONE).status_code == 404


def test_the_same_put_again_changes_nothing(arm: Arm) -> None:
    body = arm.vm_body()
    arm.done(arm.put(CLONE, body))
    before = arm.get(CLONE).json()
    answer = arm.put(CLONE, body)
    assert answer.status_code == 200
    arm.done(answer)
    assert arm.get(CLONE).json() == before
    assert _codes(arm)[-1] == "PowerState/running"


def test_a_put_while_the_vm_is_being_made_is_a_conflict(arm: Arm) -> None:
    body = arm.vm_body()
    arm.put(CLONE, body)
    assert error_of(arm.put(CLONE, body)) == (409, "Conflict")


def test_what_was_read_can_be_put_back(arm: Arm) -> None:
    answer = arm.put(VM, arm.get(VM).json() | {"tags": {"a": "b"}})
    assert answer.status_code == 200, answer.text
    arm.done(answer)
    assert arm.get(VM).json()["tags"] == {"a": "b"}


def test_data_disks_are_attached_and_detached_by_a_put(arm: Arm, world: World) -> None:
    arm.make_vm()
    body = arm.get(CLONE).json()
    arm.copy_disk("more", "golden-vm-data-1")
    entry = {"lun": 3, "createOption": "Attach", "managedDisk": {"id": arm.id(f"{IMAGES}/disks/more")}}
    body["properties"]["storageProfile"]["dataDisks"] = [entry]
    arm.done(arm.put(CLONE, body))
    attached = _disk(arm, "more")
    assert (attached["diskState"], "LastOwnershipUpdateTime" in attached) == ("Attached", True)
    world.clock.advance(timedelta(hours=1))
    entry["toBeDetached"] = True
    arm.done(arm.put(CLONE, body))
    assert arm.get(CLONE).json()["properties"]["storageProfile"]["dataDisks"] == []
    detached = _disk(arm, "more")
    assert detached["diskState"] == "Unattached"
    assert detached["LastOwnershipUpdateTime"] > attached["LastOwnershipUpdateTime"]


def test_a_vm_whose_creation_failed_can_be_put_again(client: TestClient, arm: Arm) -> None:
    client.post(
        "/_simulator/faults",
        json={"method": "PUT", "path": "/virtualMachines/", "operation_error": {"code": "AllocationFailed"}},
    )
    body = arm.vm_body()
    assert arm.done(arm.put(CLONE, body))["error"]["code"] == "AllocationFailed"
    assert _codes(arm)[0] == "ProvisioningState/failed"
    assert _usage(arm) == 4
    arm.done(arm.put(CLONE, body))
    assert _codes(arm) == ["ProvisioningState/succeeded", "PowerState/running"]


def test_the_interface_of_a_vm_that_never_came_up_stays_reserved_for_a_while(
    client: TestClient, arm: Arm, world: World
) -> None:
    client.post(
        "/_simulator/faults",
        json={"method": "PUT", "path": "/virtualMachines/", "operation_error": {"code": "AllocationFailed"}},
    )
    arm.done(arm.put(CLONE, arm.vm_body()))
    arm.done(arm.call("DELETE", CLONE))
    nic = f"{NETWORK}/networkInterfaces/clone-nic"
    answer = arm.call("DELETE", nic)
    assert error_of(answer) == (400, "NicReservedForAnotherVm")
    assert "retry after 180 seconds" in message_of(answer)
    world.clock.advance(timedelta(seconds=180))
    assert arm.done(arm.call("DELETE", nic))["status"] == "Succeeded"


def test_a_new_vm_counts_against_the_quota(arm: Arm) -> None:
    assert _usage(arm) == 4
    arm.make_vm()
    assert (_usage(arm), _usage(arm, "standardDSv5Family")) == (8, 4)


def test_a_vm_beyond_the_quota_is_refused_and_nothing_is_attached(arm: Arm) -> None:
    body = arm.vm_body()
    arm.quota("standardDSv5Family", 3)
    answer = arm.put(CLONE, body)
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "Current Limit: 3, Current Usage: 0, Additional Required: 4" in message_of(answer)
    assert _disk(arm, "clone-os")["diskState"] == "Unattached"
    assert arm.get(CLONE).status_code == 404


def test_a_start_beyond_the_quota_is_refused(arm: Arm) -> None:
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.quota("cores", 3)
    answer = arm.call("POST", f"{VM}/start")
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "approved Total Regional Cores quota" in message_of(answer)


def test_an_attached_disk_may_not_be_attached_again(arm: Arm) -> None:
    answer = arm.put(CLONE, arm.vm_body(os_disk=arm.id(f"{GOLDEN}/disks/golden-vm-os")))
    assert error_of(answer) == (409, "ConflictingUserInput")
    assert "because it is already attached to VM" in message_of(answer)


@pytest.mark.parametrize(
    ("change", "refused", "text"),
    [
        ({"osProfile": {"computerName": "clone"}}, (400, "InvalidParameter"), "Parameter 'osProfile' is not allowed."),
        ({"hardwareProfile": {"vmSize": "Standard_Z9"}}, (400, "InvalidParameter"), "Standard_D4s_v5"),
        (
            {"hardwareProfile": {"vmSize": "Standard_A2_v2"}},
            (400, "BadRequest"),
            "cannot boot Hypervisor Generation '2'",
        ),
        ({"hardwareProfile": {"vmSize": "Standard_D2ps_v5"}}, (400, "BadRequest"), "only supports a CPU Architecture"),
        ({"hardwareProfile": {"vmSize": "Standard_D2s_v6"}}, (400, "InvalidParameter"), "disk controller types"),
        (
            {"securityProfile": {"securityType": "TrustedLaunch"}},
            (400, "BadRequest"),
            "not compatible with the security",
        ),
        ({"networkProfile": None}, (400, "InvalidParameter"), "'networkProfile' is missing"),
        ({"availabilitySet": {"id": "/nowhere"}}, (400, "InvalidResourceReference"), "/nowhere"),
    ],
)
def test_what_azure_refuses_of_a_new_vm(arm: Arm, change: dict[str, Any], refused: tuple[int, str], text: str) -> None:
    body = arm.vm_body()
    body["properties"].update(change)
    answer = arm.put(CLONE, body)
    assert error_of(answer) == refused
    assert text in message_of(answer)


def test_an_image_and_a_disk_exclude_each_other(arm: Arm) -> None:
    body = arm.vm_body()
    body["properties"]["storageProfile"]["imageReference"] = {"id": "/image"}
    answer = arm.put(CLONE, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert message_of(answer).startswith("Cannot attach an existing OS disk")


def test_a_missing_disk_is_not_found(arm: Arm) -> None:
    answer = arm.put(CLONE, arm.vm_body(os_disk=arm.id(f"{IMAGES}/disks/nothing")))
    assert error_of(answer) == (404, "ResourceNotFound")


def test_more_data_disks_than_the_size_takes_are_refused(arm: Arm) -> None:
    disks = {lun: arm.copy_disk(f"clone-data-{lun}", "golden-vm-data-0") for lun in range(5)}
    answer = arm.put(CLONE, arm.vm_body(data_disks=disks, size="Standard_D2s_v5"))
    assert error_of(answer) == (409, "OperationNotAllowed")
    assert "maximum number of data disks allowed to be attached to a VM of this size is 4" in message_of(answer)


def test_a_vm_on_a_trusted_launch_disk_has_to_say_so(clock: Clock) -> None:
    # azure-sdk-for-python #30479: the UEFI settings alone are not enough
    arm, _ = arm_with_vm(clock, security_type="TrustedLaunch", size="Standard_D4s_v5")
    body = arm.vm_body()
    body["properties"]["securityProfile"] = {"uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
    assert error_of(arm.put(CLONE, body)) == (400, "BadRequest")
    body["properties"]["securityProfile"]["securityType"] = "TrustedLaunch"
    arm.done(arm.put(CLONE, body))
    assert arm.get(CLONE).json()["properties"]["securityProfile"] == body["properties"]["securityProfile"]


def test_a_copy_inherits_trusted_launch_and_may_not_ask_for_it(clock: Clock) -> None:
    # azure-cli #22561
    arm, _ = arm_with_vm(clock, security_type="TrustedLaunch", size="Standard_D4s_v5")
    body = arm.disk_body("golden-vm-os")
    body["properties"]["securityProfile"] = {"securityType": "TrustedLaunch"}
    answer = arm.put(f"{IMAGES}/disks/d", body)
    assert error_of(answer) == (400, "BadRequest")
    assert "is not supported for CreateOption 'Copy'" in message_of(answer)
    arm.copy_disk("d", "golden-vm-os")
    assert _disk(arm, "d")["securityProfile"] == {"securityType": "TrustedLaunch"}


def test_a_copy_may_be_larger_than_its_source_but_not_smaller(arm: Arm) -> None:
    body = arm.disk_body("golden-vm-os")
    body["properties"]["diskSizeGB"] = 32
    assert error_of(arm.put(f"{IMAGES}/disks/d", body)) == (400, "InvalidParameter")
    body["properties"]["diskSizeGB"] = 100
    arm.done(arm.put(f"{IMAGES}/disks/d", body))
    assert _disk(arm, "d")["diskSizeGB"] == 100


def test_ownership_moves_with_start_and_deallocation_not_with_a_stop(arm: Arm, world: World) -> None:
    def moved() -> str:
        world.clock.advance(timedelta(minutes=10))
        return str(_disk(arm, "golden-vm-os", GOLDEN)["LastOwnershipUpdateTime"])

    begun = moved()
    arm.done(arm.call("POST", f"{VM}/powerOff"))
    assert moved() == begun
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    deallocated = moved()
    assert deallocated > begun
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    assert moved() == deallocated
    arm.done(arm.call("POST", f"{VM}/start"))
    assert moved() > deallocated


def test_a_disk_that_was_never_attached_has_no_ownership_time(arm: Arm) -> None:
    arm.copy_disk("d", "golden-vm-os")
    assert "LastOwnershipUpdateTime" not in _disk(arm, "d")


def test_the_time_of_a_status_is_that_of_the_last_change(arm: Arm, world: World) -> None:
    def time() -> str:
        world.clock.advance(timedelta(minutes=10))
        return str(arm.get(f"{VM}/instanceView").json()["statuses"][0]["time"])

    before = time()
    assert time() == before
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    ended = timestamp(world.clock.now())
    assert (time(), time()) == (ended, ended)


def test_a_clone_is_generalized_captured_and_thrown_away(arm: Arm) -> None:
    arm.make_vm()
    script = ["sudo waagent -deprovision+user -force && sudo shutdown +1"]
    arm.done(arm.call("POST", f"{CLONE}/runCommand", {"commandId": "RunShellScript", "script": script}))
    assert _codes(arm)[-1] == "PowerState/stopped"
    arm.done(arm.call("POST", f"{CLONE}/deallocate"))
    assert arm.call("POST", f"{CLONE}/generalize").status_code == 200
    image = {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": arm.id(CLONE)}}}
    arm.done(arm.put(f"{IMAGES}/images/i", image))
    arm.make_definition()
    version = arm.version_body("")
    version["properties"]["storageProfile"] = {"source": {"virtualMachineId": arm.id(CLONE)}}
    arm.done(arm.put(f"{IMAGES}/galleries/golden_gallery/images/golden/versions/1.0.0", version))
    arm.done(arm.call("DELETE", CLONE))
    assert arm.get(f"{IMAGES}/images/i").json()["properties"]["provisioningState"] == "Succeeded"


def test_a_clone_answers_like_the_vm_it_descends_from(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, run_commands=[{"matches": "nvidia-smi", "stdout": "A100"}])
    source = arm.take_snapshot("s")
    arm.done(arm.put(f"{IMAGES}/disks/clone-os", arm.disk_body_of(source)))
    arm.done(arm.call("DELETE", f"{IMAGES}/snapshots/s"))
    arm.make_vm(os_disk=arm.id(f"{IMAGES}/disks/clone-os"))
    answer = arm.call("POST", f"{CLONE}/runCommand", {"commandId": "RunShellScript", "script": ["nvidia-smi"]})
    assert "A100" in arm.done(answer)["properties"]["output"]["value"][0]["message"]


def test_one_run_command_at_a_time(arm: Arm) -> None:
    command = {"commandId": "RunShellScript", "script": ["true"]}
    arm.call("POST", f"{VM}/runCommand", command)
    answer = arm.call("POST", f"{VM}/runCommand", command)
    assert error_of(answer) == (409, "Conflict")
    assert message_of(answer).startswith("Run command extension execution is in progress.")


@pytest.mark.parametrize(
    ("script", "generalized", "stopped"),
    [
        ("waagent -deprovision+user -force", True, False),
        ("sudo /usr/sbin/waagent -verbose -deprovision -force; poweroff", True, True),
        (r"& $env:windir\System32\Sysprep\sysprep.exe /generalize /oobe /quiet /quit", True, False),
        (r"sysprep.exe /generalize /oobe /shutdown", True, True),
        ("waagent --version", False, False),
        ("uptime", False, False),
    ],
)
def test_what_a_script_does_to_the_guest(arm: Arm, script: str, generalized: bool, stopped: bool, clock: Clock) -> None:
    arm, world = arm_with_vm(clock, guest_generalized=False)
    arm.done(arm.call("POST", f"{VM}/runCommand", {"commandId": "RunShellScript", "script": [script]}))
    machine = next(iter(world.compute.machines))
    assert world.compute.machines.guest(machine).generalized is generalized
    assert (_codes(arm, VM)[-1] == "PowerState/stopped") is stopped


def test_a_copy_taken_before_the_deprovisioning_is_not_generalized(clock: Clock) -> None:
    arm, world = arm_with_vm(clock, guest_generalized=False)
    before = arm.take_snapshot("before")
    arm.done(arm.call("POST", f"{VM}/runCommand", {"commandId": "x", "script": ["waagent -deprovision -force"]}))
    after = arm.take_snapshot("after")
    guests = [
        snapshot.content.guest for snapshot in (world.compute.snapshots.find(id) for id in (before, after)) if snapshot
    ]
    assert [guest.generalized for guest in guests if guest] == [False, True]


@pytest.mark.parametrize("deprovisioned", [True, False])
@pytest.mark.parametrize("route", ["vm", "image", "snapshot"])
def test_an_image_knows_whether_its_system_was_deprovisioned(clock: Clock, route: str, deprovisioned: bool) -> None:
    arm, world = arm_with_vm(clock, guest_generalized=False)
    arm.make_vm()
    script = "waagent -deprovision+user -force" if deprovisioned else "true"
    arm.done(arm.call("POST", f"{CLONE}/runCommand", {"commandId": "RunShellScript", "script": [script]}))
    arm.done(arm.call("POST", f"{CLONE}/deallocate"))
    arm.call("POST", f"{CLONE}/generalize")
    arm.make_definition()
    version = arm.version_body(arm.id(f"{IMAGES}/images/i"))
    if route == "vm":
        version["properties"]["storageProfile"] = {"source": {"virtualMachineId": arm.id(CLONE)}}
    elif route == "image":
        image = {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": arm.id(CLONE)}}}
        arm.done(arm.put(f"{IMAGES}/images/i", image))
        arm.done(arm.call("DELETE", CLONE))
    else:
        body = arm.snapshot_body()
        body["properties"]["creationData"]["sourceResourceId"] = arm.id(f"{IMAGES}/disks/clone-os")
        arm.done(arm.put(f"{IMAGES}/snapshots/s", body))
        version["properties"]["storageProfile"] = {"osDiskImage": {"source": {"id": arm.id(f"{IMAGES}/snapshots/s")}}}
    arm.done(arm.put(f"{IMAGES}/galleries/golden_gallery/images/golden/versions/1.0.0", version))
    made = next(iter(world.compute.versions))
    assert (made.guest_generalized, made.base_image) == (deprovisioned, ("canonical", "ubuntu-24_04-lts", "server"))
