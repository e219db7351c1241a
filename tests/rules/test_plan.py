"""The run plan: names, version numbers, what the form may change, and the words for what it may not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from golden_pools.errors import RunConfError
from golden_pools.rules.plan import PARAMS, RESIZE_PARAMS, RunPlan, made_by, make_plan, owner_of
from golden_pools.spec.model import PoolSpec, ScaleTime, Strategy, Targets
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import COMPUTE, DEFINITION_ID, DIRECT, NOW, SUBSCRIPTION, VERSION_ID, plan, spec

COMPUTE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,78}[A-Za-z0-9_])?")
"""Names that snapshots and managed images both take ("Naming rules and restrictions for Azure resources")."""

INT32 = 2**31 - 1


def made(params: dict[str, Any] | None = None, conf: dict[str, Any] | None = None, **facts: Any) -> RunPlan:
    given_facts: dict[str, Any] = {
        "pool": "small",
        "dag_id": "golden_pools_small",
        "run_id": "manual__1",
        "triggered_by": "ada",
        "stamp": NOW,
    }
    return make_plan(facts.pop("of", spec()), **{**given_facts, **facts}, conf=conf or {}, params=params or {})


def refused(params: dict[str, Any] | None = None, conf: dict[str, Any] | None = None, **facts: Any) -> RunConfError:
    with pytest.raises(RunConfError) as caught:
        made(params, conf, **facts)
    return caught.value


def scaled(**parts: Any) -> PoolSpec:
    """Return the spec with 700 nodes by day and 4 by night; the pool's own targets are 10 and 5."""
    day, night = ScaleTime(cron="0 7 * * *", dedicated=600, spot=100), ScaleTime(cron="0 19 * * *", dedicated=4)
    return spec(**parts).model_copy(update={"scale": (day, night)})


BY_NIGHT, BY_DAY = NOW, NOW.replace(hour=12)


# Names and numbers


def test_names_begin_with_the_pool_and_the_stamp() -> None:
    run = plan()

    assert run.snapshot_name(None) == "small-20261122T041500-os"
    assert run.snapshot_name(3) == "small-20261122T041500-data-3"
    assert run.managed_image_name == "small-20261122T041500"


def test_the_specs_image_name_replaces_the_pools() -> None:
    assert plan(image={"name": "render"}).snapshot_name(None) == "render-20261122T041500-os"


def test_names_are_in_utc_wherever_the_run_was_meant_to_start() -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))

    assert plan(stamp=berlin).stem == plan().stem
    assert plan(stamp=berlin).version_name == plan().version_name


def test_the_version_number_is_the_stamp() -> None:
    assert plan().version_name == "2026.1122.41500"
    assert plan(stamp=datetime(2027, 1, 5, 0, 0, 7, tzinfo=UTC)).version_name == "2027.105.7"


def test_ids_are_whole_arm_ids() -> None:
    run = plan()

    assert run.snapshot_id(0) == f"{COMPUTE}/snapshots/small-20261122T041500-data-0"
    assert run.managed_image_id == f"{COMPUTE}/images/small-20261122T041500"
    assert run.definition_id == DEFINITION_ID
    assert run.version_id == f"{DEFINITION_ID}/versions/2026.1122.41500"
    assert run.pool_id == (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/providers/Microsoft.Batch"
        "/batchAccounts/goldenbatch/pools/small"
    )


def test_the_pool_takes_the_version_or_directly_the_managed_image() -> None:
    assert plan().image_id == plan().version_id
    assert plan(image=DIRECT).image_id == plan(image=DIRECT).managed_image_id
    assert plan(image=DIRECT, version=VERSION_ID).image_id == VERSION_ID


FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (2020, 2200))
STAMPS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@given(STAMPS, st.timedeltas(timedelta(seconds=1), timedelta(days=3650)))
def test_a_later_run_has_the_higher_version(stamp: datetime, later: timedelta) -> None:
    first, second = plan(stamp=stamp).version_name, plan(stamp=stamp + later).version_name

    assert numbers(first) < numbers(second)


@given(STAMPS)
def test_a_version_is_one_that_azure_takes(stamp: datetime) -> None:
    version = plan(stamp=stamp).version_name

    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version)
    assert all(part <= INT32 for part in numbers(version))


