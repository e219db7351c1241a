"""The virtual machines of a world file, with their disks and network interfaces."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk, DiskContent
from include.azure_simulator.compute.guests import Guest
from include.azure_simulator.compute.machines import InterfaceReference, PowerState, VirtualMachine
from include.azure_simulator.compute.store import ProvisioningState, compute_id
from include.azure_simulator.compute.vm_section import DiskSection, VirtualMachineSection
from include.azure_simulator.network.networks import network_id
from include.azure_simulator.resources import JsonObject, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_AGE = timedelta(days=30)
"""How long the VMs have been there when the world begins."""


def add_machine(world: World, section: VirtualMachineSection) -> None:
    """Add a VM of a world file together with its managed disks and its network interface.

    :raises ArmError: when its subscription, resource group or subnet is not in the world.
    """
    subscription = section.subscription or next(iter(world.subscriptions.values())).id
    group = world.require_group(subscription, section.resource_group)
    rid = compute_id(world.require_subscription(subscription).id, group.name, "virtualMachines", section.name)
    created = world.clock.now() - _AGE
    machine = VirtualMachine(
        rid,
        normalise_region(section.location),
        dict(section.tags),
        ProvisioningState.SUCCEEDED,
        section=section,
        disk_ids={},
        power_state=PowerState(section.power_state),
        generalized=section.generalized,
        time_created=created,
        state_changed=created,
        interfaces=[],
        local_guest=_guest(section),
    )
    _add_interface(world, machine)
    if not section.ephemeral_os_disk:
        _add_disk(world, machine, section.os_disk, None)
    for disk in section.data_disks:
        _add_disk(world, machine, disk, disk.lun)
    world.compute.machines.add(machine)


def _add_interface(world: World, machine: VirtualMachine) -> None:
    subscription, group = machine.rid.subscription, machine.rid.group
    rid = network_id(subscription, group, "networkInterfaces", f"{machine.rid.name}-nic")
    subnet = None
    if machine.section.subnet is not None:
        network, _, name = machine.section.subnet.partition("/")
        subnet = world.network.subnets.require(
            network_id(subscription, group, "virtualNetworks", network, "subnets", name)
        )
    interface = world.network.interfaces.add_to_subnet(rid, machine.location, subnet)
    interface.attached_to, interface.primary = machine.id, True
    machine.interfaces.append(InterfaceReference(interface.id))


def _add_disk(world: World, machine: VirtualMachine, section: DiskSection, lun: int | None) -> None:
    if section.vhd_uri is not None:
        return
    rid = compute_id(machine.rid.subscription, machine.rid.group, "disks", machine.disk_name(section, lun))
    disk = Disk(
        rid,
        machine.location,
        {},
        ProvisioningState.SUCCEEDED,
        sku=section.sku,
        content=_content(machine.section, section, lun),
        creation_data=_creation_data(machine, lun),
        time_created=machine.time_created,
        attached_to=machine.id,
        ownership_changed=machine.time_created,
        zones=list(machine.section.zones[:1]),
    )
    machine.disk_ids[lun] = rid
    world.compute.disks.add(disk)


def _guest(vm: VirtualMachineSection) -> Guest:
    return Guest(tuple(vm.run_commands), vm.image, vm.guest_generalized)


def _content(vm: VirtualMachineSection, disk: DiskSection, lun: int | None) -> DiskContent:
    if lun is not None:
        return DiskContent(
            disk.size_gib, encryption_type=disk.encryption_type, encryption_set_id=disk.encryption_set_id
        )
    security = {"Standard": None, "TrustedLaunch": "TrustedLaunch"}.get(
        vm.security_type, "ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey"
    )
    plan: JsonObject | None = None if vm.plan is None else {**vm.plan.model_dump()}
    return DiskContent(
        disk.size_gib,
        os_type=vm.os_type,
        generation=vm.generation,
        architecture=vm.architecture,
        controller_types="SCSI, NVME" if vm.disk_controller == "NVMe" else "SCSI",
        security_type=security,
        purchase_plan=plan,
        encryption_settings=vm.encrypted,
        encryption_type=disk.encryption_type,
        encryption_set_id=disk.encryption_set_id,
        guest=_guest(vm),
    )


def _creation_data(machine: VirtualMachine, lun: int | None) -> JsonObject:
    image = machine.section.image
    if lun is not None or image is None:
        return {"createOption": "Empty"}
    subscription = machine.rid.subscription
    artifact = (
        f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{machine.location}/Publishers/{image.publisher}"
        f"/ArtifactTypes/VMImage/Offers/{image.offer}/Skus/{image.sku}/Versions/{image.exact_version or image.version}"
    )
    return {"createOption": "FromImage", "imageReference": {"id": artifact}}
