"""What a VM restore point may be taken of, and how consistent it can be (article "VM restore points")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from include.azure_simulator.compute.disks import Disk
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.restore_points import ConsistencyMode, RestorePointPropertiesBody
from include.azure_simulator.compute.store import invalid_parameter, not_allowed

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_SIZE = re.compile(r"^Standard_[A-Z]+\d+(-\d+)?(?P<features>[a-z]*)_v(?P<version>\d+)$", re.IGNORECASE)
_UNSUPPORTED_SKUS = ("UltraSSD_LRS", "PremiumV2_LRS")


def checked_mode(world: World, body: RestorePointPropertiesBody, machine: VirtualMachine) -> ConsistencyMode:
    """The consistency of a restore point: what was asked for, or what the system of the VM can give.

    :raises ArmError: 400 ``InvalidParameter``.
    """
    asked = body.consistency_mode
    crash_only = world.settings.compute.restore_point_consistency_input == "crash_only"
    if asked not in (None, "CrashConsistent") and crash_only:
        text = (
            f"The value '{asked}' of parameter 'restorePoint.consistencyMode' is not allowed. Allowed values are "
            "'CrashConsistent'."
        )
        raise invalid_parameter(text, "restorePoint.consistencyMode")
    by_default: ConsistencyMode = (
        "ApplicationConsistent" if machine.section.os_type == "Windows" else "FileSystemConsistent"
    )
    return asked or by_default


def checked_disks(world: World, body: RestorePointPropertiesBody, machine: VirtualMachine) -> dict[int | None, Disk]:
    """The disks to be taken, by LUN; ``None`` is the OS disk.

    :raises ArmError: 409 ``OperationNotAllowed`` without managed disks, 400 ``InvalidParameter`` for ``excludeDisks``.
    """
    if machine.section.ephemeral_os_disk or machine.section.os_disk.vhd_uri is not None:
        raise not_allowed(f"Restore points need managed disks; the OS disk of VM '{machine.rid.name}' is none.")
    left_out = {reference.id.lower() for reference in body.exclude_disks or []}
    unknown = left_out - {rid.key for rid in machine.disk_ids.values()}
    if unknown:
        text = f"Disk {min(unknown)} in 'excludeDisks' is not attached to VM {machine.id}."
        raise invalid_parameter(text, "restorePoint.excludeDisks")
    found = {lun: world.compute.disks.find(rid) for lun, rid in machine.disk_ids.items()}
    taken = {lun: disk for lun, disk in found.items() if disk is not None and disk.rid.key not in left_out}
    if not taken:
        raise invalid_parameter("All disks of the VM are in 'excludeDisks'.", "restorePoint.excludeDisks")
    return taken


def check_crash_consistency(world: World, machine: VirtualMachine, disks: dict[int | None, Disk]) -> None:
    """Refuse disks that cannot be caught at one moment; where Azure only does not guarantee it, a setting decides.

    :raises ArmError: 409 ``OperationNotAllowed``.
    """
    for disk in disks.values():
        if disk.sku in _UNSUPPORTED_SKUS:
            raise not_allowed(
                f"Disk {disk.id} of type {disk.sku} is not supported for crash consistent restore points. You may "
                "exclude this disk from the restore point via excludeDisks property."
            )
    if world.settings.compute.restore_point_unsafe_crash == "allow":
        return
    doubt = "Crash consistency cannot be guaranteed:"
    caching: dict[int | None, str] = {disk.lun: disk.caching for disk in machine.section.data_disks}
    caching[None] = machine.section.os_disk.caching
    cached = [disk for lun, disk in disks.items() if caching.get(lun) == "ReadWrite"]
    if cached:
        raise not_allowed(f"{doubt} disk {cached[0].id} has ReadWrite host caching.")
    if has_azure_boost(machine.section.size) and sum(1 for lun in disks if lun is not None) > 1:
        raise not_allowed(f"{doubt} the VM of size {machine.section.size} has more than one data disk.")


def has_azure_boost(size: str) -> bool:
    """Whether a size offloads storage so that its disks are not caught at one moment: Intel v6, AMD v7 and newer."""
    match = _SIZE.match(size)
    if match is None or "p" in match["features"].lower():
        return False
    return int(match["version"]) >= (7 if "a" in match["features"].lower() else 6)
