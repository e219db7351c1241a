"""The wait for the canary's node; the operators' tests run it against the simulator."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent
from golden_pools.errors import ResizeGaveUpError, from_dict
from golden_pools.rules.facts import Pool, ResizeError
from golden_pools.triggers.canary import CanaryTrigger
from golden_pools.triggers.pool import REFUSALS

from tests.operators.conftest import reborn
from tests.rules.build import NOW, nodes
from tests.rules.test_canary import canary

QUOTA = ResizeError(code="AccountCoreQuotaReached", message="The account has no core left")


def trigger(*, left: timedelta = timedelta(minutes=30), **changes: Any) -> CanaryTrigger:
    started = datetime.now(tz=UTC) - timedelta(minutes=1)
    arguments: dict[str, Any] = {
        "connection": "azure_default",
        "subscription": "s",
        "resource_group": "batch",
        "account": "goldenbatch",
        "pool": "canary-1",
        "started": started.isoformat(),
        "deadline": (datetime.now(tz=UTC) + left).isoformat(),
        "result": {"pool": "canary-1"},
    }
    made = reborn(CanaryTrigger(**{**arguments, **changes}))
    assert isinstance(made, CanaryTrigger)
    return made


def test_a_ready_node_ends_the_task_without_a_worker() -> None:
    event = trigger().look(canary(), nodes({"idle": 1}))
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == {"return_value": {"pool": "canary-1"}}


def test_a_node_on_its_way_is_waited_for() -> None:
    assert trigger().look(canary(), nodes({"starting": 1})) is None


@pytest.mark.parametrize(
    ("pool", "state", "left", "kind"),
    [
        (canary(), {"starttaskfailed": 1}, 30, "node_failed"),
        (canary(), {"starting": 1}, 0, "node_late"),
        (canary(current_dedicated=0, resize_errors=(QUOTA,)), {}, 30, "not_allocated"),
    ],
)
def test_a_bad_end_goes_to_a_worker(pool: Pool, state: dict[str, int], left: int, kind: str) -> None:
    event = trigger(left=timedelta(minutes=left)).look(pool, nodes(state))
    assert event is not None
    assert event.payload["canary"]["kind"] == kind


def test_an_unusable_node_has_until_the_given_time() -> None:
    later = (datetime.now(tz=UTC) + timedelta(minutes=5)).isoformat()
    assert trigger(patient_until=later).look(canary(), nodes({"unusable": 1})) is None
    over = trigger(patient_until=(datetime.now(tz=UTC) - timedelta(minutes=5)).isoformat())
    assert over.look(canary(), nodes({"unusable": 1})) is not None


def test_an_error_of_an_earlier_resize_does_not_end_the_wait() -> None:
    pool = canary(current_dedicated=0, resize_errors=(QUOTA,), resize_started=NOW)
    assert trigger(resize_before=NOW.isoformat()).look(pool, None) is None


@pytest.mark.parametrize("pool", [None, dataclasses.replace(canary(), provisioning_state="Deleting")])
def test_a_pool_that_stays_away_ends_the_wait(pool: Pool | None) -> None:
    """One poll without it may be a hiccup."""
    wait = trigger()
    for _ in range(REFUSALS - 1):
        assert wait.look(pool, None) is None
    event = wait.look(pool, None)
    assert event is not None
    assert isinstance(from_dict(event.payload["failure"]), ResizeGaveUpError)
