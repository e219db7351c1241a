"""``blue_green``: a second pool beside the current one, which stays as it is until the switch."""

from __future__ import annotations

from collections.abc import Sequence

from golden_pools.rules.facts import Pool
from golden_pools.rules.family import (
    RUN,
    Role,
    candidate_name,
    current_pool,
    family,
    is_deleting,
    role_of,
    since_when,
)
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh.drift import drift, needs_empty_pool
from golden_pools.rules.refresh.in_place import change_in_place, wait_until_gone
from golden_pools.rules.refresh.step import Seen, Step, StepKind

ADOPTABLE = (Role.CANDIDATE, Role.FORMER)
"""Roles of a member that may become this run's candidate, the better one first."""


def blue_green(seen: Seen, plan: RunPlan) -> Step:
    """Return the next step for the candidate, or for the current pool where no second one is needed."""
    current = current_pool(seen.pools, plan.pool)
    if current is not None and not needs_empty_pool(changes := drift(current, plan)):
        return change_in_place(current, changes)
    others = [pool for pool in family(seen.pools, plan.pool) if pool is not current]
    ready = [pool for pool in others if _fits(pool, plan)]
    if ready:
        return _adopt(max(ready, key=lambda pool: _preference(pool, plan)), plan)
    return _named_candidate(seen, plan, others)


def _fits(pool: Pool, plan: RunPlan) -> bool:
    return role_of(pool) in ADOPTABLE and not is_deleting(pool) and not needs_empty_pool(drift(pool, plan))


def _preference(pool: Pool, plan: RunPlan) -> tuple[bool, bool, str]:
    since = since_when(pool)
    return _is_ours(pool, plan), role_of(pool) is Role.CANDIDATE, since.isoformat() if since else ""


def _is_ours(pool: Pool, plan: RunPlan) -> bool:
    return role_of(pool) is Role.CANDIDATE and pool.metadata.get(RUN) == plan.run_id


def _adopt(pool: Pool, plan: RunPlan) -> Step:
    """Return the next step for a member that is on the image already: a former pool, or a leftover."""
    step = change_in_place(pool, drift(pool, plan))
    if step.kind is not StepKind.LEAVE or _is_ours(pool, plan):
        return step
    if pool.allocation_state != "Steady":
        return Step(kind=StepKind.SETTLE, pool=pool.name, reason=f"the pool is {pool.allocation_state}")
    return Step(
        kind=StepKind.PATCH, pool=pool.name, reason=f"a {role_of(pool)} pool is on the image: it is the candidate now"
    )


def _named_candidate(seen: Seen, plan: RunPlan, others: Sequence[Pool]) -> Step:
    """Return the next step for the pool of the candidate's name; a name that is somebody's is left to him."""
    free = [pool.name for pool in others if _may_be_made_over(pool, seen)]
    taken = [pool.name for pool in seen.pools if pool.name not in free]
    name = candidate_name(plan.pool, plan.image_id, taken)
    pool = seen.named(name)
    if pool is None:
        return Step(kind=StepKind.CREATE, pool=name, reason="a second pool for the new image")
    if is_deleting(pool) or role_of(pool) is Role.RETIRING:
        return wait_until_gone(pool)
    return change_in_place(pool, drift(pool, plan))


def _may_be_made_over(pool: Pool, seen: Seen) -> bool:
    """Return whether a member may be waited for, or drained and changed: one with work on it may not."""
    return is_deleting(pool) or (role_of(pool) in (*ADOPTABLE, Role.RETIRING) and not seen.jobs_on(pool))
