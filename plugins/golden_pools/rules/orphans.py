"""What broken runs left behind: made by a run, long ago, and nothing stands on it.

A run that goes on looks the same for a while, so nothing younger than :data:`OLD_ENOUGH` counts. Names of what a run
makes begin with its stem (``<name>-<UTC stamp>``): a snapshot set, its managed image and its version's source share it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from golden_pools.rules.clone import THROWAWAY_TAG
from golden_pools.rules.facts import ImageVersion, ManagedImage, Pool, Resource, RestorePointCollection, Snapshot
from golden_pools.rules.family import Role, role_of, since_when
from golden_pools.rules.plan import is_made_by_a_run

OLD_ENOUGH = timedelta(days=1)
"""No run takes longer, with all its waits, unless somebody has set deadlines of days."""

_CLONE = re.compile(r"^clone-(?P<stamp>\d{8}T\d{6})-", re.IGNORECASE)
"""Names of clones and of what belongs to them begin with the run's stamp; Azure does not date network cards."""

_STEM = re.compile(r"^(?P<stem>.+-(?P<stamp>\d{8}T\d{6}))(-os|-data-\d+)?$", re.IGNORECASE)


def stem_of(resource_id: str) -> str:
    """Return the stem of the run that made a resource, or its own name, case folded."""
    name = resource_id.rstrip("/").rpartition("/")[2]
    found = _STEM.match(name)
    return (found["stem"] if found else name).casefold()


def made_when(name: str, created: datetime | None = None) -> datetime | None:
    """Return when a run made a resource: as Azure says, or else as its name says."""
    if created is not None:
        return created
    found = _STEM.match(name) or _CLONE.match(name)
    try:
        return datetime.strptime(found["stamp"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def is_old(moment: datetime | None, now: datetime) -> bool:
    """Return whether something was made long enough ago; what does not say when is not old."""
    return moment is not None and now - moment > OLD_ENOUGH


def orphaned_snapshot_sets(
    snapshots: Iterable[Snapshot],
    images: Iterable[ManagedImage],
    versions: Iterable[ImageVersion],
    now: datetime,
) -> dict[str, list[Snapshot]]:
    """Return the snapshot sets, by stem, from which neither a managed image nor a version was made.

    A set is one unit: where one of its snapshots is in use or young, all are.
    """
    images = list(images)
    used = {source.casefold() for image in images for source in image.snapshot_ids}
    stems = {stem_of(image.id) for image in images} | _sources(versions)
    sets: dict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots:
        if is_made_by_a_run(snapshot.tags):
            sets[stem_of(snapshot.id)].append(snapshot)
    return {
        stem: members
        for stem, members in sets.items()
        if stem not in stems
        and not used & {snapshot.id.casefold() for snapshot in members}
        and all(is_old(made_when(snapshot.name, snapshot.created), now) for snapshot in members)
    }


def orphaned_images(
    images: Iterable[ManagedImage], versions: Iterable[ImageVersion], pools: Iterable[Pool], now: datetime
) -> list[ManagedImage]:
    """Return the managed images from which no version was made, and on which no pool stands directly."""
    used = {(pool.image_id or "").casefold() for pool in pools}
    stems = _sources(versions)
    return [
        image
        for image in images
        if is_made_by_a_run(image.tags)
        and stem_of(image.id) not in stems
        and image.id.casefold() not in used
        and is_old(made_when(image.name), now)
    ]


def left_canaries(pools: Iterable[Pool], now: datetime) -> list[Pool]:
    """Return the canary pools that their runs did not remove."""
    return [
        pool for pool in pools if role_of(pool) is Role.CANARY and is_old(since_when(pool) or pool.last_modified, now)
    ]


def left_resources(resources: Iterable[Resource], now: datetime) -> list[Resource]:
    """Return throwaway VMs, disks and network cards that their runs did not remove, and that nothing is attached to."""
    return [
        resource
        for resource in resources
        if is_made_by_a_run(resource.tags)
        and resource.used_by is None
        and is_old(made_when(resource.name, resource.created), now)
    ]


def left_restore_points(collection: RestorePointCollection, now: datetime) -> list[str]:
    """Return the ids of what runs did not remove: single restore points, or the collection where all of them are old.

    Azure does not date a collection, so an empty one is nobody's here: the next run removes it.
    """
    if not is_made_by_a_run(collection.tags) or collection.tags.get(THROWAWAY_TAG) != "restore_point":
        return []
    old = [point for point in collection.points if is_old(made_when(point), now)]
    if old and len(old) == len(collection.points):
        return [collection.id]
    return [f"{collection.id}/restorePoints/{point}" for point in old]


def _sources(versions: Iterable[ImageVersion]) -> set[str]:
    return {stem_of(version.source_id) for version in versions if version.source_id}
