"""Commands on nodes of the new version that tell whether it is good: on the canary, and on the refreshed pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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
from golden_pools.failures import note_failure
from golden_pools.links.portal import BatchPoolLink
from golden_pools.operators.base import GRACE, StageOperator, StateStore, now, pulled
from golden_pools.rules.facts import Node, NodeCounts, Pool, Task
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.probe import (
    Guest,
    Outcome,
    ProbeResult,
    ProbeTask,
    is_probe_job,
    judge_nodes,
    judge_tasks,
    probe_tasks,
)
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

WINDOWS_AGENT = "batch.node.windows"
"""Beginning of the node agents for Windows."""

FIRST_IN_THE_QUEUE = 1000
"""Batch's highest priority of a job: probes do not wait behind the pool's own work."""

LARGEST_OUTPUT = 2**20
"""Bytes of a probe's standard output, from its end, in which its pattern is looked for."""


class ProbeOperator(StageOperator):
    """Run the probes as tasks of a Batch job on a pool, and judge them.

    On any other pool than the run's canary it runs only with ``refresh.probe_pool``, and removes its job afterwards;
    the canary's job goes with the canary.

    :param pool_task_id: task whose XCom names the pool: ``{"pool": id}``
    :raises ProbeFailedError: with every probe that failed
    :raises AzureBusyError: no node took the probes, though none was busy with other work
    :raises OwnershipError: there is a job of the probes' name on another pool
    """

    ui_color = "#fdf0d5"
    operator_extra_links = (BatchPoolLink(),)

    def __init__(self, *, pool_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id

    def execute(self, context: Context) -> None:
        """Make the job and its tasks, or adopt what an earlier try made, and wait for the tasks."""
        plan = self.plan_for_writing(context)
        name = self._pool_name(context)
        is_canary = name == plan.canary_name
        if not is_canary and not plan.spec.refresh.probe_pool:
            raise AirflowSkipException("refresh.probe_pool is false in the spec: the pool itself is not probed")
        group, account, job = _where(plan, name)
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
            self._check_job(hook, plan, name)
            hook.create_job(group, account, job, pool=name, priority=FIRST_IN_THE_QUEUE)
            for probe in probes:
                hook.add_task(group, account, job, probe.id, command_line=probe.command_line, elevated=probe.elevated)
        self.log.info(
            "Running %s on pool %s: %s", counted(len(probes), "probe"), name, ", ".join(probe.id for probe in probes)
        )
        self._wait(plan, job)

    def _pool_name(self, context: Context) -> str:
        return str(pulled(context, self.pool_task_id)["pool"])

    def _probes(self, context: Context, plan: RunPlan, pool: Pool) -> list[ProbeTask]:
        """Return the probes that run as tasks, and keep them: they are the same in every try."""
        store = StateStore(context, _where(plan, pool.name)[2])
        if "probes" not in store.read():
            guest = Guest(
                windows=plan.spec.pool.node_agent_sku.startswith(WINDOWS_AGENT),
                luns=self._luns(plan),
                temp_disk=self._temp_disk(plan, pool),
            )
            store.keep(probes=[probe.to_dict() for probe in probe_tasks(guest, plan.spec.canary.probes)])
        return kept_probes(store)

    def _luns(self, plan: RunPlan) -> tuple[int, ...]:
        """Return the LUNs of the image's data disks."""
        with self.compute(plan, read_only=True) as hook:
            if plan.is_versioned:
                version = hook.image_version(plan.version_id)
                return version.data_luns if version else ()
            image = hook.managed_image(plan.image_group, plan.image_id.rpartition("/")[2])
        return image.data_luns if image else ()

    def _temp_disk(self, plan: RunPlan, pool: Pool) -> bool | None:
        """Return whether the pool's VM size has a temporary disk, if Azure says so."""
        group, account, _ = _where(plan, pool.name)
        try:
            with self.batch(plan, read_only=True) as batch, self.compute(plan, read_only=True) as compute:
                size = compute.vm_sizes(batch.account(group, account).location).get(pool.vm_size.lower())
        except AzureRefusedError as refused:
            self.log.warning("Whether %s has a temporary disk could not be read: %s", pool.vm_size, refused)
            return None
        return size.temp_disk if size else None

    def _check_job(self, hook: BatchWorkHook, plan: RunPlan, pool: str) -> None:
        """Refuse a job of the probes' name that is somebody else's, or takes no more tasks."""
        group, account, name = _where(plan, pool)
        job = hook.job(group, account, name)
        if job is None:
            return
        resource = f"job {name} of Batch account {account}"
        if job.pool.casefold() != pool.casefold():
            raise OwnershipError(
                "There is already a job under the name that the probes need",
                resource=resource,
                answer=f"it is bound to {f'pool {job.pool}' if job.pool else 'no pool by name'}, not to {pool}",
                advice="trigger a new run (it gets a name of its own), or delete the job if nobody needs it",
            )
        if job.state.is_over:
            hook.delete_job(group, account, name)
            raise AzureBusyError(
                "The probes' job of an earlier try is still there",
                resource=resource,
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
        results: list[ProbeResult] = []
        error: GoldenPoolsError | None
        with self.work(plan) as hook:
            if event and "failure" in event:
                error, blames_image = from_dict(event["failure"]), False
            else:
                nodes = hook.nodes(*_where(plan, name)[:2], name)
                results = self._results(context, hook, plan, name, nodes)
                blames_image = any(result.blames_image for result in results)
                error = self._error(plan, name, results, nodes)
            if name != plan.canary_name:
                self._remove_jobs(hook, plan, name, failed=error is not None)
        if error is not None:
            raise note_failure(context, error, blames_image=blames_image)
        return {"pool": name, "probes": [result.to_dict() for result in results]}

    def _results(
        self, context: Context, hook: BatchWorkHook, plan: RunPlan, name: str, nodes: Sequence[Node]
    ) -> list[ProbeResult]:
        """Judge nodes and tasks, and say what each probe came to."""
        group, account, job = _where(plan, name)
        probes = kept_probes(StateStore(context, job))
        tasks = hook.tasks(group, account, job)
        outputs = self._outputs(hook, plan, name, probes, tasks, nodes)
        results = [
            judge_nodes(nodes, plan.image_id, tasks),
            *judge_tasks(probes, tasks, outputs, alone=name == plan.canary_name),
        ]
        begun = {task.id for task in tasks if task.node}
        for result in results:
            passed = result.outcome is Outcome.PASSED
            (self.log.info if passed else self.log.error)("%s", result)
            if not passed and result.probe in begun:
                self._show_output(hook, plan, name, result.probe)
        return results

    def _outputs(
        self,
        hook: BatchWorkHook,
        plan: RunPlan,
        name: str,
        probes: Sequence[ProbeTask],
        tasks: Sequence[Task],
        nodes: Sequence[Node],
    ) -> dict[str, str]:
        """Return the standard output of the tasks that are judged by it; it goes with the node."""
        ready = {node.id for node in nodes if node.state in NodeCounts.READY}
        judged = {probe.id for probe in probes if probe.output is not None}
        outputs = {}
        for task in tasks:
            if task.id in judged and task.is_over:
                text = hook.task_output(*_where(plan, name), task.id, most_bytes=LARGEST_OUTPUT)
                if text or task.node in ready:
                    outputs[task.id] = text
        return outputs

    def _show_output(self, hook: BatchWorkHook, plan: RunPlan, name: str, task_id: str) -> None:
        for file in ("stdout.txt", "stderr.txt"):
            try:
                text = hook.task_output(*_where(plan, name), task_id, file)
            except GoldenPoolsError as error:
                self.log.warning("%s of %s could not be read: %s", file, task_id, error)
            else:
                self.log.error("%s of %s:\n%s", file, task_id, text.rstrip() or "(empty)")

    def _error(
        self, plan: RunPlan, name: str, results: Sequence[ProbeResult], nodes: Sequence[Node]
    ) -> GoldenPoolsError | None:
        """Return the error that the results come to."""
        failed = [result for result in results if result.outcome is Outcome.FAILED]
        not_run = [result for result in results if result.outcome is Outcome.NOT_RUN]
        if failed:
            return ProbeFailedError(
                f"{len(failed)} of {len(results)} probes failed on pool {name}",
                resource=plan.id_of_pool(name),
                answer="; ".join(f"{result.probe}: {result.seen}" for result in failed),
                advice=(
                    "read their output above, mend the golden VM and run again; if a probe asks for too much, change "
                    "canary.probes in the spec"
                ),
            )
        if not not_run:
            return None
        ready = [node for node in nodes if node.state in NodeCounts.READY]
        if name != plan.canary_name and ready and all(node.state == "running" for node in ready):
            self.log.warning(
                "Every node was busy until the time for probes was over: %d of %d probes did not run",
                len(not_run),
                len(results),
            )
            return None
        return AzureBusyError(
            f"{len(not_run)} of {len(results)} probes did not run on pool {name}, which says nothing about the image",
            resource=plan.id_of_pool(name),
            answer="; ".join(f"{result.probe}: {result.seen}" for result in not_run),
            advice="nothing: the task is tried again by itself",
        )

    def _remove_jobs(self, hook: BatchWorkHook, plan: RunPlan, name: str, *, failed: bool) -> None:
        """Remove the probes' job, and those of runs that were killed; what stays does not hide what was found."""
        group, account, ours = _where(plan, name)
        try:
            hook.delete_job(group, account, ours)
            for job in hook.jobs(group, account, pool=name):
                if is_probe_job(job, plan.pool):
                    hook.delete_job(group, account, job.id)
        except GoldenPoolsError as error:
            if not failed:
                raise
            self.log.warning("The probes' job could not be removed: %s", error)


def _where(plan: RunPlan, pool: str) -> tuple[str, str, str]:
    """Return resource group, Batch account, and the id of the job of a pool's probes."""
    job = plan.canary_name if pool == plan.canary_name else plan.probe_name
    return plan.spec.pool.resource_group, plan.spec.pool.account, job


def kept_probes(store: StateStore) -> list[ProbeTask]:
    """Return the probes that a try has begun with."""
    return [ProbeTask.from_dict(probe) for probe in store.read()["probes"]]
