"""Whether a pool's targets have room in the core quotas of its Batch account: at all, and now.

Batch has no usage figures, so what is taken is counted from the nodes of the account's pools. Preflight and the resize
stage ask the same question here. Source: "Batch service quotas and limits".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from golden_pools.errors import FullNowError, GoldenPoolsError, NeverFitsError
from golden_pools.rules.facts import AllocationState, BatchAccount, Pool, VmSize
from golden_pools.spec.model import Targets
from golden_pools.words import listed

USER_SUBSCRIPTION = "UserSubscription"
"""Pool allocation mode of an account without quotas of its own: the subscription's vCPU quotas hold."""

NAMED_HOLDERS = 5
"""Pools that a message names as holders of a quota; the rest is counted."""


class QuotaKind(StrEnum):
    """What the quotas say to the targets."""

    FITS = "fits"
    UNKNOWN = "unknown"  # nothing to compare with: whoever asks goes on
    FULL_NOW = "full_now"  # fits, but not beside what other pools hold: waiting may help
    NEVER = "never"  # no waiting helps


_GRAVITY = (QuotaKind.FITS, QuotaKind.FULL_NOW, QuotaKind.NEVER)


@dataclass(frozen=True, kw_only=True)
class QuotaUse:
    """One quota and what is taken of it, in cores.

    :param name: such as ``dedicated cores``
    :param query: the Batch account's property that holds the quota, as ``az batch account show`` names it
    :param needed: what the targets take
    :param beside: by pool, what stays taken for as long as the targets are after their nodes
    :param others: by pool, what the account's other pools have or are after
    :param own: what the pool itself has or is after, and gives back before it grows again
    :param uncounted: other pools with nodes of a size that nobody knows the cores of
    """

    name: str
    query: str
    quota: int
    needed: int
    beside: Mapping[str, int]
    others: Mapping[str, int]
    own: int = 0
    uncounted: tuple[str, ...] = ()

    @property
    def now(self) -> int:
        """What all pools of the account take at the moment."""
        return self.own + sum(self.beside.values()) + sum(self.others.values())

    @property
    def peak(self) -> int:
        """What the targets take together with the pools that stay."""
        return self.needed + sum(self.beside.values())

    @property
    def free(self) -> int:
        """What is left for the targets at the moment; never below 0."""
        return max(0, self.quota - sum(self.beside.values()) - sum(self.others.values()))

    @property
    def kind(self) -> QuotaKind:
        """What this quota says."""
        if self.peak > self.quota:
            return QuotaKind.NEVER
        return QuotaKind.FULL_NOW if self.needed > self.free else QuotaKind.FITS

    @property
    def reason(self) -> str:
        """What this quota says, with its numbers."""
        need = f"the targets need {self.needed} {self.name}"
        if self.beside:
            need += f" beside {_holders(self.beside)}, {self.peak} in all"
        if self.kind is QuotaKind.NEVER:
            return f"{need}, the account's quota is {self.quota}"
        note = f" (not counted, size unknown: {', '.join(self.uncounted)})" if self.uncounted else ""
        held = f": {_holders(self.others)}" if self.others else ""
        return f"{need}, other pools take {sum(self.others.values())} of {self.quota}{held}{note}"

    @property
    def advice(self) -> str:
        """What to do where the targets do not fit."""
        if self.kind is not QuotaKind.NEVER:
            holders = _largest(self.others) or "another pool"
            return f"shrink {holders}, wait until there is room, or ask for more quota in the Azure portal"
        instead = f", or make room in {_largest(self.beside)} first" if self.beside else ""
        return f"ask for more in the Azure portal (Batch account, Quotas), or lower the targets{instead}"


