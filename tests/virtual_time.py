"""A simulator and an Airflow on one clock that moves only when somebody sleeps: hours pass in milliseconds, exactly.

The operators, triggers and hooks are the real ones, with the product's own intervals, over HTTP to a simulator in this
process. Two runs of one test take the same time to the microsecond.
"""

from __future__ import annotations

import asyncio
import json
import pkgutil
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger, TriggerEvent
from golden_pools import operators, triggers

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World
from tests.operators.conftest import STAMP, Cloud, first_event
from tests.simulator import serve

SKEW = timedelta(minutes=-7)
"""What Airflow's clock shows beyond Azure's: a product that compares the two gets into trouble."""

HANDOVER = timedelta(seconds=5)
"""From the event of a trigger to the task on a worker: a turn of the scheduler and the start of a process."""


class VirtualTime:
    """One clock for Azure, the triggerer and the workers.

    :param clock: the simulator's, which stands still; whoever sleeps puts it forward
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slept = 0.0
        self._timeout: datetime | None = None

    def now(self) -> datetime:
        """Return the present moment by Azure's clock."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._slept += seconds
        self._clock.advance(timedelta(seconds=seconds))
        assert self._timeout is None or self.now() <= self._timeout, "a trigger outlasted the timeout of its deferral"

    def fire(self, trigger: BaseTrigger, timeout: timedelta) -> TriggerEvent:
        """Run a trigger until it fires, and the time until a worker goes on.

        :param timeout: Airflow's for the deferral: a trigger knows more about a failure, so it has to be faster
        """
        self._timeout = self.now() + timeout
        try:
            with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
                event = runner.run(first_event(trigger))
        finally:
            self._timeout = None
        self.sleep(HANDOVER.total_seconds())
        return event

    def monotonic(self) -> float:
        """Return seconds that only grow: those that were slept, and the real ones of the machine."""
        return time.monotonic() + self._slept


class _Loop(asyncio.SelectorEventLoop):
    """The triggerer's event loop. Its sleeps do not overlap: several at a time take their sum."""

    def __init__(self, virtual: VirtualTime) -> None:
        self.virtual = virtual
        super().__init__()

    def time(self) -> float:
        return self.virtual.monotonic()


@contextmanager
def virtual_time(clock: Clock) -> Iterator[VirtualTime]:
    """Put Airflow's side of this process on ``clock``, which has to stand still, for the time of the block."""
    virtual = VirtualTime(clock)
    real_sleep = asyncio.sleep

    async def sleep(delay: float, result: Any = None) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, _Loop):  # the simulator's own
            return await real_sleep(delay, result)
        loop.virtual.sleep(max(delay, 0.0))
        return await real_sleep(0, result)

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return (virtual.now() + SKEW).astimezone(tz)

    from azure.core.pipeline.transport import HttpTransport

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        patch.setattr(HttpTransport, "sleep", lambda _, seconds: virtual.sleep(seconds))
        for package in (operators, triggers):
            for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                module = import_module(found.name)
                if getattr(module, "datetime", None) is datetime:
                    patch.setattr(module, "datetime", Now)
        random.seed(0)  # pauses of the pipeline are jittered
        yield virtual


@contextmanager
def virtual_cloud(world: World | None = None, **extra: object) -> Iterator[tuple[Cloud, VirtualTime]]:
    """A world whose clock stands still, and the connection ``azure_default`` to it.

    :param world: the sample world if absent
    :param extra: of the connection, beside the endpoint: none, and all is as the product has it by itself
    """
    world = world or World.load(clock=Clock(speed=0, start=STAMP))
    with serve(world) as url, virtual_time(world.clock) as virtual, pytest.MonkeyPatch.context() as patch:
        connection = {"conn_type": "azure", "extra": {"arm_endpoint": url, **extra}}
        patch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(connection))
        yield Cloud(world, url), virtual
