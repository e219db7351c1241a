"""Resizes by hand and by scale times, beside the runs that refresh the pool."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from golden_pools.errors import OwnershipError, ResizeGaveUpError
from golden_pools.operators import scale
from golden_pools.operators.scale import ResizeByHandOperator, ScalePoolOperator
from golden_pools.rules.plan import RESIZE_PARAMS
from golden_pools.sensors.pools import PoolNodesSensor
from golden_pools.sensors.scale import ScaledNodesSensor
from golden_pools.spec.model import PoolSpec
from golden_pools.triggers import runs

from tests.operators.conftest import Cloud, Run, TaskInstance, fire

DAY, NIGHT = datetime(2035, 11, 27, 12, tzinfo=UTC), datetime(2035, 11, 27, 23, tzinfo=UTC)
"""By day the pool has 3 nodes, by night 1. Far enough from now: the waits for the next scale time are never late."""

LONG_AGO = datetime(2025, 11, 25, 12, tzinfo=UTC)
"""A day whose next scale time has come already."""

REFRESH = "golden_pool_small"


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec, image: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Make a run for a moment, which is the present from then on; its waits are long enough for any resize."""
    times = [{"cron": "0 7 * * *", "dedicated": 3}, {"cron": "0 19 * * *", "dedicated": 1}]
    scaled = PoolSpec.model_validate(
        {**spec.model_dump(mode="json"), "scale": times, "resize": {"back_off_minutes": 0, "ready_minutes": 5}}
    )
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0.01)

    def make(stamp: datetime = DAY, **facts: Any) -> Run:
        run = Run(scaled, stamp=stamp, **{"keys": (), **facts})
        monkeypatch.setattr(scale, "now", lambda: stamp)
        monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", TaskInstance(run, "scale").get_dr_count)
        run.in_waits = repeat(lambda: cloud.advance(minutes=20))
        return run

    return make


@pytest.fixture
def by_hand(make_run: Callable[..., Run]) -> Callable[..., Run]:
    """Make a run that a person started."""

    def make(run_id: str = "manual__1", **counts: int) -> Run:
        return make_run(run_id=run_id, conf={"pool": "small", "why": "so", **counts}, keys=RESIZE_PARAMS)

    return make


def scale_time() -> ScalePoolOperator:
    return ScalePoolOperator(task_id="resize")


def resize_by_hand() -> ResizeByHandOperator:
    return ResizeByHandOperator(task_id="resize")


def nodes(run: Run, sensor: type[PoolNodesSensor] = ScaledNodesSensor) -> PoolNodesSensor:
    pool = run.plan.spec.pool
    return sensor(
        task_id="nodes",
        connection=run.spec.connection,
        subscription=run.spec.subscription,
        resource_group=pool.resource_group,
        account=pool.account,
        pool_name=run.pool,
        dedicated=run.plan.targets.dedicated,
    )


def size(cloud: Cloud) -> int:
    count: int = cloud.pool()["properties"]["currentDedicatedNodes"]
    return count


# Scale times


def test_the_morning_brings_the_pool_up(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY)
    assert run.do(scale_time())["verdict"] == "reached"
    assert run.do(nodes(run)) == {"pool": "small", "dedicated": 3, "spot": 0}
    assert size(cloud) == 3


def test_the_evening_brings_the_pool_down(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=3)
    run = make_run(NIGHT)
    assert run.do(scale_time())["verdict"] == "reached"
    assert run.do(nodes(run)) == {"pool": "small", "dedicated": 1, "spot": 0}
    assert size(cloud) == 1


def test_a_pool_that_has_its_counts_is_left_alone(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=3)
    assert make_run(DAY).do(scale_time())["resizes"] == 0
    assert cloud.writes() == []


def test_a_scale_time_waits_for_a_refresh_and_applies_its_counts_then(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    """A refresh that was planned by night leaves the pool at the counts of the night, and one that fails at any."""
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY, running={REFRESH})
    written: list[str] = []

    def refresh_ends() -> None:
        written.extend(cloud.writes())
        run.running.clear()

    run.in_waits = chain([refresh_ends], run.in_waits)
    assert run.do(scale_time())["verdict"] == "reached"
    assert run.deferrals == ["RunsEndTrigger", "ResizeTrigger"]
    assert run.kwargs[0] == {"dag_id": REFRESH, "deadline": "2035-11-27T19:00:00+00:00"}
    assert written == []
    assert size(cloud) == 3