@dataclass(frozen=True, kw_only=True)
class QuotaVerdict:
    """What all quotas together say to the targets; the gravest decides.

    :param uses: every quota that the targets meet
    :param unknown: one sentence for each thing that could not be compared
    :param room_dedicated: most dedicated nodes that the pool may have now, those that it has included; None: not known
    :param room_spot: the same of Spot nodes
    """

    uses: tuple[QuotaUse, ...]
    unknown: tuple[str, ...]
    room_dedicated: int | None
    room_spot: int | None

    @property
    def kind(self) -> QuotaKind:
        """What the gravest quota says."""
        if not self.uses and self.unknown:
            return QuotaKind.UNKNOWN
        return max((use.kind for use in self.uses), key=_GRAVITY.index, default=QuotaKind.FITS)

    @property
    def reason(self) -> str:
        """The quotas that decided, with their numbers."""
        return "; ".join([*(use.reason for use in self._deciding()), *self.unknown])

    @property
    def advice(self) -> str:
        """What to do where the targets do not fit; empty where they do."""
        if self.kind not in (QuotaKind.NEVER, QuotaKind.FULL_NOW):
            return ""
        return " / ".join(dict.fromkeys(use.advice for use in self._deciding()))

    def _deciding(self) -> list[QuotaUse]:
        return [use for use in self.uses if use.kind is self.kind]

    def error(self, resource: str, *, note: str = "") -> GoldenPoolsError | None:
        """Return the error that the verdict is for a run, or None where the run goes on.

        :param resource: ARM id of the pool
        :param note: what else was seen, such as how long the run has waited
        """
        answer = f"{self.reason}; {note}" if note else self.reason
        if self.kind is QuotaKind.NEVER:
            what = "The targets do not fit into the Batch account's quota"
            return NeverFitsError(what, resource=resource, answer=answer, advice=self.advice)
        if self.kind is QuotaKind.FULL_NOW:
            what = "Other pools hold the quota that the targets need"
            return FullNowError(what, resource=resource, answer=answer, advice=self.advice)
        return None


def known_sizes(batch: Mapping[str, VmSize], compute: Mapping[str, VmSize]) -> dict[str, VmSize]:
    """Return VM sizes, by lower-case name, as Batch lists them; what Batch leaves out comes from Compute's list."""
    sizes = {**compute, **batch}
    for name in batch.keys() & compute.keys():
        sizes[name] = replace(
            batch[name],
            vcpus=batch[name].vcpus or compute[name].vcpus,
            family=batch[name].family or compute[name].family,
        )
    return sizes


