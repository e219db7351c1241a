"""What differs between a pool and what it should be: the diff of the log, and the reason of every change.

A Batch pool takes a new image or VM size only while it has no nodes and rests; metadata and the start task change at
any time it rests ("Update Batch pool properties").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from golden_pools.rules.facts import Pool, PoolStartTask, folded
from golden_pools.rules.plan import RunPlan
from golden_pools.spec.model import PoolSpec


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting that differs from what is wanted; an empty string is "none"."""

    field: str
    is_: str
    wanted: str
    needs_empty_pool: bool

    def __str__(self) -> str:
        return f"{self.field}: {self.is_ or 'none'} -> {self.wanted or 'none'}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a pool should be, apart from its node counts.

    :param vm_sizes: the size that is wanted first, then those that will do as well
    :param start_task: None: the pool should have none
    :param trusted_launch: None: with or without, as the pool has it
    :param unknown_environment: names of environment variables of the start task whose values are not compared
    :param metadata: without what the runs themselves write
    """

    image_id: str
    vm_sizes: tuple[str, ...]
    node_agent_sku: str
    task_slots_per_node: int
    inter_node_communication: bool
    subnet_id: str
    public_addresses: bool
    identities: tuple[str, ...]
    start_task: PoolStartTask | None
    trusted_launch: bool | None = None
    unknown_environment: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def wanted_by(plan: RunPlan) -> Wanted:
    """Return what a run wants its pool to be."""
    return wanted_of(plan.spec, plan.image_id, trusted_launch=plan.trusted_launch)


def wanted_of(spec: PoolSpec, image_id: str, *, trusted_launch: bool | None = None) -> Wanted:
    """Return what a spec's pool is to be on an image."""
    pool, task, network = spec.pool, spec.pool.start_task, spec.pool.network
    return Wanted(
        image_id=image_id,
        vm_sizes=(pool.vm_size, *spec.resize.other_vm_sizes),
        node_agent_sku=pool.node_agent_sku,
        task_slots_per_node=pool.task_slots_per_node,
        inter_node_communication=pool.inter_node_communication,
        subnet_id=network.subnet_id if network else "",
        public_addresses=network.public_addresses if network else True,
        identities=pool.identities,
        start_task=PoolStartTask(**task.model_dump()) if task else None,
        trusted_launch=trusted_launch,
        metadata=pool.metadata,
    )


def drift(pool: Pool, plan: RunPlan) -> tuple[Change, ...]:
    """Return what differs between a pool and the plan."""
    return differences(pool, wanted_by(plan))


def needs_empty_pool(changes: Iterable[Change]) -> bool:
    """Return whether Batch takes one of these changes only while the pool has no nodes."""
    return any(change.needs_empty_pool for change in changes)


def differences(pool: Pool, wanted: Wanted) -> tuple[Change, ...]:
    """Return what differs between a pool and what it should be; names and ids compare case-insensitively.

    Identities change at any time, but only nodes made after the pool was empty get them.
    """
    size = next((size for size in wanted.vm_sizes if same_id(size, pool.vm_size)), wanted.vm_sizes[0])
    has_and_wants = {
        "image": (pool.image_id or "", wanted.image_id),
        "vm_size": (pool.vm_size, size),
        "node_agent_sku": (pool.node_agent_sku or "", wanted.node_agent_sku),
        "inter_node_communication": (str(pool.inter_node_communication), str(wanted.inter_node_communication)),
        "task_slots_per_node": (str(pool.task_slots_per_node), str(wanted.task_slots_per_node)),
        "network.subnet_id": (pool.subnet_id or "", wanted.subnet_id),
        "network.public_addresses": (str(pool.public_addresses), str(wanted.public_addresses)),
        "identities": (_joined(pool.identities), _joined(wanted.identities)),
    }
    if wanted.trusted_launch is not None:
        has_and_wants["trusted_launch"] = (str(pool.trusted_launch), str(wanted.trusted_launch))
    changes = [
        Change(field=field, is_=has, wanted=wants, needs_empty_pool=True)
        for field, (has, wants) in has_and_wants.items()
        if not same_id(has, wants)
    ]
    return (
        *changes,
        *_start_task_changes(pool.start_task, wanted.start_task, wanted.unknown_environment),
        *_metadata_changes(pool, wanted.metadata),
    )


def same_id(one: str | None, other: str | None) -> bool:
    """Return whether two ARM ids name the same resource: Azure does not keep their case."""
    return folded(one or "") == folded(other or "")


def _joined(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids, key=str.casefold))


def _start_task_changes(
    has: PoolStartTask | None, wants: PoolStartTask | None, unknown: Iterable[str]
) -> Iterator[Change]:
    """Compare start tasks; of environment variables only the names are told."""
    if has is None or wants is None:
        if has or wants:
            yield _start_task_change("start_task", has.command_line if has else "", wants.command_line if wants else "")
        return
    for name in ("command_line", "elevated", "wait_for_success", "max_retries"):
        is_, wanted = str(getattr(has, name)), str(getattr(wants, name))
        if is_ != wanted:
            yield _start_task_change(f"start_task.{name}", is_, wanted)
    for name in sorted({*has.environment, *wants.environment} - {*unknown}):
        old, new = has.environment.get(name), wants.environment.get(name)
        if old != new:
            yield _start_task_change(
                f"start_task.environment.{name}",
                "" if old is None else "set",
                "" if new is None else "set as wanted",
            )


def _start_task_change(field: str, is_: str, wanted: str) -> Change:
    return Change(field=field, is_=is_, wanted=wanted, needs_empty_pool=False)


def _metadata_changes(pool: Pool, wanted: Mapping[str, str]) -> Iterator[Change]:
    """Compare metadata; what the runs themselves write is left out."""
    has = teams_own(pool.metadata)
    for name in sorted({*has, *wanted}):
        if has.get(name) != wanted.get(name):
            yield Change(
                field=f"metadata.{name}", is_=has.get(name, ""), wanted=wanted.get(name, ""), needs_empty_pool=False
            )


def teams_own(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a pool's metadata without what the runs themselves write."""
    return {name: value for name, value in metadata.items() if not name.startswith("golden_pools_")}
