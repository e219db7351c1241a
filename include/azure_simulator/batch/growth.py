"""What a resize may add: the quotas of the account, the image, the limits of the pool and a script, put together."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from include.azure_simulator.batch.allocation import (
    COMMUNICATION_LIMIT,
    Growth,
    GrowthPlan,
    Limit,
    Pace,
    plan_growth,
    provider_error,
    quota_reached,
    script_growth,
    script_pace,
)
from include.azure_simulator.batch.pool_network import NODES_PER_PUBLIC_ADDRESS
from include.azure_simulator.batch.pool_spec import InterNodeCommunication
from include.azure_simulator.batch.pools import NewNodes, Pool, Targets
from include.azure_simulator.batch.scripts import ScriptedError
from include.azure_simulator.compute.sizes import SPOT_CORES, VmSize
from include.azure_simulator.compute.usages import quota_of, used_by_machines

if TYPE_CHECKING:
    from include.azure_simulator.batch.accounts import BatchAccount


def plan_new_nodes(account: BatchAccount, pool: Pool, targets: Targets, now: datetime, timeout: timedelta) -> NewNodes:
    """Plan the nodes that a resize to ``targets`` adds. A script is used up only when nodes are wanted."""
    wanted = {
        True: targets.dedicated - pool.current(dedicated=True),
        False: targets.low_priority - pool.current(dedicated=False),
    }
    nothing = GrowthPlan((), now, ())
    if wanted[True] <= 0 and wanted[False] <= 0:
        return NewNodes(nothing, nothing, {})
    script = account.resize_scripts.take(lambda script: script.concerns(pool.name))
    size = account.vm_size(pool.spec.vm_size)
    image = account.images.boot_image(pool.spec, size)
    speed = script_pace(script, _pace(account))
    plans: dict[bool, GrowthPlan] = {}
    for dedicated, count in wanted.items():
        growth = Growth(
            word="dedicated" if dedicated else "Spot/Low-priority",
            wanted=count,
            limits=_limits(account, pool, targets, image.problem, size, dedicated=dedicated),
        )
        new = sum(len(plan.arrivals) for plan in plans.values())
        growth = script_growth(script, growth, pool.current(dedicated=dedicated), new, dedicated=dedicated)
        plans[dedicated] = plan_growth(growth, now, timeout, speed)
    outcomes = script.node_outcomes if script is not None else ()
    if image.outcome is not None:
        outcomes = (image.outcome,)
    return NewNodes(plans[True], plans[False], image.reference, script, outcomes)


def _pace(account: BatchAccount) -> Pace:
    settings = account.settings
    return Pace(
        settings.allocation_latency, settings.allocation_rate_nodes_per_minute, settings.allocation_failure_latency
    )


def _limits(
    account: BatchAccount,
    pool: Pool,
    targets: Targets,
    problem: ScriptedError | None,
    size: VmSize | None,
    *,
    dedicated: bool,
) -> tuple[Limit, ...]:
    limits = [Limit(0, problem)] if problem is not None else []
    if pool.spec.inter_node_communication is InterNodeCommunication.ENABLED:
        limits.append(_communication_limit(account, pool, targets, dedicated=dedicated))
    if size is None:
        unsupported = ScriptedError(code="UnsupportedVMSize", message="The VM size is not supported in this region")
        limits.append(Limit(0, unsupported))
    elif account.user_subscription:
        limits += _subscription_limits(account, pool, size, dedicated=dedicated)
    else:
        limits += _quota_limits(account, pool, size, dedicated=dedicated)
    if (image_limit := _image_limit(account, pool, dedicated=dedicated)) is not None:
        limits.append(image_limit)
    return (*limits, *_network_limits(account, pool, targets, dedicated=dedicated))


def _communication_limit(account: BatchAccount, pool: Pool, targets: Targets, *, dedicated: bool) -> Limit:
    settings = account.settings
    most = (
        settings.inter_node_limit_user_subscription
        if account.user_subscription
        else settings.inter_node_limit_batch_service
    )
    others = _others(pool, targets, dedicated=dedicated)
    return Limit(max(0, most - others - pool.current(dedicated=dedicated)), COMMUNICATION_LIMIT)


def _others(pool: Pool, targets: Targets, *, dedicated: bool) -> int:
    """The nodes of the other kind that a limit on both kinds counts: dedicated ones come first."""
    return min(pool.current(dedicated=False), targets.low_priority) if dedicated else targets.dedicated


def _image_limit(account: BatchAccount, pool: Pool, *, dedicated: bool) -> Limit | None:
    """What the limit on the nodes of all pools of one custom image, or of images of one snapshot, leaves (a switch)."""
    settings = account.settings
    most = settings.custom_image_dedicated_limit if dedicated else settings.custom_image_low_priority_limit
    if most is None or pool.spec.image.publisher is not None:
        return None
    origins = account.images.origins(pool.spec.image)
    others = sum(
        other.reserved(dedicated=dedicated)
        for other in account.pools.values()
        if other is not pool and not origins.isdisjoint(account.images.origins(other.spec.image))
    )
    error = ScriptedError(
        code="AllocationFailed",
        message=f"Pools on one custom image, or on images of one snapshot, can have at most {most} nodes together",
    )
    return Limit(max(0, most - others - pool.current(dedicated=dedicated)), error)


def _network_limits(account: BatchAccount, pool: Pool, targets: Targets, *, dedicated: bool) -> list[Limit]:
    """What inbound NAT pools (a switch) and the pool's own public addresses leave."""
    network, present, limits = pool.spec.network, pool.current(dedicated=dedicated), []
    others = _others(pool, targets, dedicated=dedicated)
    most = account.settings.inbound_nat_node_limit
    if network.nat_pools and most is not None:
        error = ScriptedError(
            code="AllocationFailed", message=f"A pool with inbound NAT pools can have at most {most} nodes"
        )
        limits.append(Limit(max(0, most - others - present), error))
    if (addresses := network.public_addresses) is not None:
        left = max(0, addresses - math.ceil(others / NODES_PER_PUBLIC_ADDRESS))
        text = f"{NODES_PER_PUBLIC_ADDRESS} dedicated or Spot nodes can be allocated for each public IP address"
        error = ScriptedError(code="AllocationFailed", message=text)
        limits.append(Limit(max(0, left * NODES_PER_PUBLIC_ADDRESS - present), error))
    return limits


