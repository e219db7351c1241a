"""The clock that tests share with Azure and Airflow: exact, repeatable, and strict about deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger, TriggerEvent
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.resize import ResizePoolOperator

from tests.operators.conftest import NEW, Run, small_pool
from tests.virtual_time import HANDOVER, SKEW, virtual_cloud


def time_to_target() -> tuple[timedelta, int]:
    """Return how long 300 nodes take in a world that was just made, and how many requests."""
    with virtual_cloud() as (cloud, virtual):
        cloud.make_pool(cloud.make_version(NEW))
        run = Run(small_pool(cloud), conf={"image_version": NEW, "dedicated": 300, "spot": 0}, fire=virtual.fire)
        begun = virtual.now()
        run.do(ResizePoolOperator(task_id="resize"))
        assert run.do(ReadyNodesOperator(task_id="nodes"))["dedicated"] == 300
        return virtual.now() - begun, len(cloud.requests())


def test_a_run_takes_the_same_time_twice() -> None:
    """90 seconds, then a node a second, and two minutes until the last one takes work."""
    first, second = time_to_target(), time_to_target()
    assert first == second
    assert timedelta(minutes=8) < first[0] < timedelta(minutes=10)


class Sleeper(BaseTrigger):
    """Sleeps before it fires."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Sleeper", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.seconds)
        yield TriggerEvent("awake")


def test_a_sleep_moves_azure_and_airflow_alike() -> None:
    from golden_pools.operators import base

    with virtual_cloud() as (cloud, virtual):
        before = cloud.world.clock.now()
        virtual.fire(Sleeper(7200), timedelta(hours=2))
        assert cloud.world.clock.now() - before == timedelta(hours=2) + HANDOVER
        assert base.now() == cloud.world.clock.now() + SKEW


def test_a_trigger_has_to_be_faster_than_its_timeout() -> None:
    """Airflow would end the task with a timeout that says nothing."""
    with virtual_cloud() as (_, virtual), pytest.raises(AssertionError, match="outlasted"):
        virtual.fire(Sleeper(61), timedelta(minutes=1))
