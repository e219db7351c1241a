"""When the clinic's waits wake a worker, and when they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from golden_pools.errors import ResizeGaveUpError, from_dict
from golden_pools.triggers.clinic import ClinicTrigger
from golden_pools.triggers.pool import REFUSALS

from tests.operators.conftest import reborn
from tests.rules import build

NOW = datetime.now(tz=UTC)
LATER = NOW + timedelta(hours=1)


def clinic(*, share: float = 1.0, **changes: Any) -> ClinicTrigger:
    arguments = {
        "connection": "azure_default",
        "subscription": build.SUBSCRIPTION,
        "resource_group": "batch",
        "account": "goldenbatch",
        "pool": "small",
        "started": NOW.isoformat(),
        "deadline": LATER.isoformat(),
        "targets": {"dedicated": 10, "spot": 0},
        "shares": {"dedicated": share, "spot": 1.0},
        "known": {},
        "until": None,
        "others": False,
        "alarm": 2,
        "result": {"pool": "small", "rebooted": ["n1"], "replaced": 0},
        **changes,
    }
    trigger = reborn(ClinicTrigger(**arguments))
    assert isinstance(trigger, ClinicTrigger)
    return trigger


def look(trigger: ClinicTrigger, *polls: dict[str, int]) -> list[TriggerEvent | None]:
    """Return what each poll brings; nodes by state."""
    return [trigger.look(build.pool(), build.nodes(states)) for states in polls]


def test_ready_nodes_end_the_task() -> None:
    [event] = look(clinic(), {"idle": 8, "running": 2})
    assert isinstance(event, TaskSuccessEvent)
    expected = {"pool": "small", "rebooted": ["n1"], "replaced": 0, "dedicated": 10, "spot": 0}
    assert (event.xcoms or {})["return_value"] == expected


def test_failed_nodes_wake_a_worker_when_a_poll_brings_no_more() -> None:
    """Nodes of a large pool fail one after the other: one worker for all of them."""
    coming = [{"starting": 9, "unusable": 1}, {"starting": 8, "unusable": 2}, {"starting": 8, "unusable": 2}]
    assert [event is not None for event in look(clinic(), *coming)] == [False, False, True]


def test_many_failed_nodes_wake_a_worker_at_once() -> None:
    [event] = look(clinic(), {"starting": 7, "starttaskfailed": 3})
    assert event is not None
    assert event.payload == {"look": "nodes have failed"}


def test_more_of_what_alarmed_a_worker_is_no_second_alarm() -> None:
    """The nodes of a bad image fail one after the other: a worker for each would see the same."""
    wait = clinic(known={"unusable": 3}, until=LATER.isoformat())
    polls = [{"starting": 7 - count, "unusable": 3 + count} for count in range(1, 5)]
    assert look(wait, *polls) == [None] * 4


def test_a_worker_looks_again_in_time_also_while_more_nodes_fail() -> None:
    wait = clinic(known={"unusable": 3}, until=NOW.isoformat())
    [event] = look(wait, {"starting": 6, "unusable": 4})
    assert event is not None
    assert event.payload == {"look": "failed nodes have not recovered"}


def test_nodes_that_a_worker_knows_wake_none() -> None:
    wait = clinic(known={"unknown": 1, "unusable": 1}, until=LATER.isoformat())
    assert look(wait, *[{"idle": 8, "unknown": 1, "unusable": 1}] * 3) == [None] * 3
    assert look(wait, *[{"idle": 7, "unknown": 1, "unusable": 2}] * 2)[1] is not None


def test_known_nodes_that_have_not_recovered_wake_a_worker_in_time() -> None:
    known = {"unknown": 1}
    [event] = look(clinic(known=known, until=NOW.isoformat()), {"idle": 9, "unknown": 1})
    assert event is not None
    assert event.payload == {"look": "failed nodes have not recovered"}
    assert look(clinic(known=known, until=NOW.isoformat()), {"idle": 9, "starting": 1}) == [None]


def test_a_round_begins_when_no_other_node_is_on_its_way() -> None:
    wait = clinic(known={"unusable": 1}, others=True)
    first, second = look(wait, {"idle": 8, "starting": 1, "unusable": 1}, {"idle": 9, "unusable": 1})
    assert first is None
    assert second is not None


def test_the_deadline_and_a_share_that_is_reached_are_the_workers_to_judge() -> None:
    over = {"started": (NOW - timedelta(hours=2)).isoformat(), "deadline": (NOW - timedelta(hours=1)).isoformat()}
    [late] = look(clinic(**over), {"idle": 9, "starting": 1})
    [enough] = look(clinic(share=0.9), {"idle": 9})
    assert late is not None
    assert enough is not None
    assert "9 idle" in enough.payload["look"]


def test_a_pool_that_is_gone_is_believed_after_some_polls() -> None:
    wait = clinic()
    events = [wait.look(None, None) for _ in range(REFUSALS)]
    assert events[:-1] == [None] * (REFUSALS - 1)
    assert events[-1] is not None
    assert isinstance(from_dict(events[-1].payload["failure"]), ResizeGaveUpError)
