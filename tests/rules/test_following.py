"""Which version a follower takes: the newest good one whose turn has come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.facts import ImageVersion
from golden_pools.rules.following import Choice, History, Milestone, choose, is_on_its_way, why_not
from golden_pools.rules.plan import RunPlan, make_plan
from golden_pools.spec.model import PoolSpec
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import DEFINITION_ID, NOW, spec, version

DAY = timedelta(days=1)
NAMES = ("2026.1101.10000", "2026.1102.10000", "2026.1103.10000")
OLD, MIDDLE, NEW = NAMES
GOOD = {"golden-pools-verdict": "good"}
BAD = {"golden-pools-verdict": "bad", "golden-pools-why": "the probe failed"}


def plan_of(*after: str, pause: int = 0, by_hand: bool = False, regions: tuple[str, ...] = ()) -> RunPlan:
    """Return the plan of a run of a follower of ``head``."""
    whole = spec().model_dump(mode="json") | {"golden_vm": None}
    whole["image"] = {"source": {"follow": {"pool": "head", "after": list(after), "pause_minutes": pause}}}
    follower = PoolSpec.model_validate(whole)
    head = spec(image={"target_regions": [{"name": region} for region in regions]})
    return make_plan(
        follower,
        pool="wave",
        dag_id="golden_pool_wave",
        run_id="run",
        triggered_by="asset",
        stamp=NOW,
        conf={},
        params={},
        followed={"head": head, **dict.fromkeys(after, follower)},
        scheduled=not by_hand,
    )


def a_version(name: str, **changes: Any) -> ImageVersion:
    """Return a version that proved good."""
    facts = {"id": f"{DEFINITION_ID}/versions/{name}", "name": name, "tags": GOOD, "published": NOW - 9 * DAY}
    return version(**(facts | changes))


def on(name: str, at: datetime = NOW - DAY) -> Milestone:
    return Milestone(image_id=f"{DEFINITION_ID}/versions/{name}", at=at)


ALL = [a_version(name) for name in NAMES]


def chosen(
    plan: RunPlan,
    versions: list[ImageVersion] = ALL,
    history: History | None = None,
    present: str | None = None,
    region: str | None = None,
) -> Choice | None:
    image = f"{DEFINITION_ID}/versions/{present}".upper() if present else None
    return choose(plan, versions, history or {}, region=region, present_image=image, now=NOW)


def name_of(choice: Choice | None) -> tuple[str, bool] | None:
    """Return the chosen version's name, and whether it is taken at once."""
    return (choice.version.name, choice.not_before is None) if choice else None


def test_the_plan_names_the_definition_that_it_follows() -> None:
    assert plan_of().definition_id == DEFINITION_ID
    assert plan_of("first").followed.keys() == {"head", "first"}


def test_the_newest_good_version_is_taken() -> None:
    assert name_of(chosen(plan_of(), present=OLD)) == (NEW, True)
    assert name_of(chosen(plan_of())) == (NEW, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {}},
        {"tags": BAD},
        {"tags": GOOD | {"golden-pools-retired": "2026-11-20 old"}},
        {"provisioning_state": "Failed"},
        {"end_of_life": NOW - DAY},
    ],
)
def test_what_is_not_good_is_not_taken(changes: dict[str, Any]) -> None:
    assert name_of(chosen(plan_of(), [*ALL[:2], a_version(NEW, **changes)])) == (MIDDLE, True)


def test_without_a_good_version_there_is_nothing_to_take() -> None:
    assert chosen(plan_of(), [a_version(NEW, tags={})]) is None
    assert chosen(plan_of(), []) is None


def test_a_pool_waits_for_those_that_go_first() -> None:
    plan = plan_of("first", "second")
    assert chosen(plan) is None
    assert name_of(chosen(plan, history={"first": [on(NEW)], "second": [on(MIDDLE)]})) == (MIDDLE, True)
    assert chosen(plan, history={"first": [on(NEW)]}) is None


def test_a_pool_that_went_back_holds_the_next_one_where_it_is() -> None:
    """Nobody goes back from a good version because others did."""
    went_back = {"first": [on(NEW, NOW - 2 * DAY), on(OLD)]}
    assert name_of(chosen(plan_of("first"), history=went_back, present=MIDDLE)) == (MIDDLE, True)
    assert name_of(chosen(plan_of("first"), history=went_back)) == (OLD, True)


def test_a_pool_on_a_version_that_turned_out_bad_goes_to_an_older_one() -> None:
    versions = [*ALL[:2], a_version(NEW, tags=BAD)]
    assert name_of(chosen(plan_of(), versions, present=NEW)) == (MIDDLE, True)


def test_events_of_another_image_do_not_count() -> None:
    other = Milestone(image_id=f"{DEFINITION_ID}-other/versions/{NEW}", at=NOW)
    assert chosen(plan_of("first"), history={"first": [other]}) is None
    assert chosen(plan_of("first"), history={"first": [on(NEW), other]}) is None


