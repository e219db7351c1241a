"""Retention: what of the images that runs have made is still needed, and what goes.

``world`` says what is looked at, ``versions`` and ``remains`` judge, ``report`` adds up. A thing is ours where its tags
say which run of which spec made it, and where that spec makes its images in that very place. All else is not touched,
not counted and not spoken of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from golden_pools.rules.retention.remains import (
    canary_decisions,
    image_decisions,
    restore_point_decisions,
    snapshot_decisions,
    throwaway_decisions,
)
from golden_pools.rules.retention.versions import retired_tags, version_decisions
from golden_pools.rules.retention.world import Action, Decision, Kind, Policy, World

__all__ = [
    "Action",
    "Decision",
    "Kind",
    "Policy",
    "World",
    "decide",
    "orders",
    "retired_tags",
    "spare_runs",
]


def decide(world: World) -> list[Decision]:
    """Return a decision for everything that is ours, in the order in which things go."""
    return [
        *canary_decisions(world),
        *version_decisions(world),
        *image_decisions(world),
        *snapshot_decisions(world),
        *throwaway_decisions(world),
        *restore_point_decisions(world),
    ]


def spare_runs(decisions: Iterable[Decision], going_on: Collection[tuple[str, str]]) -> list[Decision]:
    """Return the decisions, but keep what a run that goes on may be at work on.

    :param going_on: DAG and run of each such run
    """
    return [
        replace(one, action=Action.KEEP, why=f"run {one.run[1]} goes on") if one.run in going_on and one.run else one
        for one in decisions
    ]


def orders(world: World, decisions: Iterable[Decision], *, pool: str | None = None) -> list[Decision]:
    """Return what may really be done: of specs that switch deleting on, and nothing after a look-up that failed.

    :param pool: only things of this spec
    """
    if world.unread:
        return []
    return [
        one
        for one in decisions
        if one.action not in (Action.KEEP, Action.WAIT)
        and world.specs[one.spec].retention.delete
        and (pool is None or one.spec == pool)
    ]
