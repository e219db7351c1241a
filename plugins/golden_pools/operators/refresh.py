"""Stage ``refresh``: put the pool on the image and settings by the spec's strategy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureRefusedError, OwnershipError, ResizeGaveUpError
from golden_pools.links.portal import BatchPoolLink, ImageLink
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.drain import drain_of, forget_drains
from golden_pools.operators.give_back import GivingBackOperator, give_back_site
from golden_pools.operators.resizing import scales_by_formula
from golden_pools.rules.facts import Pool
from golden_pools.rules.family import ROLE, SINCE, Role, current_pool, family, moment_of_role, role_of, with_role
from golden_pools.rules.moves import is_active
from golden_pools.rules.outcome import LEFT_ALONE
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import Seen, Step, StepKind, needs_empty_pool, refresh_step
from golden_pools.rules.resize import duration
from golden_pools.rules.rollback import PoolBefore, has_been_put_back
from golden_pools.spec.model import Autoscale, DrainFallback, Strategy, Targets
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import PoolSettings
    from golden_pools.hooks.batch_work import BatchWorkHook

BEFORE_KEY = "before"
"""XCom of the refresh task: :class:`~golden_pools.rules.rollback.PoolBefore` as JSON, if a pool was there before."""

WRITES = (StepKind.CREATE, StepKind.PATCH, StepKind.DRAIN, StepKind.DELETE)


class RefreshPoolOperator(GivingBackOperator):
    """Put the pool on the run's image and settings by the spec's strategy.

    Each turn looks at the account, takes the next step and, where the step takes time, defers; after a retry or a clear
    it goes on from whatever state the pools are in. What rollback needs is pushed as XCom ``before`` ahead of the first
    write.

    :raises ResizeGaveUpError: tasks outlasted the drain deadline; the message says whether the pool has its size back
    :raises OwnershipError: somebody else steers the pool, or has active jobs on one that would be deleted
    :raises AzureRefusedError: Azure did not take the change; a pool that was emptied for it has been grown again
    """

    ui_color = "#e3f1ee"
    operator_extra_links = (BatchPoolLink(), ImageLink())

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin; what an earlier try gave up is tried anew, with a drain deadline of its own."""
        plan = self.plan_for_writing(context)
        store = self._store(context, plan)
        kept = store.read()
        if kept.get("gave_up"):
            kept = store.keep(failure=None, gave_up=False)
        if not kept.get("failure"):
            forget_drains(store)
        if kept.get("before"):
            context["ti"].xcom_push(key=BEFORE_KEY, value=kept["before"])
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return the stage's result as soon as there is a pool on the image."""
        plan = self.plan_for_writing(context)
        store = self._store(context, plan)
        with self.work(plan) as hook:
            if store.read().get("failure"):
                self.give_back(context, hook, plan, store)
            seen = self._look(hook, plan, store)
            step = refresh_step(seen, plan)
            self.log.info("Pool %s: %s (%s)", step.pool, step.kind, step.reason)
            for change in step.changes:
                self.log.info("  %s", change)
            self._remember(context, store, plan, seen, step)
            self._take(context, hook, plan, store, seen, step)
        kept = store.read()
        return {
            "action": kept.get("action") or LEFT_ALONE,
            "strategy": plan.spec.refresh.strategy.value,
            "pool": step.pool,
            "image": plan.image_id,
            "image_before": kept.get("image_before"),
            "pool_before": kept.get("pool_before"),
        }

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from the pools' new state."""
        plan = self.plan(context)
        store = self._store(context, plan)
        if store.read().get("failure"):
            with self.work(plan) as hook:
                self.after_resize(give_back_site(context, hook, plan, store), event or {})
        else:
            self.raise_failure(context, event)
        return self.turn(context)

    def _store(self, context: Context, plan: RunPlan) -> StateStore:
        return StateStore(context, plan.image_id)

    def _look(self, hook: BatchWorkHook, plan: RunPlan, store: StateStore) -> Seen:
        """Look at all pools, and at the jobs of those that the strategy may delete or make over."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        pools = tuple(hook.pools(group, account))
        before = store.read().get("before")
        current = current_pool(pools, plan.pool)
        asked: list[Pool] = []
        if plan.spec.refresh.strategy is Strategy.BLUE_GREEN:
            asked = [pool for pool in family(pools, plan.pool) if pool is not current and ROLE in pool.metadata]
        elif plan.spec.refresh.strategy is Strategy.RECREATE and current is not None:
            asked = [current]
        return Seen(
            pools=pools,
            active_jobs={
                pool.name.lower(): tuple(job.id for job in hook.jobs(group, account, pool=pool.name) if is_active(job))
                for pool in asked
            },
            home=before["pool"] if before else None,
        )

    def _remember(self, context: Context, store: StateStore, plan: RunPlan, seen: Seen, step: Step) -> None:
        """Keep and push what rollback needs, ahead of the first write.

        A pool that an earlier try touched and that has been put back since is looked at anew: it may have another size.
        """
        known = store.read().get("before")
        current = current_pool(seen.pools, plan.pool) or seen.named(seen.home or plan.pool)
        if not known:
            store.keep(
                pool_before=current.name if current else None, image_before=current.image_id if current else None
            )
        if step.kind not in WRITES or current is None:
            return
        is_second = step.pool.casefold() != current.name.casefold()
        if known and (is_second or not has_been_put_back(PoolBefore.from_dict(known), current)):
            return
        self._respect_autoscale(plan, current)
        present = seen.named(step.pool)
        before = PoolBefore.of(
            current,
            plan.spec,
            candidate=step.pool if is_second else None,
            adopted=PoolBefore.of(present, plan.spec) if is_second and present else None,
        ).to_dict()
        store.keep(before=before, pool_before=current.name, image_before=current.image_id)
        context["ti"].xcom_push(key=BEFORE_KEY, value=before)

    def _respect_autoscale(self, plan: RunPlan, current: Pool) -> None:
        if current.autoscale and plan.spec.resize.autoscale is Autoscale.REFUSE:
            raise scales_by_formula(current.id)

    def _take(
        self, context: Context, hook: BatchWorkHook, plan: RunPlan, store: StateStore, seen: Seen, step: Step
    ) -> None:
        """Take the step; returns where the pool is on the image then."""
        pool, group, account = seen.named(step.pool), plan.spec.pool.resource_group, plan.spec.pool.account
        if step.kind is StepKind.CREATE:
            deleted = store.read().get("action") == "recreated"
            store.keep(action=self._action(plan, seen, step) or ("recreated" if deleted else "created"))
            hook.create_pool(group, account, step.pool, self._settings(plan, seen, step))
        if pool is None:
            return
        if step.kind is StepKind.PATCH:
            store.keep(action=self._action(plan, seen, step) or "refreshed")
            self._patch(context, hook, plan, store, pool, self._settings(plan, seen, step), step)
        elif step.kind is StepKind.DRAIN:
            self._empty(context, hook, plan, store, pool)
        elif step.kind is StepKind.SETTLE:
            if drain_of(store, pool):
                self._empty(context, hook, plan, store, pool)
            self.settle(plan, pool)
        elif step.kind is StepKind.DELETE:
            store.keep(action="recreated")
            hook.delete_pool(group, account, pool.name)
            self.wait_until_gone(plan, pool.name)
        elif step.kind is StepKind.GONE:
            self.wait_until_gone(plan, pool.name)
        elif step.kind is StepKind.REFUSE:
            raise OwnershipError(
                "The pool has active jobs, and the strategy recreate deletes it",
                resource=pool.id,
                answer=step.reason,
                advice=(
                    "let the jobs end or move them, choose in_place or blue_green, or trigger the run with force: "
                    "running tasks then go back into the queue until the new pool has nodes"
                ),
            )

    def _is_second(self, plan: RunPlan, seen: Seen, step: Step) -> bool:
        """Return whether the step is about a pool beside the current one."""
        current = current_pool(seen.pools, plan.pool)
        is_current = current is not None and current.name == step.pool
        return plan.spec.refresh.strategy is Strategy.BLUE_GREEN and not is_current

    def _action(self, plan: RunPlan, seen: Seen, step: Step) -> str:
        return "prepared" if self._is_second(plan, seen, step) else ""

    def _settings(self, plan: RunPlan, seen: Seen, step: Step) -> PoolSettings:
        """Return what the pool of the step is to be, our marks included."""
        from golden_pools.hooks.batch import PoolSettings

        role = Role.CANDIDATE if self._is_second(plan, seen, step) else Role.CURRENT
        present = seen.named(step.pool)
        since = moment_of_role(family(seen.pools, plan.pool), now())
        if present is not None and role_of(present) is role:
            since = present.metadata.get(SINCE, since)
        return PoolSettings.of(
            plan.spec.pool,
            image_id=plan.image_id,
            trusted_launch=plan.trusted_launch,
            metadata=with_role({}, role, alias=plan.pool, since=since, run_id=plan.run_id),
            tags=plan.tags,
        )

    def _patch(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        pool: Pool,
        settings: PoolSettings,
        step: Step,
    ) -> None:
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        if not needs_empty_pool(step.changes):
            hook.update_pool_settings(group, account, pool.name, settings, etag=pool.etag)
            return
        try:
            hook.update_pool_image(group, account, pool.name, settings, etag=pool.etag)
        except AzureRefusedError as refused:
            if not self._has_shrunk(store, pool):
                raise
            self.begin_to_give_back(context, hook, plan, store, refused)

    def _empty(self, context: Context, hook: BatchWorkHook, plan: RunPlan, store: StateStore, pool: Pool) -> None:
        """Drain the pool; where tasks outlast the deadline, give it its nodes back and fail."""
        refresh = plan.spec.refresh
        self.drain(hook, plan, store, pool, requeue_when_over=refresh.drain_fallback is DrainFallback.REQUEUE)
        drain = drain_of(store, pool)
        assert drain is not None, "kept before the first resize to zero"
        late = ResizeGaveUpError(
            "The pool could not be emptied",
            resource=pool.id,
            answer=(
                f"{counted(pool.current_total, 'node')} still there after {counted(drain.attempts, 'resize')} "
                f"to zero, with {duration(timedelta(minutes=refresh.drain_minutes))} for running tasks"
                + (", which were put back into the queue then" if drain.forced else "")
            ),
            advice=(
                "look at the pool's resize errors in the Azure portal, then clear this task"
                if drain.forced
                else "let the running tasks end and clear this task, or trigger the run again with "
                "refresh.drain_fallback: requeue in the spec"
            ),
        )
        if not self._has_shrunk(store, pool):
            raise late
        self.begin_to_give_back(context, hook, plan, store, late)

    def _has_shrunk(self, store: StateStore, pool: Pool) -> bool:
        """Return whether this task may have taken nodes from the pool that the spec stands for."""
        before = store.read().get("before")
        return before is not None and before["pool"] == pool.name and Targets(**before["targets"]).total > 0
