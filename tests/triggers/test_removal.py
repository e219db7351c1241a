"""When a removal of nodes is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.errors import ResizeGaveUpError, from_dict
from golden_pools.rules.facts import AllocationState
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT
from golden_pools.triggers.removal import RemovalTrigger

from tests.operators.conftest import reborn
from tests.rules import build

NOW = datetime.now(tz=UTC)


def removal(**changes: Any) -> RemovalTrigger:
    arguments = {
        "connection": "azure_default",
        "subscription": build.SUBSCRIPTION,
        "resource_group": "batch",
        "account": "goldenbatch",
        "pool": "small",
        "started": NOW.isoformat(),
        "deadline": (NOW + timedelta(hours=1)).isoformat(),
        "started_before": build.NOW.isoformat(),
        **changes,
    }
    trigger = reborn(RemovalTrigger(**arguments))
    assert isinstance(trigger, RemovalTrigger)
    return trigger


def test_a_removal_is_over_when_the_pool_rests_after_it() -> None:
    wait, after = removal(), build.NOW + timedelta(minutes=1)
    going_on = build.pool(resize_started=after, allocation_state=AllocationState.RESIZING)
    assert wait.look(build.pool(resize_started=build.NOW), None) is None  # from before the removal
    assert wait.look(going_on, None) is None
    event = wait.look(build.pool(resize_started=after), None)
    assert event is not None
    assert event.payload == {"settled": "small"}


@pytest.mark.parametrize("pool", [build.pool(resize_started=build.NOW), None], ids=["unchanged", "absent"])
def test_a_removal_that_never_shows_is_not_waited_for(pool: Any) -> None:
    wait = removal()
    events = [wait.look(pool, None) for _ in range(UNSEEN_LIMIT + 1)]
    assert [event is not None for event in events] == [False] * UNSEEN_LIMIT + [True]


def test_a_removal_that_hangs_fails() -> None:
    over = {"started": (NOW - timedelta(hours=2)).isoformat(), "deadline": (NOW - timedelta(hours=1)).isoformat()}
    event = removal(**over).look(build.pool(allocation_state=AllocationState.RESIZING), None)
    assert event is not None
    error = from_dict(event.payload["failure"])
    assert isinstance(error, ResizeGaveUpError)
    assert "find out who moves the pool" in error.advice
