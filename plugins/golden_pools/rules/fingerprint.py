"""The fingerprint of a source's state: short enough for a tag, and it tells which part of it differs.

ARM does not see inside a VM. What it sees: which disks there are, and when one last changed hands: "the time the disk
was last attached or detached from a VM or the time when the VM to which the disk was attached was deallocated or
started" (``LastOwnershipUpdateTime``, Disks - Get). Times of the instance view are left out: whether looking moves them
is not said anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from golden_pools.rules.facts import Disk, GoldenVm, PowerState


def of_vm(vm: GoldenVm) -> str:
    """Return the fingerprint of a VM and its disks."""
    used = max((disk.last_used for disk in vm.disks if disk.last_used), default=None)
    return _written(
        {
            "vm": _hash([vm.id.casefold(), vm.vm_id]),
            "model": _hash([vm.vm_size, vm.os_type, vm.security_type, vm.disk_controller]),
            "disks": _hash([str(part).casefold() for disk in vm.disks for part in _identity(disk)]),
            "used": used.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if used else "unknown",
        }
    )


def of_text(name: str, text: str) -> str:
    """Return the fingerprint of a source that one text identifies, such as the UUID of a build."""
    return _written({name: _hash([text])})


def why_vm_differs(vm: GoldenVm, before: str) -> str:
    """Return what about a VM is not as it was, or what cannot be told; empty where it is surely unchanged.

    :param before: its fingerprint at the time of the version
    """
    at_rest = {PowerState.DEALLOCATED, PowerState.STOPPED} if vm.flagged_generalized else {PowerState.DEALLOCATED}
    if vm.power_state not in at_rest:
        return f"the VM is {vm.power_state}, and what happens inside does not show"
    if unknown := next((disk for disk in vm.disks if disk.last_used is None), None):
        return f"Azure does not say when disk {unknown.name} was last used"
    then, now = _read(before), _read(of_vm(vm))
    if then.keys() != now.keys():
        return "the version does not say what its source was like"
    if then["vm"] != now["vm"]:
        return f"{vm.name} is another VM than before"
    if then["disks"] != now["disks"]:
        return "its disks are not the same, or not of the same size"
    if then["model"] != now["model"]:
        return "its size, security type or disk controller is another"
    if then["used"] != now["used"]:
        last = max(vm.disks, key=lambda disk: disk.last_used or datetime.min.replace(tzinfo=UTC))
        assert last.last_used is not None  # all disks have it, as was looked at above
        return f"disk {last.name} was last attached, or its VM started or stopped, {last.last_used:%Y-%m-%d %H:%M} UTC"
    return ""


def _identity(disk: Disk) -> tuple[object, ...]:
    return disk.lun, disk.id, disk.unique_id, disk.size_gib


def _hash(parts: Iterable[object]) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]


def _written(parts: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in parts.items())


def _read(fingerprint: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in fingerprint.split())}
