"""Stage ``preflight``: look at all that the run needs, report all findings at once, stop before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, PreflightError
from golden_pools.notifications import PoolAlertNotifier
from golden_pools.operators.base import StageOperator, StateStore, now
from golden_pools.operators.passport_files import unreachable_store
from golden_pools.operators.past_runs import past_runs
from golden_pools.operators.source import note_begun
from golden_pools.rules.capture import found_state
from golden_pools.rules.facts import PowerState
from golden_pools.rules.family import current_pool, family
from golden_pools.rules.intentions import Work, sees_pools
from golden_pools.rules.moves import is_active
from golden_pools.rules.plan import RunPlan, account_id
from golden_pools.rules.preflight import Finding, Level, Lookup, Observations, blockers, lookups, preflight, render
from golden_pools.rules.preview import preview
from golden_pools.spec.model import Strategy
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.hooks.compute import ComputeHook


NO_ANSWER, UNAUTHORIZED, NOT_FOUND = 0, 401, 404

DATA_PLANE = Lookup.SUPPORTED_IMAGES
"""The one look-up that Batch itself answers, which may refuse a login that ARM takes."""

PLAN_TABLE_KEY = "plan_table"
"""XCom of a plan-only run: the table as Markdown, and ``rows, quota, durations, cost`` as JSON for the page."""

MAY_BE_ABSENT = frozenset({Lookup.GOLDEN_VM, Lookup.GALLERY, Lookup.DEFINITION, Lookup.IMAGE_VERSION, Lookup.ACCOUNT})
"""Single resources: where one of them, or its resource group, is missing, a check says so; no right is missing."""


class PreflightOperator(StageOperator):
    """Check golden VM, gallery, Batch account, quotas, VM size and node agent; reads only.

    A plan-only run gets its answer here, also where a blocker stops it.

    :param image: the image's asset, an inlet of this task: its state store learns that a build begins
    :param history_of: the pool's asset, an inlet too: its events tell how long former runs took
    :raises PreflightError: with every blocker; warnings and infos stand in the log and in the passport
    :raises AzureRefusedError: the connection or its login is wrong
    :raises AzureBusyError: a look-up was throttled: the task is tried again
    """

    ui_color = "#fff3d6"

    def __init__(self, *, image: Asset | None = None, history_of: Asset | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.history_of = history_of

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the findings and the power state that the golden VM has to get back."""
        plan = self.plan(context)
        for trouble in PoolAlertNotifier(pool=plan.pool, channels=plan.spec.alerts).look():
            self.log.warning("%s", trouble)
        seen = observe(plan, self.compute(plan, read_only=True), self.batch(plan, read_only=True))
        plan = plan.model_copy(update={"regions": self._regions(plan, seen)})
        findings = preflight(plan, seen, now())
        if findings:
            self.log.info("Preflight of pool %s:\n%s", plan.pool, render(findings))
        if plan.plan_only:
            self._answer(context, plan, seen, findings)
        if found := blockers(findings):
            raise PreflightError(
                f"Preflight found {counted(len(found), 'blocker')} for pool {plan.pool}: "
                + "; ".join(f"{finding.check}: {finding.seen}" for finding in found),
                resource=plan.pool_id,
                advice=" / ".join(dict.fromkeys(finding.advice for finding in found))
                + " (the table in the log has the az command that shows each)",
            )
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
        }

    def _answer(self, context: Context, plan: RunPlan, seen: Observations, findings: list[Finding]) -> None:
        """Say what the run would do, in the log and for the page."""
        answer = preview(
            plan,
            seen,
            findings=findings,
            work=self._work(plan, seen),
            passports=past_runs(context, self.history_of),
            order=list(self.dag.task_dict) if self.has_dag() else (),
        )
        self.log.info("Plan only: this is what the run would do, and nothing is done.\n%s", answer.markdown)
        context["ti"].xcom_push(key=PLAN_TABLE_KEY, value=answer.to_dict())

    def _work(self, plan: RunPlan, seen: Observations) -> Work | None:
        """Return what is bound to a pool that would be replaced; None where nothing has to move, or Batch is silent."""
        current = current_pool(seen.pools, plan.pool) if sees_pools(seen) else None
        if current is None or plan.spec.refresh.strategy is Strategy.IN_PLACE:
            return None
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        try:
            with self.work(plan, read_only=True) as hook:
                jobs = {pool.name: hook.jobs(*where, pool=pool.name) for pool in family(seen.pools, plan.pool)}
                schedules = hook.job_schedules(*where, pool=current.name)
        except AzureRefusedError as refused:
            self.log.warning("What is bound to pool %s is not told: %s", current.name, refused)
            return None
        return Work(
            active={name.lower(): tuple(job.id for job in bound if is_active(job)) for name, bound in jobs.items()},
            jobs=tuple(sorted(job.id for job in jobs[current.name])),
            schedules=tuple(sorted(schedule.id for schedule in schedules)),
        )

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
