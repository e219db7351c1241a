"""Waits for pools: one poll for many, what a poll that fails means, deadlines, and what the log says meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager
from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, ResizeGaveUpError, from_dict
from golden_pools.rules.facts import AllocationState
from golden_pools.triggers import first_look
from golden_pools.triggers import pool as triggers
from golden_pools.triggers.pool import AccountTrigger, AccountView, NodesTrigger, ResizeTrigger, SettleTrigger

from tests.operators.conftest import HANG_SECONDS, Cloud, fire, reborn
from tests.rules import build

REQUEST = {
    "targets": {"dedicated": 2, "spot": 0},
    "started_before": None,
    "started": None,
    "number": 1,
    "had": {"dedicated": 0, "spot": 0},
}


def base(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """Return the arguments that all waits for the pool share."""
    started = datetime.now(tz=UTC)
    return {
        "connection": "azure_default",
        "subscription": cloud.subscription,
        "resource_group": "batch",
        "account": "goldenbatch",
        "pool": "small",
        "started": started.isoformat(),
        "deadline": (started + timedelta(hours=1)).isoformat(),
        **changes,
    }


def nodes(cloud: Cloud, *, dedicated: int = 2, spot: int = 0, share: float = 1.0, **changes: Any) -> NodesTrigger:
    return NodesTrigger(dedicated=dedicated, spot=spot, share=share, spot_share=share, **base(cloud, **changes))


def over() -> dict[str, str]:
    """Return the arguments of a wait whose deadline is over."""
    now = datetime.now(tz=UTC)
    return {"started": (now - timedelta(hours=2)).isoformat(), "deadline": (now - timedelta(hours=1)).isoformat()}


def polls(cloud: Cloud) -> int:
    """Return how often node counts were asked for: once a poll."""
    return sum(entry["route"] == "/nodecounts" for entry in cloud.requests())


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


async def shared(triggers: list[AccountTrigger]) -> list[TriggerEvent]:
    """Run triggers as Airflow's triggerer does: over shared streams."""
    manager = SharedStreamManager()

    async def one(number: int, trigger: AccountTrigger) -> TriggerEvent:
        key = trigger.shared_stream_key()
        stream: AsyncIterator[Any] = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async with aclosing(trigger.filter_shared_stream(stream)) as events:
                return await anext(events)
        finally:
            await manager.unsubscribe(number, key)

    async with asyncio.timeout(HANG_SECONDS):
        return list(await asyncio.gather(*(one(number, trigger) for number, trigger in enumerate(triggers))))


def test_one_poll_serves_every_wait_of_the_account(cloud: Cloud, image: str) -> None:
    """Waits of all kinds, for two pools, end with the same few requests."""
    cloud.make_pool(image, dedicated=2)
    cloud.control("PATCH", "clock", {"speed": 60})
    waits: list[AccountTrigger] = [
        *(nodes(cloud) for _ in range(12)),
        *(SettleTrigger(**base(cloud)) for _ in range(6)),
        *(SettleTrigger(**base(cloud, pool="not-there")) for _ in range(6)),
    ]
    events = asyncio.run(shared(waits))
    assert len(events) == 24
    assert polls(cloud) == 1
    assert len(cloud.requests()) == 3  # pools, node counts, and once where the account's data plane is


def test_waits_of_other_accounts_and_connections_have_polls_of_their_own(cloud: Cloud) -> None:
    keys = {
        nodes(cloud, **changes).shared_stream_key()
        for changes in ({}, {"account": "other"}, {"connection": "other"}, {"resource_group": "other"})
    }
    assert len(keys) == 4


def test_azures_names_share_a_poll_in_any_case(cloud: Cloud) -> None:
    one, other = nodes(cloud), SettleTrigger(**base(cloud, account="GoldenBatch", resource_group="BATCH"))
    assert one.shared_stream_key() == other.shared_stream_key()


def test_a_wait_goes_on_after_throttling(cloud: Cloud, image: str) -> None:
    """Pitfall 26: an account that answers 429 is asked again, and later."""
    cloud.make_pool(image, dedicated=2)
    cloud.fault(path="/pools$", method="GET", status=429, code="TooManyRequests", retry_after_seconds=31, count=1)
    with pytest.MonkeyPatch.context() as patch:
        pauses = recorded_pauses(patch)
        assert isinstance(fire(nodes(cloud)), TaskSuccessEvent)
    assert 31 in pauses


