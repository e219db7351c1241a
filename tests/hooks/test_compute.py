"""What the Compute hook sends, word by word, and what it makes of odd answers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.compute import AsyncComputeHook, ComputeHook
from golden_pools.hooks.connection import AzureConnection
from golden_pools.rules.facts import PowerState, PurchasePlan
from golden_pools.rules.origin import DiskSource, Origin
from golden_pools.rules.source import System

from .wire import SUBSCRIPTION, Answer, Wire

OTHER = "22222222-2222-2222-2222-222222222222"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute"
DEFINITION_ID = f"{GROUP}/galleries/gal/images/def"
VERSION_ID = f"{DEFINITION_ID}/versions/1.2.3"
SYSTEM = System(location="westeurope", os_type="Linux", generation="V2")
DONE = Answer(200, {"id": "/x", "name": "x", "properties": {"provisioningState": "Succeeded"}})


@pytest.fixture
def hook(wire: Wire, connection: AzureConnection) -> ComputeHook:
    return ComputeHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)


def vm(**properties: Any) -> dict[str, Any]:
    return {"id": f"{GROUP}/virtualMachines/vm", "name": "vm", "location": "West Europe", "properties": properties}


class TestGoldenVm:
    def test_a_bare_vm_with_an_unmanaged_disk_is_read(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(body=vm(storageProfile={"osDisk": {"name": "os", "vhd": {"uri": "https://x"}}})))
        seen = hook.golden_vm("golden", "vm")
        assert (seen.os_disk.id, seen.os_disk.lun, seen.location) == (None, None, "westeurope")
        assert seen.power_state is PowerState.UNKNOWN
        assert (seen.generation, seen.architecture) == ("V1", "x64")

    def test_the_instance_view_is_asked_for(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(body=vm(storageProfile={})))
        hook.golden_vm("golden", "vm")
        assert "$expand=instanceView" in wire.requests[0].url

    def test_states_and_extensions_are_read(self, wire: Wire, hook: ComputeHook) -> None:
        codes = ("ProvisioningState/succeeded", "PowerState/deallocated", "OSState/generalized")
        view = {"statuses": [{"code": code} for code in codes], "extensions": [{"name": "monitor"}]}
        resources = [
            {"name": "script", "type": "Microsoft.Compute/virtualMachines/extensions"},
            {"name": "vm/monitor", "type": "Microsoft.Compute/virtualMachines/extensions"},
        ]
        wire.script(Answer(body={**vm(instanceView=view, storageProfile={}), "resources": resources}))
        seen = hook.golden_vm("golden", "vm")
        assert (seen.power_state, seen.flagged_generalized) == (PowerState.DEALLOCATED, True)
        assert seen.extensions == ("monitor", "script")

    def test_what_keeps_a_disk_out_of_a_restore_point_is_read(self, wire: Wire, hook: ComputeHook) -> None:
        disk_id = f"{GROUP}/disks/data"
        entry = {"lun": 0, "name": "data", "managedDisk": {"id": disk_id}, "writeAcceleratorEnabled": True}
        disk = {"id": disk_id, "name": "data", "location": "westeurope", "properties": {"maxShares": 3}}
        wire.script(Answer(body=vm(storageProfile={"dataDisks": [entry]})), Answer(body=disk))
        seen = hook.golden_vm("golden", "vm")
        assert (seen.data_disks[0].write_accelerator, seen.data_disks[0].max_shares) == (True, 3)
        assert (seen.os_disk.write_accelerator, seen.os_disk.max_shares) == (False, 1)

    def test_a_disk_is_read_where_it_lies(self, wire: Wire, hook: ComputeHook) -> None:
        """A VM's disk may be in another resource group than the VM, and Azure changes the case of ids."""
        disk_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/DISKS/providers/Microsoft.Compute/disks/os"
        disk = {
            "id": disk_id.lower(),
            "name": "os",
            "location": "westeurope",
            "sku": {"name": "Premium_LRS"},
            "properties": {
                "creationData": {"createOption": "FromImage"},
                "diskSizeGB": 64,
                "osType": "Linux",
                "hyperVGeneration": "V2",
                "supportedCapabilities": {"architecture": "x64", "diskControllerTypes": "SCSI, NVME"},
                "securityProfile": {"securityType": "TrustedLaunch"},
                "encryptionSettingsCollection": {"enabled": True},
                "purchasePlan": {"name": "n", "publisher": "p", "product": "o"},
            },
        }
        os_disk = {"name": "os", "osType": "Linux", "createOption": "FromImage", "managedDisk": {"id": disk_id}}
        wire.script(Answer(body=vm(storageProfile={"osDisk": os_disk})), Answer(body=disk))
        seen = hook.golden_vm("golden", "vm").os_disk
        assert "/resourceGroups/DISKS/" in wire.requests[1].url
        assert (seen.sku, seen.size_gib, seen.security_type) == ("Premium_LRS", 64, "TrustedLaunch")
        assert seen.controller_types == ("SCSI", "NVME")
        assert seen.ade_enabled
        assert seen.purchase_plan == PurchasePlan(name="n", publisher="p", product="o")

    def test_a_missing_vm_is_refused(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(404, {"error": {"code": "ResourceNotFound", "message": "m"}}))
        with pytest.raises(AzureRefusedError) as caught:
            hook.golden_vm("golden", "vm")
        assert caught.value.code == "ResourceNotFound"
        assert caught.value.resource.endswith("/virtualMachines/vm")


