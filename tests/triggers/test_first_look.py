"""Every trigger pauses before it looks: in Airflow 3.3.2 an event right after the deferral costs the task its try."""

from __future__ import annotations

import asyncio
import pkgutil
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from golden_pools import triggers
from golden_pools.triggers import first_look, runs
from golden_pools.triggers.guest import ScriptTrigger
from golden_pools.triggers.job import JobTasksTrigger
from golden_pools.triggers.jobs import JobsTrigger
from golden_pools.triggers.operation import OperationsTrigger
from golden_pools.triggers.pool import AccountTrigger, AccountView, SettleTrigger
from golden_pools.triggers.replication import ReplicationTrigger
from golden_pools.triggers.runs import RunsEndTrigger
from golden_pools.triggers.soak import SoakTrigger

from tests.operators.conftest import fire
from tests.rules import build

NOW = datetime.now(tz=UTC).isoformat()
AZURE = {"connection": "azure_default", "subscription": "s"}
ACCOUNT = {**AZURE, "resource_group": "batch", "account": "goldenbatch"}
OPERATION = {"what": "make it", "resource_id": "/subscriptions/s", "token": None}
TRIGGERS: list[BaseTrigger] = [
    SettleTrigger(**ACCOUNT, pool="small", started=NOW, deadline=NOW),
    JobTasksTrigger(**ACCOUNT, job="probes", deadline=NOW),
    JobsTrigger(**ACCOUNT, pool="small", jobs=["work"], deadline=NOW),
    OperationsTrigger(**AZURE, operations=[OPERATION], ends_task=True),
    ReplicationTrigger(**AZURE, version_id="/subscriptions/s", operation=OPERATION),
    RunsEndTrigger(dag_id="golden_pool_small", deadline=NOW),
    ScriptTrigger(**AZURE, operation=OPERATION, shuts_down=False, seconds=60),
    SoakTrigger(until=NOW),
]


class PausedError(Exception):
    """A trigger sleeps."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleep that says how long it is."""

    async def say(seconds: float, *_: Any) -> None:
        raise PausedError(seconds)

    monkeypatch.setattr(asyncio, "sleep", say)


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_a_trigger_begins_with_a_pause(trigger: BaseTrigger) -> None:
    with pytest.raises(PausedError) as pause:
        fire(trigger)
    assert pause.value.args == (runs.LOOK_SECONDS if isinstance(trigger, RunsEndTrigger) else first_look.SECONDS,)


def test_no_trigger_is_missing_here() -> None:
    """All waits for pools share the beginning of ``AccountTrigger``."""
    found = {
        thing
        for module in pkgutil.iter_modules(triggers.__path__, f"{triggers.__name__}.")
        for thing in vars(import_module(module.name)).values()
        if isinstance(thing, type) and thing.__module__ == module.name and issubclass(thing, BaseTrigger)
    }
    shared = {trigger for trigger in found if issubclass(trigger, AccountTrigger)}
    assert found - shared == {type(trigger) for trigger in TRIGGERS} - shared
    assert all(
        vars(trigger).keys().isdisjoint({"run", "filter_shared_stream"}) for trigger in shared - {AccountTrigger}
    )


def test_a_wait_that_joins_a_poll_leaves_out_what_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def polled() -> Any:
        yield AccountView({"small": build.pool()}, {"small": build.nodes({})})

    async def joins() -> Any:
        trigger = SettleTrigger(**ACCOUNT, pool="small", started=NOW, deadline=NOW)
        return await anext(trigger.filter_shared_stream(polled()), None)

    assert asyncio.run(joins()) is None
    monkeypatch.setattr(first_look, "SECONDS", 0.0)
    assert asyncio.run(joins()) is not None
