"""What counts as left behind, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules import orphans
from golden_pools.rules.facts import ImageVersion, ManagedImage, Resource, RestorePointCollection, Snapshot

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)
COMPUTE = "/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute"
OURS = {"golden-pools-run": "scheduled__1", "golden-pools-pool": "small"}
STEM = "small-20261121T020005"


def snapshot(name: str = f"{STEM}-os", *, created: datetime = LONG_AGO, **changes: Any) -> Snapshot:
    values = {"source_id": None, "provisioning_state": "Succeeded", "completion_percent": 100, "size_gib": 64}
    return Snapshot(
        id=f"{COMPUTE}/snapshots/{name}",
        name=name,
        location="westeurope",
        created=created,
        **{**values, "tags": OURS, **changes},
    )


def image(name: str = STEM, **changes: Any) -> ManagedImage:
    return ManagedImage(
        id=f"{COMPUTE}/images/{name}",
        name=name,
        location="westeurope",
        provisioning_state="Succeeded",
        **{"snapshot_ids": (f"{COMPUTE}/snapshots/{name}-os",), "tags": OURS, **changes},
    )


def version(source_id: str) -> ImageVersion:
    return ImageVersion(
        id=f"{COMPUTE}/galleries/g/images/d/versions/1.0.0",
        name="1.0.0",
        location="westeurope",
        provisioning_state="Succeeded",
        aggregated_state=None,
        regions=(),
        target_regions={},
        source_id=source_id,
        exclude_from_latest=False,
    )


def sets(*snapshots: Snapshot, images: tuple[ManagedImage, ...] = (), versions: tuple[ImageVersion, ...] = ()) -> Any:
    return list(orphans.orphaned_snapshot_sets(snapshots, images, versions, NOW))


def test_a_snapshot_set_without_image_is_left_behind_as_one() -> None:
    assert sets(snapshot(), snapshot(f"{STEM}-data-0")) == [STEM.casefold()]


@pytest.mark.parametrize(
    "source", [f"{COMPUTE}/images/{STEM}", f"{COMPUTE}/SNAPSHOTS/{STEM.upper()}-OS"], ids=["image", "snapshot"]
)
def test_a_set_from_which_a_version_was_made_is_not(source: str) -> None:
    assert sets(snapshot(), snapshot(f"{STEM}-data-0"), versions=(version(source),)) == []


def test_a_set_of_which_one_snapshot_is_in_an_image_is_not() -> None:
    other = image("other", snapshot_ids=(f"{COMPUTE}/SNAPSHOTS/{STEM}-DATA-0",))
    assert sets(snapshot(), snapshot(f"{STEM}-data-0"), images=(other,)) == []


def test_a_set_of_which_one_snapshot_is_young_is_not() -> None:
    assert sets(snapshot(), snapshot(f"{STEM}-data-0", created=NOW - timedelta(hours=23))) == []


def test_what_no_run_made_is_nobodys_business() -> None:
    foreign = {"golden-pools-pool": "small"}
    assert sets(snapshot(tags={}), snapshot(f"{STEM}-data-0", tags=foreign)) == []
    assert orphans.orphaned_images([image(tags={})], [], [], NOW) == []
    assert orphans.left_resources([Resource(id="d", name=STEM, created=LONG_AGO)], NOW) == []


def test_an_image_without_version_is_left_behind() -> None:
    assert orphans.orphaned_images([image()], [], [], NOW) == [image()]
    assert orphans.orphaned_images([image()], [version(image().id.upper())], [], NOW) == []


def test_an_image_of_this_morning_is_not_though_azure_tells_no_time() -> None:
    assert orphans.orphaned_images([image("small-20261124T020005")], [], [], NOW) == []


def test_an_image_whose_name_tells_no_time_is_not() -> None:
    assert orphans.orphaned_images([image("small"), image("small-20269924T020005")], [], [], NOW) == []


def test_a_throwaway_disk_is_left_behind_after_a_day() -> None:
    old = Resource(id="old", name="old", created=LONG_AGO, tags=OURS)
    young = Resource(id="young", name="young", created=NOW - timedelta(hours=1), tags=OURS)
    assert orphans.left_resources([old, young], NOW) == [old]


def test_a_network_card_is_as_old_as_the_run_in_its_name() -> None:
    names = ("clone-20261121T020005-small-nic", "clone-20261124T020005-small-nic", "clone-of-somebody-nic")
    cards = [Resource(id=name, name=name, created=None, tags=OURS) for name in names]
    assert orphans.left_resources(cards, NOW) == cards[:1]


def test_what_is_attached_is_not_left_behind() -> None:
    assert orphans.left_resources([Resource(id="d", name="d", created=LONG_AGO, tags=OURS, used_by="/vm")], NOW) == []


POINTS = {**OURS, "golden-pools-throwaway": "restore_point"}


@pytest.mark.parametrize(
    ("points", "tags", "left"),
    [
        ((STEM,), POINTS, [""]),
        ((STEM, "small-20261124T020005"), POINTS, [f"/restorePoints/{STEM}"]),
        ((STEM, "by-hand"), POINTS, [f"/restorePoints/{STEM}"]),
        (("small-20261124T020005",), POINTS, []),
        ((), POINTS, []),
        ((STEM,), OURS, []),
        ((STEM,), {"golden-pools-throwaway": "restore_point"}, []),
    ],
    ids=["all", "one is young", "one is somebody else's", "young", "empty", "no throwaway", "no run"],
)
def test_restore_points_are_left_behind_after_a_day(points: tuple[str, ...], tags: Any, left: list[str]) -> None:
    collection = RestorePointCollection(id="/c", name="c", vm_id="/vm", points=points, tags=tags)
    assert orphans.left_restore_points(collection, NOW) == [f"/c{tail}" for tail in left]
