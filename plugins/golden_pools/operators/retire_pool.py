"""Former pools of a blue/green refresh: they stay for a soak, then they are emptied and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import GRACE, StateStore, now
from golden_pools.operators.drain import DrainingOperator
from golden_pools.operators.job_moves import named
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import Role, current_pool, family, is_deleting, role_of, since_when
from golden_pools.rules.plan import RunPlan
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

RETIRES = (Role.FORMER, Role.RETIRING)
"""Roles of the pools that this stage may touch, and no others."""


class RetireFormerPoolsOperator(DrainingOperator):
    """Delete the former pools of the alias whose soak is over, one after the other.

    A pool that still has work bound to it is left and said so. Before a pool is touched it says that it is retiring,
    under its ETag: a run that takes it back at the same moment wins or loses as a whole.
    """

    ui_color = "#e3f1ee"

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return which pools are gone and which were left, as soon as no more is to come."""
        plan = self.plan_for_writing(context)
        store = StateStore(context, f"retire {plan.pool}")
        with self.work(plan) as hook:
            pools = hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account)
            self._note_what_is_gone(store, pools)
            left: dict[str, str] = {}
            coming: list[datetime] = []
            for pool in retiring(pools, plan.pool):
                if role_of(pool) is not Role.RETIRING and due(pool, plan) > now():
                    coming.append(due(pool, plan))
                elif why := self._why_to_leave(hook, plan, pool):
                    self.log.warning("Pool %s stays: %s", pool.name, why)
                    left[pool.name] = why
                else:
                    self._retire(hook, plan, store, pool)
        if coming:
            self._soak(min(coming))
        return {"retired": list(store.read().get("retired") or ()), "left": left}

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: a pool may have become current again meanwhile."""
        self.raise_failure(context, event)
        return self.turn(context)

    def _note_what_is_gone(self, store: StateStore, pools: Iterable[Pool]) -> None:
        kept, there = store.read(), {pool.name for pool in pools}
        going = set(kept.get("going") or ())
        if gone := going - there:
            retired = dict.fromkeys([*(kept.get("retired") or ()), *sorted(gone)])
            store.keep(going=sorted(going - gone), retired=list(retired))

    def _why_to_leave(self, hook: BatchWorkHook, plan: RunPlan, pool: Pool) -> str:
        """Return what is still bound to the pool, or an empty string; a disabled job waits for its pool too."""
        if is_deleting(pool):
            return ""
        where = plan.spec.pool.resource_group, plan.spec.pool.account
        if jobs := hook.jobs(*where, pool=pool.name):
            return _bound("job", [job.id for job in jobs])
        if schedules := hook.job_schedules(*where, pool=pool.name):
            return _bound("job schedule", [schedule.id for schedule in schedules])
        return ""

    def _retire(self, hook: BatchWorkHook, plan: RunPlan, store: StateStore, pool: Pool) -> None:
        """Take the next step with one pool, and defer."""
        group, account = plan.spec.pool.resource_group, plan.spec.pool.account
        if role_of(pool) is not Role.RETIRING:
            self.mark(hook, plan, pool, Role.RETIRING, since=now().isoformat(timespec="microseconds"))
            pool = hook.pool(group, account, pool.name) or pool
        if not is_deleting(pool):
            if pool.current_total or pool.allocation_state is not AllocationState.STEADY:
                self.drain(hook, plan, store, pool, requeue_when_over=True)
                self.log.warning("Pool %s is deleted with %s left", pool.name, counted(pool.current_total, "node"))
            self.log.info("Pool %s is deleted", pool.name)
            store.keep(going=sorted({*(store.read().get("going") or ()), pool.name}))
            hook.delete_pool(group, account, pool.name)
        self.wait_until_gone(plan, pool.name)

    def _soak(self, until: datetime) -> None:
        from golden_pools.triggers.soak import SoakTrigger

        self.log.info("The next former pool is due at %s", until.isoformat(timespec="seconds"))
        self.defer(
            trigger=SoakTrigger(until=until.isoformat()), method_name="go_on", timeout=max(until - now(), GRACE) + GRACE
        )


def retiring(pools: Iterable[Pool], alias: str) -> list[Pool]:
    """Return the pools of an alias that may go, the oldest first; never the one that it stands for."""
    pools = list(pools)
    current = current_pool(pools, alias)
    members = [pool for pool in family(pools, alias) if role_of(pool) in RETIRES and pool is not current]
    return sorted(members, key=lambda pool: (pool.metadata.get("golden_pools_since", ""), pool.name))


def _bound(noun: str, ids: Sequence[str]) -> str:
    return f"{counted(len(ids), noun)} bound to it ({named(ids)})"


def due(pool: Pool, plan: RunPlan) -> datetime:
    """Return when the pool's soak is over; a pool that does not say since when begins with the run."""
    return (since_when(pool) or plan.stamp) + timedelta(minutes=plan.spec.refresh.soak_minutes)