def test_the_pause_counts_from_the_moment_that_the_version_was_good() -> None:
    plan = plan_of(pause=60)
    just = {"head": [on(MIDDLE), on(NEW, NOW - timedelta(minutes=20))]}
    choice = chosen(plan, history=just, present=MIDDLE)
    assert choice is not None
    assert (choice.version.name, choice.not_before) == (NEW, NOW + timedelta(minutes=40))
    assert name_of(chosen(plan_of(pause=20), history=just, present=MIDDLE)) == (NEW, True)


def test_the_pause_counts_from_the_last_pool_before() -> None:
    known = {"head": [on(NEW, NOW - DAY)], "first": [on(NEW, NOW - timedelta(minutes=5)), on(NEW, NOW)]}
    choice = chosen(plan_of("first", pause=60), [ALL[2]], history=known)
    assert choice is not None
    assert choice.not_before == NOW + timedelta(minutes=55), "a run that changed nothing does not begin it anew"


def test_a_pool_that_skipped_a_version_counts_for_both_and_the_newer_is_taken() -> None:
    choice = chosen(plan_of("first", pause=60), history={"first": [on(NEW, NOW)]})
    assert choice is not None
    assert (choice.version.name, choice.not_before) == (NEW, NOW + timedelta(hours=1))


def test_a_pause_that_goes_on_does_not_hold_back_an_older_version() -> None:
    """A version a day and a pause of more than a day: each gets its turn."""
    known = {"head": [on(OLD, NOW - 3 * DAY), on(MIDDLE, NOW - DAY), on(NEW, NOW)]}
    plan = plan_of(pause=36 * 60)
    assert name_of(chosen(plan, history=known)) == (OLD, True)
    choice = chosen(plan, history=known, present=OLD)
    assert choice is not None
    assert (choice.version.name, choice.not_before) == (MIDDLE, NOW + timedelta(hours=12))


def test_a_run_by_hand_does_not_pause_but_waits_for_the_others() -> None:
    known = {"head": [on(NEW, NOW)], "first": [on(MIDDLE, NOW)]}
    assert name_of(chosen(plan_of("first", pause=600, by_hand=True), history=known)) == (MIDDLE, True)


def test_a_version_that_is_not_in_the_pool_s_region_is_left_unless_it_comes_there() -> None:
    home = dict.fromkeys(ALL[0].target_regions, 1)
    versions = [a_version(OLD, target_regions={**home, "northeurope": 1}), ALL[2]]
    assert name_of(chosen(plan_of(), versions, region="northeurope")) == (OLD, True)
    coming = plan_of(regions=("North Europe",))
    assert name_of(chosen(coming, versions, region="northeurope")) == (NEW, True)
    assert is_on_its_way(coming, "northeurope")
    assert not is_on_its_way(coming, "uksouth")


def test_why_a_chosen_version_is_not_taken_any_more() -> None:
    plan, known = plan_of("first"), {"first": [on(NEW)]}
    assert why_not(plan, ALL[2], known, NOW) == ""
    assert why_not(plan, None, known, NOW) == "it is not there any more"
    assert why_not(plan, a_version(NEW, tags=BAD), known, NOW) == "it was marked bad: the probe failed"
    retired = a_version(NEW, tags={"golden-pools-retired": "2026-11-20 old"})
    assert why_not(plan, retired, known, NOW) == "it is being retired, or was never complete"
    back = {"first": [on(NEW), on(OLD, NOW)]}
    assert why_not(plan, ALL[2], back, NOW) == f"pool first is on {OLD} since 2026-11-22 04:15 UTC"
    assert why_not(plan, ALL[2], {}, NOW) == "pool first has no run on record that succeeded"


@given(
    tags=st.lists(st.sampled_from([GOOD, BAD, {}]), min_size=3, max_size=3),
    moves=st.lists(st.tuples(st.sampled_from(["head", "first", "second"]), st.sampled_from(NAMES)), max_size=12),
    present=st.sampled_from([None, *NAMES]),
    pause=st.integers(0, 5000),
)
def test_whatever_happened_only_a_good_version_is_taken_that_all_before_are_on(
    tags: list[dict[str, str]], moves: list[tuple[str, str]], present: str | None, pause: int
) -> None:
    versions = [a_version(name, tags=tag) for name, tag in zip(NAMES, tags, strict=True)]
    history: dict[str, list[Milestone]] = {"head": [], "first": [], "second": []}
    for number, (pool, name) in enumerate(moves):
        history[pool].append(on(name, NOW - timedelta(hours=len(moves) - number)))
    choice = chosen(plan_of("first", "second", pause=pause), versions, history, present)
    if choice is None:
        return
    assert choice.version.tags == GOOD
    if choice.version.name != present:
        for pool in ("first", "second"):
            assert history[pool][-1].image_id.rpartition("/")[2] >= choice.version.name
        assert present is None or tags[NAMES.index(present)] != GOOD or choice.version.name > present
        assert choice.not_before is None or choice.not_before > NOW
