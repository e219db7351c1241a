"""Taking and deleting VM restore points, and what Azure refuses (article "Troubleshoot restore point failures")."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import VM_TYPE, VirtualMachine
from include.azure_simulator.compute.restore_point_rules import (
    check_crash_consistency,
    checked_disks,
    checked_mode,
)
from include.azure_simulator.compute.restore_points import (
    COLLECTION_TYPE,
    DISK_RESTORE_POINT_TYPE,
    RESTORE_POINT_TYPE,
    CollectionBody,
    ConsistencyMode,
    DiskRestorePoint,
    RestorePoint,
    RestorePointBody,
    RestorePointCollection,
    RestorePointPropertiesBody,
    source_metadata,
)
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    ProvisioningState,
    Store,
    Written,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    invalid_parameter,
    not_allowed,
    parent_not_found,
    property_change,
    too_many_requests,
)
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_HOUR = timedelta(hours=1)
_CLIENT_ERROR = "VMRestorePointClientError"
_CHANGED = (
    "OperationNotAllowed",
    "Changes were made to the Virtual Machine while the operation 'Create Restore Point' was in progress. Operation "
    "Create Restore Point cannot be completed at this time. Please try again later.",
)


class RestorePoints:
    """The restore point collections of the world, with their restore points and disk restore points."""

    def __init__(self, world: World) -> None:
        self.collections: Store[RestorePointCollection] = Store(COLLECTION_TYPE)
        self.points: Store[RestorePoint] = Store(RESTORE_POINT_TYPE)
        self.disk_points: Store[DiskRestorePoint] = Store(DISK_RESTORE_POINT_TYPE)
        self._world = world
        self._times: dict[tuple[str, bool], list[datetime]] = {}
        self._families: dict[str, str] = {}

    def put_collection(self, rid: ResourceId, body: CollectionBody) -> Written[RestorePointCollection]:
        """Make a collection for a VM, or change its tags. This is done at once.

        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, ENTITY_NAME, "restorePointCollectionName")
        existing = self.collections.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        source = self._source_id(body.properties.source.id)
        if existing is not None:
            if existing.busy:
                raise concurrent_request()
            if existing.source_id.lower() != source.key:
                raise property_change("source.id")
            existing.tags = dict(body.tags or {})
            return Written(existing, None)
        machine = self._world.compute.machines.require(source)
        if machine.location != location:
            text = f"The virtual machine {machine.id} is in region {machine.location}, the collection in {location}."
            raise invalid_parameter(text, "restorePointCollection.source.id")
        collection = RestorePointCollection(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.SUCCEEDED,
            machine.id,
            body.properties.instant_access,
        )
        self.collections.add(collection)
        return Written(collection, None, created=True)

    def delete_collection(self, rid: ResourceId) -> Operation | None:
        """Delete a collection with all its restore points; ``None`` when there is none.

        :raises ArmError: 409 ``Conflict`` while a restore point is being made or deleted in it.
        """
        self._world.require_group(rid.subscription, rid.group)
        collection = self.collections.find(rid)
        if collection is None:
            return None
        if collection.busy:
            return self._world.operations.running_on(collection.id)
        if any(point.busy for point in self.points.children(rid)):
            raise concurrent_request()
        duration = self._world.settings.compute.restore_point_collection_delete
        return begin_delete(
            self._world,
            self.collections,
            collection,
            OperationFamily.COMPUTE,
            duration,
            then=lambda: self._discard(self.points.children(rid)),
        )

    def put(self, rid: ResourceId, body: RestorePointBody, *, api_version: str) -> Written[RestorePoint]:
        """Take a restore point of the VM of a collection.

        :param api_version: version of the call.
        :raises ArmError: as Azure refuses.
        """
        if api_version[:10] < "2022-03-01":
            raise ArmError(400, "BadRequest", "This request can be made with api-version '2022-03-01' or newer.")
        self._world.require_group(rid.subscription, rid.group)
        check_name(rid.name, ENTITY_NAME, "restorePointName")
        collection = self.collections.find(rid.parent)
        if collection is None or collection.busy:
            raise parent_not_found(rid)
        existing = self.points.find(rid)
        if existing is not None and existing.provisioning_state is not ProvisioningState.FAILED:
            return self._again(existing)
        machine = self._world.compute.machines.require(ResourceId.parse(collection.source_id))
        mode = checked_mode(self._world, body.properties, machine)
        if machine.busy or self._world.operations.running_on(machine.id) is not None:
            raise concurrent_request()
        disks = checked_disks(self._world, body.properties, machine)
        if mode == "CrashConsistent":
            check_crash_consistency(self._world, machine, disks)
        refusal = self._refusal(machine)
        self._check_rate(machine, crash=mode == "CrashConsistent")
        return Written(*self._taken(rid, body.properties, machine, mode, disks, refusal), created=True)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a restore point; ``None`` when there is none. Disks made from it stay.

        :raises ArmError: 409 ``Conflict`` while it is being made.
        """
        self._world.require_group(rid.subscription, rid.group)
        point = self.points.find(rid)
        if point is None:
            return None
        if point.provisioning_state is ProvisioningState.DELETING:
            return self._world.operations.running_on(point.id)
        if point.busy:
            raise concurrent_request()
        duration = self._world.settings.compute.restore_point_delete
        return begin_delete(
            self._world,
            self.points,
            point,
            OperationFamily.COMPUTE,
            duration,
            then=lambda: self._discard([point]),
        )

    def disturb(self, machine: VirtualMachine) -> None:
        """Let the restore points fail that are being taken of a VM whose disks change."""
        for point in self._of(machine):
            running = self._world.operations.running_on(point.id)
            if point.provisioning_state is ProvisioningState.CREATING and running is not None:
                running.error = _CHANGED

    def _source_id(self, text: str) -> ResourceId:
        try:
            source = ResourceId.parse(text)
        except ValueError:
            source = None
        if source is None or not source.is_type(VM_TYPE):
            target = "restorePointCollection.source.id"
            raise invalid_parameter(f"The value '{text}' of parameter '{target}' is not the id of a VM.", target)
        return source

    def _again(self, existing: RestorePoint) -> Written[RestorePoint]:
        if existing.busy:
            raise concurrent_request()
        if self._world.settings.compute.restore_point_again == "refuse":
            raise not_allowed("Updating properties of an existing restore point is not allowed.")
        return Written(existing, None)

    def _refusal(self, machine: VirtualMachine) -> tuple[str, str] | None:
        """Why the VM can have no further restore point now; whether that shows at once or later is a setting."""
        settings = self._world.settings.compute
        points = self._of(machine)
        refusal = None
        if any(point.provisioning_state is ProvisioningState.CREATING for point in points):
            text = (
                "RestorePoint creation failed since a concurrent 'Create RestorePoint' operation was triggered on the "
                "VM."
            )
            refusal = (_CLIENT_ERROR, text)
        elif len(points) >= settings.restore_points_per_vm:
            text = (
                "Restore Point creation failed as the maximum allowed snapshot limit of one or more disk blobs has "
                "been reached. Please delete some existing restore points of this VM and then retry."
            )
            refusal = (_CLIENT_ERROR, text)
        if refusal is not None and settings.restore_point_refusal == "at_once":
            raise ArmError(409, *refusal)
        return refusal

    def _check_rate(self, machine: VirtualMachine, *, crash: bool) -> None:
        settings = self._world.settings.compute
        now = self._world.clock.now()
        key = (machine.vm_id, crash)
        recent = [moment for moment in self._times.get(key, []) if now - moment < _HOUR]
        if len(recent) >= settings.restore_points_per_hour:
            kind = "crash consistent" if crash else "application consistent"
            text = (
                f"The maximum of {settings.restore_points_per_hour} {kind} restore points per hour is reached for VM "
                f"{machine.id}."
            )
            raise too_many_requests(self._world, settings.restore_point_rate_status, text, recent[0] + _HOUR - now)
        self._times[key] = [*recent, now]

    def _taken(
        self,
        rid: ResourceId,
        body: RestorePointPropertiesBody,
        machine: VirtualMachine,
        mode: ConsistencyMode,
        disks: dict[int | None, Disk],
        refusal: tuple[str, str] | None,
    ) -> tuple[RestorePoint, Operation]:
        now = self._world.clock.now()
        made = {lun: self._disk_point(rid, disk, now) for lun, disk in disks.items()}
        point = RestorePoint(
            rid,
            machine.location,
            {},
            ProvisioningState.CREATING,
            consistency_mode=mode,
            time_created=now,
            excluded=[reference.id for reference in body.exclude_disks or []],
            metadata=source_metadata(machine, {lun: made_point.rid for lun, made_point in made.items()}),
            disk_points=[made_point.rid for made_point in made.values()],
        )
        if (failed := self.points.find(rid)) is not None:
            self._discard([failed])
        self.points.add(point)
        for made_point in made.values():
            self.disk_points.add(made_point)

        def settle(state: ProvisioningState) -> None:
            point.provisioning_state = state
            for made_point in made.values():
                made_point.provisioning_state = state

        operation = self._world.operations.start(
            family=OperationFamily.COMPUTE,
            location=machine.location,
            subscription=rid.subscription,
            duration=self._world.settings.compute.restore_point_create,
            resource_id=point.id,
            error=refusal,
            on_success=lambda: settle(ProvisioningState.SUCCEEDED),
            on_failure=lambda: settle(ProvisioningState.FAILED),
        )
        return point, operation

    def _disk_point(self, rid: ResourceId, disk: Disk, now: datetime) -> DiskRestorePoint:
        return DiskRestorePoint(
            rid.child("diskRestorePoints", f"{disk.rid.name}_{uuid.uuid4()}"),
            disk.location,
            {},
            ProvisioningState.CREATING,
            sku=disk.sku,
            content=disk.content,
            creation_data={"createOption": "Copy", "sourceResourceId": disk.id},
            time_created=now,
            source=disk.rid,
            source_unique_id=disk.unique_id,
            family_id=self._families.setdefault(disk.unique_id, str(uuid.uuid4())),
        )

    def _of(self, machine: VirtualMachine) -> list[RestorePoint]:
        """The restore points of a VM, in whatever collections."""
        mine = {found.rid.key for found in self.collections if found.source_id.lower() == machine.rid.key}
        return [point for point in self.points if point.rid.parent.key in mine]

    def _discard(self, points: list[RestorePoint]) -> None:
        for point in points:
            self.points.discard(point.rid)
            for rid in point.disk_points:
                self.disk_points.discard(rid)
