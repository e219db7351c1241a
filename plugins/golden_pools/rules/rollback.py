"""Rollback: what a run has to remember of a pool before it touches it, and the steps that put it back.

Three roads lead back: the pool kept its id and is changed back at zero nodes; it was deleted and is made anew; or a
second pool stands beside it, then jobs and alias go back and the second pool is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.facts import AllocationState, Pool, PoolStartTask
from golden_pools.rules.family import RUN, Role, current_pool, is_deleting, role_of
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh.drift import Change, Wanted, differences, needs_empty_pool, teams_own
from golden_pools.rules.resize import at_target
from golden_pools.spec.model import PoolSpec, Targets
from golden_pools.words import counted


@dataclass(frozen=True, kw_only=True)
class PoolBefore:
    """A pool as a run found it: enough to put it back, or to make it anew. It travels as JSON and holds no secret.

    :param image_id: None: the pool ran on an image that is no version of a gallery, and cannot be put back on it
    :param targets: node counts that the pool was asked for; with autoscale those that it had
    :param start_task: without the environment variables whose values are not the spec's, which may be secrets
    :param unknown_environment: names of those variables
    :param candidate: id of the second pool of a blue/green refresh
    :param adopted: that pool, if it was there before the run
    """

    pool: str
    image_id: str | None
    vm_size: str
    node_agent_sku: str
    targets: Targets
    autoscale: bool = False
    task_slots_per_node: int = 1
    inter_node_communication: bool = False
    subnet_id: str | None = None
    public_addresses: bool = True
    identities: tuple[str, ...] = ()
    trusted_launch: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    start_task: PoolStartTask | None = None
    unknown_environment: tuple[str, ...] = ()
    candidate: str | None = None
    adopted: PoolBefore | None = None

    @classmethod
    def of(cls, pool: Pool, spec: PoolSpec, *, candidate: str | None = None, adopted: PoolBefore | None = None) -> Self:
        """Return what is to be remembered of a pool.

        :param spec: its start task's environment is known to be no secret
        """
        task, known = pool.start_task, spec.pool.start_task.environment if spec.pool.start_task else {}
        environment = dict(task.environment) if task else {}
        safe = {name: value for name, value in environment.items() if known.get(name) == value}
        return cls(
            pool=pool.name,
            image_id=pool.image_id,
            vm_size=pool.vm_size,
            node_agent_sku=pool.node_agent_sku or "",
            targets=targets_of(pool),
            autoscale=pool.autoscale,
            task_slots_per_node=pool.task_slots_per_node,
            inter_node_communication=pool.inter_node_communication,
            subnet_id=pool.subnet_id,
            public_addresses=pool.public_addresses,
            identities=pool.identities,
            trusted_launch=pool.trusted_launch,
            metadata=dict(pool.metadata),
            start_task=replace(task, environment=safe) if task else None,
            unknown_environment=tuple(sorted(set(environment) - set(safe))),
            candidate=candidate,
            adopted=adopted,
        )

    @property
    def version(self) -> str:
        """The image's name for people: the version, or whatever ends its id."""
        return version_of(self.image_id)

    def wanted(self, present: Pool | None = None) -> Wanted:
        """Return what the pool should be again.

        :param present: the pool as it is: gives its start task the variables whose values nobody remembers
        """
        task = self.start_task
        if task is not None and present is not None and present.start_task is not None:
            has = present.start_task.environment
            unknown = {name: has[name] for name in self.unknown_environment if name in has}
            task = replace(task, environment={**task.environment, **unknown})
        return Wanted(
            image_id=self.image_id or "",
            vm_sizes=(self.vm_size,),
            node_agent_sku=self.node_agent_sku,
            task_slots_per_node=self.task_slots_per_node,
            inter_node_communication=self.inter_node_communication,
            subnet_id=self.subnet_id or "",
            public_addresses=self.public_addresses,
            identities=self.identities,
            start_task=task,
            unknown_environment=self.unknown_environment,
            trusted_launch=self.trusted_launch,
            metadata=teams_own(self.metadata),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON: the XCom ``before`` of the refresh stage."""
        return {
            **asdict(self),
            "targets": self.targets.model_dump(),
            "adopted": self.adopted.to_dict() if self.adopted else None,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` wrote."""
        task, adopted = value["start_task"], value["adopted"]
        return cls(
            **{
                **value,
                "targets": Targets(**value["targets"]),
                "identities": tuple(value["identities"]),
                "unknown_environment": tuple(value["unknown_environment"]),
                "start_task": PoolStartTask(**task) if task else None,
                "adopted": cls.from_dict(adopted) if adopted else None,
            }
        )


def targets_of(pool: Pool) -> Targets:
    """Return the node counts that a pool was asked for; a formula's pool is asked for what it has."""
    if pool.autoscale:
        return Targets(dedicated=pool.current_dedicated, spot=pool.current_spot)
    return Targets(dedicated=pool.target_dedicated, spot=pool.target_spot)


def version_of(image_id: str | None) -> str:
    """Return the version in an image's id, or the image's name."""
    return image_id.rstrip("/").rpartition("/")[2] if image_id else "an image that is no gallery version"


class RestoreKind(StrEnum):
    """What to do next on the way back."""

    DONE = "done"
    CREATE = "create"
    DRAIN = "drain"
    PATCH = "patch"
    SETTLE = "wait until it rests"
    STOP = "stop its resize"
    GONE = "wait until it is gone"
    MOVE_BACK = "move jobs back"
    ALIAS_BACK = "give the alias back"
    DELETE = "delete"
    RELEASE = "make it a former pool again"
    TAKEN_OVER = "taken over"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, kw_only=True)