def test_a_refresh_that_outlasts_the_next_scale_time_leaves_the_pool_to_that_one(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(LONG_AGO, running={REFRESH})
    assert "still refreshes the pool at the next scale time" in run.do(scale_time())
    assert run.deferrals == ["RunsEndTrigger"]
    assert cloud.writes() == []


def test_a_time_that_is_over_is_not_applied_any_more(
    cloud: Cloud, image: str, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its task is cleared in the evening, or waited for a worker all day."""
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY)
    monkeypatch.setattr(scale, "now", lambda: NIGHT)
    assert "a later scale time is in force" in run.do(scale_time())
    assert cloud.writes() == []


def test_a_worker_with_a_slow_clock_does_not_take_its_own_time_for_one_that_is_over(
    cloud: Cloud, image: str, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY.replace(hour=7))
    monkeypatch.setattr(scale, "now", lambda: DAY.replace(hour=6, minute=59))
    assert run.do(scale_time())["verdict"] == "reached"


def test_a_refresh_that_begins_meanwhile_goes_first(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY)

    def refresh_begins() -> None:
        run.running.add(REFRESH)
        cloud.advance(minutes=20)
        cloud.resize(dedicated=0)
        cloud.advance(minutes=20)

    run.in_waits = chain([refresh_begins, run.running.clear], run.in_waits)
    assert run.do(scale_time())["verdict"] == "reached"
    assert run.deferrals == ["ResizeTrigger", "RunsEndTrigger", "ResizeTrigger"]
    assert size(cloud) == 3


def test_anybody_elses_resize_is_a_conflict_as_ever(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY)
    run.in_waits = [lambda: (cloud.advance(minutes=5), cloud.resize(dedicated=7))]
    with pytest.raises(OwnershipError):
        run.do(scale_time())


def test_a_retry_waits_for_the_refresh_again(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = make_run(DAY, running={REFRESH})
    run.begin(scale_time())
    run.in_waits = chain([run.running.clear], run.in_waits)
    assert run.do(scale_time())["verdict"] == "reached"
    assert len(cloud.writes()) == 1


def test_nodes_that_a_refresh_took_away_are_no_failure(cloud: Cloud, image: str, make_run: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=3)
    run = make_run(DAY)
    cloud.delete_pool()
    cloud.advance(minutes=20)
    run.running.add(REFRESH)
    assert "a run refreshes the pool" in run.do(nodes(run))


def test_nodes_that_are_gone_without_a_refresh_are_a_failure(
    cloud: Cloud, image: str, make_run: Callable[..., Run]
) -> None:
    cloud.make_pool(image, dedicated=3)
    run = make_run(DAY)
    cloud.delete_pool()
    cloud.advance(minutes=20)
    with pytest.raises(ResizeGaveUpError, match="being deleted, or does not exist"):
        run.do(nodes(run))


# By hand


def test_a_person_brings_the_pool_to_other_counts(cloud: Cloud, image: str, by_hand: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = by_hand(dedicated=5)
    assert run.do(resize_by_hand())["verdict"] == "reached"
    assert run.do(nodes(run, PoolNodesSensor)) == {"pool": "small", "dedicated": 5, "spot": 0}


def test_a_person_is_told_to_wait_for_a_refresh(cloud: Cloud, image: str, by_hand: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = by_hand(dedicated=5)
    run.running.add(REFRESH)
    with pytest.raises(OwnershipError) as refused:
        run.do(resize_by_hand())
    assert refused.value.resource == run.plan.pool_id
    assert "wait until the run of DAG golden_pool_small has ended, or stop it" in refused.value.advice
    assert (run.deferrals, cloud.writes()) == ([], [])


def test_a_refresh_of_another_pool_is_in_nobodys_way(cloud: Cloud, image: str, by_hand: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    run = by_hand(dedicated=5)
    run.running.add("golden_pool_other")
    assert run.do(resize_by_hand())["verdict"] == "reached"


def test_a_resize_by_hand_stops_where_a_refresh_begins(cloud: Cloud, image: str, by_hand: Callable[..., Run]) -> None:
    cloud.make_pool(image, dedicated=1)
    cloud.allocation(max_dedicated_nodes=2)
    run = by_hand(dedicated=5)

    def refresh_begins() -> None:
        cloud.advance(minutes=20)
        run.running.add(REFRESH)

    run.in_waits = [refresh_begins]
    with pytest.raises(OwnershipError, match="A run refreshes the pool"):
        run.do(resize_by_hand())
    assert len(cloud.writes()) == 1


def test_of_two_resizes_by_hand_the_second_waits_for_the_first(
    cloud: Cloud, image: str, by_hand: Callable[..., Run]
) -> None:
    cloud.make_pool(image, dedicated=1)
    by_hand("manual__1", dedicated=5).begin(resize_by_hand())
    second = by_hand("manual__2", dedicated=2)
    sizes: list[int] = []

    def first_ends() -> None:
        cloud.advance(minutes=20)
        sizes.append(size(cloud))

    second.in_waits = chain([first_ends], second.in_waits)
    assert second.do(resize_by_hand())["verdict"] == "reached"
    assert second.deferrals == ["SettleTrigger", "ResizeTrigger"]
    assert (sizes, size(cloud)) == ([5], 2)


def test_the_first_of_two_resizes_by_hand_says_who_came_after_it(
    cloud: Cloud, image: str, by_hand: Callable[..., Run]
) -> None:
    """Where its own end fell between two polls: it does not fight for the pool."""
    cloud.make_pool(image, dedicated=1)
    first, task = by_hand("manual__1", dedicated=5), resize_by_hand()
    wait = first.begin(task)
    assert by_hand("manual__2", dedicated=2).do(resize_by_hand())["verdict"] == "reached"
    with pytest.raises(OwnershipError) as lost:
        task.go_on(first.context(task), event=fire(wait).payload)  # type: ignore[arg-type]
    assert "somebody asked for 2 dedicated and 0 Spot nodes during our resize to 5 and 0" in lost.value.answer
