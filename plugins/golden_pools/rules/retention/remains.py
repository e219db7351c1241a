"""What stands behind versions, and what broken runs left: images, snapshot sets, canaries, throwaways.

A managed image stays as long as a version made from it, and a snapshot set as long as an image or a version made from
it: whether a version needs its source after its replication Microsoft does not say, and a shallow one does.

Source: "Use a managed image to create a custom image pool" (a pool needs its image and what that was made from).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from golden_pools.rules.clone import THROWAWAY_TAG
from golden_pools.rules.costs import cost_of
from golden_pools.rules.facts import ManagedImage, Pool, Resource, RestorePointCollection, Snapshot, folded
from golden_pools.rules.family import ALIAS, Role, is_deleting, role_of
from golden_pools.rules.orphans import (
    left_canaries,
    left_resources,
    left_restore_points,
    made_when,
    orphaned_images,
    orphaned_snapshot_sets,
    stem_of,
)
from golden_pools.rules.plan import account_id
from golden_pools.rules.retention.versions import FINAL_STATES
from golden_pools.rules.retention.world import Action, Decision, Kind, World, is_pinned, run_of
from golden_pools.spec.image import Publish
from golden_pools.words import counted


def image_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every managed image that our runs have made."""
    orphans = {folded(image.id) for image in orphaned_images(world.images, world.versions, world.pools, world.now)}
    succeeded: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    ours = [(image, maker) for image in world.images if (maker := world.maker(image.id, image.tags))]
    for image, maker in ours:
        if image.provisioning_state == "Succeeded" and (made := made_when(image.name)):
            succeeded[maker].append((made, folded(image.id)))
    needed = {maker: _needed_images(world, maker, sorted(images)) for maker, images in succeeded.items()}
    for image, maker in ours:
        action, why = _image_step(world, image, maker, needed.get(maker, {}), orphans)
        prices = world.specs[maker].prices
        yield _decision(world, Kind.IMAGE, image, maker, action, why, gib=image.size_gib, price=prices.image_gib_month)


def _needed_images(world: World, maker: str, images: list[tuple[datetime, str]]) -> dict[str, str]:
    """Return images of a spec that stay for a pool that is straight on one, or that ``publish`` makes the product.

    :param images: those that succeeded, the oldest first
    """
    retention = world.specs[maker].retention
    ids = [image for _, image in images]
    needed = {}
    for place, image in enumerate(ids):
        if pools := world.pools_on.get(image):
            older = ids[max(0, place - retention.rollback_depth) : place]
            needed.update(dict.fromkeys(older, f"pool {pools[0].name} would go back to it"))
    if world.specs[maker].image.publish is Publish.MANAGED_IMAGE:
        needed.update(dict.fromkeys(ids[-retention.keep :], f"one of the newest {retention.keep}"))
    return needed


def _image_step(
    world: World, image: ManagedImage, maker: str, needed: Mapping[str, str], orphans: set[str]
) -> tuple[Action, str]:
    key, spec = folded(image.id), world.specs[maker]
    state = image.provisioning_state
    if state == "Deleting":
        return Action.GOING, "it is being deleted"
    if pools := world.pools_on.get(key):
        return Action.KEEP, f"pool {pools[0].name} is on it"
    if is_pinned(image.tags):
        return Action.KEEP, "pinned"
    run = run_of(image.tags)
    if version := world.version_sources.get(key) or (run and world.version_runs.get(run)):
        return Action.KEEP, f"version {version} is made from it"
    if state not in FINAL_STATES:
        return Action.KEEP, f"something is done with it: {state or 'no state'}"
    if why := needed.get(key):
        return Action.KEEP, why
    made = made_when(image.name)
    if key not in orphans or made is None:
        return Action.KEEP, "younger than a day, or it does not say when it was made"
    if spec.image.publish is Publish.MANAGED_IMAGE:
        # A managed image cannot be marked, so its grace is added to its age.
        days = spec.retention.keep_days + spec.retention.grace_days
        if world.now - made <= timedelta(days=days):
            return Action.KEEP, f"younger than {counted(days, 'day')}"
        return Action.DELETE, f"{spec.retention.keep} newer ones are there, and no pool is on it"
    return Action.DELETE, "no version is made from it"


