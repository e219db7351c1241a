"""The disks of virtual machines: which may be attached, and what attaching and detaching does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.store import (
    ProvisioningState,
    invalid_parameter,
    not_allowed,
    not_found,
)
from include.azure_simulator.compute.vm_bodies import DataDiskBody, OsDiskBody, VmDiskBody
from include.azure_simulator.compute.vm_section import DataDiskSection, DiskSection
from include.azure_simulator.errors import ArmError
from include.azure_simulator.resources import ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World


def attachable(
    world: World, vm: ResourceId, location: str, body: VmDiskBody, zones: list[str] | None, target: str
) -> Disk:
    """The disk that a VM wants to have.

    :raises ArmError: 400, 404 or 409.
    """
    if body.create_option != "Attach":
        text = f"The value '{body.create_option}' of parameter '{target}.createOption' is not allowed here."
        raise invalid_parameter(text, f"{target}.createOption")
    if body.disk_id is None:
        raise missing(f"{target}.managedDisk.id")
    disk = world.compute.disks.find(body.disk_id)
    if disk is None:
        try:
            raise not_found(ResourceId.parse(body.disk_id))
        except ValueError:
            text = f"The value '{body.disk_id}' of parameter '{target}.managedDisk.id' is not a valid resource id."
            raise invalid_parameter(text, f"{target}.managedDisk.id") from None
    if disk.location != location or disk.rid.subscription.lower() != vm.subscription.lower():
        text = f"Disk {disk.id} is in region {disk.location}; it must be in subscription and region of VM {vm.name}."
        raise invalid_parameter(text, f"{target}.managedDisk.id")
    if disk.attached_to is not None and disk.attached_to.lower() != vm.key:
        text = (
            f"Cannot attach the disk {disk.rid.name} to VM {vm} because it is already attached to VM "
            f"{disk.attached_to}. A disk can be attached to only one VM at a time."
        )
        raise ArmError(409, "ConflictingUserInput", text, target=disk.id)
    if disk.provisioning_state is not ProvisioningState.SUCCEEDED:
        raise not_allowed(f"Disk {disk.id} is in state {disk.provisioning_state}.", target=disk.id)
    if disk.zones and disk.zones != (zones or []):
        text = (
            f"Disk {disk.id} cannot be attached to the VM because it is not in the same zone as the VM. "
            f"VM zone: '{','.join(zones or [])}'. Disk zone: '{','.join(disk.zones)}'."
        )
        raise ArmError(400, "BadRequest", text, target=disk.id)
    return disk


def attachable_data(
    world: World, vm: ResourceId, location: str, bodies: list[DataDiskBody], zones: list[str] | None
) -> list[tuple[DataDiskBody, Disk]]:
    """The data disks that a VM wants to have.

    :raises ArmError: 400, 404 or 409.
    """
    luns = [body.lun for body in bodies]
    repeated = next((lun for lun in luns if luns.count(lun) > 1), None)
    if repeated is not None:
        raise invalid_parameter(f"A disk at LUN {repeated} already exists.", "dataDisk.lun")
    found = [(body, attachable(world, vm, location, body, zones, "dataDisk")) for body in bodies]
    keys = [disk.rid.key for _, disk in found]
    twice = next((disk for _, disk in found if keys.count(disk.rid.key) > 1), None)
    if twice is not None:
        raise invalid_parameter(f"Disk {twice.id} is specified more than once.", "dataDisks")
    return found


def attach(world: World, machine: VirtualMachine, disk: Disk) -> None:
    """Mark a disk as one of a VM."""
    disk.attached_to = machine.id
    disk.ownership_changed = world.clock.now()


def attach_data(world: World, machine: VirtualMachine, body: DataDiskBody, disk: Disk) -> None:
    """Give a VM a data disk."""
    attach(world, machine, disk)
    machine.disk_ids[body.lun] = disk.rid
    set_delete_option(machine, body.lun, body.delete_option)


def set_delete_option(machine: VirtualMachine, lun: int | None, option: str | None) -> None:
    """Say whether a disk goes with its VM; ``None`` leaves it as it is."""
    if option == "Delete":
        machine.deleted_with_vm.add(lun)
    elif option == "Detach":
        machine.deleted_with_vm.discard(lun)


def detach(world: World, machine: VirtualMachine, lun: int | None) -> None:
    """Take a disk from a VM; ``None`` is the OS disk."""
    disk = world.compute.disks.find(machine.disk_ids.pop(lun))
    machine.deleted_with_vm.discard(lun)
    if disk is not None:
        disk.attached_to = None
        disk.ownership_changed = world.clock.now()


def os_section(body: OsDiskBody, disk: Disk) -> DiskSection:
    """An attached OS disk as a world file describes it."""
    return DiskSection(
        name=disk.rid.name, size_gib=disk.content.size_gib, sku=disk.sku, caching=body.caching or "ReadWrite"
    )


def data_section(body: DataDiskBody, disk: Disk) -> DataDiskSection:
    """An attached data disk as a world file describes it."""
    caching = body.caching or ("ReadOnly" if disk.sku.startswith("Premium_") else "None")
    return DataDiskSection(
        lun=body.lun, name=disk.rid.name, size_gib=disk.content.size_gib, sku=disk.sku, caching=caching
    )


def missing(parameter: str) -> ArmError:
    """400 ``InvalidParameter`` for a parameter that must be there."""
    return invalid_parameter(f"Required parameter '{parameter}' is missing (null).", parameter)
