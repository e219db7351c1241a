"""How a run looks at its source, by kind: each look returns what it found, and leaves what is missing to preflight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from golden_pools.errors import AzureRefusedError
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import ImageSource, System, road_for
from golden_pools.spec.part import normal_region
from golden_pools.spec.source import SourceKind

if TYPE_CHECKING:
    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.rules.facts import GoldenVm

NOT_FOUND = 404


def existing_version(hook: ComputeHook, plan: RunPlan) -> ImageSource:
    """Look at the definition of the version that the run was triggered with."""
    definition = hook.definition(plan.version_id.partition("/versions/")[0])
    return ImageSource(
        builds=False,
        reason="the run was triggered with it",
        version_id=plan.version_id,
        system=System.of_definition(definition) if definition else None,
    )


def vm(hook: ComputeHook, plan: RunPlan) -> ImageSource:
    """Look at the VM that is captured, or copied and captured."""
    assert plan.vm is not None
    found = _vm(hook, plan.vm.resource_group, plan.vm.name)
    system = System.of_vm(found) if found else None
    kind = "golden" if plan.spec.golden_vm else "generalized"
    return ImageSource(
        builds=True,
        reason=f"{kind} VM {plan.vm.name}",
        road=road_for(plan.spec, system) if system else None,
        system=system,
        resource_id=found.id if found else None,
    )


def _vm(hook: ComputeHook, group: str, name: str) -> GoldenVm | None:
    try:
        return hook.golden_vm(group, name)
    except AzureRefusedError as refused:
        if refused.status != NOT_FOUND:
            raise
        return None


def vhd(_: ComputeHook, plan: RunPlan) -> ImageSource:
    """Take the spec's word for the page blobs: Azure does not look inside, and shows them to holders of keys only."""
    blob = plan.spec.image.source.vhd
    assert blob is not None
    system = System(location=normal_region(blob.region), os_type=blob.os_type, generation=blob.generation)
    return ImageSource(
        builds=True,
        reason=f"page blob {blob.os_disk}",
        road=road_for(plan.spec, system),
        system=system,
        resource_id=blob.os_disk,
    )


LOOKS: Mapping[SourceKind, Callable[[ComputeHook, RunPlan], ImageSource]] = {
    SourceKind.GOLDEN_VM: vm,
    SourceKind.GENERALIZED_VM: vm,
    SourceKind.VHD: vhd,
}
