"""Stage ``refresh``: put the pool on the image."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import ResizeGaveUpError
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.pool_stage import SETTLE_TIME, SLACK, PoolStageOperator, failure_of
from golden_pools.rules.refresh import StepKind, refresh_step
from golden_pools.rules.resize import ResizeRequest, Verdict, VerdictKind, duration
from golden_pools.spec.model import Resize, Targets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.rules.facts import Pool
    from golden_pools.rules.plan import RunPlan


class RefreshPoolOperator(PoolStageOperator):
    """Put the pool on the run's image and settings by the spec's strategy.

    Each turn looks at the pool, takes the next step and, where the step takes time, defers; after a retry or a clear it
    goes on from whatever state the pool is in.

    :raises ResizeGaveUpError: the pool was not empty by the drain deadline
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    ui_color = "#e3f1ee"

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin; a try that finds the drain deadline of an earlier one over gets a deadline of its own."""
        store = StateStore(context, self.plan_for_writing(context).image_id)
        until = store.read().get("drain_until")
        if until and datetime.fromisoformat(until) <= now():
            store.keep(drain_until=None)
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return the action and the image before, as soon as the pool is on the image."""
        from golden_pools.hooks.batch import PoolSettings

        plan = self.plan_for_writing(context)
        store = StateStore(context, plan.image_id)
        with self.batch(plan) as hook:
            pool = self.find(hook, plan)
            kept = store.read() or store.keep(image_before=pool.image_id if pool else None, action="left as it was")
            step = refresh_step(pool, plan)
            self.log.info("Pool %s: %s (%s)", plan.pool, step.kind, step.reason)
            for change in step.changes:
                self.log.info("  %s", change)
            where = (plan.spec.pool.resource_group, plan.spec.pool.account, plan.pool)
            settings = PoolSettings.of(
                plan.spec.pool, image_id=plan.image_id, metadata={"golden_pools_run": plan.run_id}, tags=plan.tags
            )
            if step.kind is StepKind.CREATE:
                kept = store.keep(action="created")
                hook.create_pool(*where, settings)
            elif step.kind is StepKind.PATCH:
                assert pool is not None
                kept = store.keep(action="refreshed")
                empty = any(change.needs_empty_pool for change in step.changes)
                (hook.update_pool_image if empty else hook.update_pool_settings)(*where, settings, etag=pool.etag)
            elif step.kind is StepKind.DRAIN:
                assert pool is not None
                self._drain(hook, plan, pool, store)
            elif step.kind is StepKind.WAIT:
                self.defer_for_pool("SettleTrigger", plan, within=SETTLE_TIME)
        return {"action": kept["action"], "image": plan.image_id, "image_before": kept["image_before"]}

    def _drain(self, hook: BatchHook, plan: RunPlan, pool: Pool, store: StateStore) -> None:
        limit = timedelta(minutes=plan.spec.refresh.drain_minutes)
        kept = store.read()
        if not kept.get("drain_until"):
            kept = store.keep(drain_until=(now() + limit).isoformat(), drain_attempts=0)
        left = datetime.fromisoformat(kept["drain_until"]) - now()
        if left <= timedelta(0):
            raise ResizeGaveUpError(
                "The pool was not empty by the drain deadline",
                resource=pool.id,
                answer=f"{pool.current_total} node(s) still there after {duration(limit)}",
                advice=(
                    "let the running tasks end and clear this task, or trigger the run again with "
                    "refresh.deallocation: requeue in the spec"
                ),
            )
        attempt = store.keep(drain_attempts=kept["drain_attempts"] + 1)["drain_attempts"]
        empty = Targets()
        answer = self.resize(hook, plan, pool, empty, timeout=max(left, timedelta(minutes=5)))
        # The deadline bounds the drain, not a number of resizes; within it a resize that timed out is asked again.
        settings = Resize(attempts=20)
        request = ResizeRequest.sent(
            pool, answer, targets=empty, settings=settings, attempt=min(attempt, settings.attempts - 1)
        )
        self.defer_for_pool("ResizeTrigger", plan, within=left + SLACK, request=request.to_dict(), ends_task=False)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from the pool's new state."""
        self.raise_failure(context, event)
        if event and "verdict" in event:
            verdict = Verdict.from_dict(event["verdict"])
            if verdict.kind in (VerdictKind.GIVE_UP, VerdictKind.OWNED_BY_OTHER):
                raise failure_of(verdict, self.plan(context), "The pool could not be emptied")
        return self.turn(context)