@given(STAMPS, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,51}", fullmatch=True), st.none() | st.integers(0, 63))
def test_names_are_such_that_azure_takes_them(stamp: datetime, stem: str, lun: int | None) -> None:
    run = plan(stamp=stamp, image={"name": stem})

    assert COMPUTE_NAME.fullmatch(run.snapshot_name(lun))
    assert COMPUTE_NAME.fullmatch(run.managed_image_name)


@given(st.lists(st.none() | st.integers(0, 63), unique=True))
def test_no_two_disks_share_a_snapshot_name(luns: list[int | None]) -> None:
    names = [plan().snapshot_name(lun).lower() for lun in luns]

    assert len(set(names)) == len(names)


@given(STAMPS)
def test_a_plan_survives_xcom(stamp: datetime) -> None:
    run = plan(stamp=stamp, version=VERSION_ID)

    assert RunPlan.model_validate(run.model_dump(mode="json")) == run


# Replicas


def test_replicas_go_to_the_golden_vms_region_and_the_named_ones() -> None:
    run = plan(
        image={"target_regions": [{"name": "North Europe", "replicas": 4}, {"name": "uksouth"}]},
        pool={"targets": {"dedicated": 400, "spot": 201}},
    )

    assert run.replicas("West Europe") == {"westeurope": 3, "northeurope": 4, "uksouth": 3}


def test_the_golden_vms_region_may_be_named_with_replicas_of_its_own() -> None:
    run = plan(image={"replicas": 2, "target_regions": [{"name": "westeurope", "replicas": 5}]})

    assert run.replicas("westeurope") == {"westeurope": 5}


@pytest.mark.parametrize(("nodes", "replicas"), [(0, 1), (1, 1), (300, 1), (301, 2), (2500, 9)])
def test_one_replica_serves_300_nodes(nodes: int, replicas: int) -> None:
    assert plan(pool={"targets": {"dedicated": nodes}}).replicas("westeurope") == {"westeurope": replicas}


def test_an_image_made_by_night_has_replicas_for_the_day() -> None:
    run = made(of=scaled(), stamp=BY_NIGHT)

    assert run.targets.total == 4
    assert run.replicas("westeurope") == {"westeurope": 3}


def test_the_pools_own_targets_count_among_the_largest() -> None:
    run = made(of=scaled(pool={"targets": {"dedicated": 901}}), stamp=BY_NIGHT)

    assert run.replicas("westeurope") == {"westeurope": 4}


def test_replicas_follow_a_form_that_asks_for_more_than_the_spec_and_not_for_less() -> None:
    assert made({"dedicated": 901}, of=spec()).replicas("westeurope") == {"westeurope": 4}
    assert made({"dedicated": 1}, of=scaled()).replicas("westeurope") == {"westeurope": 3}


# Scale times


def test_a_run_takes_the_targets_of_the_moment_it_began() -> None:
    assert made(of=scaled(), stamp=BY_NIGHT).targets == Targets(dedicated=4, spot=0)
    assert made(of=scaled(), stamp=BY_DAY).targets == Targets(dedicated=600, spot=100)


def test_what_the_form_leaves_open_is_what_the_scale_time_says() -> None:
    assert made({"dedicated": 9}, of=scaled(), stamp=BY_DAY).targets == Targets(dedicated=9, spot=100)


def test_the_spec_in_the_plan_keeps_its_scale_times() -> None:
    assert made(of=scaled(), stamp=BY_NIGHT).spec.scale == scaled().scale


# Runs that only resize


def test_a_resize_keeps_its_reason() -> None:
    run = made({"dedicated": 3, "why": "a big order"}, keys=RESIZE_PARAMS)

    assert (run.why, run.targets) == ("a big order", Targets(dedicated=3, spot=5))


def test_a_resize_does_not_care_how_the_pool_is_refreshed() -> None:
    blue_green = spec(refresh={"strategy": "blue_green"})

    assert made({"why": "so"}, of=blue_green, keys=RESIZE_PARAMS).spec.refresh.strategy is Strategy.BLUE_GREEN


@pytest.mark.parametrize("why", ["", "  ", 7, None])
def test_a_resize_without_a_reason_is_refused(why: Any) -> None:
    error = refused({"why": why}, keys=RESIZE_PARAMS)

    assert f"why is {why!r}, not a reason" in str(error)
    assert error.advice.endswith("pool, dedicated, spot, why")


def test_a_key_of_another_form_is_refused() -> None:
    assert "image_version is not a key of the form" in str(
        refused({"why": "so"}, conf={"image_version": "1.2.3"}, keys=RESIZE_PARAMS)
    )
    assert "why is not a key of the form" in str(refused(conf={"why": "so"}))
    assert "did you mean why?" in str(refused({"why": "so"}, conf={"wy": "so"}, keys=RESIZE_PARAMS))


