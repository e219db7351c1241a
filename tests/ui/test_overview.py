"""The overview on a database with runs of every kind in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from tests.ui.conftest import Open
from tests.ui.seed import NOW, Seed

STAGES = (
    "plan",
    "source",
    "preflight",
    "image.snapshot",
    "image.publish",
    "canary.pool",
    "pool.refresh",
    "pool.resize",
)
WENT_WELL = dict.fromkeys((*STAGES, "pool.nodes", "pool.record"), "success") | {"rollback.restore": "skipped"}
REFRESHED = {"pool.refresh": {"action": "image changed", "image": "/x/versions/2026.1124.20005"}}


def overview(client: TestClient) -> dict[str, dict[str, Any]]:
    answer = client.get("/golden-pools/api/overview")
    assert answer.status_code == 200, answer.text
    return {row["pool"]: row for row in answer.json()["pools"]}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what is asked of the database."""
    from airflow import settings

    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


def test_a_pool_whose_run_went_well_needs_nobody(viewer: TestClient, seed: Seed) -> None:
    seed.run(seed.pool("alpha"), "success", WENT_WELL, results=REFRESHED)

    row = overview(viewer)["alpha"]

    assert (row["run"]["outcome"], row["run"]["outcome_text"]) == ("refreshed", "refreshed")
    assert (row["attention"], row["why"]) == ("fine", "")


def test_a_failed_run_says_which_stage_failed_and_why(viewer: TestClient, seed: Seed) -> None:
    noted = {"what": "The pool did not reach its targets", "text": "…", "answer": "AllocationFailed", "advice": "wait"}
    tasks = {**WENT_WELL, "pool.resize": "failed", "pool.nodes": "upstream_failed"}
    seed.run(seed.pool("alpha"), "failed", tasks, failures={"pool.resize": noted})

    row = overview(viewer)["alpha"]

    assert row["run"]["outcome"] == "failed"
    assert row["attention"] == "act"
    assert row["why"] == "Task pool.resize failed: The pool did not reach its targets."


def test_a_rollback_says_what_the_pool_is_on_again(viewer: TestClient, seed: Seed) -> None:
    restored = {"pool": "alpha", "version": "2026.1121.20005", "why": "pool.nodes: too few nodes"}
    tasks = {**WENT_WELL, "pool.nodes": "failed", "rollback.restore": "success", "rollback.report": "failed"}
    seed.run(seed.pool("alpha"), "failed", tasks, results={"rollback.restore": restored})

    row = overview(viewer)["alpha"]

    assert row["run"]["outcome"] == "rolled_back"
    assert row["why"] == "Rolled back to 2026.1121.20005: pool.nodes: too few nodes."


def test_a_run_that_goes_on_says_where_it_is(viewer: TestClient, seed: Seed) -> None:
    tasks = {"plan": "success", "image.snapshot": "deferred", "pool.refresh": "none"}
    seed.run(seed.pool("alpha"), "running", tasks)

    row = overview(viewer)["alpha"]

    assert (row["attention"], row["run"]["outcome"]) == ("busy", "running")
    assert row["why"] == "Running: image.snapshot."


def test_a_run_that_waits_for_an_answer_needs_a_person(viewer: TestClient, seed: Seed) -> None:
    seed.run(seed.pool("alpha"), "running", {"plan": "success", "approve": "awaiting_input"})

    assert overview(viewer)["alpha"]["attention"] == "act"


def test_a_plan_only_run_changed_nothing(viewer: TestClient, seed: Seed) -> None:
    tasks = {"plan": "success", "preflight": "success", "pool.refresh": "skipped"}
    seed.run(seed.pool("alpha"), "success", tasks, conf={"plan_only": True}, run_type="manual", by="eva")

    head = overview(viewer)["alpha"]["run"]

    assert (head["outcome"], head["run_type"], head["by"]) == ("plan_only", "manual", "eva")


def test_a_plan_after_a_failure_settles_nothing(viewer: TestClient, seed: Seed) -> None:
    dag_id = seed.pool("alpha")
    seed.run(dag_id, "failed", {"pool.resize": "failed"}, started=NOW - timedelta(hours=9))
    seed.run(dag_id, "success", {"preflight": "success", "pool.refresh": "skipped"}, conf={"plan_only": True})

    row = overview(viewer)["alpha"]

    assert row["run"]["outcome"] == "plan_only"
    assert (row["attention"], row["why"]) == ("act", "Task pool.resize failed: it left no reason.")


def test_a_failed_resize_by_hand_counts_until_a_refresh_settles_it(viewer: TestClient, seed: Seed) -> None:
    dag_id = seed.pool("alpha")
    seed.dag("resize_pool")
    seed.run(dag_id, "success", WENT_WELL, results=REFRESHED)
    failure = {"resize": {"what": "Quota is used up", "text": "Quota is used up", "advice": "ask for more"}}
    seed.run("resize_pool", "failed", {"plan": "success", "resize": "failed"}, failures=failure, conf={"pool": "alpha"})
    before = overview(viewer)["alpha"]

    seed.run(dag_id, "success", WENT_WELL, results=REFRESHED, run_id="later")

    assert (before["attention"], before["why"]) == ("act", "Task resize failed: Quota is used up.")
    assert before["run"]["dag_id"] == "resize_pool"
    assert overview(viewer)["alpha"]["attention"] == "fine"