class RestoreStep:
    """The next step, the pool that it is about, and why."""

    kind: RestoreKind
    pool: str
    reason: str
    changes: tuple[Change, ...] = ()


def restore_step(before: PoolBefore, pools: Iterable[Pool], plan: RunPlan, *, work_to_move: bool) -> RestoreStep:
    """Return the next step that brings the alias back to the pool that it stood for, as that was.

    Ask again after each step, until it says ``DONE``.

    :param pools: all pools of the account
    :param work_to_move: whether jobs or job schedules are bound to the candidate, or were left disabled by this run
    """
    by_name = {pool.name.casefold(): pool for pool in pools}
    pool = by_name.get(before.pool.casefold())
    if before.candidate is None:
        return _same_pool(before, pool, plan)
    candidate = by_name.get(before.candidate.casefold())
    return _second_pool(before, pool, candidate, current_pool(by_name.values(), plan.pool), plan, work_to_move)


def was_touched(before: PoolBefore, pool: Pool | None) -> bool:
    """Return whether a pool that keeps its id is not as it was: in its settings or in its size."""
    if pool is None or is_deleting(pool) or differences(pool, before.wanted()):
        return True
    return not at_target(pool, before.targets) and not (before.autoscale and pool.autoscale)


def has_been_put_back(before: PoolBefore, pool: Pool) -> bool:
    """Return whether a pool that this run has touched is again what it was, and has been asked for nodes."""
    return not differences(pool, before.wanted()) and targets_of(pool).total > 0