def test_a_run_without_a_form_takes_no_configuration() -> None:
    error = refused({"why": "scale time"}, conf={"dedicated": 3}, keys=())

    assert error.advice == "trigger the DAG again without a configuration"


def test_two_kinds_of_run_of_one_pool_never_own_each_others_resources() -> None:
    refresh = made(dag_id="golden_pool_small")

    assert not made_by(made({"why": "so"}, dag_id="resize_pool", keys=RESIZE_PARAMS), refresh.tags)


# Ownership


def test_a_run_knows_what_it_made_itself() -> None:
    run = plan()

    assert made_by(run, {**run.tags, "more": "tags"})
    assert not made_by(made(run_id="manual__2"), run.tags)
    assert not made_by(made(pool="other"), run.tags)
    assert not made_by(run, {})


def test_the_owner_is_named_by_run_and_dag() -> None:
    assert owner_of(plan().tags) == "run manual__1 of DAG golden_pools_small"
    assert "somebody else" in owner_of({"team": "a"})


def test_a_long_run_id_fits_into_a_tag_and_is_known_again() -> None:
    run = made(run_id="r" * 300)

    assert all(len(value) <= 256 for value in run.tags.values())
    assert made_by(run, run.tags)


# The form


def test_an_empty_form_leaves_the_spec_as_it_is() -> None:
    run = made()

    assert run.spec == spec()
    assert run.builds_image
    assert not run.plan_only


def test_the_form_changes_targets_strategy_version_and_mode() -> None:
    run = made({"dedicated": 0, "spot": 7, "refresh_strategy": "in_place", "image_version": "1.2.3", "plan_only": True})

    assert (run.targets.dedicated, run.targets.spot) == (0, 7)
    assert run.spec.refresh.strategy is Strategy.IN_PLACE
    assert run.version_id == f"{DEFINITION_ID}/versions/1.2.3"
    assert not run.builds_image
    assert run.plan_only


def test_one_target_alone_may_change() -> None:
    assert made({"spot": 0}).targets == spec().pool.targets.model_copy(update={"spot": 0})


def test_a_whole_version_id_is_taken_as_it_is() -> None:
    assert made({"image_version": VERSION_ID.upper()}).version_id == VERSION_ID.upper()


@pytest.mark.parametrize(
    "version",
    [
        "1.2",
        "1.2.3.4",
        "latest",
        "v1.2.3",
        "1.2.3 ",
        "1.2.3\n",
        "1.2.2147483648",
        f"{VERSION_ID}\n",
        DEFINITION_ID,
        f"{VERSION_ID}/x",
        VERSION_ID.replace("Microsoft.Compute", "Microsoft.Storage"),
    ],
)
def test_a_version_that_cannot_be_one_is_refused(version: str) -> None:
    error = refused({"image_version": version})

    assert repr(version) in str(error)
    assert "Major.Minor.Patch" in str(error)


def test_a_bare_version_means_nothing_without_a_gallery() -> None:
    with pytest.raises(RunConfError, match="full ARM id"):
        made({"image_version": "1.2.3"}, of=spec(image=DIRECT))


@pytest.mark.parametrize("value", [-1, 1.5, "3", True])
@pytest.mark.parametrize("key", ["dedicated", "spot"])
def test_a_target_that_is_no_count_is_refused(key: str, value: Any) -> None:
    assert f"{key} is {value!r}, not a number of nodes" in str(refused({key: value}))


def test_an_unknown_strategy_is_refused_with_the_allowed_ones() -> None:
    assert "refresh_strategy is 'rolling', allowed: in_place" in str(refused({"refresh_strategy": "rolling"}))


def test_plan_only_that_is_not_true_or_false_is_refused() -> None:
    assert "plan_only is 'yes', not true or false" in str(refused({"plan_only": "yes"}))


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    assert "dedicatd is not a key of the form (did you mean dedicated?)" in str(refused(conf={"dedicatd": 3}))


def test_all_faults_come_at_once_with_the_way_out() -> None:
    error = refused({"dedicated": -1, "plan_only": "yes"}, conf={"colour": "red"})

    for part in ("colour", "dedicated", "plan_only"):
        assert part in error.what
    assert error.resource == "run manual__1 of DAG golden_pools_small"
    assert ", ".join(PARAMS) in error.advice
