"""A run without Airflow's processes: the tasks of one DAG run against a live simulator, waits included."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from golden_pools.errors import AzureBusyError
from golden_pools.operators.base import pulled
from golden_pools.retries import RETRIES
from golden_pools.rules.plan import make_plan
from golden_pools.spec.model import PoolSpec
from golden_pools.triggers import operation, pool, replication

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.serving import listen, server_for
from include.azure_simulator.world import World

STAMP = datetime(2026, 11, 22, 2, 0, 5, tzinfo=UTC)
SPEED = 1200.0
"""Twenty simulated minutes a second: a gallery version takes less than a second."""


@dataclass
class Cloud:
    """A live simulator that the sample connection leads to."""

    world: World
    url: str

    def writes(self) -> list[str]:
        """Return method and path of every request that changed something, in order."""
        return [
            f"{entry['method']} {entry['url'].split('?')[0].removeprefix(self.url)}"
            for entry in map(json.loads, self.world.traffic.lines())
            if entry["method"] not in ("GET", "HEAD")
        ]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sample world at a clock that runs, and the connection ``azure_default`` to it."""
    world = World.load(clock=Clock(speed=SPEED, start=STAMP))
    listener = listen("127.0.0.1", 0)
    server = server_for(build_app(world))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv(
        "AIRFLOW_CONN_AZURE_DEFAULT",
        json.dumps({"conn_type": "azure", "extra": {"arm_endpoint": url, "poll_seconds": 1}}),
    )
    for module in (operation, pool, replication):
        monkeypatch.setattr(module, "FIRST_LOOK_SECONDS", 0.01)
    try:
        yield Cloud(world, url)
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


class FakeStore:
    """A task state store: it survives retries and clears of its task."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None  # as Airflow's own store
        self.values[key] = json.dumps(value)


@dataclass
class Run:
    """One DAG run: XComs and task state stores of its tasks."""

    spec: PoolSpec
    pool: str = "small"
    conf: dict[str, Any] = field(default_factory=dict)
    run_id: str = "manual__1"
    stamp: datetime = STAMP
    xcoms: dict[str, Any] = field(default_factory=dict)
    stores: dict[str, FakeStore] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    deferrals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = make_plan(
            self.spec,
            pool=self.pool,
            dag_id=f"golden_pool_{self.pool}",
            run_id=self.run_id,
            triggered_by="somebody",
            stamp=self.stamp,
            conf=self.conf,
            params={"plan_only": False, **self.conf},
        )
        self.plan = plan
        self.xcoms["plan"] = json.loads(plan.model_dump_json())

    def xcom(self, task_id: str) -> Any:
        """Return what a task returned, as other tasks read it."""
        return pulled(self.context(SimpleNamespace(task_id="reader")), task_id)

    def context(self, task: Any) -> dict[str, Any]:
        return {
            "ti": SimpleNamespace(xcom_pull=lambda task_ids: self.xcoms.get(task_ids)),
            "task_state_store": self.stores.setdefault(task.task_id, FakeStore()),
            "outlet_events": _OutletEvents(self.events),
        }

    def do(self, task: BaseOperator) -> Any:
        """Run a task to its end, through all its waits; returns its XCom."""
        self.xcoms.pop(task.task_id, None)  # Airflow clears XComs when a try starts
        context = self.context(task)
        method, arguments = task.execute, {}
        while True:
            try:
                result = method(context, **arguments)
            except TaskDeferred as deferred:
                self.deferrals.append(type(deferred.trigger).__name__)
                assert deferred.timeout is not None, "a wait without a deadline"
                event = fire(reborn(deferred.trigger))
                if isinstance(event, TaskSuccessEvent):
                    # Airflow 3.3.2 encodes the XCom of a task that ends in the triggerer twice.
                    result = json.dumps((event.xcoms or {}).get("return_value"))
                else:
                    method = getattr(task, deferred.method_name)
                    arguments = {"event": json.loads(json.dumps(event.payload))}
                    continue
            except AirflowSkipException as skipped:
                return f"skipped: {skipped}"
            if result is not None:
                self.xcoms[task.task_id] = json.loads(json.dumps(result))
            return self.xcom(task.task_id)

    def do_with_retries(self, task: BaseOperator) -> Any:
        """Run a task as Airflow does under the project's retry policy: busy is tried again, up to three times."""
        for _ in range(RETRIES):
            try:
                return self.do(task)
            except AzureBusyError:
                continue
        return self.do(task)

    def begin(self, task: BaseOperator) -> BaseTrigger:
        """Run a task up to its first wait; returns the trigger it waits on."""
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(self.context(task))
        return deferred.value.trigger


class _OutletEvents:
    def __init__(self, events: dict[str, dict[str, Any]]) -> None:
        self._events = events

    def __getitem__(self, asset: Any) -> Any:
        events = self._events

        class Event:
            def __setattr__(self, name: str, value: Any) -> None:
                assert name == "extra"
                events[asset.name] = json.loads(json.dumps(value))

        return Event()


def reborn(trigger: BaseTrigger) -> BaseTrigger:
    """Return the trigger as a restarted triggerer makes it: from its serialized arguments alone."""
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    return type(trigger)(**json.loads(json.dumps(arguments)))


def fire(trigger: BaseTrigger, *, within_seconds: float = 60.0) -> TriggerEvent:
    """Run a trigger until it fires."""

    async def first() -> TriggerEvent:
        async with aclosing(trigger.run()) as events:  # type: ignore[type-var]
            return await anext(events)

    return asyncio.run(asyncio.wait_for(first(), within_seconds))


@pytest.fixture
def spec(cloud: Cloud) -> PoolSpec:
    """A small pool of the sample world with the golden VM's own system."""
    return PoolSpec.model_validate(
        {
            "subscription": next(iter(cloud.world.subscriptions)),
            "golden_vm": {"resource_group": "golden", "name": "golden-vm"},
            "image": {
                "resource_group": "images",
                "gallery": "golden_gallery",
                "definition": "small",
                "target_regions": [{"name": "northeurope"}],
            },
            "pool": {
                "resource_group": "batch",
                "account": "goldenbatch",
                "vm_size": "Standard_D2s_v5",
                "node_agent_sku": "batch.node.ubuntu 24.04",
                "targets": {"dedicated": 3},
            },
        }
    )


@pytest.fixture
def run(spec: PoolSpec) -> Run:
    """A run of that pool."""
    return Run(spec)
