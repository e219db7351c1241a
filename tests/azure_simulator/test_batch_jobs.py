"""Jobs, tasks and job schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, reasons, refusal


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    batch = Batch(client, world)
    batch.make("nightly", pool_body(2))
    return batch


def _job(batch: Batch, name: str = "work", pool: str = "nightly", **more: object) -> None:
    answer = batch.plane("POST", "/jobs", {"id": name, "poolInfo": {"poolId": pool}, **more})
    assert answer.status_code == 201, answer.text


def _add(batch: Batch, name: str, command: str, **more: object) -> None:
    answer = batch.plane("POST", "/jobs/work/tasks", {"id": name, "commandLine": command, **more})
    assert answer.status_code == 201, answer.text


def _task(batch: Batch, name: str) -> dict[str, Any]:
    task: dict[str, Any] = batch.plane("GET", f"/jobs/work/tasks/{name}").json()
    return task


def _state(batch: Batch, name: str = "work") -> str:
    state: str = batch.plane("GET", f"/jobs/{name}").json()["state"]
    return state


def test_a_task_runs_for_as_long_as_it_says(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "/bin/bash -c 'sleep 90'")
    batch.wait(seconds=89)
    running = _task(batch, "one")["state"]
    batch.wait(seconds=1)

    done = _task(batch, "one")
    assert (running, done["state"]) == ("running", "completed")
    assert (done["executionInfo"]["exitCode"], done["executionInfo"]["result"]) == (0, "success")
    assert done["nodeInfo"]["poolId"] == "nightly"


def test_a_task_ends_with_the_exit_code_that_it_names(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "exit 3", constraints={"maxTaskRetryCount": 1})
    batch.wait(minutes=5)

    info = _task(batch, "one")["executionInfo"]
    assert (info["exitCode"], info["retryCount"], info["result"]) == (3, 1, "failure")
    assert info["failureInfo"]["code"] == "FailureExitCode"


def test_tasks_queue_for_the_slots_of_the_nodes(batch: Batch) -> None:
    _job(batch)
    for number in range(5):
        _add(batch, f"t{number}", "sleep 60")
    counts = []
    for _ in range(4):
        counts.append(batch.plane("GET", "/jobs/work/taskcounts").json()["taskCounts"])
        batch.wait(seconds=60)

    assert [(c["active"], c["running"], c["completed"]) for c in counts] == [(3, 2, 0), (1, 2, 2), (0, 1, 4), (0, 0, 5)]


def test_a_clock_that_jumps_comes_to_the_same_result(batch: Batch) -> None:
    _job(batch)
    for number in range(5):
        _add(batch, f"t{number}", "sleep 60")
    start = batch.world.clock.now()
    batch.wait(minutes=60)

    tasks = batch.plane("GET", "/jobs/work/tasks").json()["value"]
    ends = [datetime.fromisoformat(task["executionInfo"]["endTime"]) - start for task in tasks]
    assert [end.total_seconds() for end in ends] == [60, 60, 120, 120, 180]


def test_a_job_waits_for_a_pool_that_does_not_exist_yet(batch: Batch) -> None:
    _job(batch, pool="later")
    _add(batch, "one", "true")
    batch.wait(minutes=10)
    waiting = _task(batch, "one")["state"]
    batch.make("later", pool_body(1))

    assert (waiting, _task(batch, "one")["state"]) == ("active", "completed")


def test_a_running_node_counts_as_running(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 600")

    assert batch.counts("nightly") == {"idle": 1, "running": 1, "total": 2}


def test_a_task_of_a_job_that_was_disabled_begins_when_the_job_is_enabled(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 600")
    batch.plane("POST", "/jobs/work/disable", {"disableTasks": "requeue"})
    batch.wait(minutes=60)
    batch.plane("POST", "/jobs/work/enable")
    enabled = batch.world.clock.now()

    assert _task(batch, "one")["state"] == "running"
    assert datetime.fromisoformat(_task(batch, "one")["executionInfo"]["startTime"]) == enabled


def test_a_job_changes_its_pool_only_while_disabled(batch: Batch) -> None:
    _job(batch)
    change = {"poolInfo": {"poolId": "other"}}
    refused = batch.plane("PATCH", "/jobs/work", change)
    batch.plane("POST", "/jobs/work/disable", {"disableTasks": "requeue"})
    disabling = _state(batch)
    batch.wait(minutes=1)
    disabled = _state(batch)
    changed = batch.plane("PATCH", "/jobs/work", change)
    batch.plane("POST", "/jobs/work/enable")

    assert refusal(refused) == (409, "JobNotDisabled")
    assert (disabling, disabled, changed.status_code) == ("disabling", "disabled", 200)
    assert batch.plane("GET", "/jobs/work").json()["poolInfo"] == {"poolId": "other"}
    assert _state(batch) == "active"


def test_disable_with_wait_stays_disabling_until_tasks_end(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 300")
    batch.plane("POST", "/jobs/work/disable", {"disableTasks": "wait"})
    batch.wait(minutes=4)
    waiting = _state(batch)
    batch.wait(minutes=2)

    assert (waiting, _state(batch)) == ("disabling", "disabled")
    assert _task(batch, "one")["executionInfo"]["exitCode"] == 0


def test_disable_with_requeue_gives_tasks_back(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 300")
    batch.plane("POST", "/jobs/work/disable", {"disableTasks": "requeue"})

    assert _task(batch, "one")["state"] == "active"
    assert batch.counts("nightly") == {"idle": 2, "total": 2}


def test_a_job_ends_with_its_tasks_when_asked_to(batch: Batch) -> None:
    _job(batch, onAllTasksComplete="terminatejob")
    _add(batch, "one", "sleep 60")
    batch.wait(minutes=2)

    job = batch.plane("GET", "/jobs/work").json()
    assert (job["state"], job["executionInfo"]["terminateReason"]) == ("completed", "AllTasksCompleted")


def test_a_terminated_job_takes_no_tasks(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 600")
    batch.plane("POST", "/jobs/work/terminate", {"terminateReason": "enough"})

    refused = batch.plane("POST", "/jobs/work/tasks", {"id": "two", "commandLine": "true"})
    assert refusal(refused) == (409, "JobCompleted")
    assert _task(batch, "one")["executionInfo"]["failureInfo"]["code"] == "TaskEnded"
    assert batch.plane("GET", "/jobs/work").json()["executionInfo"]["terminateReason"] == "enough"


def test_a_deleted_job_is_gone_after_a_while(batch: Batch) -> None:
    _job(batch)
    deleted = batch.plane("DELETE", "/jobs/work")
    deleting = _state(batch)
    batch.wait(minutes=1)

    assert (deleted.status_code, deleting) == (202, "deleting")
    assert refusal(batch.plane("GET", "/jobs/work")) == (404, "JobNotFound")


def test_jobs_stay_bound_to_the_id_of_a_deleted_pool(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "sleep 300")
    batch.plane("DELETE", "/pools/nightly")
    requeued = _task(batch, "one")["state"]
    batch.wait(minutes=10)
    batch.make("nightly", pool_body(1))

    assert (requeued, _task(batch, "one")["state"]) == ("active", "completed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"poolInfo": {"poolId": "p"}}, "MissingRequiredProperty"),
        ({"id": "a.b", "poolInfo": {"poolId": "p"}}, "InvalidPropertyValue"),
        ({"id": "a"}, "MissingRequiredProperty"),
        ({"id": "a", "poolInfo": {}}, "InvalidPropertyValue"),
        ({"id": "a", "poolInfo": {"poolId": "p"}, "pool": 1}, "InvalidRequestBody"),
    ],
)
def test_a_bad_job_is_refused(batch: Batch, body: dict[str, Any], code: str) -> None:
    assert refusal(batch.plane("POST", "/jobs", body)) == (400, code)


def test_a_second_job_or_task_of_one_id_is_refused(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "true")

    assert refusal(batch.plane("POST", "/jobs", {"id": "WORK", "poolInfo": {"poolId": "p"}})) == (409, "JobExists")
    assert refusal(batch.plane("POST", "/jobs/work/tasks", {"id": "one", "commandLine": "true"})) == (409, "TaskExists")


def test_a_collection_answers_for_each_task(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "true")
    tasks = [{"id": "one", "commandLine": "true"}, {"id": "two", "commandLine": "true"}]

    results = batch.plane("POST", "/jobs/work/addtaskcollection", {"value": tasks}).json()["value"]

    assert [(result["taskId"], result["status"]) for result in results] == [("one", "clienterror"), ("two", "success")]
    assert results[0]["error"]["code"] == "TaskExists"


def test_the_quota_of_active_jobs_is_enforced(batch: Batch) -> None:
    account = batch.world.batch.account(None)
    assert account is not None
    account.facts = account.facts.model_copy(update={"active_job_and_job_schedule_quota": 1})
    _job(batch)

    answer = batch.plane("POST", "/jobs", {"id": "more", "poolInfo": {"poolId": "p"}})

    assert refusal(answer) == (409, "ActiveJobAndScheduleQuotaReached")


def test_a_failed_task_can_run_again(batch: Batch) -> None:
    _job(batch)
    _add(batch, "one", "exit 1")
    batch.wait(minutes=5)

    assert batch.plane("POST", "/jobs/work/tasks/one/reactivate").status_code == 204
    assert _task(batch, "one")["state"] == "running"


def test_a_task_that_needs_several_slots_gets_them_on_one_node(batch: Batch) -> None:
    batch.make("slots", pool_body(2, taskSlotsPerNode=2))
    _job(batch, pool="slots")
    _add(batch, "small", "sleep 600")
    _add(batch, "large", "sleep 600", requiredSlots=2)

    assert _task(batch, "small")["nodeInfo"]["nodeId"] != _task(batch, "large")["nodeInfo"]["nodeId"]
    assert batch.counts("slots") == {"running": 2, "total": 2}


# -- job schedules -----------------------------------------------------------------------------------------------------


def _schedule(batch: Batch, **schedule: object) -> None:
    body = {"id": "daily", "schedule": schedule, "jobSpecification": {"poolInfo": {"poolId": "nightly"}}}
    answer = batch.plane("POST", "/jobschedules", body)
    assert answer.status_code == 201, answer.text


def test_a_schedule_makes_its_first_job_at_once(batch: Batch) -> None:
    _schedule(batch)

    shown = batch.plane("GET", "/jobschedules/daily").json()
    assert shown["executionInfo"]["recentJob"]["id"] == "daily:job-1"
    assert _state(batch, "daily:job-1") == "active"


def test_a_schedule_makes_the_next_job_when_the_last_has_ended(batch: Batch) -> None:
    _schedule(batch, recurrenceInterval="PT1H")
    batch.wait(minutes=90)
    still = len(batch.plane("GET", "/jobschedules/daily/jobs").json()["value"])
    batch.plane("POST", "/jobs/daily:job-1/terminate", {})

    jobs = batch.plane("GET", "/jobschedules/daily/jobs").json()["value"]
    assert (still, [job["id"] for job in jobs]) == (1, ["daily:job-1", "daily:job-2"])


def test_an_update_of_a_schedule_leaves_its_jobs_alone(batch: Batch) -> None:
    _schedule(batch)
    specification = {"poolInfo": {"poolId": "green"}}
    batch.plane("PATCH", "/jobschedules/daily", {"jobSpecification": specification})

    assert batch.plane("GET", "/jobs/daily:job-1").json()["poolInfo"] == {"poolId": "nightly"}
    assert batch.plane("GET", "/jobschedules/daily").json()["jobSpecification"] == specification


def test_a_disabled_schedule_makes_no_jobs(batch: Batch) -> None:
    _schedule(batch, recurrenceInterval="PT1H")
    batch.plane("POST", "/jobschedules/daily/disable")
    batch.plane("POST", "/jobs/daily:job-1/terminate", {})
    batch.wait(minutes=180)
    disabled = len(batch.plane("GET", "/jobschedules/daily/jobs").json()["value"])
    batch.plane("POST", "/jobschedules/daily/enable")

    assert disabled == 1
    assert len(batch.plane("GET", "/jobschedules/daily/jobs").json()["value"]) == 2


def test_a_deleted_schedule_takes_its_jobs_along(batch: Batch) -> None:
    _schedule(batch)
    batch.plane("DELETE", "/jobschedules/daily")
    batch.wait(minutes=1)

    assert batch.plane("HEAD", "/jobschedules/daily").status_code == 404
    assert batch.plane("GET", "/jobs").json()["value"] == []


def test_a_schedule_that_is_too_frequent_is_refused(batch: Batch) -> None:
    specification = {"poolInfo": {"poolId": "p"}}
    body = {"id": "s", "schedule": {"recurrenceInterval": "PT30S"}, "jobSpecification": specification}
    answer = batch.plane("POST", "/jobschedules", body)

    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reasons(answer)["Reason"] == "The minimum value is 1 minute."


def test_a_task_lists_its_output_with_its_length(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))
    batch.plane("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nightly"}})
    batch.plane("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "true"})
    batch.wait(minutes=5)

    files = batch.plane("GET", "/jobs/job/tasks/task/files").json()["value"]

    assert [(file["name"], file["properties"]["contentLength"]) for file in files] == [
        ("stdout.txt", "5"),
        ("stderr.txt", "0"),
    ]
