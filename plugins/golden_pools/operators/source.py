"""Stage ``source``: look at what the image is made from, and say whether this run makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError
from golden_pools.operators.base import StageOperator
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import ImageSource, System, road_of_snapshots

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.rules.facts import GoldenVm

NOT_FOUND = 404


class ResolveSourceOperator(StageOperator):
    """Look at the source of the image; reads only.

    What is not there is left to preflight, which reports it with everything else.

    :raises AzureRefusedError: Azure does not let the run look
    """

    ui_color = "#fff3d6"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the :class:`~golden_pools.rules.source.ImageSource` as JSON."""
        plan = self.plan(context)
        with self.compute(plan, read_only=True) as hook:
            source = self._existing(hook, plan) if plan.existing_version_id else self._golden_vm(hook, plan)
        self.log.info("%s: %s", "A new image" if source.builds else f"Version {source.version_id}", source.reason)
        return source.model_dump(mode="json")

    def _existing(self, hook: ComputeHook, plan: RunPlan) -> ImageSource:
        definition = hook.definition(plan.version_id.partition("/versions/")[0])
        return ImageSource(
            builds=False,
            reason="the run was triggered with it",
            version_id=plan.version_id,
            system=System.of_definition(definition) if definition else None,
        )

    def _golden_vm(self, hook: ComputeHook, plan: RunPlan) -> ImageSource:
        vm = _vm(hook, plan)
        system = System.of_vm(vm) if vm else None
        return ImageSource(
            builds=True,
            reason=f"golden VM {plan.golden_vm.name}",
            road=road_of_snapshots(plan.golden_vm.route, system) if system else None,
            system=system,
            resource_id=vm.id if vm else None,
        )


def _vm(hook: ComputeHook, plan: RunPlan) -> GoldenVm | None:
    assert plan.vm is not None
    try:
        return hook.golden_vm(plan.vm.resource_group, plan.vm.name)
    except AzureRefusedError as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
