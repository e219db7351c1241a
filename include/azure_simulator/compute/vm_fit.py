"""Whether a VM size exists, and whether it can run with the disks that a VM shall have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.sizes import DiskController, VmSize
from include.azure_simulator.compute.store import invalid_parameter, not_allowed
from include.azure_simulator.errors import ArmError

if TYPE_CHECKING:
    from include.azure_simulator.world import World


def checked_size(world: World, location: str, name: str) -> VmSize:
    """The size with this name.

    :raises ArmError: 400 ``InvalidParameter`` when the region has none such, 409 ``SkuNotAvailable`` when the
        subscription may not use it there.
    """
    sizes = world.compute.vm_sizes(location)
    size = sizes.get(name.lower())
    if size is None:
        valid = ",".join(known.name for known in sizes.values())
        text = (
            f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are: "
            f"{valid}. Find out more on the valid VM sizes in each region at https://aka.ms/azure-regionservices."
        )
        raise invalid_parameter(text, "vmSize")
    if location in size.restricted_in:
        text = (
            "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
            f"{size.name}' is currently not available in location '{location}'. Please try another size or deploy to a "
            "different location or different zone. See https://aka.ms/azureskunotavailable for details."
        )
        raise ArmError(409, "SkuNotAvailable", text)
    return size


def default_controller(size: VmSize) -> DiskController:
    """How a size speaks to its disks when nobody says."""
    return "SCSI" if "SCSI" in size.disk_controllers else "NVMe"


def check_boots(size: VmSize, disk: Disk, controller: str) -> None:
    """Refuse an OS disk that a size cannot boot.

    :raises ArmError: 400 ``BadRequest`` or ``InvalidParameter``.
    """
    content = disk.content
    generation = content.generation or "V1"
    if generation not in size.generations:
        number = generation.removeprefix("V")
        raise ArmError(
            400,
            "BadRequest",
            f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '{number}'. If this was a Create "
            "operation please check that the Hypervisor Generation of the Image matches the Hypervisor Generation of "
            "the selected VM Size. If this was an Update operation please select a Hypervisor Generation "
            f"'{number}' VM Size. For more information, see https://aka.ms/azuregen2vm",
        )
    if content.architecture != size.architecture:
        raise ArmError(
            400,
            "BadRequest",
            f"Cannot create a VM of size '{size.name}' because this VM size only supports a CPU Architecture of "
            f"'{size.architecture}', but an image or disk with CPU Architecture '{content.architecture}' was given. "
            "Please check that the CPU Architecture of the image or disk is compatible with that of the VM size.",
        )
    known = {name.strip().upper() for name in content.controller_types.split(",")}
    usable = controller in size.disk_controllers and controller.upper() in known
    if not usable:
        text = (
            f"The VM size '{size.name}' cannot boot with OS image or disk. Please check that disk controller types "
            "supported by the OS image or disk is one of the supported disk controller types for the VM size "
            f"'{size.name}'. Please query sku api at https://aka.ms/azure-compute-skus to determine supported disk "
            "controller types for the VM size."
        )
        raise invalid_parameter(text, "diskControllerType")


def check_security(size: VmSize, disk: Disk, asked: str) -> None:
    """Refuse a security type that is not the one of the OS disk, or that the size does not have.

    :param asked: ``Standard``, ``TrustedLaunch`` or ``ConfidentialVM``.
    :raises ArmError: 400 ``BadRequest``.
    """
    bound = (disk.content.security_type or "Standard").split("_")[0]
    if bound != asked:
        text = "Security type of VM is not compatible with the security type of attached OS Disk."
        raise ArmError(400, "BadRequest", text)
    if asked == "TrustedLaunch" and not size.trusted_launch:
        text = (
            f"The VM size '{size.name}' is not supported for creation of VMs and Virtual Machine Scale Set with "
            "'TrustedLaunch' security type."
        )
        raise ArmError(400, "BadRequest", text)


def check_disks(size: VmSize, os_disk: Disk | None, data_disks: list[Disk]) -> None:
    """Refuse more data disks than a size takes, and premium disks that it does not.

    :raises ArmError: 409 ``OperationNotAllowed`` or 400 ``InvalidParameter``.
    """
    if len(data_disks) > size.max_data_disks:
        raise not_allowed(
            f"The maximum number of data disks allowed to be attached to a VM of this size is {size.max_data_disks}.",
            target="dataDisks",
        )
    for disk in (*([os_disk] if os_disk else []), *data_disks):
        if disk.sku.startswith("Premium") and not size.premium_io:
            text = (
                f"Requested operation cannot be performed because the VM size {size.name} does not support the storage "
                f"account type {disk.sku} of disk '{disk.rid.name}'. Consider updating the VM to a size that supports "
                "Premium storage."
            )
            raise invalid_parameter(text, "disk.managedDisk.storageAccountType")
