"""Checks of the throwaway VM that is generalized in the golden VM's place.

Sources: "Deprovision or generalize a VM before creating an image", "Trusted Launch for Azure virtual machines".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.spec.source import Clone


def _clone(case: Case) -> Clone | None:
    return case.plan.spec.golden_vm.clone if case.plan.spec.golden_vm else None


@check(needs=(Lookup.GOLDEN_VM,))
def clone_of_a_generalized_vm(case: Case) -> Iterator[Finding]:
    """Is the golden VM one that still starts, so that there is something to generalize in its clone?"""
    if _clone(case) and case.vm.flagged_generalized:
        yield case.error(
            "golden_vm.generalize is clone, but the golden VM is flagged as generalized already",
            "set golden_vm.generalize: as_is: its disks can be captured as they are",
            case.az.vm_status(),
        )


@check(building=True)
def clone_subnet(case: Case) -> Iterator[Finding]:
    """Does the clone's subnet lie in the spec's subscription, as its network card has to?"""
    clone, subscription = _clone(case), case.plan.spec.subscription.casefold()
    if clone and f"/subscriptions/{subscription}/" not in clone.subnet_id.casefold():
        yield case.error(
            f"golden_vm.clone.subnet_id is {clone.subnet_id}, the spec's subscription {subscription}",
            "give it a subnet of the spec's subscription, in the golden VM's region",
            f"az network vnet subnet show --ids {clone.subnet_id} --output json",
        )


@check(needs=(Lookup.GOLDEN_VM, Lookup.ACCOUNT, Lookup.VM_SIZES))
def clone_vm_size(case: Case) -> Iterator[Finding]:
    """Can the clone's VM size boot the golden VM's disks? Known where both are in the Batch account's region."""
    clone, system = _clone(case), case.captured
    if clone is None or clone.vm_size is None or system is None or system.location != case.account.location:
        return
    size = case.seen.vm_sizes.get(clone.vm_size.casefold())
    if size is None:
        why = f"Azure does not offer it in {system.location}"
    elif size.generations and system.generation not in size.generations:
        why = f"it boots {', '.join(size.generations)}, the golden VM is {system.generation}"
    elif size.architecture and size.architecture.casefold() != system.architecture.casefold():
        why = f"it is {size.architecture}, the golden VM is {system.architecture}"
    elif system.trusted_launch and not size.trusted_launch:
        why = "it cannot do Trusted Launch"
    elif system.nvme and size.disk_controllers and "nvme" not in map(str.casefold, size.disk_controllers):
        why = "it has no NVMe disk controller"
    else:
        return
    yield case.error(
        f"golden_vm.clone.vm_size is {clone.vm_size}: {why}",
        "choose another size, or leave it out: the clone then has the golden VM's own",
        case.az.compute_size(case.account.location),
    )
