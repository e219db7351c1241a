"""Look-ups that Azure refused: their checks are left out, and the reader is told which and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight.case import CHECKS, Lookup, Observations, lookups
from golden_pools.rules.preflight.commands import Commands
from golden_pools.rules.preflight.findings import Finding, Level

PERMISSIONS: Mapping[Lookup, str] = {
    Lookup.GOLDEN_VM: "Microsoft.Compute/virtualMachines/read, .../instanceView/read and Microsoft.Compute/disks/read",
    Lookup.GALLERY: "Microsoft.Compute/galleries/read",
    Lookup.DEFINITION: "Microsoft.Compute/galleries/images/read",
    Lookup.IMAGE_VERSION: "Microsoft.Compute/galleries/images/versions/read",
    Lookup.ACCOUNT: "Microsoft.Batch/batchAccounts/read",
    Lookup.POOLS: "Microsoft.Batch/batchAccounts/pools/read",
    Lookup.VM_SIZES: "Microsoft.Compute/skus/read on the subscription",
    Lookup.BATCH_VM_SIZES: "Microsoft.Batch/locations/virtualMachineSkus/read on the subscription",
    Lookup.SUPPORTED_IMAGES: "the role Azure Batch Data Contributor on the Batch account (data plane)",
}
"""What the caller needs for each look-up; ``docs/custom-role.json`` holds them all."""

VITAL = frozenset({Lookup.GOLDEN_VM, Lookup.ACCOUNT})
"""Without these nothing can be judged: their refusal stops the run."""


def refused(plan: RunPlan, seen: Observations) -> Iterator[Finding]:
    """Yield one finding per look-up that Azure refused."""
    for lookup in Lookup:
        if lookup in lookups(plan) and lookup in seen.unreadable:
            missing = [
                check.id for check in CHECKS.values() if check.concerns(plan) and lookup in (*check.needs, *check.reads)
            ]
            yield Finding(
                level=Level.ERROR if lookup in VITAL else Level.WARNING,
                check=f"{lookup.name.lower().replace('_', '-')}-readable",
                seen=f"the {lookup} could not be read: {seen.unreadable[lookup]}; not checked: {', '.join(missing)}",
                advice=f"grant {PERMISSIONS[lookup]}",
                az=_command(lookup, plan, seen),
            )


def _command(lookup: Lookup, plan: RunPlan, seen: Observations) -> str:
    """Return the command that shows what was refused; not every plan has what the others are about."""
    az = Commands(plan)
    account = seen.account
    location = account.location if account else "REGION"
    endpoint = account.endpoint if account else "ENDPOINT"
    commands: Mapping[Lookup, Callable[[], str]] = {
        Lookup.GOLDEN_VM: az.vm,
        Lookup.GALLERY: az.gallery,
        Lookup.DEFINITION: az.definition,
        Lookup.IMAGE_VERSION: az.version,
        Lookup.ACCOUNT: az.account,
        Lookup.POOLS: az.pools,
        Lookup.VM_SIZES: partial(az.compute_size, location),
        Lookup.BATCH_VM_SIZES: partial(az.batch_size, location),
        Lookup.SUPPORTED_IMAGES: partial(az.supported_images, endpoint),
    }
    return commands[lookup]()
