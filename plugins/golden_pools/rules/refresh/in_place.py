"""``in_place``: shrink the pool to zero, change it, and let the resize grow it again; its id stays."""

from __future__ import annotations

from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import Role, current_pool, is_deleting, role_of
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh.drift import Change, drift, needs_empty_pool
from golden_pools.rules.refresh.step import Seen, Step, StepKind
from golden_pools.words import counted


def in_place(seen: Seen, plan: RunPlan) -> Step:
    """Return the next step for the pool that the spec stands for."""
    pool, early = at_home(seen, plan)
    if pool is None or early is not None:
        return early or create(seen, plan)
    return change_in_place(pool, drift(pool, plan))


def at_home(seen: Seen, plan: RunPlan) -> tuple[Pool | None, Step | None]:
    """Return the pool that the spec stands for, and the step that comes before any look at its settings."""
    pool = current_pool(seen.pools, plan.pool) or seen.named(seen.home or plan.pool)
    if pool is not None and (is_deleting(pool) or role_of(pool) is Role.RETIRING):
        return pool, wait_until_gone(pool)
    return pool, None


def create(seen: Seen, plan: RunPlan) -> Step:
    """Return the step that makes the pool, under the id that it had where the run has deleted it."""
    return Step(kind=StepKind.CREATE, pool=seen.home or plan.pool, reason="the pool does not exist")


def wait_until_gone(pool: Pool) -> Step:
    """Return the step for a pool that goes away: a pool of its id can be made only after that."""
    return Step(
        kind=StepKind.GONE, pool=pool.name, reason="the pool is being deleted; its id is free only when that is done"
    )


def change_in_place(pool: Pool, changes: tuple[Change, ...]) -> Step:
    """Return the next step towards these changes of a pool that keeps its id."""
    if not changes:
        return Step(kind=StepKind.LEAVE, pool=pool.name, reason="the pool is on the image and settings already")
    if pool.allocation_state is not AllocationState.STEADY:
        return Step(
            kind=StepKind.SETTLE, pool=pool.name, reason=f"the pool is {pool.allocation_state}", changes=changes
        )
    if pool.current_total and needs_empty_pool(changes):
        reason = f"{counted(pool.current_total, 'node')} must go before the image or the VM size can change"
        return Step(kind=StepKind.DRAIN, pool=pool.name, reason=reason, changes=changes)
    return Step(kind=StepKind.PATCH, pool=pool.name, reason="the pool can be changed now", changes=changes)
