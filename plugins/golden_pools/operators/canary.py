"""The canary: one node of the new version in a pool of its own, before the pool moves.

Tasks ``canary.pool``, ``canary.mark_bad`` and ``canary.remove``; what runs on the node is the matter of ``probe``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import (
    AzureBusyError,
    GoldenPoolsError,
    OwnershipError,
    ProbeFailedError,
    ResizeGaveUpError,
    from_dict,
)
from golden_pools.failures import note_failure, noted_failure
from golden_pools.links.portal import BatchPoolLink, ImageLink
from golden_pools.operators.base import MARK_TIME, StateStore, now
from golden_pools.operators.marking import MarkingStageOperator
from golden_pools.operators.passport_files import note_fate
from golden_pools.operators.pool_stage import PoolStageOperator
from golden_pools.rules.canary import (
    CanaryKind,
    CanaryVerdict,
    allocation_timeout,
    canary_metadata,
    canary_targets,
    is_canary_of,
    left_over,
)
from golden_pools.rules.facts import AllocationState, JobState, Node, Pool
from golden_pools.rules.family import is_deleting
from golden_pools.rules.passport import Became
from golden_pools.rules.plan import WHY_TAG, ImageVerdict, RunPlan, is_marked, owner_of, verdict_tags
from golden_pools.rules.resize import duration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.hooks.batch_work import BatchWorkHook

REMOVE_TIME = timedelta(hours=2)
"""Longest wait for a pool to be gone; minutes are usual, half an hour has been seen."""


class CanaryPoolOperator(PoolStageOperator):
    """Make a pool with one node of the run's image, and wait until the node takes work.

    :raises ProbeFailedError: the node came and did not get ready: that speaks against the image
    :raises AzureBusyError: the node could not be allocated, and the same request may succeed later
    :raises ResizeGaveUpError: it could not be allocated: quota, a permission, a VM size that is not offered
    :raises OwnershipError: there is a pool of the canary's name that this run did not make
    """

    ui_color = "#fdf0d5"
    operator_extra_links = (BatchPoolLink(), ImageLink())

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Make the pool, or adopt what this run made before, and wait for its node."""
        plan = self.plan_for_writing(context)
        self._skip_if_needless(plan)
        resize_before = None
        with self.batch(plan) as hook:
            pool = hook.pool(plan.spec.pool.resource_group, plan.spec.pool.account, plan.canary_name)
            if pool is None:
                self._make(hook, plan)
            elif not is_canary_of(pool, plan):
                raise OwnershipError(
                    "There is already a pool under the name of this run's canary",
                    resource=pool.id,
                    answer=f"it belongs to {owner_of(pool.tags)}, not to run {plan.run_id} of DAG {plan.dag_id}",
                    advice="trigger a new run (it gets a name of its own), or delete the pool if nobody needs it",
                )
            elif is_deleting(pool):
                self.log.info("The canary pool of an earlier try is being deleted")
                _wait_until_gone(self, plan, pool)
            elif pool.allocation_state is AllocationState.STEADY and not pool.current_total:
                resize_before = pool.resize_started
                self._ask_again(hook, plan, pool)
            else:
                self.log.info("Canary pool %s is there already, %s", pool.name, pool.allocation_state)
        until = now() + timedelta(minutes=plan.spec.canary.ready_minutes)
        StateStore(context, plan.canary_name).keep(
            ready_until=until.isoformat(),
            resize_before=resize_before and resize_before.isoformat(),
            patient_until=None,
        )
        self._wait(context, plan)
        return None

    def _skip_if_needless(self, plan: RunPlan) -> None:
        if not plan.spec.canary.enabled:
            raise AirflowSkipException("canary.enabled is false in the spec: the pool moves without a canary")
        if plan.builds_image:
            return
        with self.compute(plan, read_only=True) as hook:
            version = hook.image_version(plan.version_id)
        if version is not None and is_marked(version.tags, ImageVerdict.GOOD):
            raise AirflowSkipException(f"version {version.name} is marked good: an earlier run has tried it")

    def _make(self, hook: BatchHook, plan: RunPlan) -> None:
        from golden_pools.hooks.batch import PoolSettings

        targets = canary_targets(plan)
        self.log.info(
            "Canary pool %s begins: one %s node on %s",
            plan.canary_name,
            "dedicated" if targets.dedicated else "Spot",
            plan.image_id,
        )
        hook.create_pool(
            plan.spec.pool.resource_group,
            plan.spec.pool.account,
            plan.canary_name,
            PoolSettings.of(
                plan.spec.pool,
                image_id=plan.image_id,
                trusted_launch=plan.trusted_launch,
                metadata=canary_metadata(plan, now()),
                tags=plan.tags,
            ),
            targets=targets,
            timeout=allocation_timeout(plan),
        )

    def _ask_again(self, hook: BatchHook, plan: RunPlan, pool: Pool) -> None:
        """Ask for the node once more: an earlier try made the pool and got none."""
        targets = canary_targets(plan)
        self.log.info("Canary pool %s has no node: asking again", pool.name)
        hook.resize_pool(
            plan.spec.pool.resource_group,
            plan.spec.pool.account,
            pool.name,
            dedicated=targets.dedicated,
            spot=targets.spot,
            timeout=allocation_timeout(plan),
            etag=pool.etag,
        )

    def _wait(self, context: Context, plan: RunPlan) -> None:
        from golden_pools.triggers.canary import CanaryTrigger

        kept = StateStore(context, plan.canary_name).read()
        self.defer_for_pool(
            CanaryTrigger,
            plan,
            pool=plan.canary_name,
            within=max(timedelta(0), datetime.fromisoformat(kept["ready_until"]) - now()),
            result={"pool": plan.canary_name, "image": plan.image_id},
            resize_before=kept["resize_before"],
            patient_until=kept["patient_until"],
        )

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait that did not end with a ready node."""
        if event and "failure" in event:
            raise note_failure(context, from_dict(event["failure"]), blames_image=False)
        if not event or "canary" not in event:
            return self.turn(context)
        plan = self.plan(context)
        verdict = CanaryVerdict.from_dict(event["canary"])
        if verdict.kind is CanaryKind.NOT_ALLOCATED:
            raise note_failure(context, _not_allocated(plan, verdict), blames_image=False)
        with self.work(plan, read_only=True) as hook:
            nodes = self._nodes(hook, plan)
            if verdict.kind is CanaryKind.NODE_FAILED and self._may_recover(context, plan, nodes):
                self._wait(context, plan)
            for node in nodes:
                self._log_node(hook, plan, node)
        raise note_failure(context, _not_ready(plan, verdict, nodes), blames_image=True)

    def _nodes(self, hook: BatchWorkHook, plan: RunPlan) -> list[Node]:
        """Return the nodes of the canary pool; that they cannot be read does not hide what was seen of them."""
        try:
            return hook.nodes(plan.spec.pool.resource_group, plan.spec.pool.account, plan.canary_name)
        except GoldenPoolsError as error:
            self.log.warning("The canary node could not be read: %s", error)
            return []

    def _may_recover(self, context: Context, plan: RunPlan, nodes: Sequence[Node]) -> bool:
        """Grant an unusable node without an error its time to recover, once: Batch brings some back."""
        store = StateStore(context, plan.canary_name)
        grace = timedelta(minutes=plan.spec.resize.clinic.grace_minutes)
        silent = nodes and all(node.state == "unusable" and not node.errors for node in nodes)
        if not silent or not grace or store.read()["patient_until"] is not None:
            return False
        store.keep(patient_until=(now() + grace).isoformat())
        self.log.warning("The canary node is unusable and says no cause: it may recover within %s", duration(grace))
        return True

    def _log_node(self, hook: BatchWorkHook, plan: RunPlan, node: Node) -> None:
        """Show why a node does not take work: its errors, and the output of its start task."""
        causes = "; ".join(filter(None, (*node.errors, node.start_task_failure)))
        self.log.error("Canary node %s is %s: %s", node.id, node.state, causes or "Azure says no cause")
        if plan.spec.pool.start_task is None:
            return
        for file in ("stdout.txt", "stderr.txt"):
            try:
                text = hook.start_task_output(
                    plan.spec.pool.resource_group, plan.spec.pool.account, plan.canary_name, node.id, file
                )
            except GoldenPoolsError as error:
                self.log.warning("%s of the start task could not be read: %s", file, error)
                continue
            self.log.error("%s of the start task:\n%s", file, text or "(empty)")


def _wait_until_gone(stage: PoolStageOperator, plan: RunPlan, pool: Pool) -> None:
    from golden_pools.triggers.gone import GoneTrigger

    stage.defer_for_pool(GoneTrigger, plan, pool=pool.name, within=REMOVE_TIME)


def _not_allocated(plan: RunPlan, verdict: CanaryVerdict) -> GoldenPoolsError:
    what = "The canary node could not be allocated, which says nothing about the image"
    resource = plan.id_of_pool(plan.canary_name)
    if verdict.passes:
        advice = "nothing: it is tried again by itself"
        return AzureBusyError(what, resource=resource, answer=verdict.reason, advice=advice)
    advice = verdict.advice or "raise canary.ready_minutes if the region is slow; otherwise run again later"
    return ResizeGaveUpError(what, resource=resource, answer=verdict.reason, advice=advice)


def _not_ready(plan: RunPlan, verdict: CanaryVerdict, nodes: Sequence[Node]) -> ProbeFailedError:
    causes = [cause for node in nodes for cause in (*node.errors, node.start_task_failure)]
    return ProbeFailedError(
        "The canary node did not get ready",
        resource=plan.id_of_pool(plan.canary_name),
        answer="; ".join(filter(None, (verdict.reason, *causes))),
        advice=(
            "read the node's errors and the start task's output above, mend the golden VM or the start task, and "
            "run again; if the node only needs longer, raise canary.ready_minutes"
        ),
    )


class MarkImageOperator(MarkingStageOperator):
    """Mark the run's image version as bad, with the reason, and keep it from being ``latest``.

    Only failures that speak against the image count; where none does, the task is skipped.

    :param failing_task_ids: tasks whose failures are looked at, the gravest first
    """

    ui_color = "#f7dada"
    operator_extra_links = (ImageLink(),)

    def __init__(self, *, failing_task_ids: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.failing_task_ids = tuple(failing_task_ids)

    def execute(self, context: Context) -> dict[str, str] | None:
        """Tag the version; returns the version, its verdict and the reason."""
        plan = self.plan_for_writing(context)
        noted = [failure for task_id in self.failing_task_ids if (failure := noted_failure(context, task_id))]
        against = [failure["text"] for failure in noted if failure["blames_image"]]
        if not against:
            reasons = "; ".join(failure["text"] for failure in noted)
            raise AirflowSkipException(f"nothing speaks against the image{f' ({reasons})' if reasons else ''}")
        if not plan.is_versioned:
            raise AirflowSkipException(f"a managed image carries no verdict; what speaks against it: {against[0]}")
        tags = verdict_tags(ImageVerdict.BAD, against[0])
        self.log.error("Version %s is bad: %s", plan.version_id, against[0])
        note_fate(plan, Became.BAD, against[0])
        with self.compute(plan) as hook:
            operation = self.mark(
                hook,
                plan,
                tags=tags,
                unwritten=f"Version {plan.version_id} is bad, but is not marked so: the next run takes it again, and "
                "so may other pools. Name another version in the spec, and tell the gallery's owner",
                exclude_from_latest=True,
            )
        result = {"version": plan.version_id, "verdict": ImageVerdict.BAD.value, "why": tags[WHY_TAG]}
        if operation is None:
            return result
        self.wait_for_operations(plan, [operation], within=MARK_TIME, result=result)
        return None


class RemoveCanaryOperator(PoolStageOperator):
    """Teardown: remove the canary's pool and job, whatever happened since, and what killed runs have left of theirs."""

    ui_color = "#fdf0d5"

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Delete what is there of the canary, and defer until the pool is gone; what this run did not make stays."""
        plan = self.plan_for_writing(context)
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        with self.work(plan) as hook:
            pools = hook.pools(group, account)
            ours = next((pool for pool in pools if is_canary_of(pool, plan)), None)
            self._delete_job(hook, plan, plan.canary_name)
            if ours is not None:
                self._delete(hook, plan, ours)
            for pool in left_over(pools, plan):
                self._sweep(hook, plan, pool)
        if ours is None:
            self.log.info("There is no canary pool %s", plan.canary_name)
            return None
        _wait_until_gone(self, plan, ours)
        return None

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """End; a pool that was not gone in time fails the task."""
        self.raise_failure(context, event)
        self.log.info("The canary is gone")
        return None

    def _sweep(self, hook: BatchWorkHook, plan: RunPlan, pool: Pool) -> None:
        """Begin to remove the canary of a run that could not; what keeps it does not keep this run's from going."""
        self.log.warning("Canary pool %s was left by %s: removing it", pool.name, owner_of(pool.tags))
        try:
            self._delete_job(hook, plan, pool.name)
            self._delete(hook, plan, pool)
        except GoldenPoolsError as error:
            self.log.warning("It could not be removed: %s", error)

    def _delete(self, hook: BatchWorkHook, plan: RunPlan, pool: Pool) -> None:
        if not is_deleting(pool):
            hook.delete_pool(plan.spec.pool.resource_group, plan.spec.pool.account, pool.name)

    def _delete_job(self, hook: BatchWorkHook, plan: RunPlan, job_id: str) -> None:
        """Delete the job of a canary's probes: it has the pool's name, and is bound to it."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        job = hook.job(group, account, job_id)
        if job is not None and job.pool.casefold() == job_id.casefold() and job.state is not JobState.DELETING:
            hook.delete_job(group, account, job_id)
