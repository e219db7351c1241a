"""``recreate``: delete the pool and make it anew under the same id, as Microsoft advises to do now and then."""

from __future__ import annotations

from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh.drift import drift, needs_empty_pool
from golden_pools.rules.refresh.in_place import at_home, change_in_place, create
from golden_pools.rules.refresh.step import Seen, Step, StepKind


def recreate(seen: Seen, plan: RunPlan) -> Step:
    """Return the next step; what Batch changes with nodes in the pool needs no new pool."""
    pool, early = at_home(seen, plan)
    if pool is None or early is not None:
        return early or create(seen, plan)
    changes = drift(pool, plan)
    if not needs_empty_pool(changes):
        return change_in_place(pool, changes)
    jobs = seen.jobs_on(pool)
    if jobs and not plan.force:
        return Step(kind=StepKind.REFUSE, pool=pool.name, reason=f"active jobs: {', '.join(jobs)}", changes=changes)
    reason = "it is deleted and made anew" + (f", under the active jobs {', '.join(jobs)}: forced" if jobs else "")
    return Step(kind=StepKind.DELETE, pool=pool.name, reason=reason, changes=changes)
