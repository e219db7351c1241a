"""VM restore points: state, and how ARM shows it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import JsonValue

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.store import EnvelopeBody, Reference, RequestBody, Resource
from include.azure_simulator.resources import JsonObject, ResourceId, timestamp

COLLECTION_TYPE = "Microsoft.Compute/restorePointCollections"
RESTORE_POINT_TYPE = f"{COLLECTION_TYPE}/restorePoints"
DISK_RESTORE_POINT_TYPE = f"{RESTORE_POINT_TYPE}/diskRestorePoints"

ConsistencyMode = Literal["CrashConsistent", "FileSystemConsistent", "ApplicationConsistent"]


@dataclass(slots=True)
class RestorePointCollection(Resource):
    """The restore points of one VM, whose id is ``source_id``."""

    source_id: str
    instant_access: bool | None = None
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def render(self, points: list[JsonObject] | None = None) -> JsonObject:
        """The collection as ARM shows it.

        :param points: its restore points as ARM shows them, if they shall be shown.
        """
        properties: JsonObject = {
            "source": {"id": self.source_id, "location": self.location},
            "provisioningState": self.provisioning_state.value,
            "restorePointCollectionId": self.unique_id,
        }
        if self.instant_access is not None:
            properties["instantAccess"] = self.instant_access
        if points is not None:
            shown: list[JsonValue] = [*points]
            properties["restorePoints"] = shown
        body = self.envelope()
        body["properties"] = properties
        return body


@dataclass(slots=True)
class RestorePoint(Resource):
    """The disks of a VM at one time. ``metadata`` is what the VM was then."""

    consistency_mode: ConsistencyMode
    time_created: datetime
    excluded: list[str]
    metadata: JsonObject
    disk_points: list[ResourceId]

    def render(self, *, instance_view: bool = False) -> JsonObject:
        """The restore point as ARM shows it."""
        properties: JsonObject = {
            "sourceMetadata": self.metadata,
            "provisioningState": self.provisioning_state.value,
            "consistencyMode": self.consistency_mode,
            "timeCreated": timestamp(self.time_created),
        }
        if self.excluded:
            properties["excludeDisks"] = [{"id": disk} for disk in self.excluded]
        if instance_view:
            done: JsonObject = {"code": "ReplicationState/succeeded", "level": "Info", "displayStatus": "Succeeded"}
            views: list[JsonValue] = [
                {"id": str(rid), "replicationStatus": {"status": done, "completionPercent": 100}}
                for rid in self.disk_points
            ]
            properties["instanceView"] = {"diskRestorePoints": views, "statuses": []}
        return {"id": self.id, "name": self.rid.name, "type": RESTORE_POINT_TYPE, "properties": properties}


@dataclass(slots=True)
class DiskRestorePoint(Disk):
    """One disk in a restore point; ``source`` is the disk that it was taken from."""

    source: ResourceId = field(kw_only=True)
    source_unique_id: str = field(kw_only=True)
    family_id: str = field(kw_only=True)

    def render(self, *, vm_deallocated: bool = False) -> JsonObject:
        """The disk restore point as ARM shows it.

        :param vm_deallocated: without meaning here: no VM holds a restore point.
        """
        content = self.content.properties()
        properties: JsonObject = {
            name: content[name]
            for name in (
                "osType",
                "hyperVGeneration",
                "purchasePlan",
                "supportedCapabilities",
                "encryption",
                "securityProfile",
            )
            if name in content
        }
        properties |= {
            "timeCreated": timestamp(self.time_created),
            "sourceResourceId": str(self.source),
            "sourceUniqueId": self.source_unique_id,
            "familyId": self.family_id,
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
        }
        return {"id": self.id, "name": self.rid.name, "type": DISK_RESTORE_POINT_TYPE, "properties": properties}


class CollectionSourceBody(RequestBody):
    """The VM of a collection."""

    read_only: ClassVar[frozenset[str]] = frozenset({"location"})

    id: str


class CollectionPropertiesBody(RequestBody):
    """The properties of a collection in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "restorePointCollectionId", "restorePoints"})

    source: CollectionSourceBody
    instant_access: bool | None = None


class CollectionBody(EnvelopeBody):
    """A collection in a PUT."""

    properties: CollectionPropertiesBody


class RestorePointPropertiesBody(RequestBody):
    """The properties of a restore point in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "sourceMetadata", "timeCreated", "instanceView"}
    )

    exclude_disks: list[Reference] | None = None
    consistency_mode: ConsistencyMode | None = None


class RestorePointBody(RequestBody):
    """A restore point in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "name", "type", "systemData"})

    properties: RestorePointPropertiesBody = RestorePointPropertiesBody()


def source_metadata(machine: VirtualMachine, points: dict[int | None, ResourceId]) -> JsonObject:
    """What a restore point keeps of its VM.

    :param points: the disk restore points by LUN, ``None`` the OS disk; disks that were left out have none.
    """
    profile = machine.storage_profile()
    os_disk, data_disks = profile["osDisk"], profile["dataDisks"]
    assert isinstance(os_disk, dict)
    assert isinstance(data_disks, list)
    data: list[JsonValue] = [
        _disk_metadata(disk, ("lun", "name", "caching", "diskSizeGB", "managedDisk"), points)
        for disk in data_disks
        if isinstance(disk, dict)
    ]
    metadata: JsonObject = {
        "hardwareProfile": {"vmSize": machine.section.size},
        "storageProfile": {
            "osDisk": _disk_metadata(os_disk, ("osType", "name", "caching", "diskSizeGB", "managedDisk"), points),
            "dataDisks": data,
            "diskControllerType": machine.section.disk_controller,
        },
        "vmId": machine.vm_id,
        "location": machine.location,
        "hyperVGeneration": machine.section.generation,
    }
    if not machine.attached:
        metadata["osProfile"] = machine.os_profile()
    if (security := machine.security_profile()) is not None:
        metadata["securityProfile"] = security
    metadata |= {name: machine.kept[name] for name in ("diagnosticsProfile", "licenseType") if name in machine.kept}
    return metadata


def _disk_metadata(disk: JsonObject, names: tuple[str, ...], points: dict[int | None, ResourceId]) -> JsonObject:
    kept: JsonObject = {name: disk[name] for name in names if name in disk}
    lun = disk.get("lun")
    point = points.get(lun if isinstance(lun, int) else None)
    if point is not None:
        kept["diskRestorePoint"] = {"id": str(point)}
    kept["writeAcceleratorEnabled"] = False
    return kept