def _same_pool(before: PoolBefore, pool: Pool | None, plan: RunPlan) -> RestoreStep:
    """Put back the pool of ``in_place`` or ``recreate``."""

    def step(kind: RestoreKind, reason: str) -> RestoreStep:
        return RestoreStep(kind=kind, pool=before.pool, reason=reason, changes=changes)

    changes = differences(pool, before.wanted()) if pool else ()
    if before.image_id is None and (pool is None or pool.image_id is not None):
        return step(RestoreKind.IMPOSSIBLE, f"it ran on {before.version}, which no run can put back")
    if pool is None:
        return step(RestoreKind.CREATE, "the pool is deleted")
    if is_deleting(pool):
        return step(RestoreKind.GONE, "the pool is being deleted; its id is free only when that is done")
    if other := taken_over(before, pool, plan):
        return step(RestoreKind.TAKEN_OVER, other)
    if not changes:
        return step(RestoreKind.DONE, f"the pool is on {before.version} with the settings that it had")
    if pool.allocation_state is AllocationState.RESIZING and targets_of(pool).total and needs_empty_pool(changes):
        return step(RestoreKind.STOP, "a resize of nodes that have to go again")
    if pool.allocation_state is not AllocationState.STEADY:
        return step(RestoreKind.SETTLE, f"the pool is {pool.allocation_state}")
    if pool.current_total and needs_empty_pool(changes):
        return step(
            RestoreKind.DRAIN, f"{counted(pool.current_total, 'node')} must go before the image can change back"
        )
    return step(RestoreKind.PATCH, "the pool can be changed back now")


def taken_over(before: PoolBefore, pool: Pool, plan: RunPlan) -> str:
    """Return who steers the pool now, if it is neither this run nor as before; else an empty string."""
    run = pool.metadata.get(RUN)
    if run not in (plan.run_id, before.metadata.get(RUN)):
        return f"run {run} has changed the pool since" if run else "somebody has taken the run's marks off the pool"
    if pool.autoscale and not before.autoscale:
        return "somebody has switched autoscale on"
    has, ours = targets_of(pool), plan.targets
    # A resize goes up in steps, and missing Spot nodes may be asked for as dedicated ones: all of that is ours.
    is_ours = has.spot <= ours.spot and has.total <= ours.total
    if pool.autoscale or is_ours or has == before.targets:
        return ""
    return f"somebody has asked for {has.dedicated} dedicated and {has.spot} Spot nodes"


def _second_pool(
    before: PoolBefore,
    old: Pool | None,
    candidate: Pool | None,
    current: Pool | None,
    plan: RunPlan,
    work_to_move: bool,
) -> RestoreStep:
    """Take back a blue/green refresh, however far it came: jobs, alias, and then the second pool."""

    def step(kind: RestoreKind, pool: str, reason: str) -> RestoreStep:
        return RestoreStep(kind=kind, pool=pool, reason=reason)

    second = before.candidate or ""
    if old is None or is_deleting(old) or role_of(old) is Role.RETIRING:
        return step(RestoreKind.IMPOSSIBLE, before.pool, f"pool {before.pool} is deleted, or about to be")
    if current is not None and current.name.casefold() not in (before.pool.casefold(), second.casefold()):
        return step(RestoreKind.TAKEN_OVER, current.name, f"pool {current.name} is current now")
    if work_to_move:
        return step(RestoreKind.MOVE_BACK, second, f"jobs go back to {before.pool}")
    if current is None or current.name.casefold() != before.pool.casefold():
        return step(RestoreKind.ALIAS_BACK, before.pool, f"{plan.pool} stands for pool {before.pool} again")
    if candidate is None or (candidate.metadata.get(RUN) != plan.run_id and not is_deleting(candidate)):
        return step(RestoreKind.DONE, before.pool, f"the alias stands for pool {before.pool}, and nothing is left")
    if is_deleting(candidate):
        return step(RestoreKind.GONE, second, "the second pool is being deleted")
    if before.adopted is None:
        return step(RestoreKind.DELETE, second, "this run has made the second pool")
    if role_of(candidate) is Role.FORMER:
        return step(RestoreKind.DONE, before.pool, f"the alias stands for pool {before.pool}")
    if candidate.allocation_state is not AllocationState.STEADY:
        return step(RestoreKind.SETTLE, second, f"the second pool is {candidate.allocation_state}")
    return step(RestoreKind.RELEASE, second, "the second pool was there before this run")
