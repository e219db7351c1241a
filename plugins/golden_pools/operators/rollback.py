"""Rollback: put the pool back that a failed refresh has touched, and end the run as failed with one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import GoldenPoolsError, OwnershipError, ResizeGaveUpError, RolledBackError
from golden_pools.links.portal import BatchPoolLink
from golden_pools.operators.base import StageOperator, StateStore, now, pulled
from golden_pools.operators.drain import drain_of
from golden_pools.operators.job_moves import DISABLED_KEY, JobMovingOperator, Moving, named
from golden_pools.operators.refresh import BEFORE_KEY
from golden_pools.operators.resizing import counts
from golden_pools.rules.facts import Pool
from golden_pools.rules.family import SINCE, Role, current_pool, family, moment_of_role, with_role
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import needs_empty_pool
from golden_pools.rules.rollback import (
    PoolBefore,
    RestoreKind,
    RestoreStep,
    restore_step,
    targets_of,
    version_of,
    was_touched,
)
from golden_pools.spec.model import DrainFallback, Targets
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import PoolSettings
    from golden_pools.hooks.batch_work import BatchWorkHook

RESTORING_KEY = "restoring"
"""XCom of the restore task, as its result but pushed ahead of its first write: what it is about to bring back."""

ROUNDS, ROUNDS_AFTER = 5, 10
"""How often jobs may turn up on the second pool before the alias goes back, and all in all."""


class RestorePoolOperator(JobMovingOperator):
    """Bring the alias back to the pool that it stood for, on the image that it had; the next stage gives it its nodes.

    :param refresh_task_id: refresh task, whose XCom ``before`` says what there was
    :param switch_task_id: switch task, whose XCom ``disabled`` names jobs that it has not enabled again
    :param stage_task_ids: tasks whose failures are the reason
    :raises OwnershipError: somebody else steers the pool now: nothing is fought over
    :raises ResizeGaveUpError: the pool cannot be emptied, or what it was is gone
    :raises AzureRefusedError: Azure did not take the old settings
    """

    ui_color = "#fbe6e3"

    def __init__(
        self,
        *,
        refresh_task_id: str,
        switch_task_id: str | None = None,
        stage_task_ids: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.refresh_task_id = refresh_task_id
        self.switch_task_id = switch_task_id
        self.stage_task_ids = list(stage_task_ids)

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or skip where there is nothing to put back."""
        plan = self.plan_for_writing(context)
        if not plan.spec.refresh.rollback:
            raise AirflowSkipException("the spec says refresh.rollback: false, so the pool stays as it is")
        if self._before(context) is None:
            raise AirflowSkipException("the run has touched no pool that was there before")
        disabled = (
            context["ti"].xcom_pull(task_ids=self.switch_task_id, key=DISABLED_KEY) if self.switch_task_id else ()
        )
        self.begin_moving(context, self._store(context, plan), disabled=tuple(disabled or ()))
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return what the pool is again, and the node counts that it is to get back."""
        plan, before = self.plan_for_writing(context), self._before(context)
        assert before is not None, "execute skips without it"
        store = self._store(context, plan)
        left: list[str] = []
        with self.work(plan) as hook:
            while True:
                pools = hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account)
                has_work = self._has_work(hook, plan, store, before, besides=left)
                step = restore_step(before, pools, plan, work_to_move=has_work)
                result = self._result(context, before, _named(pools, before.pool))
                self._begin(context, store, before, step, pools, result)
                self.log.info("Pool %s: %s (%s)", step.pool, step.kind, step.reason)
                for change in step.changes:
                    self.log.info("  %s", change)
                if step.kind is RestoreKind.DONE:
                    return result
                if step.kind is RestoreKind.MOVE_BACK:
                    left = self._move_back(context, hook, plan, store, before, rounds=ROUNDS)
                elif step.kind is RestoreKind.DELETE and left:
                    left = self._move_back(context, hook, plan, store, before, rounds=ROUNDS_AFTER)
                    if left:
                        self._leave_second_pool(hook, plan, pools, step, left)
                        return result
                else:
                    self._take(hook, plan, store, before, step, pools)
                if step.kind in (RestoreKind.CREATE, RestoreKind.PATCH):
                    return result

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from what is there now."""
        self.raise_failure(context, event)
        return self.turn(context)

    def _store(self, context: Context, plan: RunPlan) -> StateStore:
        return StateStore(context, f"back from {plan.image_id}")

    def _before(self, context: Context) -> PoolBefore | None:
        value = context["ti"].xcom_pull(task_ids=self.refresh_task_id, key=BEFORE_KEY)
        return PoolBefore.from_dict(value) if value else None

    def _result(self, context: Context, before: PoolBefore, pool: Pool | None) -> dict[str, Any]:
        # The old pool of a blue/green refresh was never resized: it keeps the size that it has by now.
        targets = targets_of(pool) if before.candidate and pool else before.targets
        return {
            "pool": before.pool,
            "targets": targets.model_dump(),
            "image": before.image_id,
            "version": before.version,
            "why": _reasons(context, self.stage_task_ids) or "see the log of the failed tasks",
        }

    def _has_work(
        self, hook: BatchWorkHook, plan: RunPlan, store: StateStore, before: PoolBefore, *, besides: list[str]
    ) -> bool:
        """Return whether work is bound to the second pool, or jobs were left disabled on the way to it."""
        if before.candidate is None:
            return False
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        return (
            bool(Moving.read(store).disabled)
            or any(job.id not in besides for job in hook.jobs(*where, pool=before.candidate))
            or bool(hook.job_schedules(*where, pool=before.candidate))
        )

    def _begin(
        self,
        context: Context,
        store: StateStore,
        before: PoolBefore,
        step: RestoreStep,
        pools: list[Pool],
        result: Mapping[str, Any],
    ) -> None:
        """Say what is about to be brought back; skip where the pool is as it was, and we have not made it so."""
        is_as_it_was = before.candidate is not None or not was_touched(before, _named(pools, before.pool))
        if step.kind is RestoreKind.DONE and is_as_it_was and not store.read().get("began"):
            raise AirflowSkipException(f"nothing to put back: {step.reason}")
        context["ti"].xcom_push(key=RESTORING_KEY, value=result)
        store.keep(began=True)

    def _move_back(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        before: PoolBefore,
        *,
        rounds: int,
    ) -> list[str]:
        return self.move_work(
            context,
            hook,
            plan,
            store,
            source=before.candidate or "",
            target=before.pool,
            rounds=rounds,
            when_late=DrainFallback.REQUEUE,
        )

    def _leave_second_pool(
        self, hook: BatchWorkHook, plan: RunPlan, pools: list[Pool], step: RestoreStep, left: list[str]
    ) -> None:
        self.log.warning("Pool %s stays as a former pool: jobs keep coming to it: %s", step.pool, named(left))
        if pool := _named(pools, step.pool):
            self.mark(hook, plan, pool, Role.FORMER, since=moment_of_role((), now()))

    def _take(
        self,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        before: PoolBefore,
        step: RestoreStep,
        pools: list[Pool],
    ) -> None:
        """Take the step."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        pool = _named(pools, step.pool)
        if step.kind is RestoreKind.CREATE:
            hook.create_pool(group, account, before.pool, self._settings(plan, before, pools))
        elif step.kind is RestoreKind.GONE:
            self.wait_until_gone(plan, step.pool)
        elif step.kind is RestoreKind.DELETE:
            hook.delete_pool(group, account, step.pool)
            self.wait_until_gone(plan, step.pool)
        elif step.kind is RestoreKind.TAKEN_OVER:
            raise OwnershipError(
                "Somebody else steers the pool now, so it is not put back",
                resource=step.pool,
                answer=step.reason,
                advice=f"decide who steers it; to put it back on {before.version}, trigger a run with that version",
            )
        elif step.kind is RestoreKind.IMPOSSIBLE or pool is None:
            raise ResizeGaveUpError(
                "The pool cannot be put back",
                resource=step.pool,
                answer=step.reason,
                advice="trigger a run with an image version that is known to be good",
            )
        elif step.kind is RestoreKind.PATCH:
            change = hook.update_pool_image if needs_empty_pool(step.changes) else hook.update_pool_settings
            change(group, account, pool.name, self._settings(plan, before, pools), etag=pool.etag)
        elif step.kind is RestoreKind.DRAIN:
            self._empty(hook, plan, store, pool)
        elif step.kind is RestoreKind.STOP:
            hook.stop_resize(group, account, pool.name, etag=pool.etag)
            self.settle(plan, pool)
        elif step.kind is RestoreKind.SETTLE:
            if drain_of(store, pool):
                self._empty(hook, plan, store, pool)
            self.settle(plan, pool)
        elif step.kind is RestoreKind.ALIAS_BACK:
            self.mark(hook, plan, pool, Role.CURRENT, since=moment_of_role(family(pools, plan.pool), now()))
        elif step.kind is RestoreKind.RELEASE:
            self.mark(hook, plan, pool, Role.FORMER, since=moment_of_role((), now()))

    def _empty(self, hook: BatchWorkHook, plan: RunPlan, store: StateStore, pool: Pool) -> None:
        self.drain(hook, plan, store, pool, requeue_when_over=True)
        raise ResizeGaveUpError(
            "The pool could not be emptied, so it stays on the new image",
            resource=pool.id,
            answer=f"{counted(pool.current_total, 'node')} still there",
            advice="look at the pool's resize errors in the Azure portal, then clear this task",
        )

    def _settings(self, plan: RunPlan, before: PoolBefore, pools: list[Pool]) -> PoolSettings:
        """Return what the pool was, with our marks."""
        from golden_pools.hooks.batch import PoolSettings

        wanted = before.wanted(_named(pools, before.pool))
        if before.unknown_environment:
            self.log.warning(
                "The start task's variables %s keep their present values: nobody remembers the old ones",
                ", ".join(before.unknown_environment),
            )
        since = before.metadata.get(SINCE) or moment_of_role(family(pools, plan.pool), now())
        return PoolSettings(
            vm_size=before.vm_size,
            image_id=wanted.image_id,
            node_agent_sku=wanted.node_agent_sku,
            task_slots_per_node=wanted.task_slots_per_node,
            inter_node_communication=wanted.inter_node_communication,
            start_task=wanted.start_task,
            subnet_id=wanted.subnet_id or None,
            public_addresses=wanted.public_addresses,
            identities=wanted.identities,
            trusted_launch=wanted.trusted_launch,
            metadata=with_role(wanted.metadata, Role.CURRENT, alias=plan.pool, since=since, run_id=plan.run_id),
            tags=plan.tags,
        )


class ReportRollbackOperator(StageOperator):
    """End a run that was rolled back as failed, with one message that says what is on the pool now.

    :param restore_task_id: restore task
    :param stage_task_ids: the tasks after it that bring the pool's nodes back
    :raises RolledBackError: always, unless nothing was to be put back: then it skips itself
    """

    ui_color = "#fbe6e3"
    operator_extra_links = (BatchPoolLink(),)

    def __init__(self, *, restore_task_id: str, stage_task_ids: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**{"trigger_rule": TriggerRule.ALL_DONE, **kwargs})
        self.restore_task_id = restore_task_id
        self.stage_task_ids = list(stage_task_ids)

    def execute(self, context: Context) -> None:
        """Fail, or skip."""
        restored = pulled(context, self.restore_task_id)
        about = restored or context["ti"].xcom_pull(task_ids=self.restore_task_id, key=RESTORING_KEY)
        if not about:
            raise AirflowSkipException("nothing was rolled back")
        plan = self.plan(context)
        pool, version, new = about["pool"], about["version"], version_of(plan.image_id)
        if restored:
            what = f"Pool {pool} has been rolled back to {version}, away from {new}"
            trouble = _reasons(context, self.stage_task_ids)
        else:
            what = f"Pool {pool} could not be rolled back to {version}"
            trouble = _reasons(context, [self.restore_task_id]) or "see the log of the restore task"
        raise RolledBackError(
            ". ".join(
                [
                    f"{what}. Why the refresh failed: {about['why']}",
                    *([f"Trouble on the way back: {trouble}"] if trouble else []),
                    self._on_it_now(plan),
                ]
            ),
            resource=plan.pool_id,
            advice=(
                "mend the cause (the golden VM, the start task, the quota) and trigger the run again"
                if restored and not trouble
                else f"look at the pool; to put it on {version} by hand, trigger the run with image_version {version}"
            ),
        )

    def _on_it_now(self, plan: RunPlan) -> str:
        try:
            with self.batch(plan, read_only=True) as hook:
                pools = hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account)
        except GoldenPoolsError as error:
            return f"What is on it now could not be read: {error.what}"
        pool = current_pool(pools, plan.pool)
        if pool is None:
            return f"Now there is no pool that {plan.pool} stands for"
        has = Targets.model_construct(dedicated=pool.current_dedicated, spot=pool.current_spot)
        return f"Now {plan.pool} stands for pool {pool.name} on {version_of(pool.image_id)}, with {counts(has)}"


def _named(pools: Iterable[Pool], name: str) -> Pool | None:
    return next((pool for pool in pools if pool.name.casefold() == name.casefold()), None)


def _reasons(context: Context, task_ids: Iterable[str]) -> str:
    """Return why tasks failed, as they left it in XCom, in one line."""
    found = {task_id: context["ti"].xcom_pull(task_ids=task_id, key="failure") for task_id in task_ids}
    return "; ".join(
        f"{task_id.rpartition('.')[2]}: {failure['text'].rstrip('.')}" for task_id, failure in found.items() if failure
    )
