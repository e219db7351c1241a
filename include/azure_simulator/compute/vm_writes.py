"""Making, changing and deleting virtual machines. A new VM boots from an OS disk that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import PowerState, VirtualMachine
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.compute.store import (
    ProvisioningState,
    Written,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    invalid_parameter,
    property_change,
)
from include.azure_simulator.compute.usages import check_quota
from include.azure_simulator.compute.vm_bodies import (
    DataDiskBody,
    VirtualMachineBody,
)
from include.azure_simulator.compute.vm_creation import Creation, interface_reference
from include.azure_simulator.compute.vm_disks import (
    attach_data,
    attachable_data,
    data_section,
    detach,
    set_delete_option,
)
from include.azure_simulator.compute.vm_fit import (
    check_boots,
    check_disks,
    checked_size,
)
from include.azure_simulator.network.interfaces import reference_not_found
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

VM_NAME = r"^[^_\W][\w\-._]{0,79}(?<![-.])$"


def put_machine(world: World, rid: ResourceId, body: VirtualMachineBody) -> Written[VirtualMachine]:
    """Make a VM from disks that exist, or change one.

    :raises ArmError: as Azure refuses.
    """
    check_name(rid.name, VM_NAME, "vmName")
    existing = world.compute.machines.find(rid)
    location = checked_location(world, rid, body.location, existing)
    for reference in body.properties.elsewhere:
        raise reference_not_found(reference, rid)
    if existing is None:
        machine = Creation(world, rid, location, body).machine()
        return Written(machine, _bring_up(world, machine, ProvisioningState.CREATING), created=True)
    if existing.busy or world.operations.running_on(existing.id) is not None:
        raise concurrent_request()
    _change(world, existing, body)
    if not existing.came_up:
        return Written(existing, _bring_up(world, existing, ProvisioningState.UPDATING))
    duration = world.settings.compute.vm_update
    return Written(existing, world.compute.machines.begin(existing, duration, None, existing.power_state))


def delete_machine(world: World, rid: ResourceId) -> Operation | None:
    """Delete a VM, with those of its disks and interfaces that go with it; ``None`` when there is none.

    What is being done to it at the time is given up.
    """
    world.require_group(rid.subscription, rid.group)
    machine = world.compute.machines.find(rid)
    if machine is None:
        return None
    running = world.operations.running_on(machine.id)
    if running is not None and machine.provisioning_state is ProvisioningState.DELETING:
        return running
    if running is not None:
        running.error = ("OperationPreempted", "The operation has been preempted by a more recent operation.")
    world.compute.restore_points.disturb(machine)
    return begin_delete(
        world,
        world.compute.machines,
        machine,
        OperationFamily.COMPUTE,
        world.settings.compute.vm_delete,
        then=lambda: _release(world, machine),
    )


def _bring_up(world: World, machine: VirtualMachine, state: ProvisioningState) -> Operation:
    def came_up() -> None:
        machine.came_up = True

    return world.compute.machines.begin(
        machine,
        world.settings.compute.vm_create,
        PowerState.STARTING,
        PowerState.RUNNING,
        state=state,
        then=came_up,
    )


def _change(world: World, machine: VirtualMachine, body: VirtualMachineBody) -> None:
    """Change tags, size and data disks of a VM; everything else must stay as it is."""
    properties = body.properties
    storage = properties.storage_profile
    _check_unchanged(machine, body)
    section = machine.section
    size = checked_size(
        world, machine.location, properties.hardware_profile.vm_size if properties.hardware_profile else section.size
    )
    bodies = storage.kept_disks if storage is not None else None
    data = None
    if bodies is not None:
        data = attachable_data(world, machine.rid, machine.location, bodies, section.zones)
        check_disks(size, None, [disk for _, disk in data])
    if size.name.lower() != section.size.lower():
        _check_resize(world, machine, size)
    machine.section = section.model_copy(update={"size": size.name})
    machine.tags = dict(body.tags or {})
    if data is not None:
        _replace_data_disks(world, machine, data)
    if storage is not None and storage.os_disk is not None:
        set_delete_option(machine, None, storage.os_disk.delete_option)
    if properties.network_profile is not None:
        machine.interfaces = [
            interface_reference(interface) for interface in properties.network_profile.network_interfaces
        ]


def _check_resize(world: World, machine: VirtualMachine, size: VmSize) -> None:
    os_disk = world.compute.machines.os_disk(machine)
    if os_disk is not None:
        check_boots(size, os_disk, machine.section.disk_controller)
        check_disks(size, os_disk, world.compute.machines.disks(machine)[1:])
    if machine.power_state is not PowerState.DEALLOCATED:
        check_quota(world, machine.rid.subscription, machine.location, size, spot=machine.spot)


def _check_unchanged(machine: VirtualMachine, body: VirtualMachineBody) -> None:
    properties = body.properties
    if machine.attached and properties.os_profile is not None:
        raise invalid_parameter("Parameter 'osProfile' is not allowed.", "osProfile")
    if body.zones is not None and body.zones != machine.section.zones:
        raise property_change("zones")
    storage = properties.storage_profile
    wanted = storage.os_disk.disk_id if storage is not None and storage.os_disk is not None else None
    if wanted is not None and wanted.lower() != str(machine.disk_ids.get(None, "")).lower():
        raise property_change("osDisk.managedDisk.id")
    security = properties.security_profile.security_type if properties.security_profile is not None else None
    if security is not None and security != machine.section.security_type:
        raise property_change("securityProfile.securityType")
    if properties.network_profile is not None:
        asked = {interface.id.lower() for interface in properties.network_profile.network_interfaces}
        if asked != {interface.id.lower() for interface in machine.interfaces}:
            raise property_change("networkProfile.networkInterfaces")


def _replace_data_disks(world: World, machine: VirtualMachine, data: list[tuple[DataDiskBody, Disk]]) -> None:
    wanted = {disk.rid.key: disk_body.lun for disk_body, disk in data}
    unmanaged = [disk for disk in machine.section.data_disks if disk.lun not in machine.disk_ids]
    world.compute.restore_points.disturb(machine)
    for lun, rid in [(lun, rid) for lun, rid in machine.disk_ids.items() if lun is not None]:
        if wanted.get(rid.key) != lun:
            detach(world, machine, lun)
    for disk_body, disk in data:
        if disk.attached_to is None:
            attach_data(world, machine, disk_body, disk)
        set_delete_option(machine, disk_body.lun, disk_body.delete_option)
    sections = [*unmanaged, *(data_section(disk_body, disk) for disk_body, disk in data)]
    machine.section = machine.section.model_copy(update={"data_disks": sections})


def _release(world: World, machine: VirtualMachine) -> None:
    """Let go of what a deleted VM had."""
    gone = {machine.disk_ids[lun].key for lun in machine.deleted_with_vm}
    for lun, rid in list(machine.disk_ids.items()):
        detach(world, machine, lun)
        if rid.key in gone:
            world.compute.disks.discard(rid)
    interfaces = world.network.interfaces
    for reference in machine.interfaces:
        interface = interfaces.find(reference.id)
        if interface is None:
            continue
        interface.attached_to = None
        if reference.delete_option == "Delete":
            interfaces.discard(interface.rid)
        elif not machine.came_up:
            interface.reserved_until = world.clock.now() + world.settings.network.interface_reservation
