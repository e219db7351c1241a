"""What the stages that wait for nodes leave of what they saw: the curve that the page draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from golden_pools.errors import ResizeGaveUpError
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.rules.resize import SAMPLES
from golden_pools.sensors.pools import PoolNodesSensor

from tests.operators.conftest import NEW, Run, small_pool
from tests.operators.region import CAPACITY, Region, make_region
from tests.operators.test_nodes import outcome
from tests.operators.test_preflight import changed


@pytest.fixture
def region() -> Iterator[Region]:
    with make_region() as made:
        yield made


def curve(run: Run, task_id: str) -> list[list[Any]]:
    """Return the samples of a task, wherever it ended."""
    found = run.pushed[task_id, SAMPLES]
    points: list[list[Any]] = json.loads(found) if isinstance(found, str) else found
    times = [datetime.fromisoformat(point[0]) for point in points]
    assert times == sorted(times)
    return points


def counts(points: list[list[Any]]) -> list[tuple[int, ...]]:
    """Return points without their times, each once in a row."""
    return [tuple(point[1:]) for point in points]


def test_a_resize_leaves_how_the_nodes_came(region: Region) -> None:
    run = region.run(dedicated=3)
    run.do(ResizePoolOperator(task_id="resize"))
    points = counts(curve(run, "resize"))
    assert points[0] == (0, 0, 0, 0)
    assert points[-1][0] == 3


def test_nodes_leave_how_they_became_ready(region: Region) -> None:
    run = region.run(dedicated=3)
    run.do(ResizePoolOperator(task_id="resize"))
    run.do(ReadyNodesOperator(task_id="nodes"))
    points = counts(curve(run, "nodes"))
    assert points[-1] == (3, 3, 0, 0)
    assert all(allocated == ready + starting + bad for allocated, ready, starting, bad in points)


def test_the_waits_of_a_task_are_one_curve(region: Region) -> None:
    """A resize that found no capacity, a pause, and a second one: also the pause is on the picture."""
    region.cloud.allocation(max_dedicated_nodes=0, error=CAPACITY)
    run = region.run(dedicated=3, back_off_minutes=60)
    run.do(ResizePoolOperator(task_id="resize"))
    assert run.deferrals == ["ResizeTrigger", "SettleTrigger", "ResizeTrigger"]
    points = curve(run, "resize")
    assert (points[0][1], points[-1][1]) == (0, 3)
    hours = datetime.fromisoformat(points[-1][0]) - datetime.fromisoformat(points[0][0])
    assert hours.total_seconds() > 3600


def test_a_stage_that_gives_up_leaves_what_it_saw(region: Region) -> None:
    region.cloud.allocation(resizes=9, max_dedicated_nodes=1, error=CAPACITY)
    run = region.run(dedicated=3, back_off_minutes=0)
    with pytest.raises(ResizeGaveUpError):
        run.do(ResizePoolOperator(task_id="resize"))
    assert curve(run, "resize")[-1][1] == 1


def test_a_retry_goes_on_with_the_curve_of_the_try_before(region: Region) -> None:
    """Airflow takes the XComs of a try away when the next one begins."""
    region.cloud.allocation(resizes=9, max_dedicated_nodes=1, error=CAPACITY)
    run = region.run(dedicated=3, back_off_minutes=0)
    stage = ResizePoolOperator(task_id="resize")
    with pytest.raises(ResizeGaveUpError):
        run.do(stage)
    before = curve(run, "resize")
    region.cloud.control("DELETE", "allocations")
    run.do(stage)
    assert curve(run, "resize")[: len(before) - 1] == before[:-1]
    assert curve(run, "resize")[-1][1] == 3


def test_bad_nodes_are_on_the_curve(region: Region) -> None:
    outcome(region.cloud, nodes=1)
    run = region.run(dedicated=3)
    run.do(ResizePoolOperator(task_id="resize"))
    run.do(ReadyNodesOperator(task_id="nodes"))
    assert any(point[4] == 1 for point in curve(run, "nodes"))
    assert counts(curve(run, "nodes"))[-1] == (3, 3, 0, 0)


def test_the_sensor_leaves_what_it_saw_also_when_it_gives_up(region: Region) -> None:
    run = Run(changed(small_pool(region.cloud)), conf={"image_version": NEW}, fire=region.time.fire)
    pool = run.spec.pool
    sensor = PoolNodesSensor(
        task_id="wait",
        connection=run.spec.connection,
        subscription=run.spec.subscription,
        resource_group=pool.resource_group,
        account=pool.account,
        pool_name="small",
        dedicated=2,
    )
    with pytest.raises(ResizeGaveUpError):
        run.do(sensor)
    assert counts(curve(run, "wait"))[-1] == (0, 0, 0, 0)
    region.cloud.resize(dedicated=2)
    run.do(sensor)
    assert counts(curve(run, "wait"))[-1] == (2, 2, 0, 0)
