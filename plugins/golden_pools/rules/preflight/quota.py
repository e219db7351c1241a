"""Checks of the Batch account's quotas: what can never fit is an error, what does not fit now a warning.

The rule is that of :mod:`golden_pools.rules.quota`, which the resize stage asks again. A blue/green run needs room for
both pools, a canary for one node beside the pool as it is. Source: "Batch service quotas and limits".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.quota import USER_SUBSCRIPTION, QuotaKind, QuotaVerdict, quota_verdict
from golden_pools.spec.model import Targets

SIZES = (Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES)


def _verdict(case: Case) -> QuotaVerdict:
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


@check(needs=SIZES)
def quota_never(case: Case) -> Iterator[Finding]:
    """Do the targets fit into the account's quotas at all, with blue/green beside the present pool?"""
    for use in _verdict(case).uses:
        if use.kind is QuotaKind.NEVER:
            in_place = "; refresh.strategy: in_place needs no second pool" if use.beside else ""
            yield case.error(use.reason, use.advice + in_place, case.az.account(use.query))


@check(needs=(*SIZES, Lookup.POOLS))
def quota_now(case: Case) -> Iterator[Finding]:
    """Do the targets fit beside what the account's other pools take?"""
    for use in _verdict(case).uses:
        if use.kind is QuotaKind.FULL_NOW:
            yield case.warning(
                use.reason,
                f"{use.advice}: the resize waits resize.quota_wait_minutes for room",
                case.az.pools(),
            )


@check(needs=SIZES)
def quota_unknown(case: Case) -> Iterator[Finding]:
    """Is everything known that the quotas are judged by: the size's cores, its family's quota?"""
    size, account = case.size(case.plan.spec.pool.vm_size), case.account
    if size is None or account.allocation_mode == USER_SUBSCRIPTION:
        return
    for why in _verdict(case).unknown:
        yield case.warning(
            why,
            "compare the account's quotas with the targets yourself before the run",
            case.az.account("dedicatedCoreQuotaPerVmFamily") if size.vcpus else case.az.compute_size(account.location),
        )


@check(needs=(*SIZES, Lookup.POOLS))
def canary_quota(case: Case) -> Iterator[Finding]:
    """Is there room for the canary's node beside the pool as it is?"""
    if not case.plan.spec.canary.enabled:
        return
    current, spot_only = case.current, not case.plan.targets.dedicated and case.plan.targets.spot > 0
    verdict = quota_verdict(
        case.account,
        case.seen.pools,
        case.seen.sizes,
        pool=case.plan.canary_name,
        vm_size=case.plan.spec.pool.vm_size,
        targets=Targets(spot=1) if spot_only else Targets(dedicated=1),
        beside=(current.name,) if current else (),
    )
    for use in verdict.uses:
        seen = f"the canary: {use.reason}"
        if use.kind is QuotaKind.NEVER:
            advice = f"{use.advice}, or set canary.enabled: false"
            yield case.error(seen, advice, case.az.account(use.query))
        elif use.kind is QuotaKind.FULL_NOW:
            yield case.warning(seen, use.advice, case.az.pools())


@check(needs=(Lookup.ACCOUNT, Lookup.POOLS))
def pool_quota(case: Case) -> Iterator[Finding]:
    """May the account have the pools that the run makes: the pool, a second one, the canary?"""
    quota, there = case.account.pool_quota, {pool.name.casefold() for pool in case.seen.pools}
    made = [name for name in _made(case) if name.casefold() not in there]
    if quota is not None and made and len(there) + len(made) > quota:
        yield case.error(
            f"the run makes {', '.join(made)}, but the account has {len(there)} of {quota} pools",
            "delete a pool that nobody needs, or ask for more in the Azure portal (Batch account, Quotas)",
            case.az.account("poolQuota"),
        )


def _made(case: Case) -> Iterator[str]:
    """Yield the ids of the pools that the run makes where they are not there."""
    if case.current is None:
        yield case.plan.pool
    elif second := case.second_pool:
        yield second
    if case.plan.spec.canary.enabled:
        yield case.plan.canary_name
