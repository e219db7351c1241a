"""Checks of what Azure allows a pool on a custom image apart from quotas: nodes on one image, inbound ports.

Sources: "Use a managed image to create a custom image pool", "Batch service quotas and limits". Microsoft states the
limit of nodes for managed images and, in the article on quotas, for custom images of any kind; for images from a
gallery it is a warning here.
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.facts import Pool
from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.quota import nodes_taken
from golden_pools.rules.refresh import same_id
from golden_pools.spec.image import Publish
from golden_pools.spec.limits import SURE_DEDICATED_NODES
from golden_pools.spec.model import MOST_DEDICATED_NODES, MOST_SPOT_NODES, Strategy
from golden_pools.words import counted


@check(needs=(Lookup.ACCOUNT, Lookup.POOLS))
def nodes_on_one_image(case: Case) -> Iterator[Finding]:
    """Do all pools of the account on this image, or on one from the same snapshots, stay within its limit of nodes?

    Seen are the account's pools on the run's image and on the managed image that its version was made from. Not seen
    are other versions made from the same snapshots, and pools of other accounts. Pools with inter-node communication
    count too, though a lower limit of their own binds each of them.
    """
    counted = [pool for pool in case.seen.pools if _stays(case, pool) and _same_image(case, pool)]
    taken = [nodes_taken(pool) for pool in counted]
    targets = case.plan.targets
    sums = (
        ("dedicated", targets.dedicated, sum(one for one, _ in taken), SURE_DEDICATED_NODES),
        ("Spot", targets.spot, sum(one for _, one in taken), MOST_SPOT_NODES),
    )
    legacy = case.plan.builds_image and case.plan.spec.image.publish is Publish.MANAGED_IMAGE
    for kind, wanted, others, limit in sums:
        if not wanted or wanted + others <= limit:
            continue
        beside = f" and {', '.join(pool.name for pool in counted)} {others} more" if others else ""
        granted = f"{limit} or {MOST_DEDICATED_NODES}" if limit == SURE_DEDICATED_NODES else str(limit)
        yield (case.error if legacy else case.warning)(
            f"the targets are {wanted} {kind} nodes{beside}; Microsoft's pages grant {granted} on one image",
            "lower the targets, or give each pool an image from snapshots of its own",
            case.az.pools(),
        )


def _stays(case: Case, pool: Pool) -> bool:
    """Return whether a pool keeps its nodes while the run's targets are after theirs."""
    current, second = case.current, case.second_pool
    gets_targets = second or (current.name if current else case.plan.pool)
    return pool.name.casefold() != gets_targets.casefold()


def _same_image(case: Case, pool: Pool) -> bool:
    version = case.seen.image_version
    images = [case.plan.image_id, *([version.source_id] if version and version.source_id else [])]
    return any(same_id(pool.image_id, image) for image in images)


@check(needs=(Lookup.ACCOUNT, Lookup.POOLS))
def inbound_ports(case: Case) -> Iterator[Finding]:
    """Does the pool forward ports from outside, which lowers the number of nodes it may have?"""
    current = case.current
    if current is None or not current.inbound_nat_pools:
        return
    seen = f"pool {current.name} has {counted(current.inbound_nat_pools, 'inbound NAT pool')}"
    if case.second_pool or case.plan.spec.refresh.strategy is Strategy.RECREATE:
        yield case.warning(
            f"{seen}; the pool that {case.plan.spec.refresh.strategy} makes has none",
            "use refresh.strategy: in_place, which keeps them, or let nobody reach the nodes from outside",
            case.az.pool(current.name, "properties.networkConfiguration.endpointConfiguration"),
        )
    else:
        yield case.info(
            f"{seen}, which the run keeps",
            "expect fewer nodes: they lower the limit of nodes of a pool on a custom image, Microsoft does not say by "
            "how much",
            case.az.pool(current.name, "properties.networkConfiguration.endpointConfiguration"),
        )
