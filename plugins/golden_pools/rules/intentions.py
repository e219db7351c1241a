"""What a run would do, and to which resources: the answer of a plan-only run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from golden_pools.rules.capture import AT_REST, found_state
from golden_pools.rules.facts import GoldenVm, Pool, PowerState
from golden_pools.rules.family import Role, current_pool, role_of
from golden_pools.rules.plan import ImageVerdict, RunPlan, is_marked
from golden_pools.rules.preflight import Observations
from golden_pools.rules.refresh import Seen, Step, StepKind, needs_empty_pool, refresh_step
from golden_pools.rules.replication import added_replicas, first_replicas
from golden_pools.rules.resize import at_target
from golden_pools.rules.restore_point import point_id
from golden_pools.rules.source import Road, System, road_for
from golden_pools.spec.image import Publish
from golden_pools.spec.model import DrainFallback
from golden_pools.spec.source import Capture, Generalize

MAKES_ANEW = (StepKind.CREATE, StepKind.DELETE, StepKind.GONE)
"""First steps of a refresh that makes a pool, and does not change one."""

RUNNING_TASKS: Mapping[str, str] = {
    "task_completion": "running tasks end first",
    "wait": "running tasks end first",
    "requeue": "running tasks go back into the queue",
    "terminate": "running tasks are terminated",
}
"""By ``refresh.deallocation`` and ``refresh.move_tasks``: what happens on nodes that go, and in jobs that move."""


@dataclass(frozen=True)
class Action:
    """One write that the run would make."""

    stage: str
    does: str
    resource: str

    def to_dict(self) -> dict[str, str]:
        """Return the action as JSON."""
        return asdict(self)


def intentions(plan: RunPlan, seen: Observations) -> list[Action]:
    """Return the writes of a run in their order, as far as the present state of Azure tells.

    Nobody has looked at jobs: which of them move, or keep a pool from being deleted, is known only when it is done.
    """
    actions = list(_image(plan, seen)) if plan.builds_image else []
    return [*actions, *_canary(plan, seen), *_replicate(plan, seen), *_pool(plan, seen), *_record(plan, seen)]


def _image(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    vm, system = seen.golden_vm, _captured(plan, seen)
    if system is None:
        return
    made_from = plan.source.reason if plan.source else ""
    if plan.spec.golden_vm is not None and vm is not None:
        yield from _snapshots(plan, vm)
        made_from = f"{len(vm.disks)} snapshots"
        if plan.golden_vm.generalize is Generalize.CLONE:
            yield Action("clone_vm", f"create, from {made_from}", plan.clone_id)
            yield Action("generalize_clone", "generalize by a script, deallocate, flag as generalized", plan.clone_id)
            made_from = "the clone"
    if road_for(plan.spec, system) is Road.MANAGED_IMAGE and not plan.given_image_id:
        yield Action("managed_image", f"create, from {made_from}", plan.managed_image_id)
        made_from = ""
    if plan.spec.image.publish is Publish.MANAGED_IMAGE:
        return
    if seen.definition is None:
        features = ", ".join(f"{name} {value}" for name, value in system.features.items())
        does = f"create: {system.os_type}, generation {system.generation}, generalized, {features}"
        yield Action("publish", does, plan.definition_id)
    replicas = _counts(first_replicas(plan, system.location))
    source = f", from {made_from}" if made_from else ""
    yield Action("publish", f"create{source}, replicas: {replicas}", plan.version_id)
    if plan.spec.golden_vm is not None and plan.golden_vm.generalize is Generalize.CLONE:
        yield Action("remove_clone", "delete, with its disks and network card", plan.clone_id)


def _captured(plan: RunPlan, seen: Observations) -> System | None:
    if seen.golden_vm is not None:
        return System.of_vm(seen.golden_vm)
    return plan.source.system if plan.source else None


def _snapshots(plan: RunPlan, vm: GoldenVm) -> Iterator[Action]:
    capture = plan.golden_vm.capture
    stops = capture.stops and vm.power_state not in AT_REST
    if capture is Capture.RESTORE_POINT:
        taken = f"take of VM {vm.name}, and make a disk of each of its {len(vm.disks)} disks"
        yield Action("restore_point", taken, point_id(plan))
    if stops:
        yield Action("stop_golden_vm", "power off" if capture is Capture.STOPPED else "deallocate", vm.id)
    for disk in vm.disks:
        yield Action("snapshot", f"create, a copy of disk {disk.name}", plan.snapshot_id(disk.lun))
    if stops and found_state(vm.power_state) is PowerState.RUNNING:
        yield Action("start_golden_vm", "start", vm.id)
    if capture is Capture.RESTORE_POINT:
        yield Action("remove_restore_point", "delete, with its disks", point_id(plan))


def _canary(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    if not plan.spec.canary.enabled or _is_good(plan, seen):
        return
    pool = plan.id_of_pool(plan.canary_name)
    yield Action("canary", f"create with one node on {plan.image_id}, run the probes there", pool)
    yield Action("canary", "delete", pool)


def _replicate(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    if plan.builds_image:
        system = _captured(plan, seen)
        if system is None or not plan.is_versioned:
            return
        first = first_replicas(plan, system.location)
        added = {region: n for region, n in plan.replicas(system.location).items() if region not in first}
    else:
        added = added_replicas(plan, seen.image_version) if seen.image_version else {}
    if added:
        yield Action("replicate", f"have replicas: {_counts(added)}", plan.version_id)


def _counts(replicas: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {region}" for region, count in replicas.items())


def _pool(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    accounts = Seen(pools=seen.pools)
    step, current = refresh_step(accounts, plan), current_pool(seen.pools, plan.pool)
    pool, resource = accounts.named(step.pool), plan.id_of_pool(step.pool)
    yield from _refresh(plan, step, pool, resource)
    is_emptied = step.kind in MAKES_ANEW or _drains(pool, step)
    yield from _resize(plan, None if is_emptied else pool, resource)
    if plan.spec.refresh.probe_pool:
        yield Action("probe", "run the probes on the nodes", resource)
    if current is not None and current.name != step.pool:
        yield from _switch(plan, current, resource)
    elif step.kind is StepKind.LEAVE and pool is not None and role_of(pool) is not Role.CURRENT:
        yield Action("switch", f"say in its metadata that {plan.pool} stands for it", resource)


def _drains(pool: Pool | None, step: Step) -> bool:
    return pool is not None and pool.current_total > 0 and needs_empty_pool(step.changes)


def _refresh(plan: RunPlan, step: Step, pool: Pool | None, resource: str) -> Iterator[Action]:
    refresh = plan.spec.refresh
    if step.kind is StepKind.DELETE and pool is not None:
        jobs = "also if jobs are active on it: force" if plan.force else "unless jobs are active on it"
        yield Action("refresh", f"delete with its {pool.current_total} nodes, {jobs}", resource)
    if step.kind in MAKES_ANEW:
        free = "" if step.kind is StepKind.CREATE else ", as soon as the id is free"
        yield Action("refresh", f"create on {plan.image_id}{free}", resource)
        return
    if pool is not None and _drains(pool, step):
        how = f"{RUNNING_TASKS[refresh.deallocation]}; if not within {refresh.drain_minutes} minutes, "
        how += (
            "they go back into the queue"
            if refresh.drain_fallback is DrainFallback.REQUEUE
            else "it gets its nodes back and the run fails"
        )
        yield Action("refresh", f"shrink from {pool.current_total} nodes to 0: {how}", resource)
    for change in step.changes:
        yield Action("refresh", f"change {change}", resource)
    if step.kind is not StepKind.LEAVE and not step.changes:
        yield Action("refresh", "use again, since it is on the image already", resource)


def _resize(plan: RunPlan, pool: Pool | None, resource: str) -> Iterator[Action]:
    """Say how the pool gets to its targets; None is a pool without nodes."""
    targets = f"{plan.targets.dedicated} dedicated and {plan.targets.spot} Spot nodes"
    if pool is None:
        yield Action("resize", f"resize from 0 to {targets}", resource)
    elif not at_target(pool, plan.targets):
        yield Action(
            "resize",
            f"resize from {pool.current_dedicated} dedicated and {pool.current_spot} Spot nodes to {targets}",
            resource,
        )


def _switch(plan: RunPlan, old: Pool, resource: str) -> Iterator[Action]:
    """Say what becomes of the work and of the pool that has it now."""
    refresh = plan.spec.refresh
    how = RUNNING_TASKS[refresh.move_tasks]
    yield Action("switch", f"move the jobs and job schedules of pool {old.name} here: {how}", resource)
    yield Action("switch", f"let {plan.pool} stand for it", resource)
    yield Action(
        "retire", f"delete after {refresh.soak_minutes} minutes, unless jobs are bound to it", plan.id_of_pool(old.name)
    )


def _record(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    if plan.is_versioned and not _is_good(plan, seen):
        yield Action("record", "tag as good", plan.version_id)


def _is_good(plan: RunPlan, seen: Observations) -> bool:
    version = seen.image_version
    return not plan.builds_image and version is not None and is_marked(version.tags, ImageVerdict.GOOD)


def render(actions: Sequence[Action]) -> str:
    """Return the actions as lines for the log."""
    width = max((len(action.stage) for action in actions), default=0)
    return "\n".join(
        f"  {action.stage:{width}}  {action.does}\n  {'':{width}}  {action.resource}" for action in actions
    )
