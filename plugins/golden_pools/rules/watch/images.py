"""Findings about image versions: who is behind, who lacks replicas, what has come to its end.

Rules: "Use the Azure Compute Gallery to create a custom image pool" (a replica per 300 nodes, a replica in the pool's
region), "Azure Compute Gallery" (what a deleted version does to scale-out).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from golden_pools.rules.facts import ImageVersion, Pool, number_of
from golden_pools.rules.plan import ImageVerdict, is_marked
from golden_pools.rules.refresh.drift import same_id
from golden_pools.rules.resource_names import image_name
from golden_pools.rules.watch import commands
from golden_pools.rules.watch.findings import Finding, Kind, Level
from golden_pools.rules.watch.seen import Look, Seen, Watched, is_version
from golden_pools.spec.following import pauses_before
from golden_pools.spec.model import NODES_PER_REPLICA
from golden_pools.spec.part import normal_region
from golden_pools.words import counted

TAKING_TIME = timedelta(days=1)
"""A night, or a wave of followers: so long a pool may take to get onto another run's version, pauses apart."""


def pools_behind(seen: Seen) -> Iterator[Finding]:
    """Is the spec's pool on the newest good version?"""
    for one in seen.watched:
        pool, current = seen.pool_of(one), seen.current_version(one)
        if pool is None or current is None or same_id(pool.image_id, current.id) or _is_on_its_way(one, current, seen):
            continue
        image = image_name(pool.image_id) if pool.image_id else "no image"
        yield Finding(
            level=Level.WARNING,
            check=Kind.POOL_BEHIND,
            subject=f"{one.account_id}/pools/{one.name}",
            seen=f"pool {pool.name} is on {image}, {_how_far(seen, one, pool, current)}",
            advice=f"trigger the DAG of {one.name}; it brings the pool to the newest good version",
            az=commands.pool(pool.id),
            needs=_needs(one),
        )


def _is_on_its_way(one: Watched, current: ImageVersion, seen: Seen) -> bool:
    """Return whether a pool on an image that it does not make itself has had no time yet to take the version."""
    if one.spec.image.source.kind.makes_images or current.published is None:
        return False
    pauses = pauses_before(one.name, {other.name: other.spec for other in seen.watched})
    return seen.now - current.published < pauses + TAKING_TIME


def _how_far(seen: Seen, one: Watched, pool: Pool, current: ImageVersion) -> str:
    newest = f"the newest good version is {current.name}"
    if current.published is not None:
        newest += f", published {_span(seen.now, current.published)} ago"
    if not is_version(pool.image_id):
        return f"not on a version; {newest}"
    definition, _, name = (pool.image_id or "").casefold().partition("/versions/")
    if not same_id(definition, one.definition):
        return f"a version of another definition; {newest}"
    versions = seen.versions.get(definition, ())
    between = [
        version
        for version in versions
        if number_of(name) < number_of(version.name) <= number_of(current.name)
        and (version is current or is_marked(version.tags, ImageVerdict.GOOD))
    ]
    if number_of(name) > number_of(current.name):
        return f"which is newer and not known to be good; {newest}"
    return f"{counted(len(between), 'good version')} behind; {newest}"


def bad_versions(seen: Seen) -> Iterator[Finding]:
    """Is a pool on a version that a run marked bad?"""
    for account, pool in seen.every_pool():
        version = seen.by_id(pool.image_id or "")
        if version is None or not is_marked(version.tags, ImageVerdict.BAD):
            continue
        yield Finding(
            level=Level.ERROR,
            check=Kind.POOL_ON_BAD_VERSION,
            subject=pool.id,
            seen=f"pool {pool.name} is on {image_name(version.id)}, which is marked bad: "
            + version.tags.get("golden-pools-why", "no reason given"),
            advice="trigger the pool's DAG, or put it on an older good version with the form's image_version",
            az=commands.version(version.id),
            needs=(Look.POOLS.of(account), _versions(version.id)),
        )


def lost_versions(seen: Seen) -> Iterator[Finding]:
    """Is the version that a pool is on still there?"""
    for account, pool in seen.every_pool():
        image = pool.image_id or ""
        listed = seen.versions.get(image.casefold().partition("/versions/")[0])
        if not is_version(image) or listed is None or seen.by_id(image) is not None:
            continue
        yield Finding(
            level=Level.ERROR,
            check=Kind.POOL_IMAGE_GONE,
            subject=pool.id,
            seen=f"pool {pool.name} is on {image_name(image)}, which is not in the gallery",
            advice="trigger the pool's DAG: nodes that run go on, but no new node can be made from this version",
            az=commands.version(image),
            needs=(Look.POOLS.of(account), _versions(image)),
        )


