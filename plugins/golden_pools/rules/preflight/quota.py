"""Checks of the Batch account's quotas: what can never fit is an error, what does not fit now a warning.

Batch has no usage figures: what other pools take is counted from their nodes and targets. The pool's own nodes are not
counted beside its targets. Source: "Batch service quotas and limits".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from golden_pools.rules.facts import Pool
from golden_pools.rules.preflight.batch import USER_SUBSCRIPTION
from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding

SIZES = (Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES)


@dataclass(frozen=True, kw_only=True)
class _Quota:
    """One quota that the targets need cores of; ``family`` limits which pools count."""

    name: str
    cores: int
    needed: int
    query: str
    family: str | None = None
    spot: bool = False


def _quotas(case: Case) -> Iterator[_Quota]:
    """Yield the quotas that the run's targets meet; a user-subscription account has none."""
    account, targets = case.account, case.plan.targets
    size = case.size(case.plan.spec.pool.vm_size)
    if size is None or not size.vcpus or account.allocation_mode == USER_SUBSCRIPTION:
        return
    dedicated, spot = targets.dedicated * size.vcpus, targets.spot * size.vcpus
    if dedicated and account.dedicated_core_quota is not None:
        yield _Quota(
            name="dedicated cores", cores=account.dedicated_core_quota, needed=dedicated, query="dedicatedCoreQuota"
        )
    family = size.family.casefold()
    if dedicated and account.family_quotas_enforced and family in account.family_quotas:
        yield _Quota(
            name=f"cores of {size.family}",
            cores=account.family_quotas[family],
            needed=dedicated,
            query="dedicatedCoreQuotaPerVmFamily",
            family=family,
        )
    if spot and account.low_priority_core_quota is not None:
        yield _Quota(
            name="Spot/low-priority cores",
            cores=account.low_priority_core_quota,
            needed=spot,
            query="lowPriorityCoreQuota",
            spot=True,
        )


@check(needs=SIZES)
def quota_never(case: Case) -> Iterator[Finding]:
    """Do the targets fit into the account's quotas at all?"""
    for quota in _quotas(case):
        if quota.needed > quota.cores:
            yield case.error(
                f"the targets need {quota.needed} {quota.name}, the account's quota is {quota.cores}",
                "ask for more in the Azure portal (Batch account, Quotas), or lower the targets",
                case.az.account(quota.query),
            )


@check(needs=(*SIZES, Lookup.POOLS))
def quota_now(case: Case) -> Iterator[Finding]:
    """Do the targets fit beside what the account's other pools take?"""
    for quota in _quotas(case):
        used, unknown = _used_by_others(case, quota)
        if quota.needed <= quota.cores < quota.needed + used:
            note = f" (not counted, size unknown: {', '.join(unknown)})" if unknown else ""
            yield case.warning(
                f"the targets need {quota.needed} {quota.name}, other pools take {used} of {quota.cores}{note}",
                "shrink another pool before the resize, or ask for more quota: else the pool comes up in part",
                case.az.pools(),
            )


def _used_by_others(case: Case, quota: _Quota) -> tuple[int, list[str]]:
    """Return the cores that other pools have or are after, and the pools whose size nobody knows."""
    used, unknown = 0, []
    for pool in case.seen.pools:
        nodes = (
            max(pool.current_spot, pool.target_spot)
            if quota.spot
            else max(pool.current_dedicated, pool.target_dedicated)
        )
        if nodes == 0 or _is_own(case, pool):
            continue
        size = case.size(pool.vm_size)
        if size is None or not size.vcpus:
            unknown.append(pool.name)
        elif quota.family is None or size.family.casefold() == quota.family:
            used += nodes * size.vcpus
    return used, unknown


def _is_own(case: Case, pool: Pool) -> bool:
    return pool.name.casefold() == case.plan.pool.casefold()


@check(needs=SIZES)
def quota_unknown(case: Case) -> Iterator[Finding]:
    """Is everything known that the quotas are judged by: the size's cores, its family's quota?"""
    size, account = case.size(case.plan.spec.pool.vm_size), case.account
    if size is None or account.allocation_mode == USER_SUBSCRIPTION:
        return
    if not size.vcpus:
        yield case.warning(
            f"neither Batch nor Compute says how many cores {size.name} has, so no quota was compared",
            "compare the account's quotas with the targets yourself before the run",
            case.az.compute_size(account.location),
        )
    elif (
        case.plan.targets.dedicated
        and account.family_quotas_enforced
        and size.family.casefold() not in account.family_quotas
    ):
        yield case.warning(
            f"the account lists no core quota for the family {size.family or 'of ' + size.name}",
            "look whether the account has any quota for this family before the run",
            case.az.account("dedicatedCoreQuotaPerVmFamily"),
        )


@check(needs=(Lookup.ACCOUNT, Lookup.POOLS))
def pool_quota(case: Case) -> Iterator[Finding]:
    """May the account have one more pool, if this one has to be made?"""
    quota, pools = case.account.pool_quota, case.seen.pools
    if quota is not None and len(pools) >= quota and not any(_is_own(case, pool) for pool in pools):
        yield case.error(
            f"the pool has to be made, but the account has {len(pools)} of {quota} pools",
            "delete a pool that nobody needs, or ask for more in the Azure portal (Batch account, Quotas)",
            case.az.account("poolQuota"),
        )
