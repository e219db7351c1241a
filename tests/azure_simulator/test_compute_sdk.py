"""The real Azure SDK against a live server: sync, async, and its pollers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from arm_client import GOLDEN, IMAGES, NETWORK, VM, Arm
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.aio import ComputeManagementClient as AsyncComputeManagementClient
from azure.mgmt.compute.models import (
    HardwareProfile,
    ManagedDiskParameters,
    NetworkInterfaceReference,
    NetworkInterfaceReferenceProperties,
    NetworkProfile,
    OSDisk,
    RestorePoint,
    RestorePointCollection,
    RestorePointCollectionProperties,
    RestorePointCollectionSourceProperties,
    RestorePointProperties,
    StorageProfile,
    VirtualMachine,
    VirtualMachineProperties,
)
from azure.mgmt.resource.resources import ResourceManagementClient

from include.azure_simulator.faults import FaultRequest, OperationFailure
from include.azure_simulator.world import World


class NoToken:
    """A credential that plain http never asks."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("unused", int(time.time()) + 3600)


class AsyncNoToken(NoToken):
    """The same for the async client."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]
        return AccessToken("unused", int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> AsyncNoToken:
        return self

    async def __aexit__(self, *problem: object) -> None:
        """Nothing to close."""


@pytest.fixture
def sdk(world: World, arm: Arm, live_simulator: str) -> Iterator[ComputeManagementClient]:
    """The sync client; time runs fast enough for its pollers."""
    world.clock.set_speed(3_600)
    client = ComputeManagementClient(
        NoToken(),
        arm.subscription,
        base_url=live_simulator,
        authentication_policy=SansIOHTTPPolicy(),
        polling_interval=0,
    )
    with client:
        yield client


def _snapshot(arm: Arm, disk: str = "golden-vm-os") -> dict[str, Any]:
    return arm.snapshot_body(disk)


def test_a_whole_run_from_the_vm_to_the_version_and_back(sdk: ComputeManagementClient, arm: Arm) -> None:
    machine = sdk.virtual_machines.get("golden", "golden-vm", expand="instanceView")
    assert machine.instance_view is not None
    sdk.virtual_machines.begin_deallocate("golden", "golden-vm").result()
    snapshot = sdk.snapshots.begin_create_or_update("images", "os", _snapshot(arm)).result()
    image = sdk.images.begin_create_or_update("images", "image", arm.image_body(str(snapshot.id))).result()
    gallery = ("images", "golden_gallery")
    sdk.gallery_images.begin_create_or_update(*gallery, "golden", arm.definition_body()).result()
    body = arm.version_body(str(image.id), ("westeurope", "northeurope"))
    version = sdk.gallery_image_versions.begin_create_or_update(*gallery, "golden", "1.0.0", body).result()
    assert version.provisioning_state == "Succeeded"
    read = sdk.gallery_image_versions.get(*gallery, "golden", "1.0.0", expand="ReplicationStatus")
    assert read.replication_status.aggregated_state == "Completed"
    sdk.gallery_image_versions.begin_delete(*gallery, "golden", "1.0.0").result()
    sdk.images.begin_delete("images", "image").result()
    sdk.snapshots.begin_delete("images", "os").result()
    with pytest.raises(ResourceNotFoundError):
        sdk.snapshots.get("images", "os")


def test_a_poller_is_resumed_from_its_continuation_token(sdk: ComputeManagementClient, arm: Arm) -> None:
    token = sdk.snapshots.begin_create_or_update("images", "s", _snapshot(arm)).continuation_token()
    poller = sdk.snapshots.begin_create_or_update("images", "s", _snapshot(arm), continuation_token=token)
    assert poller.result().provisioning_state == "Succeeded"


def test_a_failed_operation_reaches_the_client_with_its_code(
    sdk: ComputeManagementClient, arm: Arm, world: World
) -> None:
    world.faults.add(FaultRequest(method="PUT", operation_error=OperationFailure(code="InternalExecutionError")))
    with pytest.raises(HttpResponseError) as refused:
        sdk.snapshots.begin_create_or_update("images", "s", _snapshot(arm)).result()
    assert refused.value.error is not None
    assert refused.value.error.code == "InternalExecutionError"


def test_the_result_of_a_run_command_reaches_the_client(sdk: ComputeManagementClient) -> None:
    command: Any = {"commandId": "RunShellScript", "script": ["true"]}
    result = sdk.virtual_machines.begin_run_command("golden", "golden-vm", command).result()
    assert result.value is not None
    assert result.value[0].code == "ProvisioningState/succeeded"


@pytest.fixture
def generic(arm: Arm, live_simulator: str) -> Iterator[ResourceManagementClient]:
    """The client of any resource type: a network interface needs no SDK of its own."""
    client = ResourceManagementClient(
        NoToken(),
        arm.subscription,
        base_url=live_simulator,
        authentication_policy=SansIOHTTPPolicy(),
        polling_interval=0,
    )
    with client:
        yield client


def test_a_clone_comes_and_goes(sdk: ComputeManagementClient, generic: ResourceManagementClient, arm: Arm) -> None:
    snapshot = sdk.snapshots.begin_create_or_update("images", "s", _snapshot(arm)).result()
    disk = sdk.disks.begin_create_or_update("images", "clone-os", arm.disk_body_of(str(snapshot.id))).result()
    nic = arm.id(f"{NETWORK}/networkInterfaces/clone-nic")
    made = generic.resources.begin_create_or_update_by_id(nic, arm.interface_body(), api_version="2024-07-01").result()
    assert made.properties["provisioningState"] == "Succeeded"
    storage = StorageProfile(
        os_disk=OSDisk(create_option="Attach", managed_disk=ManagedDiskParameters(id=disk.id), delete_option="Detach")
    )
    interface = NetworkInterfaceReference(
        id=nic, properties=NetworkInterfaceReferenceProperties(delete_option="Detach")
    )
    body = VirtualMachine(
        location="westeurope",
        tags={"golden.run": "r"},
        properties=VirtualMachineProperties(
            hardware_profile=HardwareProfile(vm_size="Standard_D2s_v5"),
            storage_profile=storage,
            network_profile=NetworkProfile(network_interfaces=[interface]),
        ),
    )
    machine = sdk.virtual_machines.begin_create_or_update("images", "clone", body).result()
    assert (machine.provisioning_state, machine.os_profile, machine.tags) == ("Succeeded", None, {"golden.run": "r"})
    again = sdk.virtual_machines.begin_create_or_update("images", "clone", body).result()
    assert again.vm_id == machine.vm_id
    command: Any = {"commandId": "RunShellScript", "script": ["waagent -deprovision+user -force"]}
    sdk.virtual_machines.begin_run_command("images", "clone", command).result()
    sdk.virtual_machines.begin_deallocate("images", "clone").result()
    sdk.virtual_machines.generalize("images", "clone")
    source: Any = {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": machine.id}}}
    assert sdk.images.begin_create_or_update("images", "i", source).result().provisioning_state == "Succeeded"
    sdk.virtual_machines.begin_delete("images", "clone", force_deletion=True).result()
    with pytest.raises(ResourceNotFoundError):
        sdk.virtual_machines.get("images", "clone")
    left = sdk.disks.get("images", "clone-os")
    assert (left.disk_state, left.last_ownership_update_time is not None) == ("Unattached", True)
    sdk.disks.begin_delete("images", "clone-os").result()
    generic.resources.begin_delete_by_id(nic, api_version="2024-07-01").result()
    assert arm.get(f"{NETWORK}/networkInterfaces/clone-nic").status_code == 404


def test_a_restore_point_comes_and_goes(sdk: ComputeManagementClient, arm: Arm) -> None:
    collection = RestorePointCollection(
        location="westeurope",
        properties=RestorePointCollectionProperties(source=RestorePointCollectionSourceProperties(id=arm.id(VM))),
    )
    sdk.restore_point_collections.create_or_update("golden", "c", collection)
    wanted = RestorePoint(properties=RestorePointProperties(consistency_mode="CrashConsistent"))
    point = sdk.restore_points.begin_create("golden", "c", "p", wanted).result()
    assert point.provisioning_state == "Succeeded"
    disks = point.source_metadata.storage_profile.data_disks
    for number, disk in enumerate([point.source_metadata.storage_profile.os_disk, *disks]):
        body: Any = arm.disk_body_of(disk.disk_restore_point.id, "Restore")
        restored = sdk.disks.begin_create_or_update("images", f"r-{number}", body).result()
        assert restored.disk_size_gb == disk.disk_size_gb
    assert len(list(sdk.disk_restore_point.list_by_restore_point("golden", "c", "p"))) == 3
    assert [found.name for found in sdk.restore_point_collections.list("golden")] == ["c"]
    sdk.restore_points.begin_delete("golden", "c", "p").result()
    sdk.restore_point_collections.begin_delete("golden", "c").result()
    with pytest.raises(ResourceNotFoundError):
        sdk.restore_point_collections.get("golden", "c")


def test_a_disk_of_another_vm_is_a_conflict(sdk: ComputeManagementClient, arm: Arm, world: World) -> None:
    golden = arm.id(f"{GOLDEN}/disks/golden-vm-os")
    body: Any = arm.vm_body(os_disk=golden)
    with pytest.raises(ResourceExistsError) as refused:
        sdk.virtual_machines.begin_create_or_update("images", "clone", body)
    assert refused.value.error is not None
    assert refused.value.error.code == "ConflictingUserInput"
    assert arm.get(f"{IMAGES}/virtualMachines/clone").status_code == 404


def test_usages_and_skus_are_read(sdk: ComputeManagementClient) -> None:
    assert {usage.name.value for usage in sdk.usage.list("westeurope")} >= {"cores", "standardDSv5Family"}
    names = {sku.name for sku in sdk.resource_skus.list(filter="location eq 'westeurope'")}
    assert "Standard_D2ps_v5" in names


async def test_the_async_client_polls_to_the_end(world: World, arm: Arm, live_simulator: str) -> None:
    world.clock.set_speed(3_600)
    client = AsyncComputeManagementClient(
        AsyncNoToken(), arm.subscription, base_url=live_simulator, authentication_policy=SansIOHTTPPolicy()
    )
    async with client:
        poller = await client.snapshots.begin_create_or_update("images", "s", _snapshot(arm))
        assert (await poller.result()).provisioning_state == "Succeeded"
        names = {disk.name async for disk in client.disks.list_by_resource_group("golden")}
        assert names == {"golden-vm-os", "golden-vm-data-0", "golden-vm-data-1"}
