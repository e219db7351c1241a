"""What is kept of a run that has ended: outcome, numbers, words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.board.facts import RunSeen, TaskSeen
from golden_pools.rules.ending import LONGEST_NOTE, kind_of, readings, run_note, task_notes
from golden_pools.rules.metrics import RUN_DURATION, RUNS, STAGE_DURATION

BEGUN = datetime(2026, 11, 22, 1, tzinfo=UTC)
TARGETS = {"dedicated": 18, "spot": 2}
RESULTS: dict[str, dict[str, Any]] = {
    "plan": {"pool": "render-farm", "plan_only": False},
    "pool.refresh": {"action": "updated", "image": "/galleries/g/images/i/versions/2026.1121.5"},
    "pool.resize": {"verdict": "reached", "reason": "18 of 18 dedicated", "resizes": 2, "targets": TARGETS},
    "pool.nodes": {"dedicated": 18, "spot": 2, "rebooted": [], "replaced": 1},
}


def task(task_id: str, state: str = "success", *, at: int = 0, minutes: int = 5) -> TaskSeen:
    begun = BEGUN + timedelta(minutes=at)
    return TaskSeen(id=task_id, state=state, started=begun, ended=begun + timedelta(minutes=minutes))


def run(*tasks: TaskSeen, results: Mapping[str, Any] = RESULTS, failed: bool = False, **changes: Any) -> RunSeen:
    made = tasks or tuple(task(name) for name in results)
    facts: dict[str, Any] = {
        "number": 1,
        "dag_id": "golden_pool_render-farm",
        "run_id": "manual__1",
        "state": "failed" if failed else "success",
        "run_type": "manual",
        "queued": BEGUN,
        "ended": BEGUN + timedelta(minutes=41, seconds=10),
        "tasks": {one.id: one for one in made},
        "values": results,
    }
    return RunSeen(**{**facts, **changes})


def failure(text: str) -> dict[str, str]:
    return {"error": "ResizeGaveUpError", "text": text}


def failed(
    task_id: str, text: str = "The nodes did not come: AllocationFailed", *more: TaskSeen, **facts: Any
) -> RunSeen:
    tasks = (task("plan"), task("pool.refresh"), task(task_id, "failed"), *more)
    return run(*tasks, failed=True, failures={task_id: failure(text)})


def test_a_run_that_went_well_has_its_numbers_in_its_note() -> None:
    words = "refreshed: image 2026.1121.5, 20 of 20 nodes ready (18 dedicated, 2 Spot), 2 resizes, 41m10s"
    assert run_note(run()) == words


def test_a_run_that_changed_nothing_says_so() -> None:
    results = {**RESULTS, "pool.refresh": {**RESULTS["pool.refresh"], "action": "left as it was"}}
    assert run_note(run(results=results)).startswith("nothing to change: image 2026.1121.5, ")


def test_a_run_that_only_planned_has_nothing_else_to_say() -> None:
    planned = run(task("plan"), results={"plan": {"pool": "render-farm"}}, plan_only=True)
    assert run_note(planned) == "planned only: 41m10s"


def test_a_failure_says_where_and_why() -> None:
    expected = "failed at pool.resize: The nodes did not come: AllocationFailed, 41m10s"
    assert run_note(failed("pool.resize")) == expected


def test_of_several_failures_the_first_counts_and_reports_do_not() -> None:
    later = task("rollback.resize", "failed", at=30)
    report = task("rollback.report", "failed", at=-5)
    restored = task("rollback.restore", at=20)
    told = run_note(failed("pool.nodes", "1 unusable.", later, report, restored))
    assert told == "rolled back at pool.nodes: 1 unusable, 41m10s"


def test_a_failure_that_left_no_reason_still_says_where() -> None:
    assert run_note(run(task("plan", "failed"), failed=True, results={})) == "failed at plan: 41m10s"


def test_a_run_that_somebody_marked_has_an_outcome() -> None:
    assert run_note(run(TaskSeen(id="plan", state=None), failed=True, results={})) == "failed: 41m10s"


def test_a_note_fits_into_airflows_column() -> None:
    told = failed("pool.resize", "x" * 5000)
    assert len(run_note(told)) == LONGEST_NOTE
    assert len(task_notes(told)["pool.resize"]) == LONGEST_NOTE


def test_tasks_have_the_verdict_the_nodes_and_why_they_failed() -> None:
    assert task_notes(run()) == {
        "pool.resize": "reached: 18 of 18 dedicated",
        "pool.nodes": "20 of 20 nodes ready (18 dedicated, 2 Spot), 1 replaced",
    }
    assert task_notes(failed("pool.switch", "somebody else"))["pool.switch"] == "somebody else"


def test_a_failure_of_a_try_that_was_made_good_is_no_note() -> None:
    assert "pool.switch" not in task_notes(run(failures={"pool.switch": failure("busy")}))


@pytest.mark.parametrize(
    ("dag_id", "kind", "pool"),
    [
        ("golden_pool_render-farm", "refresh", "render-farm"),
        ("scale_pool_render-farm", "scale", "render-farm"),
        ("resize_pool", "resize", "asked"),
    ],
)
def test_a_run_belongs_to_a_pool_also_without_a_plan(dag_id: str, kind: str, pool: str) -> None:
    asked = "asked" if dag_id == "resize_pool" else None
    told = run(task("plan", "failed"), dag_id=dag_id, results={}, failed=True, pool=asked)
    [first, *_] = readings(told)
    assert first.metric is RUNS
    assert first.tags == {"pool": pool, "dag": kind, "outcome": "failed"}


@pytest.mark.parametrize("dag_id", ["watch_pools", "retire_images", "retire_former_pools", "somebody_elses"])
def test_other_dags_are_no_pools(dag_id: str) -> None:
    assert kind_of(dag_id) is None


def test_a_run_and_its_stages_are_timed() -> None:
    told = list(readings(run(task("plan", minutes=1), task("pool.resize", minutes=20))))
    assert [reading.value for reading in told if reading.metric is RUN_DURATION] == [2470_000]
    stages = {reading.tags["stage"]: reading.value for reading in told if reading.metric is STAGE_DURATION}
    assert stages == {"plan": 60_000, "pool.resize": 1_200_000}


def test_stages_that_did_not_run_or_ran_before_a_clear_are_not_timed() -> None:
    before, skipped = task("plan", at=-60), task("pool.probe", "skipped")
    never = TaskSeen(id="pool.switch", state="upstream_failed")
    told = readings(run(before, skipped, never, task("pool.nodes")))
    assert [reading.tags["stage"] for reading in told if reading.metric is STAGE_DURATION] == ["pool.nodes"]
