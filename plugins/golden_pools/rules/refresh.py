"""The next step that brings a pool onto the run's image and settings.

A Batch pool takes a new image or VM size only while it has no nodes and rests; other settings change at any time the
pool rests ("Update pool properties").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from golden_pools.rules.facts import AllocationState, Pool, PoolStartTask
from golden_pools.rules.plan import RunPlan
from golden_pools.spec.model import StartTask, Strategy


class StepKind(StrEnum):
    """What to do next with the pool."""

    CREATE = "create"
    LEAVE = "leave"
    DRAIN = "drain"
    PATCH = "patch"
    WAIT = "wait"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting that differs from what the run wants; an empty string is "none"."""

    field: str
    is_: str
    wanted: str
    needs_empty_pool: bool

    def __str__(self) -> str:
        return f"{self.field}: {self.is_ or 'none'} -> {self.wanted or 'none'}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next step, why, and what has to change."""

    kind: StepKind
    reason: str
    changes: tuple[Change, ...] = ()


def same_id(one: str | None, other: str | None) -> bool:
    """Return whether two ARM ids name the same resource: Azure does not keep their case."""
    return _folded(one) == _folded(other)


def _folded(value: str | None) -> str:
    return (value or "").rstrip("/").casefold()


def refresh_step(pool: Pool | None, plan: RunPlan) -> Step:
    """Return the next step for the pool under the plan's strategy.

    Ask again after each step, until it says ``LEAVE``.
    """
    return _STRATEGIES[plan.spec.refresh.strategy](pool, plan)


def in_place(pool: Pool | None, plan: RunPlan) -> Step:
    """Shrink the pool to zero, change it, and let the resize grow it again; the pool's id stays."""
    if pool is None:
        return Step(kind=StepKind.CREATE, reason="the pool does not exist")
    if pool.provisioning_state.casefold() == "deleting":
        return Step(kind=StepKind.WAIT, reason="the pool is being deleted; its id is free only when that is done")
    changes = drift(pool, plan)
    if not changes:
        return Step(kind=StepKind.LEAVE, reason="the pool is on the image and settings already")
    if pool.allocation_state is not AllocationState.STEADY:
        return Step(kind=StepKind.WAIT, reason=f"the pool is {pool.allocation_state}", changes=changes)
    if pool.current_total and any(change.needs_empty_pool for change in changes):
        return Step(
            kind=StepKind.DRAIN,
            reason=f"{pool.current_total} nodes have to go before the image or the VM size can change",
            changes=changes,
        )
    return Step(kind=StepKind.PATCH, reason="the pool can be changed now", changes=changes)


_STRATEGIES: Mapping[Strategy, Callable[[Pool | None, RunPlan], Step]] = dict.fromkeys(Strategy, in_place)


def drift(pool: Pool, plan: RunPlan) -> tuple[Change, ...]:
    """Return what differs between a pool and the plan; names and ids compare case-insensitively.

    Identities change at any time, but only nodes made after the pool was empty get them.
    """
    spec, network = plan.spec.pool, plan.spec.pool.network
    has_and_wants = {
        "image": (pool.image_id or "", plan.image_id),
        "vm_size": (pool.vm_size, spec.vm_size),
        "node_agent_sku": (pool.node_agent_sku or "", spec.node_agent_sku),
        "inter_node_communication": (str(pool.inter_node_communication), str(spec.inter_node_communication)),
        "task_slots_per_node": (str(pool.task_slots_per_node), str(spec.task_slots_per_node)),
        "network.subnet_id": (pool.subnet_id or "", network.subnet_id if network else ""),
        "network.public_addresses": (str(pool.public_addresses), str(network.public_addresses if network else True)),
        "identities": (_joined(pool.identities), _joined(spec.identities)),
    }
    changes = [
        Change(field=field, is_=has, wanted=wants, needs_empty_pool=True)
        for field, (has, wants) in has_and_wants.items()
        if not same_id(has, wants)
    ]
    return (*changes, *_start_task_drift(pool.start_task, spec.start_task), *_metadata_drift(pool, spec.metadata))


def _joined(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids, key=str.casefold))


def _start_task_drift(has: PoolStartTask | None, wants: StartTask | None) -> Iterator[Change]:
    """Compare start tasks; of environment variables only the names are told."""
    if has is None or wants is None:
        if has or wants:
            yield _start_task_change("start_task", has.command_line if has else "", wants.command_line if wants else "")
        return
    for name in ("command_line", "elevated", "wait_for_success", "max_retries"):
        is_, wanted = str(getattr(has, name)), str(getattr(wants, name))
        if is_ != wanted:
            yield _start_task_change(f"start_task.{name}", is_, wanted)
    for name in sorted({*has.environment, *wants.environment}):
        old, new = has.environment.get(name), wants.environment.get(name)
        if old != new:
            yield _start_task_change(
                f"start_task.environment.{name}",
                "" if old is None else "set",
                "" if new is None else "set as in the spec",
            )


def _start_task_change(field: str, is_: str, wanted: str) -> Change:
    return Change(field=field, is_=is_, wanted=wanted, needs_empty_pool=False)


def _metadata_drift(pool: Pool, wanted: Mapping[str, str]) -> Iterator[Change]:
    """Compare the spec's metadata; what the runs themselves write is left out."""
    has = {name: value for name, value in pool.metadata.items() if not name.startswith("golden_pools_")}
    for name in sorted({*has, *wanted}):
        if has.get(name) != wanted.get(name):
            yield Change(
                field=f"metadata.{name}", is_=has.get(name, ""), wanted=wanted.get(name, ""), needs_empty_pool=False
            )
