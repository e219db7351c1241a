"""Which pool a stage works on, and to which targets: what an earlier task says, or the spec's present pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from golden_pools.operators.base import pulled
from golden_pools.rules.family import current_pool
from golden_pools.spec.model import Targets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch import BatchHook
    from golden_pools.rules.plan import RunPlan


@dataclass(frozen=True)
class StagePool:
    """A pool and the node counts that it is to have."""

    name: str
    targets: Targets


def stage_pool(context: Context, plan: RunPlan, hook: BatchHook, pool_task_id: str | None) -> StagePool:
    """Return the pool of a stage.

    :param pool_task_id: task whose XCom is ``{"pool": id}``, perhaps with ``"targets": {"dedicated": n, "spot": m}``,
        which then replace the plan's; None, or a task without XCom: the pool that the spec stands for now, else the one
        that has its name
    """
    made = (pulled(context, pool_task_id) if pool_task_id else None) or {}
    targets = Targets(**made["targets"]) if made.get("targets") else plan.targets
    if made.get("pool"):
        return StagePool(made["pool"], targets)
    current = current_pool(hook.pools(plan.spec.pool.resource_group, plan.spec.pool.account), plan.pool)
    return StagePool(current.name if current else plan.pool, targets)