class TestFind:
    @pytest.mark.parametrize("code", ["ResourceNotFound", "NotFound", "ParentResourceNotFound"])
    def test_what_is_not_there_is_none(self, wire: Wire, hook: ComputeHook, code: str) -> None:
        wire.script(Answer(404, {"error": {"code": code, "message": "m"}}))
        assert hook.snapshot("images", "s") is None
        assert hook.managed_image("images", "i") is None
        assert hook.gallery("images", "gal") is None
        assert hook.definition(DEFINITION_ID) is None
        assert hook.image_version(VERSION_ID) is None

    @pytest.mark.parametrize("code", ["ResourceGroupNotFound", "SubscriptionNotFound"])
    def test_a_wrong_place_is_refused(self, wire: Wire, hook: ComputeHook, code: str) -> None:
        wire.script(Answer(404, {"error": {"code": code, "message": "m"}}))
        with pytest.raises(AzureRefusedError, match="in the spec"):
            hook.snapshot("images", "s")

    def test_a_forbidden_look_is_refused(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(403, {"error": {"code": "AuthorizationFailed", "message": "m"}}))
        with pytest.raises(AzureRefusedError):
            hook.image_version(VERSION_ID)

    def test_a_version_of_another_subscription_is_read_there(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(404, {"error": {"code": "ResourceNotFound", "message": "m"}}))
        hook.image_version(VERSION_ID.replace(SUBSCRIPTION, OTHER))
        assert f"/subscriptions/{OTHER}/" in wire.requests[0].url

    def test_regions_are_normalised_and_replication_is_expanded(self, wire: Wire, hook: ComputeHook) -> None:
        replication = {"aggregatedState": "InProgress", "summary": [{"region": "North Europe", "state": "Completed"}]}
        properties = {
            "provisioningState": "Succeeded",
            "publishingProfile": {"targetRegions": [{"name": "North Europe"}], "replicaCount": 3},
            "storageProfile": {"source": {"id": "/image"}},
            "replicationStatus": replication,
        }
        wire.script(
            Answer(body={"id": VERSION_ID, "name": "1.2.3", "location": "westeurope", "properties": properties})
        )
        version = hook.image_version(VERSION_ID)
        assert version is not None
        assert "$expand=ReplicationStatus" in wire.requests[0].url
        assert version.ready_in("northeurope")
        assert version.target_regions == {"northeurope": 3}
        assert version.source_id == "/image"

    def test_the_snapshots_of_a_managed_image_stand_in_the_order_of_its_disks(
        self, wire: Wire, hook: ComputeHook
    ) -> None:
        disks = [{"lun": 1, "snapshot": {"id": "/one"}}, {"lun": 0, "snapshot": {"id": "/zero"}}]
        storage = {"osDisk": {"snapshot": {"id": "/os"}}, "dataDisks": disks}
        body = {"id": "/i", "name": "i", "location": "l", "properties": {"storageProfile": storage}}
        wire.script(Answer(body=body))
        image = hook.managed_image("images", "i")
        assert image is not None
        assert image.snapshot_ids == ("/os", "/zero", "/one")

    def test_a_failed_background_copy_is_told(self, wire: Wire, hook: ComputeHook) -> None:
        failure = {"errorCode": "CopySourceNotFound", "errorMessage": "gone"}
        properties = {"creationData": {"createOption": "Copy"}, "copyCompletionError": failure}
        wire.script(Answer(body={"id": "/s", "name": "s", "location": "l", "properties": properties}))
        snapshot = hook.snapshot("images", "s")
        assert snapshot is not None
        assert snapshot.copy_error == "CopySourceNotFound: gone"


