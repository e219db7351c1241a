"""Routes of the data plane for job schedules."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.batch.errors import already_exists
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
    written,
)
from include.azure_simulator.batch.job_views import job_body, schedule_body
from include.azure_simulator.batch.jobs import JobState
from include.azure_simulator.batch.schedules import JobSchedule, new_schedule

plane = APIRouter(route_class=DataPlaneRoute)


@plane.get("/jobschedules")
async def list_schedules(request: Request) -> Response:
    """The job schedules of the account."""
    base = account_url(request)
    schedules = [schedule_body(schedule, base) for schedule in account_of(request).schedules.values()]
    return data_plane_list(request, schedules, "jobschedules")


@plane.post("/jobschedules")
async def create_schedule(request: Request) -> Response:
    """Add a job schedule."""
    account, now = account_of(request), now_of(request)
    schedule = new_schedule(await body_of(request), now)
    if schedule.id.lower() in account.schedules:
        raise already_exists("JobSchedule")
    account.check_job_quota()
    account.schedules[schedule.id.lower()] = schedule
    account.settle(now)
    return _schedule_written(request, schedule, 201)


@plane.get("/jobschedules/{schedule_id}")
async def get_schedule(request: Request) -> Response:
    """A job schedule."""
    schedule = _schedule(request)
    check_conditions(request, schedule.etag)
    body = selected(request, schedule_body(schedule, account_url(request)))
    headers = etag_headers(schedule.etag, schedule.modified)
    return data_plane_json(request, body, "jobschedules/@Element", headers)


@plane.head("/jobschedules/{schedule_id}")
async def schedule_exists(request: Request) -> Response:
    """Whether there is a job schedule."""
    schedule = account_of(request).schedules.get(request.path_params["schedule_id"].lower())
    if schedule is None:
        return Response(status_code=404)
    return Response(status_code=200, headers=etag_headers(schedule.etag, schedule.modified))


@plane.api_route("/jobschedules/{schedule_id}", methods=["PATCH", "PUT"])
async def update_schedule(request: Request) -> Response:
    """Change a job schedule; jobs that it has made stay as they are."""
    schedule = _schedule(request)
    check_conditions(request, schedule.etag)
    body = await body_of(request)
    if request.method == "PUT":
        body = {name: body[name] for name in ("schedule", "jobSpecification", "metadata") if name in body}
    schedule.update(body, now_of(request))
    return _schedule_written(request, schedule, 200)


@plane.post("/jobschedules/{schedule_id}/disable")
async def disable_schedule(request: Request) -> Response:
    """Make no more jobs for now."""
    schedule = _schedule(request)
    check_conditions(request, schedule.etag)
    schedule.disable(now_of(request))
    return _schedule_written(request, schedule, 204)


@plane.post("/jobschedules/{schedule_id}/enable")
async def enable_schedule(request: Request) -> Response:
    """Make jobs again."""
    schedule = _schedule(request)
    check_conditions(request, schedule.etag)
    schedule.enable(now_of(request))
    account_of(request).settle(now_of(request))
    return _schedule_written(request, schedule, 204)


@plane.post("/jobschedules/{schedule_id}/terminate")
async def terminate_schedule(request: Request) -> Response:
    """Make no more jobs for good."""
    schedule = _schedule(request)
    schedule.terminate(now_of(request))
    return _schedule_written(request, schedule, 202)


@plane.delete("/jobschedules/{schedule_id}")
async def delete_schedule(request: Request) -> Response:
    """Delete a job schedule and the jobs that it has made."""
    account, schedule = account_of(request), _schedule(request)
    check_conditions(request, schedule.etag)
    for number in range(1, schedule.jobs_made + 1):
        job = account.jobs.get(f"{schedule.id}:job-{number}".lower())
        if job is not None and job.state is not JobState.DELETING:
            job.delete(now_of(request), account.settings)
    del account.schedules[schedule.id.lower()]
    return Response(status_code=202)


@plane.get("/jobschedules/{schedule_id}/jobs")
async def list_jobs_of_schedule(request: Request) -> Response:
    """The jobs that a job schedule has made."""
    schedule, base = _schedule(request), account_url(request)
    prefix = f"{schedule.id}:job-".lower()
    jobs = [job_body(job, base) for key, job in account_of(request).jobs.items() if key.startswith(prefix)]
    return data_plane_list(request, jobs, "jobs")


def _schedule(request: Request) -> JobSchedule:
    return account_of(request).schedule(request.path_params["schedule_id"])


def _schedule_written(request: Request, schedule: JobSchedule, status: int) -> Response:
    return written(request, status, f"jobschedules/{schedule.id}", schedule.etag, schedule.modified)
