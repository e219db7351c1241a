"""The writes of a run to pools: canary, refresh, resize, switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from golden_pools.rules.facts import Pool
from golden_pools.rules.family import Role, current_pool, role_of
from golden_pools.rules.intentions.action import Action, ActionKind, Work, change, delete, make
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import Change, Seen, Step, StepKind, needs_empty_pool, refresh_step
from golden_pools.rules.resize import at_target
from golden_pools.rules.resource_names import image_name
from golden_pools.spec.model import DrainFallback, Targets
from golden_pools.words import counted, listed

MAKES_ANEW = (StepKind.CREATE, StepKind.DELETE, StepKind.GONE)
"""First steps of a refresh that makes a pool, and does not change one."""

RUNNING_TASKS: Mapping[str, str] = {
    "task_completion": "running tasks end first",
    "wait": "running tasks end first",
    "requeue": "running tasks go back into the queue",
    "terminate": "running tasks are terminated",
}
"""By ``refresh.deallocation`` and ``refresh.move_tasks``: what happens on nodes that go, and in jobs that move."""


MOST_NAMED = 5
"""Jobs that a plan names; the rest is counted."""


def canary_intentions(plan: RunPlan) -> Iterator[Action]:
    """Yield what tries a version that has not proved good yet."""
    if not plan.spec.canary.enabled:
        return
    pool = plan.id_of_pool(plan.canary_name)
    yield make("canary", "create, run the probes there", pool, f"1 node on {image_name(plan.image_id)}")
    yield delete("canary", "delete", pool, "1 node")


def pool_intentions(plan: RunPlan, pools: Sequence[Pool], work: Work | None = None) -> list[Action]:
    """Return the writes that put the pool on the run's image, bring it to its targets, and let jobs go there.

    :param pools: all of the Batch account
    """
    return list(_pool(plan, tuple(pools), work))


def _pool(plan: RunPlan, pools: tuple[Pool, ...], work: Work | None) -> Iterator[Action]:
    account, step = _first_step(plan, pools, work)
    current = current_pool(pools, plan.pool)
    pool, resource = account.named(step.pool), plan.id_of_pool(step.pool)
    if step.kind is StepKind.REFUSE:
        nodes = counted(pool.current_total, "node") if pool else ""
        yield change("refresh", f"nothing, and the run fails: {step.reason}", resource, nodes, nodes)
        return
    yield from _refresh(plan, step, pool, resource)
    is_emptied = step.kind in MAKES_ANEW or _drains(pool, step)
    yield from _resize(plan, None if is_emptied else pool, resource)
    if plan.spec.refresh.probe_pool:
        yield make("probe", "run the probes on the nodes", resource)
    if current is not None and current.name != step.pool:
        yield from _switch(plan, current, resource, work)
    elif step.kind is StepKind.LEAVE and pool is not None and role_of(pool) is not Role.CURRENT:
        yield change("switch", f"say in its metadata that {plan.pool} stands for it", resource)


def _first_step(plan: RunPlan, pools: tuple[Pool, ...], work: Work | None) -> tuple[Seen, Step]:
    account = Seen(pools=pools, active_jobs=work.active if work else {})
    return account, refresh_step(account, plan)


def is_refused(plan: RunPlan, pools: Sequence[Pool], work: Work | None = None) -> bool:
    """Return whether the run would fail before it touches the pool."""
    return _first_step(plan, tuple(pools), work)[1].kind is StepKind.REFUSE


def _drains(pool: Pool | None, step: Step) -> bool:
    return pool is not None and pool.current_total > 0 and needs_empty_pool(step.changes)


def _refresh(plan: RunPlan, step: Step, pool: Pool | None, resource: str) -> Iterator[Action]:
    refresh, nodes = plan.spec.refresh, counted(pool.current_total, "node") if pool else ""
    if step.kind is StepKind.DELETE:
        jobs = "also if jobs are active on it: force" if plan.force else "unless jobs are active on it"
        yield delete("refresh", f"delete, {jobs}", resource, nodes)
    if step.kind in MAKES_ANEW:
        free = "" if step.kind is StepKind.CREATE else ", as soon as the id is free"
        yield make("refresh", f"create{free}", resource, f"on {image_name(plan.image_id)}")
        return
    if pool is not None and _drains(pool, step):
        how = f"{RUNNING_TASKS[refresh.deallocation]}; if not within {refresh.drain_minutes} minutes, "
        how += (
            "they go back into the queue"
            if refresh.drain_fallback is DrainFallback.REQUEUE
            else "it gets its nodes back and the run fails"
        )
        yield Action("refresh", ActionKind.RESIZE, f"shrink: {how}", resource, nodes, "0 nodes")
    for found in step.changes:
        yield _setting(found, resource)
    if step.kind is not StepKind.LEAVE and not step.changes:
        yield change("refresh", "use again, since it is on the image already", resource)


def _setting(found: Change, resource: str) -> Action:
    shown = image_name if found.field == "image" else _or_none
    return change("refresh", f"change {found.field}", resource, shown(found.is_), shown(found.wanted))


def _or_none(value: str) -> str:
    return value or "none"


def _resize(plan: RunPlan, pool: Pool | None, resource: str) -> Iterator[Action]:
    """Say how the pool gets to its targets; None is a pool without nodes."""
    if pool is None:
        yield Action("resize", ActionKind.RESIZE, "resize", resource, "0 nodes", _nodes(plan.targets))
    elif not at_target(pool, plan.targets):
        has = Targets.model_construct(dedicated=pool.current_dedicated, spot=pool.current_spot)
        yield Action("resize", ActionKind.RESIZE, "resize", resource, _nodes(has), _nodes(plan.targets))


def _nodes(counts: Targets) -> str:
    return f"{counts.dedicated} dedicated, {counts.spot} Spot nodes"


def _switch(plan: RunPlan, old: Pool, resource: str, work: Work | None) -> Iterator[Action]:
    """Say what becomes of the work and of the pool that has it now."""
    refresh = plan.spec.refresh
    how = RUNNING_TASKS[refresh.move_tasks]
    if work is None:
        yield change("switch", f"move the jobs and job schedules of pool {old.name} here: {how}", resource)
    elif moved := [*work.jobs, *(f"schedule {name}" for name in work.schedules)]:
        what = f"move {counted(len(work.jobs), 'job')} and {counted(len(work.schedules), 'job schedule')} here: {how}"
        where = f"on pool {old.name}: {listed(moved, MOST_NAMED)}"
        yield change("switch", what, resource, where, f"on pool {_last(resource)}")
    yield change("switch", f"let {plan.pool} stand for it", resource, old.name, _last(resource))
    yield delete(
        "retire",
        f"delete after {refresh.soak_minutes} minutes, unless jobs are bound to it",
        plan.id_of_pool(old.name),
        counted(old.current_total, "node"),
    )


def _last(resource: str) -> str:
    return resource.rpartition("/")[2]
