"""Snapshots of managed disks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, JsonValue

from include.azure_simulator.compute.disks import (
    COPIED_IN_BACKGROUND,
    SNAPSHOT_TYPE,
    CreationDataBody,
    Disk,
    SkuBody,
    copy_source,
)
from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    EnvelopeBody,
    ProvisioningState,
    RequestBody,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    invalid_parameter,
    not_allowed,
    property_change,
    too_many_requests,
)
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId, timestamp

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_ACCESS_STATE_SINCE = "2025-01-02"
"""First api-version that shows ``snapshotAccessState``."""

_SKUS = ("Standard_LRS", "Standard_ZRS", "Premium_LRS")


@dataclass(slots=True)
class Snapshot(Disk):
    """A snapshot; ``family_id`` joins the incremental snapshots of one disk."""

    incremental: bool = False
    family_id: str | None = None

    def render(
        self,
        *,
        vm_deallocated: bool = False,
        api_version: str = _ACCESS_STATE_SINCE,
        now: datetime | None = None,
    ) -> JsonObject:
        """The snapshot as ARM shows it.

        :param vm_deallocated: without meaning for a snapshot, which no VM holds.
        :param api_version: version of the call; older ones do not know ``snapshotAccessState``.
        :param now: tells how far a copy in the background is; ``None`` when it is done.
        """
        body = self.envelope()
        body["sku"] = {"name": self.sku, "tier": self.sku.split("_")[0]}
        properties: JsonObject = {
            **self.content.properties(),
            "creationData": self.creation_data,
            "diskState": "Unattached",
            "incremental": self.incremental,
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            "provisioningState": self.provisioning_state.value,
            "timeCreated": timestamp(self.time_created),
            "uniqueId": self.unique_id,
        }
        if self.provisioning_state is ProvisioningState.SUCCEEDED:
            percent = self._completion_percent(now)
            properties["completionPercent"] = percent
            if api_version[:10] >= _ACCESS_STATE_SINCE:
                properties["snapshotAccessState"] = "Available" if percent == 100 else "Pending"
        if self.family_id is not None:
            properties["incrementalSnapshotFamilyId"] = self.family_id
        body["properties"] = properties
        return body

    def _completion_percent(self, now: datetime | None) -> int:
        if now is None or self.copied_at is None or now >= self.copied_at:
            return 100
        return int(99 * (now - self.time_created) / (self.copied_at - self.time_created))


class SnapshotPropertiesBody(RequestBody):
    """The properties of a snapshot in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "timeCreated",
            "diskSizeBytes",
            "diskState",
            "uniqueId",
            "provisioningState",
            "incrementalSnapshotFamilyId",
            "snapshotAccessState",
            "immutabilityPolicy",
        }
    )

    creation_data: CreationDataBody
    incremental: bool = False
    os_type: JsonValue = None
    hyper_v_generation: Generation | None = Field(default=None, alias="hyperVGeneration")
    disk_size_gb: int | None = Field(default=None, alias="diskSizeGB", ge=1)
    purchase_plan: JsonValue = None
    supported_capabilities: JsonValue = None
    encryption_settings_collection: JsonValue = None
    encryption: JsonValue = None
    network_access_policy: JsonValue = None
    disk_access_id: JsonValue = None
    security_profile: JsonValue = None
    supports_hibernation: JsonValue = None
    public_network_access: JsonValue = None
    completion_percent: JsonValue = None
    copy_completion_error: JsonValue = None
    data_access_auth_mode: JsonValue = None


class SnapshotBody(EnvelopeBody):
    """A snapshot in a PUT."""

    properties: SnapshotPropertiesBody
    sku: SkuBody = SkuBody(name="Standard_LRS")
    extended_location: JsonValue = None


