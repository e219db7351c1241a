"""Checks of the Batch account's quotas: what can never fit is an error, what does not fit now a warning.

The rule is that of :mod:`golden_pools.rules.quota`, which the resize stage asks again. A blue/green run needs room for
both pools, a canary for one node beside the pool as it is. Source: "Batch service quotas and limits".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.preflight.quota_questions import canary_verdict, pool_verdict, pools_made
from golden_pools.rules.quota import USER_SUBSCRIPTION, QuotaKind

SIZES = (Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES)


@check(needs=SIZES)
def quota_never(case: Case) -> Iterator[Finding]:
    """Do the targets fit into the account's quotas at all, with blue/green beside the present pool?"""
    for use in pool_verdict(case).uses:
        if use.kind is QuotaKind.NEVER:
            in_place = "; refresh.strategy: in_place needs no second pool" if use.beside else ""
            yield case.error(use.reason, use.advice + in_place, case.az.account(use.query))


@check(needs=(*SIZES, Lookup.POOLS))
def quota_now(case: Case) -> Iterator[Finding]:
    """Do the targets fit beside what the account's other pools take?"""
    for use in pool_verdict(case).uses:
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
    for why in pool_verdict(case).unknown:
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
    for use in canary_verdict(case).uses:
        seen = f"the canary: {use.reason}"
        if use.kind is QuotaKind.NEVER:
            advice = f"{use.advice}, or set canary.enabled: false"
            yield case.error(seen, advice, case.az.account(use.query))
        elif use.kind is QuotaKind.FULL_NOW:
            yield case.warning(seen, use.advice, case.az.pools())


@check(needs=(Lookup.ACCOUNT, Lookup.POOLS))
def pool_quota(case: Case) -> Iterator[Finding]:
    """May the account have the pools that the run makes: the pool, a second one, the canary?"""
    quota, there, made = case.account.pool_quota, len(case.seen.pools), pools_made(case)
    if quota is not None and made and there + len(made) > quota:
        yield case.error(
            f"the run makes {', '.join(made)}, but the account has {there} of {quota} pools",
            "delete a pool that nobody needs, or ask for more in the Azure portal (Batch account, Quotas)",
            case.az.account("poolQuota"),
        )
