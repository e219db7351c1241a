"""Findings about what broken runs left behind, which costs money until somebody removes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from golden_pools.rules import orphans
from golden_pools.rules.plan import RUN_TAG
from golden_pools.rules.watch import commands
from golden_pools.rules.watch.findings import Finding, Kind, Level
from golden_pools.rules.watch.seen import ALL_VERSIONS, Look, Seen
from golden_pools.words import counted


def left_by_images(seen: Seen) -> Iterator[Finding]:
    """Are there snapshot sets without image, and managed images without version?

    Nobody can tell while a list of versions is missing: something may have been made from them.
    """
    if not seen.knows_all_versions:
        return
    versions = [version for listed in seen.versions.values() for version in listed]
    pools = [pool for _, pool in seen.every_pool()]
    for group, images in seen.managed_images.items():
        needs = (Look.MANAGED_IMAGES.of(group), ALL_VERSIONS)
        for image in orphans.orphaned_images(images, versions, pools, seen.now):
            yield _finding("managed image", [image.id], image.tags.get(RUN_TAG, ""), "without a version", needs)
        for members in orphans.orphaned_snapshot_sets(
            seen.snapshots.get(group, ()), images, versions, seen.now
        ).values():
            ids, gib = sorted(snapshot.id for snapshot in members), sum(one.size_gib or 0 for one in members)
            run = members[0].tags.get(RUN_TAG, "")
            yield _finding(
                f"{counted(len(ids), 'snapshot')} of {gib} GiB",
                ids,
                run,
                "without an image",
                (*needs, Look.SNAPSHOTS.of(group)),
            )


def left_canaries(seen: Seen) -> Iterator[Finding]:
    """Are there canary pools that their runs did not remove?"""
    for account, pools in seen.pools.items():
        for pool in orphans.left_canaries(pools, seen.now):
            run = pool.metadata.get("golden_pools_run", "")
            what = f"canary pool with {counted(pool.current_total, 'node')}"
            yield _finding(what, [pool.id], run, "older than a day", (Look.POOLS.of(account),))


def left_throwaways(seen: Seen) -> Iterator[Finding]:
    """Are there throwaway VMs, network cards and disks that their runs did not remove?"""
    for look, kind, lists in (
        (Look.VMS, "VM", seen.vms),
        (Look.NETWORK_CARDS, "network card", seen.network_cards),
        (Look.DISKS, "disk", seen.disks),
    ):
        for group, resources in lists.items():
            for resource in orphans.left_resources(resources, seen.now):
                run = resource.tags.get(RUN_TAG, "")
                yield _finding(f"throwaway {kind}", [resource.id], run, "older than a day", (look.of(group),))


def left_points(seen: Seen) -> Iterator[Finding]:
    """Are there restore points that their runs did not remove?"""
    for group, collections in seen.restore_points.items():
        for collection in collections:
            run = collection.tags.get(RUN_TAG, "")
            for id_ in orphans.left_restore_points(collection, seen.now):
                yield _finding("restore point", [id_], run, "older than a day", (Look.RESTORE_POINTS.of(group),))


CHECKS = (left_by_images, left_canaries, left_throwaways, left_points)


def _finding(what: str, ids: list[str], run: str, why: str, needs: Iterable[str]) -> Finding:
    return Finding(
        level=Level.WARNING,
        check=Kind.ORPHAN,
        subject=ids[0],
        seen=f"{what} {ids[0].rpartition('/')[2]}, {why}, made by run {run or '?'}",
        advice="look at that run; if it is over, let retire_images remove this, or delete it by hand",
        az=commands.pool(ids[0]) if "/pools/" in ids[0] else commands.resource(ids[0]),
        needs=tuple(needs),
    )