class TestBodies:
    """What goes over the wire, key by key."""

    @pytest.fixture(autouse=True)
    def _done(self, wire: Wire) -> None:
        wire.script(DONE)

    def test_snapshot(self, wire: Wire, hook: ComputeHook) -> None:
        pending = hook.begin_snapshot("images", "s", location="westeurope", source_id="/disk", tags={"run": "1"})
        assert wire.body() == {
            "location": "westeurope",
            "sku": {"name": "Standard_LRS"},
            "tags": {"run": "1"},
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": "/disk"},
                "incremental": True,
            },
        }
        assert (pending.what, pending.resource_id) == ("make snapshot s", f"{GROUP}/snapshots/s")

    def test_managed_image_has_the_data_disks_by_lun(self, wire: Wire, hook: ComputeHook) -> None:
        hook.begin_managed_image(
            "images",
            "i",
            system=SYSTEM,
            origin=Origin(disks=(DiskSource(lun=None, id="/os"), DiskSource(lun=0, id="/zero", caching="ReadOnly"))),
            tags={},
        )
        assert wire.body()["location"] == "westeurope"
        assert wire.body()["properties"] == {
            "hyperVGeneration": "V2",
            "storageProfile": {
                "osDisk": {
                    "osType": "Linux",
                    "osState": "Generalized",
                    "snapshot": {"id": "/os"},
                    "caching": "ReadWrite",
                },
                "dataDisks": [{"lun": 0, "snapshot": {"id": "/zero"}}],
            },
        }

    def test_managed_image_of_page_blobs_says_which_generation_they_boot_in(
        self, wire: Wire, hook: ComputeHook
    ) -> None:
        blob = "https://vhds.blob.core.windows.net/vhds/os.vhd"
        origin = Origin(disks=(DiskSource(lun=None, id=blob),))
        hook.begin_managed_image("images", "i", system=SYSTEM, origin=origin, tags={})
        assert wire.body()["properties"]["hyperVGeneration"] == "V2"
        assert wire.body()["properties"]["storageProfile"]["osDisk"]["blobUri"] == blob

    def test_managed_image_of_a_vm_names_no_disks(self, wire: Wire, hook: ComputeHook) -> None:
        hook.begin_managed_image("images", "i", system=SYSTEM, origin=Origin(vm_id="/vm"), tags={})
        assert wire.body()["properties"] == {"hyperVGeneration": "V2", "sourceVirtualMachine": {"id": "/vm"}}

    def test_definition_says_everything_that_azure_would_choose_otherwise(self, wire: Wire, hook: ComputeHook) -> None:
        """Since 2025-03-03 Azure takes V2 and TrustedLaunchSupported for what is not said."""
        hook.begin_definition(
            DEFINITION_ID,
            system=System(
                location="westeurope",
                os_type="Linux",
                generation="V1",
                purchase_plan=PurchasePlan(name="n", publisher="p", product="x"),
            ),
            publisher="p",
            offer="o",
            sku="s",
            tags={},
        )
        assert wire.body()["properties"] == {
            "osType": "Linux",
            "osState": "Generalized",
            "hyperVGeneration": "V1",
            "architecture": "x64",
            "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
            "features": [{"name": "SecurityType", "value": "Standard"}],
            "purchasePlan": {"name": "n", "publisher": "p", "product": "x"},
        }

    def test_definition_of_what_boots_from_nvme_with_trusted_launch(self, wire: Wire, hook: ComputeHook) -> None:
        system = SYSTEM.model_copy(update={"security_type": "TrustedLaunch", "nvme": True})
        hook.begin_definition(DEFINITION_ID, system=system, publisher="p", offer="o", sku="s", tags={})
        assert wire.body()["properties"]["features"] == [
            {"name": "SecurityType", "value": "TrustedLaunch"},
            {"name": "DiskControllerTypes", "value": "SCSI, NVMe"},
        ]

    @pytest.mark.parametrize(
        ("origin", "storage"),
        [
            (Origin(vm_id="/vm"), {"source": {"virtualMachineId": "/vm"}}),
            (
                Origin(
                    disks=(
                        DiskSource(lun=None, id="/os"),
                        DiskSource(lun=3, id="/data", caching="ReadOnly"),
                        DiskSource(lun=4, id="/more"),
                    )
                ),
                {
                    "osDiskImage": {"source": {"id": "/os"}, "hostCaching": "ReadWrite"},
                    "dataDiskImages": [
                        {"lun": 3, "source": {"id": "/data"}, "hostCaching": "ReadOnly"},
                        {"lun": 4, "source": {"id": "/more"}},
                    ],
                },
            ),
        ],
    )
    def test_image_version_without_a_managed_image(
        self, wire: Wire, hook: ComputeHook, origin: Origin, storage: dict[str, Any]
    ) -> None:
        hook.begin_image_version(VERSION_ID, location="l", origin=origin, target_regions={"l": 1}, tags={})
        assert wire.body()["properties"]["storageProfile"] == storage

    def test_image_version(self, wire: Wire, hook: ComputeHook) -> None:
        pending = hook.begin_image_version(
            VERSION_ID,
            location="westeurope",
            origin=Origin(image_id="/image"),
            target_regions={"westeurope": 2, "northeurope": 1},
            tags={"run": "1"},
        )
        assert wire.requests[0].url.partition("?")[0].endswith(VERSION_ID)
        assert wire.body() == {
            "location": "westeurope",
            "tags": {"run": "1"},
            "properties": {
                "publishingProfile": {
                    "excludeFromLatest": False,
                    "targetRegions": [
                        {"name": "westeurope", "regionalReplicaCount": 2},
                        {"name": "northeurope", "regionalReplicaCount": 1},
                    ],
                },
                "storageProfile": {"source": {"id": "/image"}},
            },
        }
        assert pending.what == "publish image version 1.2.3"

    def test_a_version_can_be_kept_from_those_who_ask_for_the_latest(self, wire: Wire, hook: ComputeHook) -> None:
        hook.begin_image_version(
            VERSION_ID,
            location="l",
            origin=Origin(image_id="/i"),
            target_regions={"l": 1},
            tags={},
            exclude_from_latest=True,
        )
        assert wire.body()["properties"]["publishingProfile"]["excludeFromLatest"] is True

    @pytest.mark.parametrize("action", ["deallocate", "start"])
    def test_stopping_and_starting(self, wire: Wire, hook: ComputeHook, action: str) -> None:
        wire.script(Answer(202, headers={"Location": "http://localhost:8070/op"}))
        getattr(hook, f"begin_{action}")("golden", "vm")
        assert [request.method for request in wire.requests] == ["POST"]
        assert wire.requests[0].url.partition("?")[0].endswith(f"/virtualMachines/vm/{action}")


