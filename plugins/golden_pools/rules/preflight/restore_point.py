"""Checks of ``capture: restore_point``: what Azure does not catch at one moment, though it may not refuse it.

Sources: "Overview of Virtual Machine restore points", "Support matrix for VM restore points".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.restore_point import why_disks_differ, why_not_taken
from golden_pools.spec.source import Capture

_OR_ELSE = "or use golden_vm.capture: deallocated or stopped"


def _is_asked_for(case: Case) -> bool:
    golden = case.plan.spec.golden_vm
    return golden is not None and golden.capture is Capture.RESTORE_POINT


@check(needs=(Lookup.GOLDEN_VM,))
def restore_point_disks(case: Case) -> Iterator[Finding]:
    """With capture: restore_point, are all disks of a kind and caching that it catches at one moment?"""
    if not _is_asked_for(case):
        return
    for disk in case.vm.disks:
        if found := why_not_taken(disk):
            why, advice = found
            yield case.error(
                f"capture: restore_point does not promise disk {disk.name}: {why}",
                f"{advice}, {_OR_ELSE}",
                case.az.vm("storageProfile"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def restore_point_of_many_disks(case: Case) -> Iterator[Finding]:
    """With capture: restore_point, does the VM's size catch all data disks at one moment?"""
    if _is_asked_for(case) and (why := why_disks_differ(case.vm)):
        yield case.error(
            f"capture: restore_point, but Azure does not promise one moment: {why}",
            f"use one data disk, or a size before Intel v6 and AMD v7, {_OR_ELSE}",
            case.az.vm("hardwareProfile.vmSize"),
        )


@check(needs=(Lookup.GOLDEN_VM,), reads=(Lookup.VM_SIZES,))
def restore_point_vm_size(case: Case) -> Iterator[Finding]:
    """With capture: restore_point, does the VM's size take premium disks, as such a restore point needs?"""
    size = case.seen.vm_sizes.get((case.vm.vm_size or "").casefold())
    if _is_asked_for(case) and size is not None and size.premium_disks is False:
        yield case.error(
            f"capture: restore_point, but size {case.vm.vm_size} takes no premium disks",
            f"resize the VM to a size with an s in its name, {_OR_ELSE}",
            case.az.vm("hardwareProfile.vmSize"),
        )