def test_after_a_resize_by_hand_its_counts_are_the_target(viewer: TestClient, seed: Seed) -> None:
    seed.run(seed.pool("alpha"), "success", WENT_WELL, results=REFRESHED)
    seed.dag("resize_pool")
    asked = {"resize": {"targets": {"dedicated": 7, "spot": 1}, "verdict": "reached"}}
    before = overview(viewer)["alpha"]["target"]

    seed.run("resize_pool", "success", {"resize": "success"}, results=asked, conf={"pool": "alpha"})

    assert (before, overview(viewer)["alpha"]["target"]) == ({"dedicated": 2, "spot": 0}, {"dedicated": 7, "spot": 1})


def test_a_resize_of_another_pool_is_not_this_ones(viewer: TestClient, seed: Seed) -> None:
    seed.pool("alpha")
    seed.dag("resize_pool")
    seed.run("resize_pool", "failed", {"resize": "failed"}, conf={"pool": "beta"})

    assert overview(viewer)["alpha"]["run"] is None


def test_a_paused_dag_with_a_schedule_is_looked_at(viewer: TestClient, seed: Seed) -> None:
    seed.pool("alpha", paused=True)

    row = overview(viewer)["alpha"]

    assert (row["attention"], row["why"]) == ("look", "Its DAG is paused, so its schedule does nothing.")


def test_a_pool_that_airflow_does_not_have_is_shown_as_such(viewer: TestClient, seed: Seed) -> None:
    seed.spec("alpha")

    row = overview(viewer)["alpha"]

    assert (row["in_airflow"], row["paused"], row["attention"]) == (False, None, "look")


def test_an_error_of_the_watch_about_a_pool_stands_in_its_row(viewer: TestClient, seed: Seed) -> None:
    seed.pool("alpha")
    seed.pool("beta")
    subject = (
        "/subscriptions/51a51a51-0000-4000-8000-000000000003/resourceGroups/batch"
        "/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools/ALPHA"
    )
    finding = {"id": "x", "level": "ERROR", "check": "pool_missing", "seen": "pool alpha is gone", "advice": "make it"}
    seed.shared(
        "findings", {"at": NOW.isoformat(), "known": [{**finding, "az": "az", "subject": subject, "needs": []}]}
    )

    rows = overview(viewer)

    assert rows["alpha"]["findings"] == [
        {"level": "error", "check": "pool_missing", "seen": "pool alpha is gone", "advice": "make it"}
    ]
    assert rows["beta"]["findings"] == []


def test_what_needs_a_person_comes_first(viewer: TestClient, seed: Seed) -> None:
    seed.run(seed.pool("a-fine"), "success", WENT_WELL, results=REFRESHED)
    seed.run(seed.pool("b-busy"), "running", {"plan": "running"})
    seed.pool("c-look", paused=True)
    seed.run(seed.pool("d-act"), "failed", {"plan": "failed"})

    assert list(overview(viewer)) == ["d-act", "c-look", "b-busy", "a-fine"]


def test_a_file_with_faults_is_named_and_the_others_go_on(viewer: TestClient, seed: Seed) -> None:
    seed.pool("alpha")
    (seed.specs / "broken.yaml").write_text("pool: 1\n", encoding="utf-8")

    answer = viewer.get("/golden-pools/api/overview").json()

    assert [row["pool"] for row in answer["pools"]] == ["alpha"]
    assert [fault["file"] for fault in answer["faults"]] == ["broken.yaml"]


def test_a_changed_file_is_read_again(viewer: TestClient, seed: Seed) -> None:
    seed.pool("alpha", owner="data-team")
    before = overview(viewer)["alpha"]["owner"]

    seed.spec("alpha", owner="rendering")

    assert (before, overview(viewer)["alpha"]["owner"]) == ("data-team", "rendering")


@pytest.mark.parametrize("pools", [1, 30])
def test_the_database_is_asked_as_often_for_many_pools_as_for_one(login: Open, seed: Seed, pools: int) -> None:
    for number in range(pools):
        seed.run(seed.pool(f"pool-{number}"), "success", WENT_WELL, results=REFRESHED)
    seed.dag("resize_pool")
    client = login("USER")
    overview(client)

    with statements() as asked:
        overview(client)

    assert len([statement for statement in asked if not statement.startswith("PRAGMA")]) <= 9, "\n".join(asked)


def test_the_newest_run_is_the_one_that_counts(viewer: TestClient, seed: Seed) -> None:
    dag_id = seed.pool("alpha")
    seed.run(dag_id, "failed", {"plan": "failed"}, started=NOW - timedelta(days=1))
    seed.run(dag_id, "success", WENT_WELL, results=REFRESHED)

    assert overview(viewer)["alpha"]["attention"] == "fine"
