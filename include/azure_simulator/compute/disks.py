"""Managed disks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.sizes import Architecture, Generation
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    EnvelopeBody,
    ProvisioningState,
    RequestBody,
    Resource,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
    invalid_parameter,
    not_allowed,
    not_found,
    property_change,
)
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId, timestamp

if TYPE_CHECKING:
    from include.azure_simulator.world import World

GIB = 1024**3

DISK_TYPE = "Microsoft.Compute/disks"
SNAPSHOT_TYPE = "Microsoft.Compute/snapshots"

COPIED_IN_BACKGROUND = ("UltraSSD_LRS", "PremiumV2_LRS")
"""Kinds of disk whose snapshots are there before their content is."""

ControllerTypes = Literal["SCSI", "SCSI, NVME", "NVME"]


@dataclass(frozen=True, slots=True)
class DiskContent:
    """What a copy of a disk takes over from it. Data disks have no ``os_type``, ``generation`` and ``guest``."""

    size_gib: int
    os_type: str | None = None
    generation: Generation | None = None
    architecture: Architecture = "x64"
    controller_types: str = "SCSI"
    accelerated_network: bool = True
    security_type: str | None = None
    purchase_plan: JsonObject | None = None
    encryption_settings: bool = False
    encryption_type: str = "EncryptionAtRestWithPlatformKey"
    encryption_set_id: str | None = None
    guest: Guest | None = None

    @property
    def trusted_launch_or_confidential(self) -> bool:
        """Whether the disk is bound to a security type."""
        return self.security_type is not None

    def properties(self) -> JsonObject:
        """The properties that disks and snapshots have in common."""
        body: JsonObject = {"diskSizeGB": self.size_gib, "diskSizeBytes": self.size_gib * GIB}
        encryption: JsonObject = {"type": self.encryption_type}
        if self.encryption_set_id:
            encryption["diskEncryptionSetId"] = self.encryption_set_id
        body["encryption"] = encryption
        if self.os_type is not None:
            body["osType"] = self.os_type
            body["supportedCapabilities"] = {
                "architecture": self.architecture,
                "diskControllerTypes": self.controller_types,
                "acceleratedNetwork": self.accelerated_network,
            }
        if self.generation is not None:
            body["hyperVGeneration"] = self.generation
        if self.security_type is not None:
            body["securityProfile"] = {"securityType": self.security_type}
        if self.purchase_plan is not None:
            body["purchasePlan"] = self.purchase_plan
        if self.encryption_settings:
            body["encryptionSettingsCollection"] = {"enabled": True, "encryptionSettings": []}
        return body


@dataclass(slots=True)
class Disk(Resource):
    """A managed disk; ``attached_to`` is the id of its VM.

    ``ownership_changed`` is when it was attached or detached last, or its VM started or deallocated; ``copied_at`` is
    when Azure has filled it in the background, ``None`` at once.
    """

    sku: str
    content: DiskContent
    creation_data: JsonObject
    time_created: datetime
    attached_to: str | None = None
    ownership_changed: datetime | None = None
    zones: list[str] = field(default_factory=list)
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    copied_at: datetime | None = None

    def check_copied(self, now: datetime) -> None:
        """Refuse to read what is still being copied. The code is not published.

        :raises ArmError: 409 ``OperationNotAllowed``.
        """
        if self.copied_at is not None and now < self.copied_at:
            raise not_allowed(
                f"The resource {self.id} cannot be used before its background copy is complete (completionPercent 100)."
            )

    def render(self, *, vm_deallocated: bool) -> JsonObject:
        """The disk as ARM shows it.

        :param vm_deallocated: whether the VM that holds the disk is deallocated: then the disk is ``Reserved``.
        """
        state = "Unattached" if self.attached_to is None else "Reserved" if vm_deallocated else "Attached"
        body = self.envelope()
        body["sku"] = {"name": self.sku, "tier": self.sku.split("_")[0].removesuffix("V2").removesuffix("SSD")}
        if self.attached_to is not None:
            body["managedBy"] = self.attached_to
        if self.zones:
            body["zones"] = [*self.zones]
        properties: JsonObject = {
            **self.content.properties(),
            "creationData": self.creation_data,
            "diskState": state,
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            "provisioningState": self.provisioning_state.value,
            "timeCreated": timestamp(self.time_created),
            "uniqueId": self.unique_id,
        }
        if self.ownership_changed is not None:
            properties["LastOwnershipUpdateTime"] = timestamp(self.ownership_changed)
        body["properties"] = properties
        return body


class CreationDataBody(RequestBody):
    """Where the content of a disk or snapshot comes from."""

    read_only: ClassVar[frozenset[str]] = frozenset({"sourceUniqueId"})

    create_option: str
    source_resource_id: str | None = None
    source_uri: JsonValue = None
    storage_account_id: JsonValue = None
    image_reference: JsonValue = None
    gallery_image_reference: JsonValue = None
    upload_size_bytes: JsonValue = None
    logical_sector_size: JsonValue = None
    security_data_uri: JsonValue = None
    security_metadata_uri: JsonValue = None
    performance_plus: JsonValue = None
    elastic_san_resource_id: JsonValue = None
    provisioned_bandwidth_copy_speed: JsonValue = None
    instant_access_duration_minutes: JsonValue = None


class SkuBody(RequestBody):
    """The SKU of a disk or snapshot."""

    read_only: ClassVar[frozenset[str]] = frozenset({"tier"})

    name: str


class DiskPropertiesBody(RequestBody):
    """The properties of a disk in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "timeCreated",
            "diskSizeBytes",
            "uniqueId",
            "provisioningState",
            "diskState",
            "managedByExtended",
            "shareInfo",
            "burstingEnabledTime",
            "propertyUpdatesInProgress",
            "LastOwnershipUpdateTime",
        }
    )

    creation_data: CreationDataBody
    os_type: str | None = None
    hyper_v_generation: Generation | None = Field(default=None, alias="hyperVGeneration")
    disk_size_gb: int | None = Field(default=None, alias="diskSizeGB", ge=1, le=65_536)
    purchase_plan: JsonValue = None
    supported_capabilities: JsonValue = None
    encryption_settings_collection: JsonValue = None
    encryption: JsonValue = None
    network_access_policy: JsonValue = None
    disk_access_id: JsonValue = None
    public_network_access: JsonValue = None
    data_access_auth_mode: JsonValue = None
    security_profile: JsonValue = None
    supports_hibernation: JsonValue = None
    tier: JsonValue = None
    max_shares: JsonValue = None
    bursting_enabled: JsonValue = None
    completion_percent: JsonValue = None
    optimized_for_frequent_attach: JsonValue = None
    disk_iops_read_write: JsonValue = Field(default=None, alias="diskIOPSReadWrite")
    disk_m_bps_read_write: JsonValue = Field(default=None, alias="diskMBpsReadWrite")
    disk_iops_read_only: JsonValue = Field(default=None, alias="diskIOPSReadOnly")
    disk_m_bps_read_only: JsonValue = Field(default=None, alias="diskMBpsReadOnly")