def snapshot_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every snapshot that our runs have made; a set of snapshots is one unit."""
    orphans = {
        folded(snapshot.id)
        for members in orphaned_snapshot_sets(world.snapshots, world.images, world.versions, world.now).values()
        for snapshot in members
    }
    sets: dict[tuple[str, str], list[tuple[Snapshot, str]]] = defaultdict(list)
    for snapshot in world.snapshots:
        if maker := world.maker(snapshot.id, snapshot.tags):
            sets[maker, stem_of(snapshot.id)].append((snapshot, maker))
    used = {folded(source): image.name for image in world.images for source in image.snapshot_ids}
    image_runs = {run: image.name for image in world.images if (run := run_of(image.tags))}
    for (maker, stem), members in sets.items():
        kept = _why_set_is_kept(world, stem, [snapshot for snapshot, _ in members], used, image_runs, orphans)
        price = world.specs[maker].prices.snapshot_gib_month
        for snapshot, _ in members:
            if snapshot.provisioning_state == "Deleting":
                action, why = Action.GOING, "it is being deleted"
            else:
                action, why = (Action.KEEP, kept) if kept else (Action.DELETE, "no image or version is made from it")
            yield _decision(world, Kind.SNAPSHOT, snapshot, maker, action, why, gib=snapshot.size_gib, price=price)


def _why_set_is_kept(
    world: World,
    stem: str,
    members: Iterable[Snapshot],
    used: Mapping[str, str],
    image_runs: Mapping[tuple[str, str], str],
    orphans: set[str],
) -> str:
    if stem in world.pool_stems:
        return "a pool is on the managed image made from it"
    for snapshot in members:
        key, run = folded(snapshot.id), run_of(snapshot.tags)
        if image := used.get(key) or (run and image_runs.get(run)):
            return f"managed image {image} is made from it"
        if version := world.version_sources.get(key) or (run and world.version_runs.get(run)):
            return f"version {version} is made from it"
        if is_pinned(snapshot.tags):
            return "pinned, or one of its set is"
        if snapshot.provisioning_state not in (*FINAL_STATES, "Deleting"):
            return f"something is done with its set: {snapshot.provisioning_state or 'no state'}"
        if key not in orphans:
            return "younger than a day, or something of its run stands on it"
    return ""


def canary_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every canary pool that our runs have made."""
    left = {folded(pool.id) for pool in left_canaries(world.pools, world.now)}
    names = {name.casefold(): name for name in world.specs}
    for pool in world.pools:
        maker = names.get(pool.metadata.get(ALIAS, "").casefold())
        if maker is None or role_of(pool) is not Role.CANARY or run_of(pool.tags) is None:
            continue
        if folded(pool.id).rpartition("/pools/")[0] != folded(account_id(world.specs[maker])):
            continue
        action, why = (Action.GOING, "it is being deleted") if is_deleting(pool) else _fate(pool, left)
        yield _decision(world, Kind.CANARY, pool, maker, action, why)


def throwaway_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every VM, network card and disk that our runs made for a moment; a spec's own VM is none."""
    own = {
        f"/resourcegroups/{vm.resource_group}/providers/microsoft.compute/virtualmachines/{vm.name}".casefold()
        for spec in world.specs.values()
        if (vm := spec.golden_vm or spec.image.source.generalized_vm)
    }
    for kind, resources in ((Kind.VM, world.vms), (Kind.CARD, world.cards), (Kind.DISK, world.disks)):
        left = {folded(resource.id) for resource in left_resources(resources, world.now)}
        for resource in resources:
            maker = world.maker(resource.id, resource.tags)
            if maker is None or any(folded(resource.id).endswith(vm) for vm in own):
                continue
            action, why = _fate(resource, left)
            yield _decision(world, kind, resource, maker, action, why)


def restore_point_decisions(world: World) -> Iterator[Decision]:
    """Yield a decision for every restore point that our runs took, or for a collection as a whole if it goes."""
    for collection in world.collections:
        maker = world.maker(collection.id, collection.tags)
        if maker is None or collection.tags.get(THROWAWAY_TAG) != "restore_point":
            continue
        stem = f"{world.specs[maker].image.name or maker}-".casefold()
        ours = [point for point in collection.points if point.casefold().startswith(stem)]
        left = left_restore_points(replace(collection, points=tuple(ours)), world.now)
        if left == [collection.id] and len(ours) < len(collection.points):  # somebody else has put points there
            left = [f"{collection.id}/restorePoints/{point}" for point in ours]
        ids = left if left == [collection.id] else [f"{collection.id}/restorePoints/{point}" for point in ours]
        for id_ in ids:
            thing = replace(collection, id=id_)
            if is_pinned(collection.tags):
                action, why = Action.KEEP, "pinned"
            elif id_ in left:
                action, why = Action.DELETE, "its run did not remove it"
            else:
                action, why = Action.KEEP, "younger than a day"
            yield _decision(world, Kind.RESTORE_POINT, thing, maker, action, why)


def _fate(thing: Pool | Resource, left: Collection[str]) -> tuple[Action, str]:
    """Return what becomes of a thing that a run should have removed itself.

    :param left: folded ids of those that nobody is at work on any more
    """
    if is_pinned(thing.tags):
        return Action.KEEP, "pinned"
    if isinstance(thing, Resource) and thing.used_by:
        return Action.KEEP, f"attached to {thing.used_by.rpartition('/')[2]}"
    if folded(thing.id) in left:
        return Action.DELETE, "its run did not remove it"
    return Action.KEEP, "younger than a day"


def _decision(
    world: World,
    kind: Kind,
    thing: ManagedImage | Snapshot | Pool | Resource | RestorePointCollection,
    maker: str,
    action: Action,
    why: str,
    *,
    gib: int | None = None,
    price: float | None = None,
) -> Decision:
    return Decision(
        kind=kind,
        id=thing.id,
        spec=maker,
        action=action,
        why=why,
        gib=gib,
        cost=cost_of(gib, price),
        currency=world.specs[maker].prices.currency,
        run=run_of(thing.tags) if action is Action.DELETE else None,
    )
