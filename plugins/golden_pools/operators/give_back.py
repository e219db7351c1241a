"""Giving a pool its size back: what a refresh does that has taken the nodes and cannot change the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golden_pools.errors import ConflictError, FullNowError, GoldenPoolsError, NeverFitsError, OwnershipError, from_dict
from golden_pools.operators.base import StateStore
from golden_pools.operators.drain import DrainingOperator, drain_of
from golden_pools.operators.resizing import COURSE, ResizingOperator, Site, counts
from golden_pools.rules.drain import is_shrinking_to_zero
from golden_pools.rules.facts import AllocationState
from golden_pools.rules.family import is_deleting
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import VerdictKind
from golden_pools.rules.rollback import PoolBefore, targets_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook


class GivingBackOperator(DrainingOperator, ResizingOperator):
    """A stage that grows the pool again on its old image before it fails.

    Its store holds the pool as it was (``before``), and from here on the failure that made it necessary (``failure``).
    """

    def begin_to_give_back(
        self, context: Context, hook: BatchHook, plan: RunPlan, store: StateStore, failure: GoldenPoolsError
    ) -> None:
        """Stop what is going on and give the pool its size back; the task then fails with ``failure``."""
        self.log.error("The pool gets its old size back: %s", failure)
        store.keep(failure=failure.to_dict(), **{COURSE: None})
        self.give_back(context, hook, plan, store)

    def give_back(self, context: Context, hook: BatchHook, plan: RunPlan, store: StateStore) -> None:
        """Bring the pool one step nearer to its old size, and defer; ends with the failure, which says what became."""
        site, before = give_back_site(context, hook, plan, store), PoolBefore.from_dict(store.read()["before"])
        pool = hook.pool(*site.where)
        if pool is None or is_deleting(pool):
            raise self._given_up(store, "the pool has been deleted meanwhile")
        has = targets_of(pool)
        if pool.autoscale or has.dedicated > site.targets.dedicated or has.spot > site.targets.spot:
            raise self._given_up(store, "somebody else has resized the pool meanwhile, so it stays as it is")
        drain = drain_of(store, pool)
        is_moving = pool.allocation_state is not AllocationState.STEADY
        if is_moving and drain and drain.is_ours(pool) and is_shrinking_to_zero(pool):
            self.stop(hook, plan, store, pool, drain)
        try:
            verdict, _ = self.bring_to_targets(site)
        except ConflictError:
            raise
        except (FullNowError, NeverFitsError, OwnershipError) as short:
            raise self._given_up(store, f"it does not have its old size back: {short}") from short
        if verdict.kind is VerdictKind.REACHED:
            raise self._given_up(store, f"the pool has its old size back, {counts(site.targets)} on {before.version}")
        raise self._given_up(store, f"of its old size, {counts(site.targets)}, it has less again ({verdict.reason})")

    def _given_up(self, store: StateStore, became: str) -> GoldenPoolsError:
        """Return the failure, with what became of the pool; the next try starts anew."""
        failure = from_dict(store.keep(gave_up=True)["failure"])
        return type(failure)(
            f"{failure.what}; {became}", resource=failure.resource, answer=failure.answer, advice=failure.advice
        )


def give_back_site(context: Context, hook: BatchHook, plan: RunPlan, store: StateStore) -> Site:
    """Return the pool as it is to be again."""
    before = PoolBefore.from_dict(store.read()["before"])
    return Site(
        context=context,
        plan=plan,
        hook=hook,
        pool=before.pool,
        targets=before.targets,
        store=store,
        even_partly=True,
    )
