"""Findings about what Azure has retired or is going to, and is in use all the same.

What Batch itself lists (end of support of node agents and VM sizes) goes before the tables here, which hold what
Microsoft has announced and Azure's lists may not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from golden_pools.rules.facts import BatchAccount
from golden_pools.rules.preflight.batch import NOTICE
from golden_pools.rules.watch import commands
from golden_pools.rules.watch.findings import Finding, Kind, Level
from golden_pools.rules.watch.seen import Look, Seen
from golden_pools.words import counted


@dataclass(frozen=True)
class Retirement:
    """Something that goes.

    :param pattern: what it is called, as a regular expression for the whole name, case ignored
    :param ends: None: announced, the day is not known
    :param source: where Microsoft says so
    """

    pattern: str
    ends: datetime | None
    source: str

    def means(self, name: str) -> bool:
        """Return whether ``name`` is one of these."""
        return re.fullmatch(self.pattern, name, re.IGNORECASE) is not None


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


NODE_AGENTS = (
    Retirement(
        r"batch\.node\.(ubuntu (14|16|18)\.04|centos [78]|debian ([89]|10))", _day(2024, 12, 31), "Azure/Batch#180"
    ),
    Retirement(r"batch\.node\.ubuntu 20\.04", _day(2025, 4, 23), "Azure/Batch#174"),
    Retirement(r"batch\.node\.ubuntu 22\.04", _day(2027, 6, 30), "Azure/Batch#200"),
)

_SEPTEMBER_2025 = "the announcement of September 2025 (aka.ms/AzureVMRetirementUpdate_Sept2025)"

VM_SIZES = (
    Retirement(r"standard_d\d+(_v2)?", _day(2028, 5, 1), "the migration guide for D, Ds, Dv2, Dsv2 and Ls"),
    Retirement(r"standard_ds\d+(-\d+)?(_v2)?", _day(2028, 5, 1), "the migration guide for D, Ds, Dv2, Dsv2 and Ls"),
    Retirement(r"standard_l\d+s", _day(2028, 5, 1), "the migration guide for D, Ds, Dv2, Dsv2 and Ls"),
    Retirement(r"standard_(f\d+(-\d+)?s?(_v2)?|l\d+s_v2|gs?\d+(-\d+)?)", _day(2028, 11, 15), _SEPTEMBER_2025),
    Retirement(r"standard_(a\d+m?_v2|b\d+[a-z]*)", _day(2028, 11, 15), _SEPTEMBER_2025),
    Retirement(r"standard_(hb120(-\d+)?rs_v2|hc44(-\d+)?rs|np\d+s)", None, "Azure/Batch#140"),
)

MANAGED_IMAGES_ENDED = _day(2026, 3, 31)
"""Pools straight from managed images or VHDs ("Migrate Azure Batch custom image pools to Azure Compute Gallery")."""

LOW_PRIORITY_ENDED = _day(2025, 9, 30)
"""Low-priority nodes of Batch-managed accounts ("Migrate Batch low-priority VMs to Spot VMs"); Batch moved the day
later (Azure/Batch#140), and user-subscription accounts, whose nodes are Spot VMs, are not meant."""


def managed_image_pools(seen: Seen) -> Iterator[Finding]:
    """Is a pool straight on a managed image?"""
    for account_id, pool in seen.every_pool():
        if "/providers/microsoft.compute/images/" not in (pool.image_id or "").casefold():
            continue
        yield Finding(
            level=Level.ERROR,
            check=Kind.MANAGED_IMAGE_POOL,
            subject=pool.id,
            seen=f"pool {pool.name} is on managed image {str(pool.image_id).rpartition('/')[2]}; Batch retired such "
            f"pools on {MANAGED_IMAGES_ENDED:%Y-%m-%d}",
            advice="put the pool on a gallery version: image.publish: gallery, then trigger its DAG; keep the managed "
            "image and its snapshots until then",
            az=commands.pool(pool.id),
            needs=(Look.POOLS.of(account_id),),
        )


def spot_in_batch_service(seen: Seen) -> Iterator[Finding]:
    """Does a pool of a Batch-managed account ask for low-priority nodes?"""
    for account_id, pool in seen.every_pool():
        account = seen.accounts.get(account_id)
        nodes = max(pool.target_spot, pool.asked_for[1], pool.current_spot)
        if account is None or account.allocation_mode.casefold() != "batchservice" or not nodes:
            continue
        yield Finding(
            level=Level.WARNING,
            check=Kind.SPOT_IN_BATCH_SERVICE,
            subject=pool.id,
            seen=f"pool {pool.name} uses {counted(nodes, 'low-priority node')} in {account.name}, whose pools Batch "
            f"allocates itself; these were announced to end on {LOW_PRIORITY_ENDED:%Y-%m-%d}",
            advice="use dedicated nodes, or an account with user-subscription allocation, whose nodes are Spot VMs; "
            "if Batch still allocates them, expect Spot prices and evictions",
            az=commands.pool(pool.id),
            needs=(Look.POOLS.of(account_id), Look.ACCOUNT.of(account_id)),
        )


def ending_node_agents(seen: Seen) -> Iterator[Finding]:
    """Does Batch still support the node agents that pools use?"""
    for account_id, pool in seen.every_pool():
        account, rows = seen.accounts.get(account_id), seen.supported_images.get(account_id)
        sku = pool.node_agent_sku
        if account is None or rows is None or sku is None:
            continue
        needs = (Look.POOLS.of(account_id), Look.ACCOUNT.of(account_id), Look.SUPPORTED_IMAGES.of(account_id))
        az, advice = commands.supported_images(account.endpoint), "move the image to a newer system and its node agent"
        mine = [row.support_ends for row in rows if row.node_agent_sku.casefold() == sku.casefold()]
        announced = next((one for one in NODE_AGENTS if one.means(sku)), None)
        subject, name = f"{account_id}: {sku}: {pool.name}", f"node agent {sku} of pool {pool.name}"
        ends = [end for end in mine if end is not None]
        if mine and len(ends) == len(mine):
            yield from _ending(Kind.NODE_AGENT_ENDING, subject, name, max(ends), "Batch", advice, az, needs, seen.now)
        elif announced is not None:
            source = announced.source
            yield from _ending(
                Kind.NODE_AGENT_ENDING, subject, name, announced.ends, source, advice, az, needs, seen.now
            )
        elif not mine:
            yield Finding(
                level=Level.ERROR,
                check=Kind.NODE_AGENT_ENDING,
                subject=subject,
                seen=f"{name} is not among those that Batch lists",
                advice=advice,
                az=az,
                needs=needs,
            )


def ending_vm_sizes(seen: Seen) -> Iterator[Finding]:
    """Does Batch still support the VM sizes that pools use?"""
    for account_id, pool in seen.every_pool():
        account = seen.accounts.get(account_id)
        if account is None:
            continue
        listed = seen.vm_sizes.get(account.location, {}).get(pool.vm_size.casefold())
        announced = next((one for one in VM_SIZES if one.means(pool.vm_size)), None)
        ends = listed.batch_support_ends if listed else None
        if ends is None and announced is None:
            continue
        source = "Batch"
        if ends is None and announced is not None:
            ends, source = announced.ends, announced.source
        yield from _ending(
            Kind.VM_SIZE_ENDING,
            f"{account_id}: {pool.vm_size}: {pool.name}",
            f"VM size {pool.vm_size} of pool {pool.name}",
            ends,
            source,
            "choose a newer pool.vm_size and trigger the pool's DAG",
            commands.sizes(account.location),
            _needs_of_size(account_id, account),
            seen.now,
        )


CHECKS = (managed_image_pools, spot_in_batch_service, ending_node_agents, ending_vm_sizes)


def _needs_of_size(account_id: str, account: BatchAccount) -> tuple[str, ...]:
    return Look.POOLS.of(account_id), Look.ACCOUNT.of(account_id), Look.VM_SIZES.of(account.location)


def _ending(
    kind: Kind,
    subject: str,
    name: str,
    ends: datetime | None,
    source: str,
    advice: str,
    az: str,
    needs: tuple[str, ...],
    now: datetime,
) -> Iterator[Finding]:
    """Yield the finding about an end: an error when it has come, a warning within 90 days, else worth knowing."""
    if ends is None:
        level, when = Level.INFO, "is going to be retired, on a day that is not announced yet"
    elif ends <= now:
        level, when = Level.ERROR, f"has had no support since {ends:%Y-%m-%d}"
    else:
        level = Level.WARNING if ends <= now + NOTICE else Level.INFO
        when = f"is supported until {ends:%Y-%m-%d}"
    yield Finding(
        level=level,
        check=kind,
        subject=subject,
        seen=f"{name} {when}, says {source}",
        advice=advice,
        az=az,
        needs=needs,
    )