def test_a_refused_write_says_what_it_was(wire: Wire, hook: ComputeHook) -> None:
    wire.script(Answer(409, {"error": {"code": "OperationNotAllowed", "message": "TrustedLaunch"}}))
    with pytest.raises(AzureRefusedError) as caught:
        hook.begin_snapshot("images", "s", location="l", source_id="/d", tags={})
    assert caught.value.what == "Could not make snapshot s"
    assert caught.value.answer == "HTTP 409 OperationNotAllowed: TrustedLaunch"


def test_only_vm_sizes_are_listed_and_odd_ones_survive(wire: Wire, hook: ComputeHook) -> None:
    skus = [
        {"resourceType": "disks", "name": "Premium_LRS"},
        {"resourceType": "virtualMachines", "name": "Standard_Odd"},
        {
            "resourceType": "virtualMachines",
            "name": "Standard_D2s_v5",
            "family": "standardDSv5Family",
            "capabilities": [
                {"name": "vCPUs", "value": "2"},
                {"name": "HyperVGenerations", "value": "V1,V2"},
                {"name": "CpuArchitectureType", "value": "x64"},
            ],
        },
    ]
    wire.script(Answer(body={"value": skus}))
    sizes = hook.vm_sizes("westeurope")
    assert list(sizes) == ["standard_odd", "standard_d2s_v5"]
    assert sizes["standard_odd"].vcpus == 0
    assert (sizes["standard_d2s_v5"].vcpus, sizes["standard_d2s_v5"].generations) == (2, ("V1", "V2"))


