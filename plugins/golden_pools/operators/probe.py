"""Commands on nodes of the new version that tell whether it is good: on the canary, and on the refreshed pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import (
    AzureBusyError,
    AzureRefusedError,
    GoldenPoolsError,
    OwnershipError,
    ProbeFailedError,
    ResizeGaveUpError,
    from_dict,
)
from golden_pools.operators.base import GRACE, StageOperator, StateStore, note_failure, now, pulled
from golden_pools.rules.facts import Node, Pool, Task
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.probe import (
    Guest,
    Outcome,
    ProbeResult,
    ProbeTask,
    judge_nodes,
    judge_tasks,
    probe_tasks,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

WINDOWS_AGENT = "batch.node.windows"
"""Beginning of the node agents for Windows."""


class ProbeOperator(StageOperator):
    """Run the probes as tasks of a Batch job on a pool, and judge them.

    On any other pool than the run's canary it runs only with ``refresh.probe_pool``, and removes its job afterwards;
    the canary's job goes with the canary.

    :param pool_task_id: task whose XCom names the pool: ``{"pool": id}``
    :param snapshot_task_id: task whose XCom is the snapshot set, if this run builds the image
    :raises ProbeFailedError: with every probe that failed
    :raises OwnershipError: there is a job of the probes' name on another pool
    """

    ui_color = "#fdf0d5"

    def __init__(self, *, pool_task_id: str, snapshot_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id
        self.snapshot_task_id = snapshot_task_id

    def execute(self, context: Context) -> None:
        """Make the job and its tasks, or adopt what an earlier try made, and wait for the tasks."""
        plan = self.plan_for_writing(context)
        name = self._pool_name(context)
        is_canary = name == plan.canary_name
        if not is_canary and not plan.spec.refresh.probe_pool:
            raise AirflowSkipException("refresh.probe_pool is false in the spec: the canary's probes have to do")
        group, account, job = plan.spec.pool.resource_group, plan.spec.pool.account, self._job(plan, name)
        with self.work(plan) as hook:
            pool = hook.pool(group, account, name)
            if pool is None:
                raise ResizeGaveUpError(
                    "The pool that is to be probed does not exist",
                    resource=plan.id_of_pool(name),
                    advice="find out who deleted it, then clear the tasks that make it",
                )
            if not is_canary and not pool.current_total:
                raise AirflowSkipException("the pool has no node that could be probed")
            probes = self._probes(context, plan, pool)
            self._check_job(hook, plan, job, name)
            hook.create_job(group, account, job, pool=name)
            for probe in probes:
                hook.add_task(
                    group, account, job, probe.id, command_line=probe.command_line, elevated=probe.elevated
                )
        self.log.info("%d probe(s) run on pool %s: %s", len(probes), name, ", ".join(probe.id for probe in probes))
        self._wait(plan, job)

    def _pool_name(self, context: Context) -> str:
        return str(pulled(context, self.pool_task_id)["pool"])

    def _job(self, plan: RunPlan, pool: str) -> str:
        return plan.canary_name if pool == plan.canary_name else plan.probe_name

    def _probes(self, context: Context, plan: RunPlan, pool: Pool) -> list[ProbeTask]:
        """Return the probes, the same in every try."""
        store = StateStore(context, self._job(plan, pool.name))
        kept = store.read()
        if "probes" not in kept:
            guest = Guest(
                windows=plan.spec.pool.node_agent_sku.startswith(WINDOWS_AGENT),
                luns=self._luns(context, plan),
                temp_disk=self._temp_disk(plan, pool),
            )
            probes = probe_tasks(guest, plan.spec.canary.probes)
            kept = store.keep(probes=[probe.to_dict() for probe in probes])
        return [ProbeTask.from_dict(probe) for probe in kept["probes"]]

    def _luns(self, context: Context, plan: RunPlan) -> tuple[int, ...]:
        """Return the LUNs of the image's data disks."""
        if plan.builds_image:
            return tuple(int(disk["lun"]) for disk in pulled(context, self.snapshot_task_id)["data"])
        with self.compute(plan, read_only=True) as hook:
            version = hook.image_version(plan.version_id)
        return version.data_luns if version else ()

    def _temp_disk(self, plan: RunPlan, pool: Pool) -> bool | None:
        """Return whether the pool's VM size has a temporary disk, if Azure says so."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        try:
            with self.batch(plan, read_only=True) as batch, self.compute(plan, read_only=True) as compute:
                size = compute.vm_sizes(batch.account(group, account).location).get(pool.vm_size.lower())
        except AzureRefusedError as refused:
            self.log.warning("Whether %s has a temporary disk could not be read: %s", pool.vm_size, refused)
            return None
        return size.temp_disk if size else None

    def _check_job(self, hook: BatchWorkHook, plan: RunPlan, job_id: str, pool: str) -> None:
        """Refuse a job of the probes' name that takes no tasks, or is somebody else's."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        job = hook.job(group, account, job_id)
        if job is None:
            return
        if job.pool.casefold() != pool.casefold():
            raise OwnershipError(
                "There is already a job under the name that the probes need",
                resource=f"job {job_id} of Batch account {account}",
                answer=f"it is bound to pool {job.pool or '?'}, not to {pool}",
                advice="trigger a new run (it gets a name of its own), or delete the job if nobody needs it",
            )
        if job.state.is_over:
            hook.delete_job(group, account, job_id)
            raise AzureBusyError(
                "The probes' job of an earlier try is still there",
                resource=f"job {job_id} of Batch account {account}",
                answer=f"it is {job.state}",
                advice="nothing: it is being deleted, and the task is tried again by itself",
            )

    def _wait(self, plan: RunPlan, job: str) -> None:
        from golden_pools.triggers.job import JobTasksTrigger

        within = timedelta(minutes=plan.spec.canary.probe_minutes)
        self.defer(
            trigger=JobTasksTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                resource_group=plan.spec.pool.resource_group,
                account=plan.spec.pool.account,
                job=job,
                deadline=(now() + within).isoformat(),
            ),
            method_name="judge",
            timeout=within + GRACE,
        )

    def judge(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what every probe came to, for the passport; the output of those that failed stands in the log."""
        plan, name = self.plan(context), self._pool_name(context)
        is_canary = name == plan.canary_name
        group, account, job = plan.spec.pool.resource_group, plan.spec.pool.account, self._job(plan, name)
        with self.work(plan) as hook:
            error: GoldenPoolsError | None
            if event and "failure" in event:
                results, error, blames_image = [], from_dict(event["failure"]), False
            else:
                results = self._results(context, hook, plan, name)
                error, blames_image = self._verdict(plan, name, results)
            if not is_canary:
                self._remove_job(hook, plan, job, failed=error is not None)
        if error is not None:
            note_failure(context, error, blames_image=blames_image)
            raise error
        return {"pool": name, "probes": [result.to_dict() for result in results]}

    def _results(self, context: Context, hook: BatchWorkHook, plan: RunPlan, name: str) -> list[ProbeResult]:
        """Look at tasks, their output and the nodes, say what each probe came to, and judge."""
        group, account, job = plan.spec.pool.resource_group, plan.spec.pool.account, self._job(plan, name)
        probes = self._kept_probes(context, job)
        tasks = {task.id: task for task in hook.tasks(group, account, job)}
        outputs = {
            probe.id: hook.task_output(group, account, job, probe.id)
            for probe in probes
            if probe.output is not None and probe.id in tasks and tasks[probe.id].is_over
        }
        nodes = hook.nodes(group, account, name)
        results = [
            judge_nodes(nodes, plan.image_id, list(tasks.values())),
            *judge_tasks(probes, list(tasks.values()), outputs, alone=name == plan.canary_name),
        ]
        for result in results:
            if result.outcome is Outcome.PASSED:
                self.log.info("%s", result)
                continue
            self.log.error("%s", result)
            if result.probe in tasks:
                self._show_output(hook, plan, job, result.probe)
        return results
