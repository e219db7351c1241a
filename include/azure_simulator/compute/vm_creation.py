"""A new virtual machine, which boots from an OS disk that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import InterfaceReference, PowerState, VirtualMachine
from include.azure_simulator.compute.store import (
    ProvisioningState,
    invalid_parameter,
    property_change,
)
from include.azure_simulator.compute.usages import check_quota
from include.azure_simulator.compute.vm_bodies import (
    DataDiskBody,
    InterfaceReferenceBody,
    OsDiskBody,
    StorageBody,
    VirtualMachineBody,
    VmPropertiesBody,
    VmSecurityBody,
)
from include.azure_simulator.compute.vm_disks import (
    attach,
    attach_data,
    attachable,
    attachable_data,
    data_section,
    missing,
    os_section,
    set_delete_option,
)
from include.azure_simulator.compute.vm_fit import (
    check_boots,
    check_disks,
    check_security,
    checked_size,
    default_controller,
)
from include.azure_simulator.compute.vm_section import SecurityType, VirtualMachineSection
from include.azure_simulator.network.interfaces import NetworkInterface, nic_in_use, reference_not_found
from include.azure_simulator.resources import ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class Creation:
    """The checks of a new VM, and the VM."""

    def __init__(self, world: World, rid: ResourceId, location: str, body: VirtualMachineBody) -> None:
        self._world = world
        self._rid = rid
        self._location = location
        self._body = body
        self._properties = body.properties

    def machine(self) -> VirtualMachine:
        """The VM, with disks and interfaces attached.

        :raises ArmError: as Azure refuses; nothing has changed then.
        """
        storage, os_body = _required_os_disk(self._properties)
        if self._properties.hardware_profile is None:
            raise missing("hardwareProfile.vmSize")
        size = checked_size(self._world, self._location, self._properties.hardware_profile.vm_size)
        os_disk = attachable(self._world, self._rid, self._location, os_body, self._body.zones, "osDisk")
        self._check_os_disk(os_disk, os_body)
        data = attachable_data(self._world, self._rid, self._location, storage.data_disks or [], self._body.zones)
        if os_disk.rid.key in {disk.rid.key for _, disk in data}:
            raise invalid_parameter(f"Disk {os_disk.id} is specified more than once.", "dataDisks")
        controller = storage.disk_controller_type or default_controller(size)
        security = self._properties.security_profile or VmSecurityBody()
        security_type: SecurityType = security.security_type or "Standard"
        check_boots(size, os_disk, controller)
        check_security(size, os_disk, security_type)
        check_disks(size, os_disk, [disk for _, disk in data])
        interfaces = self._interfaces()
        spot = self._properties.priority in ("Low", "Spot")
        check_quota(self._world, self._rid.subscription, self._location, size, spot=spot)
        section = VirtualMachineSection(
            name=self._rid.name,
            resource_group=self._rid.group,
            location=self._location,
            size=size.name,
            os_type="Windows" if os_disk.content.os_type == "Windows" else "Linux",
            generation=os_disk.content.generation or "V1",
            architecture=os_disk.content.architecture,
            security_type=security_type,
            encryption_at_host=bool(security.encryption_at_host),
            encrypted=os_disk.content.encryption_settings,
            disk_controller=controller,
            os_disk=os_section(os_body, os_disk),
            data_disks=[data_section(disk_body, disk) for disk_body, disk in data],
            zones=self._body.zones or [],
        )
        return self._made(section, os_body, os_disk, data, interfaces, security)

    def _made(
        self,
        section: VirtualMachineSection,
        os_body: OsDiskBody,
        os_disk: Disk,
        data: list[tuple[DataDiskBody, Disk]],
        interfaces: list[tuple[InterfaceReference, NetworkInterface]],
        security: VmSecurityBody,
    ) -> VirtualMachine:
        now = self._world.clock.now()
        machine = VirtualMachine(
            self._rid,
            self._location,
            dict(self._body.tags or {}),
            ProvisioningState.CREATING,
            section=section,
            disk_ids={None: os_disk.rid},
            power_state=PowerState.DEALLOCATED,
            generalized=False,
            time_created=now,
            state_changed=now,
            interfaces=[reference for reference, _ in interfaces],
            attached=True,
            came_up=False,
            kept=self._properties.kept,
            uefi_settings=security.uefi_settings,
        )
        attach(self._world, machine, os_disk)
        set_delete_option(machine, None, os_body.delete_option)
        for disk_body, disk in data:
            attach_data(self._world, machine, disk_body, disk)
        for reference, interface in interfaces:
            interface.attached_to, interface.primary = machine.id, reference.primary or len(interfaces) == 1
            interface.reserved_until = None
        self._world.compute.machines.add(machine)
        return machine

    def _check_os_disk(self, disk: Disk, body: OsDiskBody) -> None:
        if disk.content.os_type is None:
            text = f"Disk {disk.id} cannot be used as an OS disk, since it has no operating system."
            raise invalid_parameter(text, "osDisk.managedDisk.id")
        if body.os_type is not None and body.os_type != disk.content.os_type:
            text = f"The value '{body.os_type}' of 'osDisk.osType' does not match '{disk.content.os_type}' of the disk."
            raise invalid_parameter(text, "osDisk.osType")
        if body.disk_size_gb is not None and body.disk_size_gb != disk.content.size_gib:
            raise property_change("osDisk.diskSizeGB")

    def _interfaces(self) -> list[tuple[InterfaceReference, NetworkInterface]]:
        profile = self._properties.network_profile
        if profile is None or not profile.network_interfaces:
            raise missing("networkProfile")
        found: list[tuple[InterfaceReference, NetworkInterface]] = []
        for wanted in profile.network_interfaces:
            interface = self._world.network.interfaces.find(wanted.id)
            if interface is None or interface.location != self._location:
                raise reference_not_found(wanted.id, self._rid)
            if interface.attached_to is not None:
                raise nic_in_use(interface)
            self._world.network.interfaces.check_not_reserved(interface)
            found.append((interface_reference(wanted), interface))
        if len(found) > 1 and sum(1 for reference, _ in found if reference.primary) != 1:
            text = "Virtual machine with multiple network interfaces must have exactly one primary network interface."
            raise invalid_parameter(text, "networkProfile")
        return found


def interface_reference(body: InterfaceReferenceBody) -> InterfaceReference:
    """An interface as its VM names it."""
    return InterfaceReference(body.id, body.properties.primary, body.properties.delete_option)


def _required_os_disk(properties: VmPropertiesBody) -> tuple[StorageBody, OsDiskBody]:
    storage = properties.storage_profile
    if storage is None or storage.os_disk is None:
        raise missing("storageProfile.osDisk")
    if storage.os_disk.create_option != "Attach":
        text = (
            f"The value '{storage.os_disk.create_option}' of parameter 'osDisk.createOption' is not allowed here: "
            "a new VM boots from a disk that exists."
        )
        raise invalid_parameter(text, "osDisk.createOption")
    if storage.image_reference is not None:
        text = "Cannot attach an existing OS disk if the VM is created from a platform, user or a shared gallery image."
        raise invalid_parameter(text, "osDisk")
    if properties.os_profile is not None:
        raise invalid_parameter("Parameter 'osProfile' is not allowed.", "osProfile")
    return storage, storage.os_disk
