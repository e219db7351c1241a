"""Routes of the data plane for jobs and tasks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.batch.errors import (
    BatchServiceError,
    already_exists,
    invalid_body,
    invalid_value,
)
from include.azure_simulator.batch.files import TextFile, find_file, task_files
from include.azure_simulator.batch.http import (
    DataPlaneRoute,
    account_of,
    account_url,
    body_of,
    check_conditions,
    data_plane_json,
    data_plane_list,
    etag_headers,
    now_of,
    selected,
    version_of,
    written,
)
from include.azure_simulator.batch.job_views import job_body, task_body, task_counts
from include.azure_simulator.batch.jobs import DisableTasks, Job, new_job
from include.azure_simulator.batch.tasks import Task, TaskState
from include.azure_simulator.batch.views import plain_etag
from include.azure_simulator.resources import JsonObject

_MOST_TASKS_AT_ONCE = 100

plane = APIRouter(route_class=DataPlaneRoute)


# -- jobs --------------------------------------------------------------------------------------------------------------


@plane.get("/jobs")
async def list_jobs(request: Request) -> Response:
    """The jobs of the account."""
    base = account_url(request)
    return data_plane_list(request, [job_body(job, base) for job in account_of(request).jobs.values()], "jobs")


@plane.post("/jobs")
async def create_job(request: Request) -> Response:
    """Add a job; its pool need not exist."""
    account, now = account_of(request), now_of(request)
    job = new_job(await body_of(request), now)
    if job.id.lower() in account.jobs:
        raise already_exists("Job")
    account.check_job_quota()
    account.jobs[job.id.lower()] = job
    account.settle(now)
    return _job_written(request, job, 201)


@plane.get("/jobs/{job_id}")
async def get_job(request: Request) -> Response:
    """A job."""
    job = _job(request)
    check_conditions(request, job.etag)
    body = selected(request, job_body(job, account_url(request)))
    return data_plane_json(request, body, "jobs/@Element", etag_headers(job.etag, job.modified))


@plane.api_route("/jobs/{job_id}", methods=["PATCH", "PUT"])
async def update_job(request: Request) -> Response:
    """Change a job; PUT sets what is left out to its default."""
    job = _job(request)
    check_conditions(request, job.etag)
    body = await body_of(request)
    if request.method == "PUT":
        # A client that replaces a job sends back what it has read; what never changes is not an update.
        body = {
            name: value for name, value in body.items() if name not in _READ_ONLY_JOB or value != job.body.get(name)
        }
        body = {name: value for name, value in body.items() if name not in _SERVER_JOB}
    job.update(body, now_of(request), replace=request.method == "PUT")
    return _job_written(request, job, 200)


@plane.post("/jobs/{job_id}/disable")
async def disable_job(request: Request) -> Response:
    """Give no more tasks of a job to nodes."""
    account, job = account_of(request), _job(request)
    check_conditions(request, job.etag)
    value = (await body_of(request)).get("disableTasks")
    try:
        option = DisableTasks(str(value).lower())
    except ValueError as error:
        raise invalid_value("disableTasks", value, "requeue, terminate or wait is expected.") from error
    job.disable(option, now_of(request), account.settings)
    return _job_written(request, job, 202)


@plane.post("/jobs/{job_id}/enable")
async def enable_job(request: Request) -> Response:
    """Let a job go on."""
    job = _job(request)
    check_conditions(request, job.etag)
    job.enable(now_of(request))
    account_of(request).settle(now_of(request))
    return _job_written(request, job, 202)


@plane.post("/jobs/{job_id}/terminate")
async def terminate_job(request: Request) -> Response:
    """End a job."""
    job = _job(request)
    check_conditions(request, job.etag)
    reason = (await body_of(request)).get("terminateReason") or "UserTerminate"
    job.terminate(str(reason), now_of(request))
    return _job_written(request, job, 202)


@plane.delete("/jobs/{job_id}")
async def delete_job(request: Request) -> Response:
    """Begin to delete a job."""
    job = _job(request)
    check_conditions(request, job.etag)
    job.delete(now_of(request), account_of(request).settings)
    return Response(status_code=202)


@plane.get("/jobs/{job_id}/taskcounts")
async def get_task_counts(request: Request) -> Response:
    """How many tasks are in each state."""
    entity = "Microsoft.Azure.Batch.Protocol.Entities.TaskCountsResult"
    return data_plane_json(request, task_counts(_job(request)), entity)


# -- tasks -------------------------------------------------------------------------------------------------------------


@plane.get("/jobs/{job_id}/tasks")
async def list_tasks(request: Request) -> Response:
    """The tasks of a job."""
    job, base = _job(request), account_url(request)
    return data_plane_list(request, [task_body(job, task, base) for task in job.tasks.values()], "tasks")


@plane.post("/jobs/{job_id}/tasks")
async def create_task(request: Request) -> Response:
    """Add a task."""
    account, job, now = account_of(request), _job(request), now_of(request)
    task = job.add_task(await body_of(request), now)
    account.settle(now)
    return _task_written(request, job, task, 201)


@plane.post("/jobs/{job_id}/addtaskcollection")
async def create_task_collection(request: Request) -> Response:
    """Add up to 100 tasks; each has its own answer."""
    account, job, now = account_of(request), _job(request), now_of(request)
    values = (await body_of(request)).get("value")
    if not isinstance(values, list) or not 1 <= len(values) <= _MOST_TASKS_AT_ONCE:
        raise invalid_body(f"value must hold between 1 and {_MOST_TASKS_AT_ONCE} tasks.")
    results: list[JsonValue] = []
    for value in values:
        if not isinstance(value, dict):
            raise invalid_body("A task must be an object.")
        results.append(_add_one(request, job, value))
    account.settle(now)
    entity = "Microsoft.Azure.Batch.Protocol.Entities.TaskAddResult"
    return data_plane_json(request, {"value": results}, entity)


@plane.get("/jobs/{job_id}/tasks/{task_id}")
async def get_task(request: Request) -> Response:
    """A task."""
    job, task = _job_and_task(request)
    body = selected(request, task_body(job, task, account_url(request)))
    return data_plane_json(request, body, "tasks/@Element", etag_headers(task.etag, task.since))


@plane.delete("/jobs/{job_id}/tasks/{task_id}")
async def delete_task(request: Request) -> Response:
    """Delete a task; one that runs is ended."""
    job, task = _job_and_task(request)
    task.end_early(now_of(request))
    del job.tasks[task.id.lower()]
    return Response(status_code=200)


@plane.post("/jobs/{job_id}/tasks/{task_id}/terminate")
async def terminate_task(request: Request) -> Response:
    """End a task."""
    job, task = _job_and_task(request)
    if task.state is TaskState.COMPLETED:
        raise BatchServiceError(409, "TaskCompleted", "The specified task is already in a completed state.")
    task.end_early(now_of(request))
    return _task_written(request, job, task, 204)


@plane.post("/jobs/{job_id}/tasks/{task_id}/reactivate")
async def reactivate_task(request: Request) -> Response:
    """Run a failed task again."""
    job, task = _job_and_task(request)
    if task.state is not TaskState.COMPLETED or task.succeeded:
        raise BatchServiceError(
            409, "TaskNotFailed", "Only a task that has completed with a failure can be reactivated."
        )
    task.reactivate(now_of(request))
    account_of(request).settle(now_of(request))
    return _task_written(request, job, task, 204)


@plane.get("/jobs/{job_id}/tasks/{task_id}/files")
async def list_task_files(request: Request) -> Response:
    """The files of a task."""
    job, task = _job_and_task(request)
    url = f"{account_url(request)}/jobs/{job.id}/tasks/{task.id}/files"
    files = _files(request, task)
    return data_plane_list(request, [file.listed(url, version_of(request)) for file in files], "files")


@plane.api_route("/jobs/{job_id}/tasks/{task_id}/files/{path:path}", methods=["GET", "HEAD"])
async def task_file(request: Request, path: str) -> Response:
    """One file of a task."""
    _, task = _job_and_task(request)
    return find_file(_files(request, task), path).answer(request)


_SERVER_JOB = frozenset(
    {
        "url",
        "eTag",
        "lastModified",
        "creationTime",
        "state",
        "stateTransitionTime",
        "previousState",
        "previousStateTransitionTime",
        "executionInfo",
        "stats",
    }
)
_READ_ONLY_JOB = frozenset(
    {
        "id",
        "displayName",
        "usesTaskDependencies",
        "jobManagerTask",
        "jobPreparationTask",
        "jobReleaseTask",
        "commonEnvironmentSettings",
        "onTaskFailure",
    }
)


def _job(request: Request) -> Job:
    return account_of(request).job(request.path_params["job_id"])


def _job_and_task(request: Request) -> tuple[Job, Task]:
    job = _job(request)
    return job, job.task(request.path_params["task_id"])


def _files(request: Request, task: Task) -> list[TextFile]:
    return task_files(task, now_of(request), account_of(request).settings.gone_files_code)


def _add_one(request: Request, job: Job, body: JsonObject) -> JsonObject:
    base = account_url(request)
    try:
        task = job.add_task(body, now_of(request))
    except BatchServiceError as error:
        message: JsonObject = {"lang": "en-us", "value": error.message}
        return {
            "status": "clienterror",
            "taskId": str(body.get("id", "")),
            "error": {"code": error.code, "message": message},
        }
    location = f"{base}/jobs/{job.id}/tasks/{task.id}"
    modified = task_body(job, task, base)["lastModified"]
    return {
        "status": "success",
        "taskId": task.id,
        "eTag": plain_etag(task.etag),
        "lastModified": modified,
        "location": location,
    }


def _job_written(request: Request, job: Job, status: int) -> Response:
    return written(request, status, f"jobs/{job.id}", job.etag, job.modified)


def _task_written(request: Request, job: Job, task: Task, status: int) -> Response:
    return written(request, status, f"jobs/{job.id}/tasks/{task.id}", task.etag, task.since)
