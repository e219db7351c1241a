"""Giving a pool its size back: what a refresh does that has taken the nodes and cannot change the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golden_pools.errors import GoldenPoolsError, from_dict
from golden_pools.operators.base import StateStore
from golden_pools.operators.drain import DrainingOperator, drain_of
from golden_pools.operators.pool_stage import SLACK
from golden_pools.rules.drain import is_shrinking_to_zero
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import is_deleting
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import ResizeRequest, at_target, resize_timeout
from golden_pools.rules.rollback import PoolBefore, targets_of
from golden_pools.spec.model import Targets

if TYPE_CHECKING:
    from golden_pools.hooks.batch import BatchHook


class GivingBackOperator(DrainingOperator):
    """A stage that grows the pool again on its old image before it fails.

    Its store holds the pool as it was (``before``), and from here on the failure that made it necessary (``failure``).
    """

    def begin_to_give_back(self, hook: BatchHook, plan: RunPlan, store: StateStore, failure: GoldenPoolsError) -> None:
        """Stop what is going on and give the pool its size back; the task then fails with ``failure``."""
        self.log.error("The pool gets its old size back: %s", failure)
        store.keep(failure=failure.to_dict(), regrown=0)
        self.give_back(hook, plan, store)

    def give_back(self, hook: BatchHook, plan: RunPlan, store: StateStore) -> None:
        """Bring the pool one step nearer to its old size, and defer; ends with the failure, which says what became."""
        kept = store.read()
        before = PoolBefore.from_dict(kept["before"])
        wanted = before.targets
        pool = hook.pool(plan.spec.pool.resource_group, plan.spec.pool.account, before.pool)
        if pool is None or is_deleting(pool):
            raise self._given_up(store, "the pool has been deleted meanwhile")
        has = targets_of(pool)
        if pool.autoscale or has.dedicated > wanted.dedicated or has.spot > wanted.spot:
            raise self._given_up(store, "somebody else has resized the pool meanwhile, so it stays as it is")
        if pool.allocation_state is not AllocationState.STEADY:
            drain = drain_of(store, pool)
            if drain and drain.is_ours(pool) and is_shrinking_to_zero(pool):
                self.stop(hook, plan, store, pool, drain)
            self.settle(plan, pool)
        if at_target(pool, wanted):
            raise self._given_up(store, f"the pool has its old size back, {counts(wanted)} on {before.version}")
        if kept["regrown"] >= plan.spec.resize.attempts:
            raise self._given_up(store, _short(pool, wanted))
        self._grow(hook, plan, store, pool, wanted, attempt=kept["regrown"] + 1)

    def _grow(
        self, hook: BatchHook, plan: RunPlan, store: StateStore, pool: Pool, wanted: Targets, *, attempt: int
    ) -> None:
        store.keep(regrown=attempt)
        timeout = resize_timeout(plan.spec.resize, wanted.total)
        answer = hook.resize_pool(
            plan.spec.pool.resource_group,
            plan.spec.pool.account,
            pool.name,
            dedicated=wanted.dedicated,
            spot=wanted.spot,
            timeout=timeout,
            etag=pool.etag,
        )
        request = ResizeRequest.sent(pool, answer, targets=wanted, settings=plan.spec.resize, attempt=attempt)
        from golden_pools.triggers.pool import ResizeTrigger

        self.defer_for_pool(
            ResizeTrigger,
            plan,
            pool=pool.name,
            within=timeout + SLACK,
            pause=request.back_off,
            request=request.to_dict(),
            ends_task=False,
        )

    def _given_up(self, store: StateStore, became: str) -> GoldenPoolsError:
        """Return the failure, with what became of the pool; the next try starts anew."""
        failure = from_dict(store.keep(gave_up=True)["failure"])
        return type(failure)(
            f"{failure.what}; {became}", resource=failure.resource, answer=failure.answer, advice=failure.advice
        )


def counts(targets: Targets) -> str:
    """Return node counts in words."""
    return f"{targets.dedicated} dedicated and {targets.spot} Spot nodes"


def _short(pool: Pool, wanted: Targets) -> str:
    errors = "; ".join(f"{error.code}: {error.message}" for error in pool.resize_errors)
    has = counts(Targets(dedicated=pool.current_dedicated, spot=pool.current_spot))
    return f"of its old size, {counts(wanted)}, it has only {has} again" + (f" ({errors})" if errors else "")