def quota_verdict(
    account: BatchAccount,
    pools: Iterable[Pool],
    sizes: Mapping[str, VmSize],
    *,
    pool: str,
    vm_size: str,
    targets: Targets,
    beside: Collection[str] = (),
) -> QuotaVerdict:
    """Return whether ``targets`` nodes of ``vm_size`` fit into the account's quotas.

    A pool that changes in place gives back what it has before it grows again: its own nodes are not counted. Ask only
    for a pool that has to grow; quota never stands in the way of shrinking.

    :param pools: all pools of the account
    :param sizes: VM sizes by lower-case name, see :func:`known_sizes`
    :param pool: the pool that the targets are for
    :param beside: pools that stay as they are until the targets are there, so that waiting for their room is in vain:
        the old pool of a blue/green refresh, the pool that a canary node stands beside
    """
    if account.allocation_mode == USER_SUBSCRIPTION:
        return _nothing_known("the account allocates in your subscription, whose vCPU quotas were not compared")
    size = sizes.get(vm_size.casefold())
    if size is None or not size.vcpus:
        return _nothing_known(f"nobody says how many cores {vm_size} has, so no quota was compared")
    taken = [_Taken.of(other, sizes) for other in pools]
    staying = {name.casefold() for name in beside}
    family = size.family.casefold()
    dedicated: list[tuple[str, str, int, str | None]] = []
    unknown = []
    if account.dedicated_core_quota is not None:
        dedicated.append(("dedicated cores", "dedicatedCoreQuota", account.dedicated_core_quota, None))
    if account.family_quotas_enforced and family in account.family_quotas:
        cores = account.family_quotas[family]
        dedicated.append((f"cores of {size.family}", "dedicatedCoreQuotaPerVmFamily", cores, family))
    elif account.family_quotas_enforced and targets.dedicated:
        unknown.append(f"the account lists no core quota for the family {size.family or 'of ' + size.name}")
    uses = [
        _use(
            name,
            where,
            quota,
            targets.dedicated * size.vcpus,
            [one for one in taken if one.counts(only)],
            staying,
            pool,
        )
        for name, where, quota, only in dedicated
    ]
    spot_uses = []
    if account.low_priority_core_quota is not None:
        spot_uses.append(
            _use(
                "Spot/low-priority cores",
                "lowPriorityCoreQuota",
                account.low_priority_core_quota,
                targets.spot * size.vcpus,
                taken,
                staying,
                pool,
                spot=True,
            )
        )
    return QuotaVerdict(
        uses=tuple(use for use in (*uses, *spot_uses) if use.needed),
        unknown=tuple(unknown),
        room_dedicated=min((use.free // size.vcpus for use in uses), default=None),
        room_spot=min((use.free // size.vcpus for use in spot_uses), default=None),
    )


@dataclass(frozen=True, kw_only=True)
class QuotaQuestion:
    """What :func:`quota_verdict` is asked, but for the pools, which change: a value that travels to a trigger."""

    account: BatchAccount
    sizes: Mapping[str, VmSize]
    pool: str
    vm_size: str
    targets: Targets
    beside: tuple[str, ...] = ()

    def verdict(self, pools: Iterable[Pool]) -> QuotaVerdict:
        """Return what the quotas say beside ``pools``, all of the account."""
        return quota_verdict(
            self.account,
            pools,
            self.sizes,
            pool=self.pool,
            vm_size=self.vm_size,
            targets=self.targets,
            beside=self.beside,
        )

    def to_dict(self, pools: Iterable[Pool]) -> dict[str, Any]:
        """Return the question as JSON, for a trigger's arguments.

        :param pools: the account's pools: of the many sizes only theirs go along. The nodes of a pool of another size
            that is made later are not counted, and a verdict says so
        """
        wanted = {self.vm_size.casefold(), *(pool.vm_size.casefold() for pool in pools)}
        return {
            "account": asdict(self.account),
            "sizes": {
                name: {"name": size.name, "family": size.family, "vcpus": size.vcpus}
                for name, size in self.sizes.items()
                if name in wanted
            },
            "pool": self.pool,
            "vm_size": self.vm_size,
            "targets": self.targets.model_dump(),
            "beside": list(self.beside),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the question that :meth:`to_dict` wrote."""
        account = {**value["account"], "authentication_modes": tuple(value["account"]["authentication_modes"])}
        return cls(
            account=BatchAccount(**account),
            sizes={name: VmSize(**size) for name, size in value["sizes"].items()},
            pool=value["pool"],
            vm_size=value["vm_size"],
            targets=Targets(**value["targets"]),
            beside=tuple(value["beside"]),
        )


@dataclass(frozen=True)
class _Taken:
    """What one pool takes: nodes by kind, cores a node (0: not known) and the family of its size, lower case."""

    pool: str
    dedicated: int
    spot: int
    cores: int
    family: str

    @classmethod
    def of(cls, pool: Pool, sizes: Mapping[str, VmSize]) -> _Taken:
        size = sizes.get(pool.vm_size.casefold())
        dedicated, spot = nodes_taken(pool)
        return cls(pool.name, dedicated, spot, size.vcpus if size else 0, size.family.casefold() if size else "")

    def counts(self, family: str | None) -> bool:
        """Return whether the pool's nodes count against the quota of a family; a pool of unknown size may."""
        return family is None or not self.cores or self.family == family


def nodes_taken(pool: Pool) -> tuple[int, int]:
    """Return the dedicated and Spot nodes that a pool has or is after.

    A resize that ended short is after nothing more, and so is a pool that is being deleted.
    """
    has = (pool.current_dedicated, pool.current_spot)
    ended = pool.allocation_state is AllocationState.STEADY and bool(pool.resize_errors)
    if ended or pool.provisioning_state.casefold() == "deleting":
        return has
    asked = (pool.target_dedicated, pool.target_spot)
    if pool.autoscale and pool.allocation_state is not AllocationState.STEADY:
        asked = (pool.resize_target_dedicated or 0, pool.resize_target_spot or 0)
    return max(has[0], asked[0]), max(has[1], asked[1])


def _use(
    name: str,
    where: str,
    quota: int,
    needed: int,
    taken: list[_Taken],
    staying: set[str],
    pool: str,
    *,
    spot: bool = False,
) -> QuotaUse:
    own = 0
    beside, others, uncounted = {}, {}, []
    for one in taken:
        nodes = one.spot if spot else one.dedicated
        if not nodes:
            continue
        if one.pool.casefold() == pool.casefold():
            own = nodes * one.cores
        elif not one.cores:
            uncounted.append(one.pool)
        elif one.pool.casefold() in staying:
            beside[one.pool] = nodes * one.cores
        else:
            others[one.pool] = nodes * one.cores
    return QuotaUse(
        name=name,
        query=where,
        quota=quota,
        needed=needed,
        beside=beside,
        others=others,
        own=own,
        uncounted=tuple(uncounted),
    )


def _nothing_known(why: str) -> QuotaVerdict:
    return QuotaVerdict(uses=(), unknown=(why,), room_dedicated=None, room_spot=None)


def _by_size(cores: Mapping[str, int]) -> list[str]:
    """Return the names of pools, those first that take most."""
    return sorted(cores, key=lambda name: (-cores[name], name))


def _largest(cores: Mapping[str, int]) -> str:
    """Return the names of the pools that take most."""
    return ", ".join(_by_size(cores)[:NAMED_HOLDERS])


def _holders(cores: Mapping[str, int]) -> str:
    """Return pools and what they take, the largest first: ``render 60, lab 30``."""
    return listed((f"{name} {cores[name]}" for name in _by_size(cores)), NAMED_HOLDERS)
