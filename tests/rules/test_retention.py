"""Retention: nothing that is needed, pinned, foreign or unreadable goes, and what should go goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.family import ALIAS, ROLE, SINCE
from golden_pools.rules.retention import Action, Decision, Kind, World, decide, orders, spare_runs
from golden_pools.rules.retention.report import as_json, table, totals_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.retention_worlds import (
    BAD,
    COMPUTE,
    DEFINITION,
    GOOD,
    NOW,
    a_day,
    follower,
    image,
    name_of,
    pool,
    snapshots,
    spec,
    tags_of,
    version,
    worlds,
)

SLOW = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def build(moment: datetime, **changes: Any) -> dict[str, Any]:
    """Return a version with all that it was made from, as parts of a world."""
    return {
        "versions": (version(moment, **changes),),
        "images": (image(moment),),
        "snapshots": tuple(snapshots(moment)),
    }


def world(*builds: dict[str, Any], **parts: Any) -> World:
    """Return a world of builds."""
    joined: dict[str, Any] = {
        kind: sum((one.get(kind, ()) for one in builds), ()) for kind in ("versions", "images", "snapshots")
    }
    return World(**{"now": NOW, "specs": {"small": spec(keep=2, keep_days=10, grace_days=5)}, **joined, **parts})


def judged(seen: World, kind: Kind = Kind.VERSION) -> dict[str, Decision]:
    return {one.id.rpartition("/")[2]: one for one in decide(seen) if one.kind is kind}


def action_of(seen: World, moment: datetime) -> Action:
    return judged(seen)[name_of(moment)].action


OLD, OLDER, OLDEST = ago(days=40), ago(days=50), ago(days=60)
FOUR = [build(ago(days=20)), build(OLD), build(OLDER), build(OLDEST)]


# -- an oracle of its own: what nobody may ever lose ----------------------------------------------------


def same(one: str, other: str | None) -> bool:
    return other is not None and one.lower().rstrip("/") == other.lower().rstrip("/")


def check_nothing_needed(seen: World, did: list[Decision]) -> None:
    """Fail where something was touched that a pool, a person or another owner needs."""
    things = {one.id: one for one in (*seen.versions, *seen.images, *seen.snapshots)}
    for one in did:
        thing = things[one.id]
        owner = thing.tags.get("golden-pools-pool", "").lower()
        assert owner == "small", f"foreign: {one}"
        assert thing.tags.get("golden-pools-run"), f"made by no run: {one}"
        if one.action is Action.RESTORE:
            continue
        assert not any(name.lower() == "golden-pools-pin" for name in thing.tags), f"pinned: {one}"
        assert not any(same(one.id, user.image_id) for user in seen.pools), f"in use: {one}"
        assert thing.provisioning_state in ("Succeeded", "Failed"), f"in the middle of something: {one}"
        if one.kind is Kind.VERSION:
            definition = one.id.lower().split("/versions/")[0]
            latest = (definition, f"{definition}/versions/latest")
            assert not any((user.image_id or "").lower() in latest for user in seen.pools), f"latest: {one}"
            most_days = max(spec.retention.keep_days for spec in seen.specs.values())
            assert seen.now - things[one.id].published > timedelta(days=most_days), f"young: {one}"


def is_counted(one: Any) -> bool:
    tags = one.tags
    ours = tags.get("golden-pools-pool", "").lower() == "small" and tags.get("golden-pools-run")
    return bool(ours and one.provisioning_state == "Succeeded" and tags.get("golden-pools-verdict") == "good")


@SLOW
@given(worlds(most=200))
def test_nothing_in_use_pinned_foreign_or_unreadable_ever_goes(seen: World) -> None:
    before = seen
    for _ in range(4):
        later, did = a_day(seen, hours=24 * 5)
        if seen.unread:
            assert did == []
        touched = [one for one in did if one.action is not Action.DELETE or one.kind is not Kind.VERSION]
        check_nothing_needed(seen, [*touched, *(one for one in did if one.kind is Kind.VERSION)])
        seen = later
    left_images = {one.id.lower() for one in seen.images}
    for one in before.images:
        if any(same(one.id, maker.source_id) for maker in seen.versions):
            assert one.id.lower() in left_images, "its version is still there"
    left = {one.id for one in seen.snapshots}
    for one in seen.images:
        gone = [id_ for id_ in one.snapshot_ids if id_ in {s.id for s in before.snapshots} and id_ not in left]
        assert gone == [], "its image is still there"
    most = max(spec.retention.keep for spec in seen.specs.values())
    good_before, good_after = (sum(map(is_counted, at.versions)) for at in (before, seen))
    assert good_after >= min(most, good_before)


@SLOW
@given(worlds(most=60), st.integers(0, 3))
def test_a_pool_can_go_back_as_far_as_the_spec_says(seen: World, depth: int) -> None:
    seen = replace(seen, specs={"small": spec(keep=1, keep_days=0, rollback_depth=depth, grace_days=0)})

    def number(image_id: str) -> tuple[int, ...]:
        return tuple(int(part) for part in image_id.rpartition("/")[2].split("."))

    wanted = set()
    good = sorted((one for one in seen.versions if is_counted(one)), key=lambda one: number(one.id))
    for user in seen.pools:
        if "/versions/" in (user.image_id or "").lower() and not user.image_id.lower().endswith("latest"):
            older = [one.id for one in good if number(one.id) < number(user.image_id)]
            wanted |= set(older[len(older) - depth :] if depth else [])
    for _ in range(3):
        seen, _ = a_day(seen)
    assert wanted <= {one.id for one in seen.versions}


@SLOW
@given(worlds(with_pools=False, whole=True))
def test_without_pools_only_what_the_policy_keeps_is_left_in_the_end(seen: World) -> None:
    most = max(spec.retention.keep for spec in seen.specs.values())
    good = sorted((one for one in seen.versions if is_counted(one)), key=lambda one: one.published, reverse=True)
    unclear = [
        one for one in seen.versions
        if one.provisioning_state == "Failed" and one.tags.get("golden-pools-verdict") == "good"
    ]  # fmt: skip
    for _ in range(50):
        seen, did = a_day(seen)
    assert did == []
    kept = {one.id for one in seen.versions}
    assert {one.id for one in good[:most]} <= kept
    assert kept - {one.id for one in good[:most]} <= {one.id for one in unclear}
    runs = {one.tags["golden-pools-run"] for one in seen.versions}
    sources = {(one.source_id or "").lower() for one in seen.versions}
    for one in (*seen.images, *seen.snapshots):
        assert one.tags["golden-pools-run"] in runs or one.id.lower() in sources


# -- one by one -----------------------------------------------------------------------------------------


def test_a_version_is_marked_waits_and_goes_and_then_what_it_was_made_from() -> None:
    seen = world(*FOUR)
    assert action_of(seen, OLDER) is action_of(seen, OLDEST) is Action.RETIRE
    assert action_of(seen, OLD) is Action.KEEP
    seen, did = a_day(seen)
    assert Counter(one.action for one in did) == {Action.RETIRE: 2}
    assert action_of(seen, OLDEST) is Action.WAIT
    for _ in range(3):
        seen, did = a_day(seen)
        assert did == []
    seen, _ = a_day(seen)
    seen, did = a_day(seen)
    assert Counter(one.kind for one in did) == {Kind.VERSION: 2, Kind.IMAGE: 2, Kind.SNAPSHOT: 4}
    assert len(seen.versions) == len(seen.images) == 2


@pytest.mark.parametrize("image_id", [DEFINITION, DEFINITION.upper(), f"{DEFINITION}/versions/latest"])
def test_a_pool_on_the_definition_keeps_all_versions(image_id: str) -> None:
    seen = world(*FOUR, pools=(pool("far", image_id),))
    assert {one.action for one in decide(seen)} == {Action.KEEP}


def test_a_marked_version_that_a_pool_is_on_again_is_taken_back_and_its_grace_begins_anew() -> None:
    seen, _ = a_day(world(*FOUR), hours=24 * 6)
    used = replace(seen, pools=(pool("back", f"{DEFINITION}/versions/{name_of(OLDEST)}".upper()),))
    assert action_of(used, OLDEST) is Action.RESTORE
    used, _ = a_day(used)
    again = replace(used, pools=())
    assert action_of(again, OLDEST) is Action.RETIRE


def test_a_mark_that_a_run_has_taken_back_in_part_begins_anew() -> None:
    seen, _ = a_day(world(*FOUR), hours=24 * 30)
    versions = tuple(replace(one, exclude_from_latest=False) for one in seen.versions)
    assert action_of(replace(seen, versions=versions), OLDEST) is Action.RETIRE


def test_end_of_life_is_waited_for() -> None:
    seen, _ = a_day(world(*FOUR), hours=24 * 30)
    versions = tuple(replace(one, end_of_life=seen.now + timedelta(days=1)) for one in seen.versions)
    assert action_of(replace(seen, versions=versions), OLDEST) is Action.WAIT


def test_pitfall_28_failed_builds_do_not_push_the_last_good_version_out() -> None:
    broken = [build(ago(days=days), provisioning_state="Failed", tags=tags_of(f"r{days}")) for days in (1, 2, 3)]
    seen = world(*broken, build(OLD), build(OLDER))
    assert action_of(seen, OLD) is action_of(seen, OLDER) is Action.KEEP


def test_pitfall_28_good_versions_that_failed_later_do_not_count_either() -> None:
    broken = [build(ago(days=days), provisioning_state="Failed") for days in (20, 21)]
    assert action_of(world(*broken, build(OLD), build(OLDER)), OLDER) is Action.KEEP


def test_what_a_run_made_stays_with_its_version_whatever_the_version_says_it_was_made_from() -> None:
    seen = world(build(OLD, source_id="/subscriptions/s/of/a/copy"))
    assert {one.action for one in decide(seen)} == {Action.KEEP}


def test_bad_and_unproved_versions_do_not_count() -> None:
    others = [build(ago(days=11 + n), tags={**tags_of(f"r{n}"), **tags}) for n, tags in enumerate((BAD, BAD, {}, {}))]
    seen = world(*others, build(OLD), build(OLDER))
    assert action_of(seen, OLDER) is Action.KEEP
    assert {action_of(seen, ago(days=11 + n)) for n in range(4)} == {Action.RETIRE}


@pytest.mark.parametrize("tags", [{}, {"golden-pools-pool": "small"}, tags_of("r", "other"), GOOD])
def test_pitfall_29_what_carries_no_tags_of_ours_is_not_even_spoken_of(tags: dict[str, str]) -> None:
    assert name_of(OLDEST) not in judged(world(*FOUR[:3], build(OLDEST, tags=tags)))


def test_pitfall_29_a_version_without_a_date_is_not_an_old_one() -> None:
    assert action_of(world(*FOUR[:3], build(OLDEST, published=None)), OLDEST) is Action.KEEP


def test_pitfall_29_a_build_that_goes_on_is_left_alone() -> None:
    seen = world(build(OLDEST, provisioning_state="Creating"))
    assert action_of(seen, OLDEST) is Action.KEEP
    failed = decide(world(build(OLDEST, provisioning_state="Failed", tags=tags_of("going"))))
    spared = spare_runs(failed, {("golden_pool_small", "going")})
    assert [one.action for one in spared if one.kind is Kind.VERSION] == [Action.KEEP]
    assert [one.action for one in failed if one.kind is Kind.VERSION] == [Action.DELETE]


def test_pitfall_30_thousands_of_versions_come_down_to_what_is_kept() -> None:
    seen = world(*(build(ago(days=20, hours=hours)) for hours in range(3000)))
    seen, _ = a_day(seen, hours=24 * 6)
    seen, _ = a_day(seen)
    assert len(seen.versions) == 2


def test_pitfall_31_what_broken_runs_left_goes_after_a_day() -> None:
    young, old = ago(hours=20), ago(hours=30)
    seen = world({"images": (image(young), image(old))}, {"snapshots": tuple(snapshots(ago(days=9)))})
    images = judged(seen, Kind.IMAGE)
    assert [one.action for one in images.values()] == [Action.KEEP, Action.DELETE]
    assert {one.action for one in judged(seen, Kind.SNAPSHOT).values()} == {Action.DELETE}
    assert {one.run for one in judged(seen, Kind.SNAPSHOT).values()} != {None}


def canary(**changes: Any) -> Any:
    metadata = {ALIAS: "small", ROLE: "canary", SINCE: ago(days=2).isoformat()}
    return replace(pool("canary-1", None, metadata=metadata, tags=tags_of("r")), **changes)


def test_pitfall_31_canary_pools_that_broken_runs_left_go() -> None:
    kinds = {"left": canary(), "young": canary(metadata={ALIAS: "small", ROLE: "canary", SINCE: NOW.isoformat()})}
    kinds["elsewhere"] = canary(id=canary().id.replace("goldenbatch", "other"))
    kinds["foreign"] = canary(tags={})
    seen = {name: judged(world(pools=(one,)), Kind.CANARY) for name, one in kinds.items()}
    assert seen["left"]["canary-1"].action is Action.DELETE
    assert seen["young"]["canary-1"].action is Action.KEEP
    assert seen["elsewhere"] == seen["foreign"] == {}


def test_a_pool_straight_on_a_managed_image_keeps_image_and_snapshots() -> None:
    parts = {"images": (image(OLD),), "snapshots": tuple(snapshots(OLD))}
    seen = world(parts, pools=(pool("legacy", f"{COMPUTE}/images/small-{OLD:%Y%m%dT%H%M%S}".upper()),))
    assert {one.action for one in decide(seen)} == {Action.KEEP}
    hidden = replace(seen, images=())  # the image is in no list, and its snapshots stay all the same
    assert {one.action for one in decide(hidden)} == {Action.KEEP}


def test_managed_images_of_the_legacy_road_are_kept_like_versions() -> None:
    legacy = {"resource_group": "images", "publish": "managed_image", "legacy_direct_pool": True}
    images = tuple(image(ago(days=days)) for days in (11, 20, 30, 40))
    seen = world({"images": images}, specs={"small": spec(legacy, keep=2, keep_days=10, grace_days=5)})
    decisions = judged(seen, Kind.IMAGE)
    assert [one.action for one in decisions.values()] == [Action.KEEP, Action.KEEP, Action.DELETE, Action.DELETE]


def test_the_stricter_of_two_specs_on_one_definition_keeps() -> None:
    specs = {"small": spec(keep=1, keep_days=0), "second": follower(keep=3, delete=False)}
    assert [action_of(world(*FOUR, specs=specs), moment) for moment in (OLD, OLDER, OLDEST)] == [
        Action.KEEP, Action.KEEP, Action.RETIRE,
    ]  # fmt: skip


def test_nothing_is_done_by_default_nor_for_other_pools_nor_after_a_failed_look() -> None:
    seen = world(*FOUR)
    assert len(orders(seen, decide(seen))) == 2
    assert orders(seen, decide(seen), pool="other") == []
    blind = replace(seen, unread=("pools",))
    assert orders(blind, decide(blind)) == []
    off = replace(seen, specs={"small": spec(delete=False, keep=2)})
    assert orders(off, decide(off)) == []


def test_the_report_adds_up() -> None:
    seen = world(*FOUR)
    report = as_json(seen, decide(seen))
    assert report["total"]["actions"] == {"keep": 14, "retire": 2}
    assert (report["total"]["gib_coming"], report["total"]["cost_coming"]) == (256, {"EUR": 32.0})
    assert report["items"][0]["why"] == "2 newer ones are good, and no pool is on it"
    assert "retire" in table(decide(seen))
    assert "32.00 EUR" in totals_table(decide(seen))
    assert table([]) == totals_table([]) == ""