class TestMarkVersion:
    PROFILE: ClassVar[dict[str, Any]] = {
        "targetRegions": [
            {"name": "West Europe", "regionalReplicaCount": 2, "storageAccountType": "Standard_ZRS"},
            {"name": "North Europe", "regionalReplicaCount": 1, "excludeFromLatest": False},
        ],
        "endOfLifeDate": "2027-01-01T00:00:00Z",
        "excludeFromLatest": False,
    }

    def version(self, **tags: str) -> Answer:
        fixed = {
            "publishedDate": "2026-11-22T02:00:00Z",
            "storageAccountType": "Standard_LRS",
            "replicationMode": "Full",
            "replicaCount": None,
        }
        properties = {
            "publishingProfile": {**self.PROFILE, **fixed},
            "storageProfile": {"source": {"id": "/image"}, "osDiskImage": {"sizeInGB": 30}},
        }
        return Answer(body={"id": VERSION_ID, "name": "1.2.3", "tags": tags, "properties": properties})

    def test_all_that_an_update_replaces_is_sent_back(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(self.version(run="1"), DONE)
        pending = hook.mark_version(VERSION_ID, tags={"verdict": "bad"}, exclude_from_latest=True)
        assert [request.method for request in wire.requests] == ["GET", "PATCH"]
        assert wire.body() == {
            "tags": {"run": "1", "verdict": "bad"},
            "properties": {"publishingProfile": {**self.PROFILE, "excludeFromLatest": True}, "storageProfile": {}},
        }
        assert pending is not None
        assert (pending.what, pending.resource_id) == ("mark image version 1.2.3", VERSION_ID)

    def test_what_is_so_already_is_not_written(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(self.version(run="1", verdict="good"))
        assert hook.mark_version(VERSION_ID, tags={"verdict": "good"}, exclude_from_latest=False) is None
        assert [request.method for request in wire.requests] == ["GET"]

    def test_a_version_of_another_subscription_is_marked_there(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(self.version(), DONE)
        hook.mark_version(VERSION_ID.replace(SUBSCRIPTION, OTHER), tags={}, exclude_from_latest=True)
        assert [OTHER in request.url for request in wire.requests] == [True, True]

    def test_a_missing_version_is_told(self, wire: Wire, hook: ComputeHook) -> None:
        wire.script(Answer(404, {"error": {"code": "GalleryImageNotFound", "message": "m"}}))
        with pytest.raises(AzureRefusedError, match="gallery and definition in the spec"):
            hook.mark_version(VERSION_ID, tags={}, exclude_from_latest=True)


async def test_the_triggers_version_look_up_is_none_where_there_is_none(
    wire: Wire, connection: AzureConnection
) -> None:
    wire.script(Answer(404, {"error": {"code": "ResourceNotFound", "message": "m"}}))
    async with AsyncComputeHook("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport) as hook:
        assert await hook.image_version(VERSION_ID) is None
