"""What retention decided is begun here, each thing with the login of the spec whose runs made it; nothing waits."""

from __future__ import annotations

from datetime import timedelta

from golden_pools.hooks.arm import RemovalHook
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.operations import PendingOperation
from golden_pools.rules.facts import folded
from golden_pools.rules.plan import RETIRED_TAG, ImageVerdict, is_marked
from golden_pools.rules.retention import Action, Decision, Kind, World, retired_tags


def begin(world: World, one: Decision) -> PendingOperation | None:
    """Begin with one decision that is not to keep or to wait; returns what to wait for, if anything.

    :raises GoldenPoolsError: Azure refused it, or is busy
    """
    spec = world.specs[one.spec]
    if one.kind is Kind.CANARY:
        if one.action is Action.DELETE:
            _delete_canary(world, one)
        return None
    if one.action is Action.GOING:
        return PendingOperation(what=f"delete {one.name}", resource_id=one.id, removes=True)
    if one.action is Action.DELETE:
        with RemovalHook(spec.connection, spec.subscription) as removal:
            return removal.begin_delete(one.id)
    with ComputeHook(spec.connection, spec.subscription) as hook:
        return _retire(hook, world, one) if one.action is Action.RETIRE else _restore(hook, world, one)


def _retire(hook: ComputeHook, world: World, one: Decision) -> PendingOperation | None:
    days = world.policies[folded(one.id).partition("/versions/")[0]].grace_days
    return hook.mark_version(
        one.id,
        tags=retired_tags(world.now, one.why),
        exclude_from_latest=True,
        end_of_life=world.now + timedelta(days=days),
    )


def _restore(hook: ComputeHook, world: World, one: Decision) -> PendingOperation | None:
    version = next(version for version in world.versions if version.id == one.id)
    return hook.mark_version(
        one.id,
        tags={RETIRED_TAG: ""},
        exclude_from_latest=not is_marked(version.tags, ImageVerdict.GOOD),
        end_of_life=None,
    )


def _delete_canary(world: World, one: Decision) -> None:
    """Begin to delete a canary pool, after the job of its probes, which has its name and is bound to it."""
    spec = world.specs[one.spec]
    group, account = spec.pool.resource_group, spec.pool.account
    with BatchWorkHook(spec.connection, spec.subscription) as hook:
        job = hook.job(group, account, one.name)
        if job is not None and job.pool.casefold() == one.name.casefold():
            hook.delete_job(group, account, one.name)
        hook.delete_pool(group, account, one.name)