class Snapshots(Store[Snapshot]):
    """The snapshots of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(SNAPSHOT_TYPE)
        self._world = world
        self._incremental_times: dict[str, list[datetime]] = {}
        self._families: dict[str, str] = {}

    def put(self, rid: ResourceId, body: SnapshotBody) -> Written[Snapshot]:
        """Take a snapshot. A second PUT from the same source takes no new copy; it only changes tags.

        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, ENTITY_NAME, "snapshotName")
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if existing is not None and existing.provisioning_state is not ProvisioningState.FAILED:
            return self._again(existing, body)
        source = self._source(body, location)
        if body.properties.incremental:
            self._check_incremental(rid, body, source)
        now = self._world.clock.now()
        snapshot = Snapshot(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.CREATING,
            sku=body.sku.name,
            content=source.content,
            creation_data={**body.properties.creation_data.to_json(), "sourceUniqueId": source.unique_id},
            time_created=now,
            incremental=body.properties.incremental,
        )
        duration = self._world.settings.compute.snapshot_create
        if source.sku in COPIED_IN_BACKGROUND:
            snapshot.copied_at = now + duration + self._world.settings.compute.snapshot_copy
        if snapshot.incremental:
            snapshot.family_id = self.family(source.id)
            self._incremental_times.setdefault(source.rid.key, []).append(now)
        self.add(snapshot)
        operation = begin_change(self._world, snapshot, ProvisioningState.CREATING, OperationFamily.DISK, duration)
        return Written(snapshot, operation, created=True)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a snapshot; ``None`` when there is none.

        :raises ArmError: 409 ``OperationNotAllowed`` while an image or a version is being made from it.
        """
        self._world.require_group(rid.subscription, rid.group)
        snapshot = self.find(rid)
        if snapshot is None:
            return None
        reader = self._world.compute.being_made_from(rid)
        if reader is not None:
            raise not_allowed(f"Snapshot '{rid.name}' cannot be deleted while '{reader}' is being created from it.")
        duration = self._world.settings.compute.snapshot_delete
        return begin_delete(self._world, self, snapshot, OperationFamily.DISK, duration)

    def family(self, source_id: str) -> str:
        """What joins the incremental snapshots of one disk."""
        return self._families.setdefault(source_id.lower(), str(uuid.uuid4()))

    def _again(self, existing: Snapshot, body: SnapshotBody) -> Written[Snapshot]:
        if existing.provisioning_state is ProvisioningState.DELETING:
            raise concurrent_request()
        known = str(existing.creation_data.get("sourceResourceId", "")).lower()
        if known != (body.properties.creation_data.source_resource_id or "").lower():
            raise property_change("sourceResourceId")
        if existing.incremental != body.properties.incremental:
            raise property_change("incremental")
        existing.tags = dict(body.tags or {})
        return Written(existing, self._world.operations.running_on(existing.id))

    def _source(self, body: SnapshotBody, location: str) -> Disk:
        if body.sku.name not in _SKUS:
            raise invalid_parameter(f"The value '{body.sku.name}' of parameter 'sku.name' is invalid.", "sku.name")
        creation = body.properties.creation_data
        if creation.create_option != "Copy":
            text = f"The value '{creation.create_option}' of parameter 'creationData.createOption' is not allowed here."
            raise invalid_parameter(text, "creationData.createOption")
        return copy_source(self._world, creation, location)

    def _check_incremental(self, rid: ResourceId, body: SnapshotBody, source: Disk) -> None:
        if body.sku.name == "Premium_LRS":
            text = "Incremental snapshots are stored on Standard HDD storage only; Premium_LRS is not supported."
            raise invalid_parameter(text, "sku.name")
        if source.rid.subscription.lower() != rid.subscription.lower():
            text = "An incremental snapshot must be in the subscription of its disk."
            raise invalid_parameter(text, "creationData.sourceResourceId")
        settings = self._world.settings.compute
        family = self._families.get(source.rid.key)
        if (
            sum(1 for snapshot in self if family and snapshot.family_id == family)
            >= settings.incremental_snapshots_per_disk
        ):
            limit = settings.incremental_snapshots_per_disk
            raise not_allowed(f"The disk {source.id} already has the maximum of {limit} incremental snapshots.")
        self._check_rate(source, settings.incremental_snapshots_per_window, settings.incremental_snapshot_window)

    def _check_rate(self, source: Disk, limit: int, window: timedelta) -> None:
        now = self._world.clock.now()
        recent = [moment for moment in self._incremental_times.get(source.rid.key, []) if now - moment < window]
        self._incremental_times[source.rid.key] = recent
        if len(recent) < limit:
            return
        wait = recent[0] + window - now
        minutes = window.total_seconds() / 60
        text = f"The maximum of {limit} incremental snapshots in {minutes:g} minutes is reached for disk {source.id}."
        raise too_many_requests(self._world, self._world.settings.compute.snapshot_rate_status, text, wait)
