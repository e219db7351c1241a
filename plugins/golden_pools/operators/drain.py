"""Emptying a pool: what the stages that do it share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from golden_pools.errors import OwnershipError
from golden_pools.operators.base import StateStore, now
from golden_pools.operators.pool_stage import SETTLE_TIME, SLACK, PoolStageOperator
from golden_pools.rules.drain import ATTEMPTS, Drain, DrainState, drain_state, is_shrinking_to_zero
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import Role, with_role
from golden_pools.rules.plan import RunPlan
from golden_pools.spec.model import Deallocation
from golden_pools.words import counted

if TYPE_CHECKING:
    from golden_pools.hooks.batch import BatchHook


class DrainingOperator(PoolStageOperator):
    """A stage that may have to empty a pool; what it knows of the drain survives retries in its store."""

    def drain(self, hook: BatchHook, plan: RunPlan, store: StateStore, pool: Pool, *, requeue_when_over: bool) -> None:
        """Bring the pool one step nearer to no nodes, and defer; returns only where patience has ended.

        :param requeue_when_over: put tasks that outlast ``drain_minutes`` back into the queue, and go on
        :raises OwnershipError: somebody else resizes the pool meanwhile
        """
        drain = drain_of(store, pool) or Drain(until=now() + timedelta(minutes=plan.spec.refresh.drain_minutes))
        if drain_state(pool, drain) is DrainState.TAKEN_OVER:
            dedicated, spot = pool.asked_for
            raise OwnershipError(
                "Somebody else resized the pool",
                resource=pool.id,
                answer=f"somebody asked for {dedicated} dedicated and {spot} Spot nodes during our resize to 0 and 0",
                advice="let the other resize finish, then trigger the run again if the pool should have the image",
            )
        if not drain.left(now()):
            if drain.forced or not requeue_when_over:
                return
            self.log.warning(
                "%s: tasks still run on %s: they go back into the queue", pool.name, counted(pool.current_total, "node")
            )
            drain = drain.force(now())
            if is_shrinking_to_zero(pool) and drain.is_ours(pool):
                self.stop(hook, plan, store, pool, drain)
        keep(store, pool, drain)
        if is_shrinking_to_zero(pool) and drain.is_ours(pool):
            self._await_drain(plan, pool, drain)
        if pool.allocation_state is not AllocationState.STEADY:
            self.settle(plan, pool)
        if drain.attempts >= ATTEMPTS:
            return
        drain = drain.asking(pool)
        keep(store, pool, drain)
        hook.resize_pool(
            plan.spec.pool.resource_group,
            plan.spec.pool.account,
            pool.name,
            dedicated=0,
            spot=0,
            timeout=drain.timeout(now()),
            etag=pool.etag,
            deallocation=Deallocation.REQUEUE if drain.forced else plan.spec.refresh.deallocation,
        )
        self._await_drain(plan, pool, drain)

    def stop(self, hook: BatchHook, plan: RunPlan, store: StateStore, pool: Pool, drain: Drain) -> None:
        """Stop a resize to zero of ours, and defer until the pool rests.

        What a stopped pool's targets are is not documented: they must not be taken for somebody else's.
        """
        keep(store, pool, drain.stopped())
        hook.stop_resize(plan.spec.pool.resource_group, plan.spec.pool.account, pool.name, etag=pool.etag)
        self.settle(plan, pool)

    def wait_until_gone(self, plan: RunPlan, pool: str) -> None:
        """Defer until a deleted pool is gone, so that its id is free."""
        from golden_pools.triggers.gone import GoneTrigger

        self.defer_for_pool(GoneTrigger, plan, pool=pool, within=SETTLE_TIME)

    def mark(self, hook: BatchHook, plan: RunPlan, pool: Pool, role: Role, *, since: str) -> None:
        """Give the pool a role; defers where it does not rest, since Batch may refuse any change then."""
        if pool.allocation_state is not AllocationState.STEADY:
            self.settle(plan, pool)
        self.log.info("Pool %s is %s for %s from now on", pool.name, role, plan.pool)
        metadata = with_role(pool.metadata, role, alias=plan.pool, since=since, run_id=plan.run_id)
        hook.set_metadata(plan.spec.pool.resource_group, plan.spec.pool.account, pool.name, metadata, etag=pool.etag)

    def _await_drain(self, plan: RunPlan, pool: Pool, drain: Drain) -> None:
        from golden_pools.triggers.drain import DrainTrigger

        self.defer_for_pool(
            DrainTrigger, plan, pool=pool.name, within=drain.timeout(now()) + SLACK, drain=drain.to_dict()
        )


def drain_of(store: StateStore, pool: Pool) -> Drain | None:
    """Return the drain of this pool that the task has begun, in this try or an earlier one."""
    kept = store.read().get("drain") or {}
    return Drain.from_dict(kept[pool.name]) if pool.name in kept else None


def keep(store: StateStore, pool: Pool, drain: Drain) -> None:
    """Keep the drain over retries."""
    store.keep(drain={pool.name: drain.to_dict()})


def forget_drains(store: StateStore) -> None:
    """Forget drains whose patience has ended: the next try gets a time of its own."""
    kept = {
        pool: drain for pool, drain in (store.read().get("drain") or {}).items() if Drain.from_dict(drain).left(now())
    }
    store.keep(drain=kept)
