"""Stage ``switch``: jobs, job schedules and the alias go to the pool that the refresh has prepared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from golden_pools.errors import OwnershipError
from golden_pools.operators.base import StateStore, now, pulled
from golden_pools.operators.job_moves import JobMovingOperator, Moving, named
from golden_pools.rules.facts import Pool
from golden_pools.rules.family import Role, current_pool, family, is_deleting, moment_of_role, role_of
from golden_pools.rules.plan import RunPlan
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

ROUNDS = 5
"""How often jobs may turn up on the old pool, that were not there before, until the alias switches without them."""

ROUNDS_AFTER = 10
"""The same, all in all: what looks up the alias finds the new pool now, so only fixed ids still lead to the old one."""


class SwitchPoolOperator(JobMovingOperator):
    """Move the work of the old pool to the new one, then let the alias stand for the new one.

    Job schedules come first, since they make jobs; then jobs, each of which runs again as soon as it is moved; then the
    two writes of the alias: the new pool says that it is current, then the old one that it was. So at every instant
    one pool is current. Without a second pool the stage only makes sure that the pool says whose it is.

    :param pool_task_id: refresh task, whose XCom names both pools; the current pool of the alias if absent
    :raises ResizeGaveUpError: running tasks outlasted ``drain_minutes``; all jobs are enabled again where they are
    :raises OwnershipError: another pool became current meanwhile
    """

    ui_color = "#e3f1ee"

    def __init__(self, *, pool_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_task_id = pool_task_id

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Begin, or go on after a retry: what was moved is not moved again."""
        plan = self.plan_for_writing(context)
        self.begin_moving(context, self._store(context, plan))
        return self.turn(context)

    def next_step(self, context: Context) -> dict[str, Any] | None:
        """Return what was moved, as soon as the alias stands for the new pool."""
        plan = self.plan_for_writing(context)
        store = self._store(context, plan)
        with self.work(plan) as hook:
            new, old = self._pools(context, hook, plan)
            self._check_pools(hook, plan, new, old)
            if old:
                self._move(context, hook, plan, store, old, new, rounds=ROUNDS)
            self._give_alias(hook, plan, new, old)
            if old:
                left = self._move(context, hook, plan, store, old, new, rounds=ROUNDS_AFTER)
                if left:
                    self.log.warning(
                        "Jobs keep coming to pool %s and stay there: %s. Who makes them should ask for the current "
                        "pool of %s.",
                        old,
                        named(left),
                        plan.pool,
                    )
        moving = Moving.read(store)
        moved = f"; {counted(len(moving.moved), 'job')} moved" if old else ", and there was no other"
        self.log.info("Pool %s is the current one of %s%s", new, plan.pool, moved)
        return {
            "pool": new,
            "moved_jobs": list(moving.moved),
            "moved_schedules": list(moving.schedules),
            "pool_before": old,
        }

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait: the next step follows from what is there now."""
        self.raise_failure(context, event)
        return self.turn(context)

    def _store(self, context: Context, plan: RunPlan) -> StateStore:
        return StateStore(context, f"switch to {plan.image_id}")

    def _pools(self, context: Context, hook: BatchWorkHook, plan: RunPlan) -> tuple[str, str | None]:
        """Return the new pool, and the old one where they are two."""
        refreshed = pulled(context, self.pool_task_id) if self.pool_task_id else None
        if not refreshed:
            current = current_pool(self._members(hook, plan), plan.pool)
            return current.name if current else plan.pool, None
        new, old = refreshed["pool"], refreshed["pool_before"]
        return new, old if old and old.casefold() != new.casefold() else None

    def _members(self, hook: BatchWorkHook, plan: RunPlan) -> list[Pool]:
        return family(hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account), plan.pool)

    def _move(
        self,
        context: Context,
        hook: BatchWorkHook,
        plan: RunPlan,
        store: StateStore,
        old: str,
        new: str,
        *,
        rounds: int,
    ) -> list[str]:
        return self.move_work(
            context,
            hook,
            plan,
            store,
            source=old,
            target=new,
            rounds=rounds,
            when_late=plan.spec.refresh.drain_fallback,
        )

    def _check_pools(self, hook: BatchWorkHook, plan: RunPlan, new: str, old: str | None) -> None:
        """Refuse to move work to a pool that is not there, or past a third pool that is current."""
        members = self._members(hook, plan)
        current = current_pool(members, plan.pool)
        if current is not None and current.name.casefold() not in (new.casefold(), (old or new).casefold()):
            raise OwnershipError(
                "Another pool has become current meanwhile",
                resource=current.id,
                answer=f"{plan.pool} stands for pool {current.name}, not for {old or new}",
                advice="find out who switched; trigger the run again if the pool should have the image",
            )
        _present(members, new)

    def _give_alias(self, hook: BatchWorkHook, plan: RunPlan, new: str, old: str | None) -> None:
        """Let the new pool be the current one, and then every other one that was, or was to be, a former one."""
        members = self._members(hook, plan)
        pool = _present(members, new)
        if role_of(pool) is not Role.CURRENT or current_pool(members, plan.pool) is not pool:
            self.mark(hook, plan, pool, Role.CURRENT, since=moment_of_role(members, now()))
        for other in members:
            role = role_of(other)
            gives_way = role in (Role.CURRENT, Role.CANDIDATE) or (role is None and other.name == old)
            if gives_way and other is not pool and not is_deleting(other):
                self.mark(hook, plan, other, Role.FORMER, since=moment_of_role((), now()))


def _present(members: Iterable[Pool], name: str) -> Pool:
    """Return the pool that is to become current."""
    pool = next((one for one in members if one.name.casefold() == name.casefold()), None)
    if pool is None or is_deleting(pool):
        raise OwnershipError(
            "The pool that was to become current does not exist any more",
            resource=name,
            advice="find out who deleted it, then trigger the run again: it makes the pool anew",
        )
    return pool