def ended_versions(seen: Seen) -> Iterator[Finding]:
    """Is a version past its end of life still used by a pool?"""
    for account, pool in seen.every_pool():
        version = seen.by_id(pool.image_id or "")
        if version is None or version.end_of_life is None or version.end_of_life > seen.now:
            continue
        yield Finding(
            level=Level.WARNING,
            check=Kind.VERSION_PAST_END_OF_LIFE,
            subject=pool.id,
            seen=f"pool {pool.name} is on {image_name(version.id)}, whose end of life "
            f"was {version.end_of_life:%Y-%m-%d}",
            advice="trigger the pool's DAG; the version may be deleted at any time once no pool uses it",
            az=commands.version(version.id),
            needs=(Look.POOLS.of(account), _versions(version.id)),
        )


def missing_regions(seen: Seen) -> Iterator[Finding]:
    """Has the current version a replica wherever the specs want one, and where the pools are?"""
    found: dict[str, Finding] = {}
    for one in seen.watched:
        version = seen.current_version(one)
        if version is None:
            continue
        account = seen.accounts.get(one.account_id.casefold())
        wanted = {normal_region(region.name): "the spec" for region in one.maker.image.target_regions}
        if account is not None:
            wanted[account.location] = f"pool {one.name}"
        for region in sorted(wanted.keys() - version.target_regions.keys()):
            in_the_way = account is not None and account.location == region
            finding = Finding(
                level=Level.ERROR if in_the_way else Level.WARNING,
                check=Kind.REGION_MISSING,
                subject=f"{one.definition} in {region}",
                seen=f"{image_name(version.id)} has no replica in {region}, where {wanted[region]} wants one",
                advice=f"add {region} to image.target_regions where it is missing, and trigger the DAG that makes "
                "the image",
                az=commands.version(version.id),
                needs=(*_needs(one), Look.ACCOUNT.of(one.account_id)),
            )
            if in_the_way or finding.id not in found:
                found[finding.id] = finding
    yield from found.values()


def failed_replication(seen: Seen) -> Iterator[Finding]:
    """Did the replication of a version that is current or in use fail in a region?"""
    for version in seen.replicated.values():
        failed = [state for state in version.regions if state.state.casefold() == "failed"]
        for state in failed:
            yield Finding(
                level=Level.ERROR,
                check=Kind.REPLICATION_FAILED,
                subject=f"{version.id} in {state.region}",
                seen=f"{image_name(version.id)} failed in {state.region}: {state.details or 'Azure gives no reason'}",
                advice="trigger the DAG that makes the image with this version: the region is asked again",
                az=commands.version(version.id),
                needs=(_versions(version.id), Look.VERSION.of(version.id)),
            )


def few_replicas(seen: Seen) -> Iterator[Finding]:
    """Is there a replica per 300 nodes of all pools on a version in a region?"""
    nodes: dict[tuple[str, str], int] = defaultdict(int)
    pools: dict[tuple[str, str], list[str]] = defaultdict(list)
    needs: dict[str, set[str]] = defaultdict(set)
    for account_id, pool in seen.every_pool():
        account = seen.accounts.get(account_id)
        if account is None or not is_version(pool.image_id):
            continue
        used = ((pool.image_id or "").casefold(), account.location)
        nodes[used] += max(sum(pool.asked_for), pool.current_total)
        pools[used].append(pool.name)
        needs[used[0]] |= {Look.POOLS.of(account_id), Look.ACCOUNT.of(account_id)}
    worst: dict[str, tuple[int, Finding]] = {}
    for (version_id, region), count in nodes.items():
        version, wanted = seen.by_id(version_id), max(1, math.ceil(count / NODES_PER_REPLICA))
        has = version.target_regions.get(region, 0) if version else 0
        if version is None or has >= wanted or not has:  # none at all is a finding of its own
            continue
        finding = Finding(
            level=Level.WARNING,
            check=Kind.REPLICAS_TOO_FEW,
            subject=f"{version.id.partition('/versions/')[0]} in {region}",
            seen=f"{image_name(version.id)} has {counted(has, 'replica')} in {region} for {count:,} nodes of "
            f"{', '.join(sorted(pools[version_id, region]))}; Batch wants {wanted}",
            advice=f"set replicas to auto or to {wanted} for {region} in the spec, and trigger the DAG that makes the "
            "image",
            az=commands.version(version.id),
            needs=(*sorted(needs[version_id]), _versions(version.id)),
        )
        if wanted - has > worst.get(finding.id, (0, finding))[0]:
            worst[finding.id] = wanted - has, finding
    yield from (finding for _, finding in worst.values())


CHECKS = (
    pools_behind,
    bad_versions,
    lost_versions,
    ended_versions,
    missing_regions,
    failed_replication,
    few_replicas,
)


def _needs(one: Watched) -> tuple[str, ...]:
    return Look.SPEC.of(one.name), Look.POOLS.of(one.account_id), Look.VERSIONS.of(one.definition or "")


def _versions(version_id: str) -> str:
    return Look.VERSIONS.of(version_id.casefold().partition("/versions/")[0])


def _span(now: datetime, then: datetime) -> str:
    days, hours = divmod(int((now - then).total_seconds()) // 3600, 24)
    return counted(days, "day") if days else counted(hours, "hour")
