"""Versions for Trusted Launch, Arm64 and NVMe, from the golden VM or its snapshots to nodes that boot."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from arm_client import DEFINITION, VERSION, VM, Arm, arm_with_vm, error_of, message_of
from batch_client import Batch, machine, pool_body
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

TRUSTED_POOL = {"securityType": "trustedLaunch", "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}


def _features(security: str = "Standard", **more: str) -> dict[str, Any]:
    named = {"SecurityType": security, **more}
    return {"features": [{"name": name, "value": value} for name, value in named.items()]}


def _batch(clock: Clock, **vm: Any) -> Batch:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["compute"]["virtual_machines"][0].update(vm)
    world = World(WorldFile.model_validate(content), clock=clock)
    return Batch(TestClient(build_app(world), base_url="http://localhost:8070"), world)


def _snapshots(arm: Arm) -> dict[str, Any]:
    """The body of a version from snapshots of the OS disk and a data disk."""
    profile = {
        "osDiskImage": {"source": {"id": arm.take_snapshot("os")}},
        "dataDiskImages": [{"lun": 0, "source": {"id": arm.take_snapshot("d0", "golden-vm-data-0")}}],
    }
    return {"location": "westeurope", "properties": {"storageProfile": profile}}


def _generalized_vm(arm: Arm) -> dict[str, Any]:
    """The body of a version from the golden VM, generalized."""
    arm.done(arm.call("POST", f"{VM}/deallocate"))
    arm.call("POST", f"{VM}/generalize")
    profile = {"source": {"virtualMachineId": arm.id(VM)}}
    return {"location": "westeurope", "properties": {"storageProfile": profile}}


def _boots(batch: Batch, size: str, **configuration: Any) -> dict[str, int]:
    """What becomes of the nodes of a pool on the version."""
    deployment = {"virtualMachineConfiguration": machine({"id": batch.arm.id(VERSION)}, **configuration)}
    batch.make("nightly", pool_body(1, vmSize=size, deploymentConfiguration=deployment))
    return batch.counts("nightly")


@pytest.mark.parametrize("body_of", [_snapshots, _generalized_vm])
def test_a_trusted_launch_machine_becomes_trusted_launch_nodes(clock: Clock, body_of: Any) -> None:
    batch = _batch(clock, security_type="TrustedLaunch")
    batch.arm.make_definition(**_features("TrustedLaunch"))
    assert batch.arm.done(batch.arm.put(VERSION, body_of(batch.arm)))["status"] == "Succeeded"
    assert _boots(batch, "STANDARD_D2S_V5", securityProfile=TRUSTED_POOL) == {"idle": 1, "total": 1}


@pytest.mark.parametrize("body_of", [_snapshots, _generalized_vm])
def test_an_arm_machine_becomes_arm_nodes(clock: Clock, body_of: Any) -> None:
    batch = _batch(clock, architecture="Arm64", size="Standard_D2ps_v5")
    batch.arm.make_definition(architecture="Arm64", **_features())
    assert batch.arm.done(batch.arm.put(VERSION, body_of(batch.arm)))["status"] == "Succeeded"
    assert _boots(batch, "STANDARD_D2PS_V5") == {"idle": 1, "total": 1}


def test_an_arm_snapshot_needs_an_arm_definition(clock: Clock) -> None:
    arm, _ = arm_with_vm(clock, architecture="Arm64", size="Standard_D2ps_v5")
    arm.make_definition()
    answer = arm.put(VERSION, _snapshots(arm))
    assert error_of(answer) == (400, "InvalidParameter")
    assert "since the Architecture in the parent gallery image (x64) is not Arm64" in message_of(answer)


@pytest.mark.parametrize("value", ["SCSI, NVMe", "NVMe,SCSI", "scsi,nvme"])
def test_a_machine_on_nvme_becomes_nodes_on_nvme(clock: Clock, value: str) -> None:
    batch = _batch(clock, disk_controller="NVMe", size="Standard_D2s_v6")
    arm = batch.arm
    arm.make_definition(**_features(DiskControllerTypes=value))
    body = _snapshots(arm)
    snapshot = arm.get("resourceGroups/images/providers/Microsoft.Compute/snapshots/os").json()
    assert snapshot["properties"]["supportedCapabilities"]["diskControllerTypes"] == "SCSI, NVME"
    assert arm.done(arm.put(VERSION, body))["status"] == "Succeeded"
    assert _boots(batch, "STANDARD_D2S_V6") == {"idle": 1, "total": 1}


@pytest.mark.parametrize("security", ["Standard", "TrustedLaunch", "ConfidentialVM"])
@pytest.mark.parametrize("feature", ["Standard", "TrustedLaunch", "ConfidentialVM"])
@pytest.mark.parametrize("body_of", [_snapshots, _generalized_vm])
def test_a_source_has_the_security_type_of_its_definition(
    clock: Clock, security: str, feature: str, body_of: Any
) -> None:
    arm, _ = arm_with_vm(clock, security_type=security)
    arm.make_definition(**_features(feature))
    answer = arm.put(VERSION, body_of(arm))
    if security == feature:
        assert answer.status_code == 201
    else:
        assert error_of(answer) == (400, "InvalidParameter")
        assert f"does not match the security type '{feature}'" in message_of(answer)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("Standard", "Standard", 201),
        ("Standard", "TrustedLaunchSupported", 201),
        ("Standard", "TrustedLaunch", 400),
        ("TrustedLaunch", "TrustedLaunch", 201),
        ("TrustedLaunch", "Standard", 400),
        ("TrustedLaunch", "TrustedLaunchSupported", 400),
    ],
)
def test_a_version_passes_its_security_type_on(clock: Clock, first: str, second: str, status: int) -> None:
    arm, _ = arm_with_vm(clock, security_type=first)
    arm.make_definition(**_features(first))
    arm.done(arm.put(VERSION, _snapshots(arm)))
    other = DEFINITION.replace("images/golden", "images/other")
    identifier = {"publisher": "team", "offer": "golden", "sku": "other"}
    arm.done(arm.put(other, arm.definition_body(identifier=identifier, **_features(second))))
    answer = arm.put(f"{other}/versions/1.0.0", arm.version_body(arm.id(VERSION)))
    assert answer.status_code == status
    if status == 400:
        assert f"The security type '{first}' of the source" in message_of(answer)


@pytest.mark.parametrize(
    ("vm", "text"),
    [
        ({"ephemeral_os_disk": True}, "cannot contain an ephemeral OS disk"),
        ({"encrypted": True}, "cannot contain an encrypted disk"),
        ({"os_disk": {"size_gib": 30, "vhd_uri": "https://a.blob.core.windows.net/v/a.vhd"}}, "from Managed Disks"),
        ({"data_disks": [{"lun": 0, "name": "fast", "size_gib": 4, "sku": "UltraSSD_LRS"}]}, "disk ['fast'] stored in"),
    ],
)
def test_a_machine_whose_disks_a_gallery_does_not_take_is_refused(clock: Clock, vm: dict[str, Any], text: str) -> None:
    arm, _ = arm_with_vm(clock, generalized=True, power_state="deallocated", **vm)
    arm.make_definition()
    body = {"location": "westeurope", "properties": {"storageProfile": {"source": {"virtualMachineId": arm.id(VM)}}}}
    answer = arm.put(VERSION, body)
    assert error_of(answer) == (400, "InvalidParameter")
    assert message_of(answer).startswith(f"Source virtual machine {arm.id(VM)} ")
    assert text in message_of(answer)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_source_with_a_key_of_its_own_stays_in_its_subscription(clock: Clock, elsewhere: bool) -> None:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    other = "51a51a51-0000-4000-8000-00000000000f"
    if elsewhere:
        groups = [{"name": "golden", "location": "westeurope"}]
        content["subscriptions"].append({"id": other, "display_name": "Other", "resource_groups": groups})
        content["compute"]["virtual_machines"][0]["subscription"] = other
    disk = content["compute"]["virtual_machines"][0]["os_disk"]
    disk |= {"encryption_type": "EncryptionAtRestWithCustomerKey", "encryption_set_id": "/a/key"}
    world = World(WorldFile.model_validate(content), clock=clock)
    arm = Arm(TestClient(build_app(world)), world)
    arm.make_definition()
    source = next(disk.id for disk in world.compute.disks if disk.rid.name == "golden-vm-os")
    answer = arm.put(
        VERSION,
        {"location": "westeurope", "properties": {"storageProfile": {"osDiskImage": {"source": {"id": source}}}}},
    )
    assert answer.status_code == (400 if elsewhere else 201)
    if elsewhere:
        assert "Encrypted source" in message_of(answer)
