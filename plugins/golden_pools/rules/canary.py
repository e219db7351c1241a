"""The canary: one node of the run's image in a pool of its own, and whether it came up.

Only a node that came says something about the image. Whatever keeps it from being allocated (quota, capacity, a
permission) speaks of the account and the region.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.family import ALIAS, RUN, Role, role_of, with_role
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import headcount
from golden_pools.rules.resize.diagnosis import diagnose_all
from golden_pools.spec.model import Targets, Treatment

SHORTEST_RESIZE_TIMEOUT = timedelta(minutes=5)
"""Azure refuses less."""


def canary_targets(plan: RunPlan) -> Targets:
    """Return the one node: of the kind that the pool is to have, dedicated if it has both."""
    return Targets(dedicated=1) if plan.targets.dedicated else Targets(spot=1)


def allocation_timeout(plan: RunPlan) -> timedelta:
    """Return the time for Azure to find the node: half of that in which it has to be ready, the rest is the node's."""
    return max(SHORTEST_RESIZE_TIMEOUT, timedelta(minutes=plan.spec.canary.ready_minutes // 2))


def canary_metadata(plan: RunPlan, now: datetime) -> dict[str, str]:
    """Return the run's own metadata of the canary pool."""
    return with_role({}, Role.CANARY, alias=plan.pool, since=now.isoformat(), run_id=plan.run_id)


def is_canary_of(pool: Pool, plan: RunPlan) -> bool:
    """Return whether this very run made the pool for its canary."""
    return is_canary(pool, plan.pool) and pool.metadata.get(RUN) == plan.run_id


def is_canary(pool: Pool, alias: str) -> bool:
    """Return whether a pool is a canary of a spec."""
    return role_of(pool) is Role.CANARY and pool.metadata.get(ALIAS, "").casefold() == alias.casefold()


def left_over(pools: Iterable[Pool], plan: RunPlan) -> list[Pool]:
    """Return canary pools of the spec that another run made and could not remove."""
    return [pool for pool in pools if is_canary(pool, plan.pool) and pool.metadata.get(RUN) != plan.run_id]


class CanaryKind(StrEnum):
    """What an observation of the canary pool means."""

    WAIT = "wait"
    READY = "ready"
    NODE_FAILED = "node_failed"
    NODE_LATE = "node_late"
    NOT_ALLOCATED = "not_allocated"


@dataclass(frozen=True, kw_only=True)
class CanaryVerdict:
    """The meaning of one observation of the canary pool.

    :param reason: what was seen, with Azure's codes and values
    :param advice: what the reader should do, where Azure's error says it
    :param passes: whether the same resize may well succeed later (``NOT_ALLOCATED`` only)
    """

    kind: CanaryKind
    reason: str
    advice: str = ""
    passes: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON, for a trigger's event."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the verdict that :meth:`to_dict` wrote."""
        return cls(**{**value, "kind": CanaryKind(value["kind"])})


def judge_canary(
    pool: Pool, nodes: PoolNodes | None, *, resize_before: datetime | None, patient: bool, late: bool
) -> CanaryVerdict:
    """Return what one observation of the canary pool means.

    :param resize_before: start of an earlier resize, whose errors are stale; None for a pool that was just made
    :param patient: an unusable node still has time to recover
    :param late: the time for the node to be ready is over
    """
    counts = nodes or PoolNodes(pool=pool.name)
    kinds = (counts.dedicated, counts.spot)
    reason = headcount(pool, nodes, Targets(dedicated=pool.target_dedicated, spot=pool.target_spot))

    def verdict(kind: CanaryKind, **more: Any) -> CanaryVerdict:
        return CanaryVerdict(kind=kind, **{"reason": reason, **more})

    if any(kind.ready for kind in kinds):
        return verdict(CanaryKind.READY)
    if failed := sum(kind.failed for kind in kinds):
        unusable = sum(kind.by_state.get("unusable", 0) for kind in kinds)
        if unusable < failed or not patient:
            return verdict(CanaryKind.NODE_FAILED)
    if pool.allocation_state is AllocationState.STEADY and not pool.current_total and _are_fresh(pool, resize_before):
        worst = diagnose_all(pool.resize_errors, {})[0]
        return verdict(
            CanaryKind.NOT_ALLOCATED,
            reason=worst.text,
            advice=worst.row.advice,
            passes=worst.treatment is not Treatment.GIVE_UP,
        )
    if not late:
        return verdict(CanaryKind.WAIT)
    preempted = counts.spot.by_state.get("preempted", 0)
    if pool.current_total > preempted:
        states = ", ".join(sorted({state for kind in kinds for state in kind.by_state}))
        return verdict(CanaryKind.NODE_LATE, reason=f"the node is {states or 'not counted yet'}")
    return verdict(
        CanaryKind.NOT_ALLOCATED, reason="the node was preempted" if preempted else f"{pool.allocation_state}, {reason}"
    )


def _are_fresh(pool: Pool, resize_before: datetime | None) -> bool:
    """Return whether the pool shows errors of the resize that counts."""
    return bool(pool.resize_errors) and (resize_before is None or pool.resize_started != resize_before)
