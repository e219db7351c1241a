"""What a run asks the quotas: for its targets, for the canary, for the pools that it makes."""

from __future__ import annotations

from golden_pools.rules.preflight.case import Case
from golden_pools.rules.quota import QuotaVerdict, quota_verdict
from golden_pools.spec.model import Targets


def pool_verdict(case: Case) -> QuotaVerdict:
    """Return what the quotas say to the run's targets, on the pool that gets them."""
    current, second = case.current, case.second_pool
    return quota_verdict(
        case.account,
        case.seen.pools,
        case.seen.sizes,
        pool=second or (current.name if current else case.plan.pool),
        vm_size=case.plan.spec.pool.vm_size,
        targets=case.plan.targets,
        beside=(current.name,) if current and second else (),
    )


def canary_verdict(case: Case) -> QuotaVerdict:
    """Return what the quotas say to the canary's node, beside the pool as it is."""
    current, spot_only = case.current, not case.plan.targets.dedicated and case.plan.targets.spot > 0
    return quota_verdict(
        case.account,
        case.seen.pools,
        case.seen.sizes,
        pool=case.plan.canary_name,
        vm_size=case.plan.spec.pool.vm_size,
        targets=Targets(spot=1) if spot_only else Targets(dedicated=1),
        beside=(current.name,) if current else (),
    )


def pools_made(case: Case) -> list[str]:
    """Return the ids of the pools that the run makes and that are not there."""
    there = {pool.name.casefold() for pool in case.seen.pools}
    wanted: list[str | None] = [case.plan.pool if case.current is None else case.second_pool]
    if case.plan.spec.canary.enabled:
        wanted.append(case.plan.canary_name)
    return [name for name in wanted if name and name.casefold() not in there]