def recorded_pauses(patch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses take no time; returns how long they would have been."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float, *arguments: Any) -> None:
        pauses.append(seconds)
        await sleep(0, *arguments)

    patch.setattr(asyncio, "sleep", recorded)
    return pauses


def test_a_wait_goes_on_after_an_outage_at_a_slower_pace(
    cloud: Cloud, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.make_pool(image, dedicated=2)
    cloud.fault(path="/pools$", method="GET", status=503, code="ServiceUnavailable", count=12)
    pauses = recorded_pauses(monkeypatch)
    assert isinstance(fire(nodes(cloud)), TaskSuccessEvent)
    between = [pause for pause in pauses if pause in (2.0, 4.0, 8.0, 16.0)]
    assert between == sorted(between)
    assert len(between) >= 3


def test_a_refused_poll_ends_the_wait_with_azures_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.fault(path="/pools$", status=403, code="AuthorizationFailed", message="no right to read", count=None)
    recorded_pauses(monkeypatch)
    error = failure(fire(nodes(cloud)))
    assert isinstance(error, AzureRefusedError)
    assert "AuthorizationFailed: no right to read" in error.answer
    assert "grant" in error.advice


REFUSED = AccountView({}, {}, AzureRefusedError("no"))


def judged(trigger: AccountTrigger, views: list[AccountView]) -> TriggerEvent | None:
    """Return the event that a trigger makes of a series of polls."""

    async def polled() -> AsyncIterator[AccountView]:
        for view in views:
            yield view

    async def first() -> TriggerEvent | None:
        return await anext(trigger.filter_shared_stream(polled()), None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_look, "SECONDS", 0.0)
        return asyncio.run(first())


def test_the_third_refusal_in_a_row_ends_the_wait(cloud: Cloud) -> None:
    assert judged(nodes(cloud), [REFUSED, REFUSED]) is None
    assert judged(nodes(cloud), [REFUSED, REFUSED, REFUSED]) is not None


def test_a_good_poll_forgives_refusals(cloud: Cloud) -> None:
    good = AccountView({"small": build.pool()}, {"small": build.nodes({"idle": 1})})
    assert judged(nodes(cloud), [REFUSED, REFUSED, good, REFUSED, REFUSED]) is None


def failure(event: TriggerEvent) -> GoldenPoolsError:
    """Return the exception that the event raises on a worker."""
    payload = json.loads(json.dumps(event.payload))
    return from_dict(payload["failure"])


def test_an_account_that_stays_busy_past_the_deadline_fails_as_busy(cloud: Cloud) -> None:
    """The task is tried again then, as its retry policy says."""
    cloud.fault(path="/pools$", status=503, code="ServiceUnavailable", retry_after_seconds=31, count=None)
    assert isinstance(failure(fire(nodes(cloud, **over()))), AzureBusyError)


def test_nodes_that_do_not_come_in_time(cloud: Cloud, image: str) -> None:
    cloud.make_pool(image, dedicated=1)
    error = failure(fire(nodes(cloud, dedicated=2, **over())))
    assert isinstance(error, ResizeGaveUpError)
    assert "dedicated: 1 idle" in error.answer
    assert "resize.ready_minutes" in error.advice


def test_a_pool_that_never_rests(cloud: Cloud, image: str) -> None:
    cloud.make_pool(image)
    cloud.resize(dedicated=5)
    error = failure(fire(SettleTrigger(**base(cloud, **over()))))
    assert isinstance(error, ResizeGaveUpError)
    assert "Resizing for 2h" in error.answer


def test_a_resize_that_never_ends(cloud: Cloud, image: str) -> None:
    """Pitfall 1: an end, and not a hang."""
    cloud.make_pool(image)
    cloud.resize(dedicated=2)
    error = failure(fire(ResizeTrigger(request=REQUEST, **base(cloud, **over()))))
    assert isinstance(error, ResizeGaveUpError)
    assert error.what == "The resize did not end in its time"
    assert "0 of 2 dedicated" in error.answer


@pytest.mark.parametrize("state", ["unusable", "starttaskfailed"])
def test_nodes_that_will_never_work_end_the_wait_with_the_first_poll(cloud: Cloud, image: str, state: str) -> None:
    """Pitfall 8 and pitfall 13: no waiting for nodes that cannot come, and what to look at."""
    task = {"commandLine": "/bin/false", "waitForSuccess": True}
    cloud.allocation(node_outcomes=[{"state": state, "nodes": 1}])
    cloud.make_pool(image, dedicated=3, startTask=task)
    error = failure(fire(nodes(cloud, dedicated=3)))
    assert polls(cloud) == 1
    assert isinstance(error, ResizeGaveUpError)
    assert f"1 {state}" in error.answer
    assert "stdout.txt" in error.advice
    assert "NSG" in error.advice


def test_an_acceptable_share_ends_the_wait_when_nothing_more_comes(cloud: Cloud, image: str) -> None:
    """Pitfall 2: a pool that got 9 of 10 nodes is not watched for half an hour more."""
    cloud.allocation(node_outcomes=[{"state": "unusable", "nodes": 1}])
    cloud.make_pool(image, dedicated=10)
    event = fire(nodes(cloud, dedicated=10, share=0.9))
    assert polls(cloud) == 1
    assert success(event) == {"pool": "small", "dedicated": 9, "spot": 0}


@pytest.mark.parametrize(
    ("states", "moving"),
    [({"idle": 9, "starting": 1}, False), ({"idle": 9}, True)],
    ids=["a node still starts", "the pool still grows"],
)
def test_an_acceptable_share_is_no_end_while_more_comes(cloud: Cloud, states: dict[str, int], moving: bool) -> None:
    state = AllocationState.RESIZING if moving else AllocationState.STEADY
    view = AccountView({"small": build.pool(allocation_state=state)}, {"small": build.nodes(states)})
    assert judged(nodes(cloud, dedicated=10, share=0.9), [view]) is None


def test_preempted_spot_nodes_may_come_back_before_the_deadline(cloud: Cloud) -> None:
    view = AccountView({"small": build.pool()}, {"small": build.nodes({}, {"idle": 9, "preempted": 1})})
    assert judged(nodes(cloud, dedicated=0, spot=10, share=0.9), [view]) is None


def success(event: TriggerEvent) -> Any:
    assert isinstance(event, TaskSuccessEvent)
    return (event.xcoms or {})["return_value"]


def test_preempted_spot_nodes_are_no_failure(cloud: Cloud, image: str) -> None:
    """Pitfall 6: Batch brings them back; a pool that lacks only them has what the spec asks for."""
    cloud.make_pool(image, spot=4)
    cloud.allocation(incident={"state": "preempted", "nodes": 2})
    assert success(fire(nodes(cloud, dedicated=0, spot=4, **over()))) == {"pool": "small", "dedicated": 0, "spot": 2}


def test_running_nodes_are_ready(cloud: Cloud, image: str) -> None:
    """Pitfall 35: a node that works counts, not only one that idles."""
    cloud.make_pool(image, dedicated=2)
    cloud.run_task(minutes=60)
    assert success(fire(nodes(cloud))) == {"pool": "small", "dedicated": 2, "spot": 0}


def clock_of(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Let the triggerer's clock stand at the moment in the list, which a test may change."""
    moment = [datetime.now(tz=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return moment[0]

    monkeypatch.setattr(triggers, "datetime", Clock)
    return moment


def test_the_pause_before_another_resize_passes_in_the_triggerer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 3: capacity that is short comes back; the pause before asking again holds no worker."""
    clock = clock_of(monkeypatch)
    begun = clock[0]
    trigger = SettleTrigger(not_before=(begun + timedelta(minutes=2)).isoformat(), **base(cloud))
    for minutes, ends in ((0, False), (1, False), (2, True)):
        clock[0] = begun + timedelta(minutes=minutes)
        assert (trigger.look(build.pool(), None) is not None) is ends, f"after {minutes} of 2 minutes"


def test_nodes_that_fail_while_others_come_wake_a_worker_that_wants_to_know(cloud: Cloud) -> None:
    begun = datetime.now(tz=UTC)
    growing = build.pool(
        resize_started=begun,
        allocation_state=AllocationState.RESIZING,
        current_spot=0,
        target_dedicated=2,
        target_spot=0,
    )
    bad = build.nodes({"creating": 1, "unusable": 1})
    watch = {"known": {}, "until": None, "alarm": 0}
    wakes = ResizeTrigger(request=REQUEST, watch=watch, **base(cloud)).look(growing, bad)
    assert wakes is not None
    assert wakes.payload == {"look": "nodes have failed"}
    assert ResizeTrigger(request=REQUEST, **base(cloud)).look(growing, bad) is None


def test_a_resize_that_brings_no_node_for_long_has_stalled(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node that comes begins the time anew; a pool that is being stopped is not stopped again."""
    clock = clock_of(monkeypatch)
    begun = clock[0]
    trigger = ResizeTrigger(request=REQUEST, stall_seconds=600.0, **base(cloud))
    event = None
    for minute, count, state, ends in (
        (0, 0, AllocationState.RESIZING, False),
        (9, 1, AllocationState.RESIZING, False),
        (18, 1, AllocationState.RESIZING, False),
        (19, 1, AllocationState.STOPPING, False),
        (19, 1, AllocationState.RESIZING, True),
    ):
        clock[0] = begun + timedelta(minutes=minute)
        growing = build.pool(
            resize_started=begun,
            allocation_state=state,
            current_dedicated=count,
            current_spot=0,
            target_dedicated=2,
            target_spot=0,
        )
        event = trigger.look(growing, None)
        assert (event is not None) is ends, f"after {minute} minutes"
    assert event is not None
    verdict = event.payload["verdict"]
    assert verdict["code"] == "Stalled"
    assert "no node came for 10m" in verdict["reason"]


def test_lost_nodes_count_as_failed_when_they_stay_lost(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch finds most again within minutes; one that comes back and is lost again begins anew."""
    clock = clock_of(monkeypatch)
    begun = clock[0]
    trigger = nodes(cloud, dedicated=10)
    for minute, lost, ends in (
        (0, 1, False),
        (9, 1, False),
        (10, 0, False),
        (11, 1, False),
        (20, 1, False),
        (21, 1, True),
    ):
        clock[0] = begun + timedelta(minutes=minute)
        event = trigger.look(build.pool(), build.nodes({"idle": 9, "unknown": lost}))
        assert (event is not None) is ends, f"after {minute} minutes"
    assert "1 unknown" in failure(event).answer


def test_a_pool_that_is_gone_ends_the_wait_for_its_nodes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 1: nobody waits half an hour for the nodes of a pool that was deleted."""
    recorded_pauses(monkeypatch)
    error = failure(fire(nodes(cloud)))
    assert isinstance(error, ResizeGaveUpError)
    assert "find out who deleted it" in error.advice


def test_a_pool_that_is_being_deleted_has_not_settled(cloud: Cloud, image: str) -> None:
    """Pitfall 22: ``Steady`` and ``Deleting`` at a time."""
    cloud.make_pool(image)
    cloud.delete_pool()
    error = failure(fire(SettleTrigger(**base(cloud, **over()))))
    assert "Deleting" in error.answer


@pytest.mark.parametrize("kind", ["nodes", "settle", "resize"])
def test_a_trigger_is_the_same_after_a_restart_of_the_triggerer(cloud: Cloud, kind: str) -> None:
    trigger: AccountTrigger = {
        "nodes": nodes(cloud, dedicated=3, spot=1, share=0.5),
        "settle": SettleTrigger(not_before=datetime.now(tz=UTC).isoformat(), **base(cloud)),
        "resize": ResizeTrigger(
            request=REQUEST,
            stall_seconds=60.0,
            watch={"known": {"unusable": 1}, "until": None, "alarm": 2},
            result={"pool": "small"},
            **base(cloud),
        ),
    }[kind]
    assert reborn(trigger).serialize() == trigger.serialize()


def test_the_deadline_survives_a_restart_of_the_triggerer(cloud: Cloud) -> None:
    trigger = reborn(nodes(cloud, **over()))
    assert isinstance(trigger, NodesTrigger)
    assert trigger.is_late()


def test_the_log_says_something_only_when_it_changed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pitfall 11: where the time goes, in numbers, and no line twice."""
    clock = clock_of(monkeypatch)
    begun = clock[0]
    trigger = nodes(cloud, dedicated=2, started=begun.isoformat())
    for minute, starting in enumerate((0, 0, 0, 1, 1)):
        clock[0] = begun + timedelta(minutes=minute)
        assert trigger.look(build.pool(), build.nodes({"idle": 1, "starting": starting})) is None
    lines = [line for line in capsys.readouterr().out.splitlines() if "small:" in line]
    assert len(lines) == 2
    assert "1/2 ready, 0 starting, 0 failed" in lines[0]
    assert "1/2 ready, 1 starting, 0 failed" in lines[1]
    assert "3m of 1h" in lines[1]
