"""Waits for the runs of another DAG."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from golden_pools.triggers import runs
from golden_pools.triggers.runs import RunsEndTrigger

from tests.operators.conftest import fire, reborn

Counts = Callable[..., list[dict[str, object]]]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Let Airflow's API count so many runs, one answer after the other; returns the questions it is going to get."""
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0.01)

    def answer(*numbers: int) -> list[dict[str, object]]:
        asked: list[dict[str, object]] = []
        answers = iter(numbers)

        def count(**question: object) -> int:
            asked.append(question)
            return next(answers)

        monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
        return asked

    return answer


def trigger(**left: float) -> RunsEndTrigger:
    return RunsEndTrigger(dag_id="golden_pool_small", deadline=(datetime.now(tz=UTC) + timedelta(**left)).isoformat())


def test_the_wait_ends_when_no_run_is_going_on_any_more(counts: Counts) -> None:
    asked = counts(1, 1, 0)
    assert fire(reborn(trigger(hours=1))).payload == {"ended": True}
    assert asked == [{"dag_id": "golden_pool_small", "states": ["running"]}] * 3


def test_the_wait_ends_at_its_deadline(counts: Counts) -> None:
    counts(1)
    assert fire(trigger(hours=-1)).payload == {"ended": False}


def test_a_run_that_ended_in_the_last_moment_has_ended(counts: Counts) -> None:
    counts(0)
    assert fire(trigger(hours=-1)).payload == {"ended": True}