class DiskBody(EnvelopeBody):
    """A disk in a PUT."""

    properties: DiskPropertiesBody
    sku: SkuBody = SkuBody(name="Standard_LRS")
    zones: list[str] | None = None
    extended_location: JsonValue = None


class Disks(Store[Disk]):
    """The managed disks of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(DISK_TYPE)
        self._world = world

    def put(self, rid: ResourceId, body: DiskBody) -> Written[Disk]:
        """Create a disk, empty or from a snapshot, another disk or a restore point, or change its tags.

        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, ENTITY_NAME, "diskName")
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        creation = body.properties.creation_data
        if existing is not None:
            if existing.creation_data != creation.to_json():
                raise property_change("creationData")
            existing.tags = dict(body.tags or {})
            return Written(existing, None)
        content = self._content(body.properties, location)
        disk = Disk(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.CREATING,
            sku=body.sku.name,
            content=content,
            creation_data=creation.to_json(),
            time_created=self._world.clock.now(),
            zones=list(body.zones or []),
        )
        self.add(disk)
        duration = self._world.settings.compute.disk_create
        operation = begin_change(self._world, disk, ProvisioningState.CREATING, OperationFamily.DISK, duration)
        return Written(disk, operation, created=True)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a disk; ``None`` when there is none.

        :raises ArmError: 409 ``OperationNotAllowed`` while it is attached.
        """
        self._world.require_group(rid.subscription, rid.group)
        disk = self.find(rid)
        if disk is None:
            return None
        if disk.attached_to is not None:
            raise not_allowed(f"Disk {rid.name} is attached to VM {disk.attached_to}.")
        duration = self._world.settings.compute.disk_delete
        return begin_delete(self._world, self, disk, OperationFamily.DISK, duration)

    def _content(self, body: DiskPropertiesBody, location: str) -> DiskContent:
        creation = body.creation_data
        if creation.create_option == "Empty":
            if body.disk_size_gb is None:
                text = "Required parameter 'disk.diskSizeGB' is missing (null)."
                raise invalid_parameter(text, "disk.diskSizeGB")
            return DiskContent(size_gib=body.disk_size_gb, os_type=body.os_type, generation=body.hyper_v_generation)
        if creation.create_option not in ("Copy", "Restore"):
            text = f"The value '{creation.create_option}' of parameter 'creationData.createOption' is not allowed here."
            raise invalid_parameter(text, "creationData.createOption")
        source = copy_source(self._world, creation, location).content
        if isinstance(body.security_profile, dict) and (security := body.security_profile.get("securityType")):
            text = (
                f"Security Type '{security}' is not supported for CreateOption '{creation.create_option}'. Supported "
                "create options are FromImage, Import, ImportSecure, UploadPreparedSecure."
            )
            raise ArmError(400, "BadRequest", text)
        size = body.disk_size_gb or source.size_gib
        if size < source.size_gib:
            text = f"The disk size {size} GB is smaller than the size of its source, {source.size_gib} GB."
            raise invalid_parameter(text, "disk.diskSizeGB")
        return replace(source, size_gib=size)


def copy_source(world: World, creation: CreationDataBody, location: str) -> Disk:
    """The disk or snapshot that a same-region copy reads, or the disk restore point that ``Restore`` reads.

    :raises ArmError: 400 ``InvalidParameter`` or 404 ``ResourceNotFound``.
    """
    target = "creationData.sourceResourceId"
    try:
        source_id = ResourceId.parse(creation.source_resource_id or "")
    except ValueError:
        text = f"The value '{creation.source_resource_id or ''}' of parameter '{target}' is not a valid resource id."
        raise invalid_parameter(text, target) from None
    source: Disk | None
    if creation.create_option == "Restore":
        source = world.compute.restore_points.disk_points.find(source_id)
    else:
        source = world.compute.disks.find(source_id) or world.compute.snapshots.find(source_id)
    if source is None:
        raise not_found(source_id)
    if source.location != location:
        text = (
            f"Source resource {source_id} is in region {source.location}, but the copy is in region {location}. "
            f"The createOption {creation.create_option} needs a source in the same region."
        )
        raise invalid_parameter(text, target)
    if source.provisioning_state in (ProvisioningState.CREATING, ProvisioningState.FAILED, ProvisioningState.DELETING):
        raise not_allowed(f"Source resource {source_id} is in state {source.provisioning_state}.", target=target)
    source.check_copied(world.clock.now())
    return source
