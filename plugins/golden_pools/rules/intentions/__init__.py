"""What a run would do, and to which resources: what a plan-only run answers, and what an approval is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from golden_pools.rules.intentions.action import Action, ActionKind, Work, change
from golden_pools.rules.intentions.image import image_intentions, replica_intentions
from golden_pools.rules.intentions.pool import canary_intentions, is_refused, pool_intentions
from golden_pools.rules.plan import ImageVerdict, RunPlan, is_marked
from golden_pools.rules.preflight import Lookup, Observations

__all__ = ["Action", "ActionKind", "Work", "intentions", "moves_pool", "pool_intentions", "sees_pools"]


def intentions(plan: RunPlan, seen: Observations, work: Work | None = None) -> list[Action]:
    """Return the writes of a run in their order, as far as the present state of Azure tells.

    What was not seen is left out: a run that preflight stops is told as far as it can be.

    :param work: None: nobody has looked at jobs, so which of them move is known only when it is done
    """
    actions = list(image_intentions(plan, seen)) if plan.builds_image else []
    has_pools, is_good = sees_pools(seen), _is_good(plan, seen)
    if has_pools and not is_good:
        actions += canary_intentions(plan)
    actions += replica_intentions(plan, seen)
    if has_pools:
        actions += pool_intentions(plan, seen.pools, work)
    if plan.is_versioned and not is_good and not (has_pools and is_refused(plan, seen.pools, work)):
        actions.append(change("record", "tag as good", plan.version_id))
    return actions


def sees_pools(seen: Observations) -> bool:
    """Return whether the account's pools could be read: without them nothing can be said of the pool."""
    return seen.account is not None and Lookup.POOLS not in seen.unreadable


def moves_pool(actions: Sequence[Action]) -> bool:
    """Return whether a pool is made, changed or deleted, and not only resized, probed or marked."""
    return any(action.stage == "refresh" for action in actions)


def _is_good(plan: RunPlan, seen: Observations) -> bool:
    version = seen.image_version
    return not plan.builds_image and version is not None and is_marked(version.tags, ImageVerdict.GOOD)
