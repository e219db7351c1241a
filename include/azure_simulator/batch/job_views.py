"""Jobs, tasks and job schedules as the data plane shows them."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue

from include.azure_simulator.batch.jobs import Job, JobState
from include.azure_simulator.batch.pool_spec import without_secrets
from include.azure_simulator.batch.schedules import JobSchedule
from include.azure_simulator.batch.tasks import Task, TaskFailure, TaskState
from include.azure_simulator.batch.views import failure_info, plain_etag
from include.azure_simulator.resources import JsonObject, timestamp

_STOPPED_BY_BATCH = 0xC000013A - 2**32
"""Exit code of a task that ran for too long (article on error handling), as the 32-bit number of the API."""


def job_body(job: Job, base: str) -> JsonObject:
    """A job; ``base`` is the URL of the account."""
    execution: JsonObject = {"startTime": timestamp(job.created)}
    if job.pool_name is not None:
        execution["poolId"] = job.pool_name
    if job.state is JobState.COMPLETED and job.ended is not None:
        execution["endTime"] = timestamp(job.ended)
        execution["terminateReason"] = job.terminate_reason
    out: JsonObject = {
        **cast(JsonObject, without_secrets(job.body)),
        "id": job.id,
        "url": f"{base}/jobs/{job.id}",
        "eTag": plain_etag(job.etag),
        "lastModified": timestamp(job.modified),
        "creationTime": timestamp(job.created),
        "state": job.state.value,
        "stateTransitionTime": timestamp(job.since),
        "executionInfo": execution,
    }
    if job.previous is not None:
        out["previousState"] = job.previous[0].value
        out["previousStateTransitionTime"] = timestamp(job.previous[1])
    return out


def task_body(job: Job, task: Task, base: str) -> JsonObject:
    """A task of a job."""
    execution: JsonObject = {"retryCount": 0, "requeueCount": task.requeues}
    if task.requeued_at is not None:
        execution["lastRequeueTime"] = timestamp(task.requeued_at)
    if task.started is not None:
        execution["startTime"] = timestamp(task.started)
    if task.state is TaskState.COMPLETED and task.ends is not None:
        execution |= _ended(task)
        execution["endTime"] = timestamp(task.ends)
    out: JsonObject = {
        "requiredSlots": task.slots,
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
        "constraints": {"maxTaskRetryCount": 0},
        **cast(JsonObject, without_secrets(task.body)),
        "id": task.id,
        "url": f"{base}/jobs/{job.id}/tasks/{task.id}",
        "eTag": plain_etag(task.etag),
        "lastModified": timestamp(task.since),
        "creationTime": timestamp(task.created),
        "state": task.state.value,
        "stateTransitionTime": timestamp(task.since),
        "executionInfo": execution,
    }
    if task.previous is not None:
        out["previousState"] = task.previous[0].value
        out["previousStateTransitionTime"] = timestamp(task.previous[1])
    if task.node is not None and task.pool_name is not None:
        out["nodeInfo"] = {
            "affinityId": f"TVM:{task.node.id}",
            "nodeUrl": f"{base}/pools/{task.pool_name}/nodes/{task.node.id}",
            "poolId": task.pool_name,
            "nodeId": task.node.id,
            "taskRootDirectory": f"workitems/{job.id}/job-1/{task.id}",
            "taskRootDirectoryUrl": f"{base}/jobs/{job.id}/tasks/{task.id}/files",
        }
    return out


def task_counts(job: Job) -> JsonObject:
    """How many tasks of a job are in each state, and how many slots they take."""
    counts = dict.fromkeys(("active", "running", "completed", "succeeded", "failed"), 0)
    slots = dict(counts)
    for task in job.tasks.values():
        names = [task.state.value]
        if task.state is TaskState.COMPLETED:
            names.append("succeeded" if task.succeeded else "failed")
        for name in names:
            counts[name] += 1
            slots[name] += task.slots
    return {"taskCounts": cast(JsonValue, counts), "taskSlotCounts": cast(JsonValue, slots)}


def schedule_body(schedule: JobSchedule, base: str) -> JsonObject:
    """A job schedule."""
    execution: JsonObject = {}
    if schedule.next_run is not None:
        execution["nextRunTime"] = timestamp(schedule.next_run)
    if schedule.job_id is not None:
        execution["recentJob"] = {"id": schedule.job_id, "url": f"{base}/jobs/{schedule.job_id}"}
    if schedule.ended is not None:
        execution["endTime"] = timestamp(schedule.ended)
    out: JsonObject = {
        **cast(JsonObject, without_secrets(schedule.body)),
        "id": schedule.id,
        "url": f"{base}/jobschedules/{schedule.id}",
        "eTag": plain_etag(schedule.etag),
        "lastModified": timestamp(schedule.modified),
        "creationTime": timestamp(schedule.created),
        "state": schedule.state.value,
        "stateTransitionTime": timestamp(schedule.since),
        "executionInfo": execution,
    }
    if schedule.previous is not None:
        out["previousState"] = schedule.previous[0].value
        out["previousStateTransitionTime"] = timestamp(schedule.previous[1])
    return out


def _ended(task: Task) -> JsonObject:
    if task.failure is TaskFailure.TIME_LIMIT:
        return {"exitCode": _STOPPED_BY_BATCH, **_task_ended("servererror", "The task exceeded its maxWallClockTime")}
    if task.failure is TaskFailure.ENDED or task.run is None:
        return _task_ended("usererror", "The task was ended by user request")
    ended: JsonObject = {
        "exitCode": task.run.exit_code,
        "retryCount": task.run.retries,
        "result": "success" if task.succeeded else "failure",
    }
    if task.run.exit_code:
        ended["failureInfo"] = failure_info(task.run.exit_code)
    return ended


def _task_ended(category: str, message: str) -> JsonObject:
    return {"result": "failure", "failureInfo": {"category": category, "code": "TaskEnded", "message": message}}
