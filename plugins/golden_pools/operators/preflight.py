"""Stage ``preflight``: look at all that the run needs, report all findings at once, stop before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, PreflightError
from golden_pools.operators.base import StageOperator, StateStore, now
from golden_pools.operators.passport_files import unreachable_store
from golden_pools.operators.source import note_begun
from golden_pools.rules.capture import found_state
from golden_pools.rules.facts import PowerState
from golden_pools.rules.intentions import intentions
from golden_pools.rules.intentions import render as render_intentions
from golden_pools.rules.plan import RunPlan, account_id
from golden_pools.rules.preflight import Level, Lookup, Observations, blockers, lookups, preflight, render

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.hooks.compute import ComputeHook


NO_ANSWER, UNAUTHORIZED, NOT_FOUND = 0, 401, 404

DATA_PLANE = Lookup.SUPPORTED_IMAGES
"""The one look-up that Batch itself answers, which may refuse a login that ARM takes."""

MAY_BE_ABSENT = frozenset({Lookup.GOLDEN_VM, Lookup.GALLERY, Lookup.DEFINITION, Lookup.IMAGE_VERSION, Lookup.ACCOUNT})
"""Single resources: where one of them, or its resource group, is missing, a check says so; no right is missing."""


class PreflightOperator(StageOperator):
    """Check golden VM, gallery, Batch account, quotas, VM size and node agent; reads only.

    :param image: the image's asset, an inlet of this task: its state store learns that a build begins
    :raises PreflightError: with every blocker; warnings and infos stand in the log and in the passport
    :raises AzureRefusedError: the connection or its login is wrong
    :raises AzureBusyError: a look-up was throttled: the task is tried again
    """

    ui_color = "#fff3d6"

    def __init__(self, *, image: Asset | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = image

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the findings and the power state that the golden VM has to get back."""
        plan = self.plan(context)
        seen = observe(plan, self.compute(plan, read_only=True), self.batch(plan, read_only=True))
        plan = plan.model_copy(update={"regions": self._regions(plan, seen)})
        findings = preflight(plan, seen, now())
        if findings:
            self.log.info("Preflight of pool %s:\n%s", plan.pool, render(findings))
        if found := blockers(findings):
            raise PreflightError(
                f"Preflight found {len(found)} blocker(s) for pool {plan.pool}: "
                + "; ".join(f"{finding.check}: {finding.seen}" for finding in found),
                resource=plan.pool_id,
                advice=" / ".join(dict.fromkeys(finding.advice for finding in found))
                + " (the table in the log has the az command that shows each)",
            )
        actions = intentions(plan, seen)
        if plan.plan_only:
            self.log.info("Plan only. This run would:\n%s", render_intentions(actions) or "  change nothing")
        note_begun(context, self.image, plan)
        store = unreachable_store(plan)
        return {
            "golden_vm_was_running": self._was_running(context, plan, seen),
            "regions": plan.regions,
            "findings": [
                {"level": f.level, "check": f.check, "seen": f.seen, "advice": f.advice}
                for f in findings
                if f.level is not Level.INFO
            ]
            + ([store] if store else []),
            "would": [action.to_dict() for action in actions] if plan.plan_only else [],
        }

    def _regions(self, plan: RunPlan, seen: Observations) -> dict[str, str]:
        """Return where the accounts are whose pools use the image; one that cannot be read may be anywhere."""
        from golden_pools.hooks.batch import BatchHook

        regions = {account_id(plan.spec).lower(): seen.account.location} if seen.account else {}
        for other in sorted(plan.nodes_elsewhere.keys() - regions.keys()):
            _, _, subscription, _, group, *_, name = other.split("/")
            try:
                with BatchHook(plan.spec.connection, subscription, read_only=True) as hook:
                    found = hook.account(group, name)
            except AzureRefusedError as refused:
                self.log.warning("Pools of %s get replicas in every region: %s", other, refused)
            else:
                if found is not None:
                    regions[other] = found.location
        return regions

    def _was_running(self, context: Context, plan: RunPlan, seen: Observations) -> bool:
        """Return what the run's first preflight saw: a cleared one may look while the run itself has stopped the VM."""
        store = StateStore(context, plan.stem)
        kept = store.read()
        if "was_running" not in kept:
            state = seen.golden_vm.power_state if seen.golden_vm else PowerState.UNKNOWN
            kept = store.keep(was_running=found_state(state) is PowerState.RUNNING)
        return bool(kept["was_running"])


def observe(plan: RunPlan, compute: ComputeHook, batch: BatchHook) -> Observations:
    """Look at everything that preflight judges; what Azure refuses to show is noted, not fatal."""
    spec, wanted = plan.spec, lookups(plan)
    seen: dict[str, Any] = {}
    refused: dict[str, str] = {}

    def look(lookup: Lookup, field: str, question: Callable[[], Any]) -> None:
        if lookup in wanted:
            try:
                seen[field] = question()
            except AzureRefusedError as error:
                if error.status == NO_ANSWER or (error.status == UNAUTHORIZED and lookup is not DATA_PLANE):
                    raise  # the connection is wrong: no look-up can succeed, and no right is missing
                if not (error.status == NOT_FOUND and lookup in MAY_BE_ABSENT):
                    refused[lookup] = error.answer or str(error)

    with compute, batch:
        group, account = spec.pool.resource_group, spec.pool.account
        if (vm := plan.vm) is not None:
            look(Lookup.GOLDEN_VM, "golden_vm", lambda: compute.golden_vm(vm.resource_group, vm.name))
        look(Lookup.GALLERY, "gallery", lambda: compute.gallery(plan.image_group, spec.image.gallery or ""))
        look(Lookup.DEFINITION, "definition", lambda: compute.definition(plan.version_id.rsplit("/versions/")[0]))
        look(Lookup.IMAGE_VERSION, "image_version", lambda: compute.image_version(plan.version_id))
        look(Lookup.ACCOUNT, "account", lambda: batch.account(group, account))
        if (found := seen.get("account")) is not None:
            look(Lookup.POOLS, "pools", lambda: tuple(batch.pools(group, account)))
            look(Lookup.VM_SIZES, "vm_sizes", lambda: compute.vm_sizes(found.location))
            look(Lookup.BATCH_VM_SIZES, "batch_vm_sizes", lambda: batch.vm_sizes(found.location))
            look(Lookup.SUPPORTED_IMAGES, "supported_images", lambda: tuple(batch.supported_images(group, account)))
    return Observations(**seen, unreadable=refused)
