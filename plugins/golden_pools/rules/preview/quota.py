"""What a run needs of the Batch account's quotas, whether it fits or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass

from golden_pools.rules.intentions import sees_pools
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Observations
from golden_pools.rules.preflight.case import Case
from golden_pools.rules.preflight.quota_questions import canary_verdict, pool_verdict, pools_made
from golden_pools.rules.quota import QuotaKind, QuotaUse, QuotaVerdict


@dataclass(frozen=True, kw_only=True)
class QuotaNeed:
    """What one step of a run needs of one quota, in cores or in pools.

    :param step: what needs it
    :param quota: name of the quota
    :param now: what the account's pools take at the moment
    :param needed: what the step takes
    :param peak: the most that is taken while the run goes on; what the pool gives back first is taken off
    :param limit: the quota
    :param note: what could not be compared
    """

    step: str
    quota: str
    says: QuotaKind
    now: int | None = None
    needed: int | None = None
    peak: int | None = None
    limit: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, str | int | None]:
        """Return it as JSON."""
        return asdict(self)


def quota_needs(plan: RunPlan, seen: Observations, stages: Collection[str]) -> list[QuotaNeed]:
    """Return what the run's steps need, in their order.

    :param stages: stages in which the run would write: who changes no node needs no quota
    """
    return list(_needs(plan, seen, stages))


def _needs(plan: RunPlan, seen: Observations, stages: Collection[str]) -> Iterator[QuotaNeed]:
    if "clone_vm" in stages:
        yield _of_clone(plan, seen)
    if not sees_pools(seen):
        return
    case = Case(check="preview", plan=plan, seen=seen, now=plan.stamp)
    if "canary" in stages:
        yield from _of_nodes("canary", canary_verdict(case))
    if "resize" in stages:
        yield from _of_nodes("second pool" if case.second_pool else "pool", pool_verdict(case))
    made, limit, there = pools_made(case), case.account.pool_quota, len(seen.pools)
    made = [name for name in made if "refresh" in stages or name == plan.canary_name]
    made = [name for name in made if "canary" in stages or name != plan.canary_name]
    if made:
        peak = there + len(made)
        fits = QuotaKind.UNKNOWN if limit is None else QuotaKind.NEVER if peak > limit else QuotaKind.FITS
        yield QuotaNeed(step="new pools", quota="pools", says=fits, now=there, needed=len(made), peak=peak, limit=limit)


def _of_nodes(step: str, verdict: QuotaVerdict) -> Iterator[QuotaNeed]:
    for use in verdict.uses:
        yield QuotaNeed(
            step=step,
            quota=use.name,
            says=use.kind,
            now=use.now,
            needed=use.needed,
            peak=_peak(use),
            limit=use.quota,
            note=f"not counted, size unknown: {', '.join(use.uncounted)}" if use.uncounted else "",
        )
    for why in verdict.unknown:
        yield QuotaNeed(step=step, quota="cores", says=QuotaKind.UNKNOWN, note=why)


def _peak(use: QuotaUse) -> int:
    return use.now - use.own + max(use.own, use.needed)


def _of_clone(plan: RunPlan, seen: Observations) -> QuotaNeed:
    """Return what the throwaway VM needs of another quota, that of the subscription, which runs do not read."""
    size = seen.sizes.get((clone_size(plan, seen) or "").casefold())
    return QuotaNeed(
        step="clone VM",
        quota="vCPUs of the subscription",
        says=QuotaKind.UNKNOWN,
        needed=size.vcpus if size else None,
        note="not compared: a run does not read the quotas of virtual machines",
    )


def clone_size(plan: RunPlan, seen: Observations) -> str | None:
    """Return the VM size of the throwaway VM."""
    clone = plan.golden_vm.clone
    return (clone.vm_size if clone else None) or (seen.golden_vm.vm_size if seen.golden_vm else None)