def _subscription_limits(account: BatchAccount, pool: Pool, size: VmSize, *, dedicated: bool) -> list[Limit]:
    """Compute's own quotas: they hold for nodes that live in the user's subscription."""
    world, subscription, location = account.world, account.facts.subscription, account.location
    used = world.batch.subscription_cores(subscription, location, besides=pool)
    used += used_by_machines(world.compute, subscription, location)
    own = pool.current(dedicated=dedicated) * size.vcpus
    limits = []
    for name in ("cores", size.family) if dedicated else (SPOT_CORES,):
        quota = quota_of(world.compute, name)
        room = max(0, quota - used[name] - own)
        text = (
            f"Operation could not be completed as it results in exceeding approved {name} Cores quota. "
            f"Additional details - Location: {location}, Current Limit: {quota}, Current Usage: {used[name] + own}."
        )
        limits.append(Limit(room // size.vcpus, provider_error(text, account.settings.subscription_quota_code)))
    return limits


def _quota_limits(account: BatchAccount, pool: Pool, size: VmSize, *, dedicated: bool) -> list[Limit]:
    facts = account.facts
    own = pool.current(dedicated=dedicated) * size.vcpus

    def room(quota: int, family: str | None = None) -> int:
        used = own + account.cores_reserved(dedicated=dedicated, family=family, besides=pool)
        return max(0, quota - used) // size.vcpus

    if not dedicated:
        code = account.settings.low_priority_quota_code
        error = quota_reached(code, "The specified account has reached its low priority core quota")
        return [Limit(room(facts.low_priority_core_quota), error)]
    total = quota_reached("AccountCoreQuotaReached", "The specified account has reached core quota")
    limits = [Limit(room(facts.dedicated_core_quota), total)]
    if facts.family_quotas_enforced:
        quotas = {quota.name.lower(): quota.core_quota for quota in facts.family_quotas}
        series = quota_reached(
            "AccountVMSeriesCoreQuotaReached",
            f"The specified account has reached VM series core quota for {size.family}",
        )
        limits.append(Limit(room(quotas.get(size.family.lower(), 0), size.family), series))
    return limits
