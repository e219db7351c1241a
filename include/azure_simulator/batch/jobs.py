"""Jobs: bound to a pool by its id, they wait when there is no such pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from pydantic import TypeAdapter, ValidationError

from include.azure_simulator.batch.errors import (
    BatchServiceError,
    already_exists,
    invalid_value,
    missing_property,
    not_found,
)
from include.azure_simulator.batch.pool_spec import POOL_NAME
from include.azure_simulator.batch.settings import BatchSettings
from include.azure_simulator.batch.tasks import Task, TaskState, finish_tasks
from include.azure_simulator.resources import JsonObject, new_etag


class JobState(StrEnum):
    """States of a job, as the data plane writes them."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class DisableTasks(StrEnum):
    """What becomes of running tasks when a job is disabled."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    WAIT = "wait"


_DURATION = TypeAdapter(timedelta)
_CHANGEABLE = frozenset(
    {
        "priority",
        "allowTaskPreemption",
        "maxParallelTasks",
        "constraints",
        "poolInfo",
        "onAllTasksComplete",
        "metadata",
        "networkConfiguration",
    }
)
_CREATE_ONLY = frozenset(
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
JOB_PROPERTIES = _CHANGEABLE | _CREATE_ONLY
"""What a user may say about a job (API 2025-06-01)."""

_TASK_PROPERTIES = frozenset(
    {
        "id",
        "displayName",
        "exitConditions",
        "commandLine",
        "containerSettings",
        "resourceFiles",
        "outputFiles",
        "environmentSettings",
        "affinityInfo",
        "constraints",
        "requiredSlots",
        "userIdentity",
        "multiInstanceSettings",
        "dependsOn",
        "applicationPackageReferences",
        "authenticationTokenSettings",
    }
)


@dataclass(slots=True)
class Job:
    """A job with its tasks. ``body`` is what the user sent, with the service's defaults."""

    id: str
    body: JsonObject
    created: datetime
    state: JobState = JobState.ACTIVE
    since: datetime = field(init=False)
    modified: datetime = field(init=False)
    previous: tuple[JobState, datetime] | None = None
    etag: str = field(default_factory=new_etag)
    tasks: dict[str, Task] = field(default_factory=dict)
    ended: datetime | None = None
    terminate_reason: str | None = None
    settles_at: datetime | None = None

    def __post_init__(self) -> None:
        self.since = self.modified = self.created

    @property
    def pool_name(self) -> str | None:
        """The id of the pool that the job is bound to, if it is bound by id."""
        value = cast(JsonObject, self.body["poolInfo"]).get("poolId")
        return value if isinstance(value, str) else None

    @property
    def priority(self) -> int:
        """-1000 to 1000; higher runs first."""
        return cast(int, self.body.get("priority", 0))

    def running_tasks(self) -> list[Task]:
        """The tasks that run now."""
        return [task for task in self.tasks.values() if task.state is TaskState.RUNNING]

    def waiting_tasks(self) -> list[tuple[Task, datetime]]:
        """The tasks that wait for a node, in the order in which they came, and since when the job lets them."""
        if self.state is not JobState.ACTIVE:
            return []
        waiting = (task for task in self.tasks.values() if task.state is TaskState.ACTIVE)
        return [(task, max(task.since, self.since)) for task in waiting]

    # -- what users do -------------------------------------------------------------------------------------------------

    def add_task(self, body: JsonObject, now: datetime) -> Task:
        """Add a task.

        :raises BatchServiceError: 409 ``TaskExists``, ``JobCompleted``, 400 for a bad body.
        """
        self._require_not({JobState.COMPLETED, JobState.TERMINATING, JobState.DELETING})
        known_properties(body, _TASK_PROPERTIES)
        task_id, command = object_id(body), body.get("commandLine")
        if not isinstance(command, str) or not command:
            raise missing_property("commandLine")
        if task_id.lower() in self.tasks:
            raise already_exists("Task")
        constraints = cast(JsonObject, body.get("constraints") or {})
        retries, slots = constraints.get("maxTaskRetryCount", 0), body.get("requiredSlots", 1)
        task = Task(
            task_id,
            body,
            now,
            slots=slots if isinstance(slots, int) else 1,
            max_retries=retries if isinstance(retries, int) else 0,
            time_limit=_time_limit(constraints),
        )
        self.tasks[task_id.lower()] = task
        return task

    def task(self, task_id: str) -> Task:
        """The task with this id.

        :raises BatchServiceError: 404 ``TaskNotFound``.
        """
        if (found := self.tasks.get(task_id.lower())) is None:
            raise not_found("Task")
        return found

    def update(self, change: JsonObject, now: datetime, *, replace: bool) -> None:
        """Change properties; ``replace`` sets those that are left out to their defaults.

        :raises BatchServiceError: 409 when the pool is changed while the job is not disabled.
        """
        self._require_not({JobState.DELETING, JobState.TERMINATING, JobState.COMPLETED})
        known_properties(change, _CHANGEABLE)
        if "poolInfo" in change and change["poolInfo"] != self.body["poolInfo"]:
            if self.state is not JobState.DISABLED:
                raise BatchServiceError(
                    409,
                    "JobNotDisabled",
                    "The specified operation is not valid for the current state of the job: it is not disabled.",
                    [("PropertyName", "poolInfo")],
                )
            check_pool_info(change)
        kept = {name: value for name, value in self.body.items() if name not in _CHANGEABLE} if replace else self.body
        pool_info = {"poolInfo": self.body["poolInfo"]}
        self.body = with_defaults(pool_info | kept | change)
        self._touch(now)

    def disable(self, option: DisableTasks, now: datetime, settings: BatchSettings) -> None:
        """Stop giving tasks to nodes.

        :raises BatchServiceError: 409 unless the job is active, disabling or disabled.
        """
        if self.state not in (JobState.ACTIVE, JobState.DISABLING, JobState.DISABLED):
            raise self._wrong_state()
        if self.state is JobState.DISABLED:
            return
        for task in self.running_tasks():
            if option is DisableTasks.REQUEUE:
                task.requeue(now)
            elif option is DisableTasks.TERMINATE:
                task.end_early(now)
        self._enter(JobState.DISABLING, now)
        self.settles_at = now + settings.job_disable

    def enable(self, now: datetime) -> None:
        """Go on.

        :raises BatchServiceError: 409 unless the job is disabled or being disabled.
        """
        if self.state not in (JobState.DISABLED, JobState.DISABLING, JobState.ACTIVE):
            raise self._wrong_state()
        self.settles_at = None
        if self.state is not JobState.ACTIVE:
            self._enter(JobState.ACTIVE, now)

    def terminate(self, reason: str, now: datetime) -> None:
        """End the job and its tasks.

        :raises BatchServiceError: 409 when the job has ended.
        """
        self._require_not({JobState.COMPLETED, JobState.DELETING, JobState.TERMINATING})
        for task in self.tasks.values():
            task.end_early(now)
        self._complete(reason, now)

    def delete(self, now: datetime, settings: BatchSettings) -> None:
        """End the job and let it go.

        :raises BatchServiceError: 409 when it is being deleted.
        """
        self._require_not({JobState.DELETING})
        for task in self.tasks.values():
            task.end_early(now)
        self._enter(JobState.DELETING, now)
        self.settles_at = now + settings.job_delete

    # -- time ----------------------------------------------------------------------------------------------------------

    def settle(self, now: datetime) -> None:
        """Bring the job and its running tasks to ``now``."""
        finish_tasks(self.tasks.values(), now)
        if self.state is JobState.DISABLING and self.settles_at is not None:
            running = self.running_tasks()
            if not running and now >= self.settles_at:
                ended = [task.since for task in self.tasks.values() if task.state is TaskState.COMPLETED]
                self._enter(JobState.DISABLED, max([self.settles_at, *ended]))
                self.settles_at = None
        if self.state is JobState.ACTIVE and self.body.get("onAllTasksComplete") == "terminatejob" and self._all_done():
            self._complete("AllTasksCompleted", max(task.since for task in self.tasks.values()))

    def gone(self, now: datetime) -> bool:
        """Whether a deletion has ended."""
        return self.state is JobState.DELETING and self.settles_at is not None and now >= self.settles_at

    def _all_done(self) -> bool:
        return bool(self.tasks) and all(task.state is TaskState.COMPLETED for task in self.tasks.values())

    def _complete(self, reason: str, at: datetime) -> None:
        self.ended, self.terminate_reason = at, reason
        self._enter(JobState.COMPLETED, at)

    def _enter(self, state: JobState, at: datetime) -> None:
        self.previous = (self.state, self.since)
        self.state, self.since = state, at
        self._touch(at)

    def _touch(self, now: datetime) -> None:
        self.etag, self.modified = new_etag(), now

    def _require_not(self, states: set[JobState]) -> None:
        if self.state in states:
            raise self._wrong_state()

    def _wrong_state(self) -> BatchServiceError:
        codes = {
            JobState.COMPLETED: ("JobCompleted", "The specified job is already in a completed state."),
            JobState.TERMINATING: ("JobTerminating", "The specified job is being terminated."),
            JobState.DELETING: ("JobBeingDeleted", "The specified job has been marked for deletion."),
        }
        code, message = codes.get(
            self.state, ("OperationInvalidForCurrentState", "The operation is not valid in the state of the job.")
        )
        return BatchServiceError(409, code, message, [("CurrentState", self.state.value)])


def _time_limit(constraints: JsonObject) -> timedelta | None:
    value = constraints.get("maxWallClockTime")
    try:
        return None if value is None else _DURATION.validate_python(value)
    except ValidationError as error:
        raise invalid_value("maxWallClockTime", value, "A duration in ISO 8601 is expected.") from error


def new_job(body: JsonObject, now: datetime) -> Job:
    """A job as a user describes it.

    :raises BatchServiceError: 400 for a bad body.
    """
    known_properties(body, JOB_PROPERTIES)
    job_id = object_id(body)
    check_pool_info(body)
    return Job(job_id, with_defaults(body), now)


def with_defaults(body: JsonObject) -> JsonObject:
    """A body with what the service adds; mutable properties get their defaults when they are left out."""
    defaults: JsonObject = {
        "priority": 0,
        "maxParallelTasks": -1,
        "allowTaskPreemption": False,
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        "usesTaskDependencies": False,
    }
    return defaults | {name: value for name, value in body.items() if value is not None}


def object_id(body: JsonObject) -> str:
    """The ``id`` of a body: 1 to 64 letters, digits, hyphens and underscores.

    :raises BatchServiceError: 400.
    """
    value = body.get("id")
    if value is None:
        raise missing_property("id")
    if not isinstance(value, str) or not POOL_NAME.fullmatch(value):
        raise invalid_value("id", value, "An id has 1 to 64 alphanumeric characters, hyphens and underscores.")
    return value


def check_pool_info(body: JsonObject) -> None:
    """Exactly one of a pool's id and an auto pool. A pool that does not exist is accepted: the job waits for it.

    :raises BatchServiceError: 400.
    """
    info = body.get("poolInfo")
    if not isinstance(info, dict):
        raise missing_property("poolInfo")
    if ("poolId" in info) == ("autoPoolSpecification" in info):
        raise invalid_value("poolInfo", info, "Exactly one of poolId and autoPoolSpecification must be set.")


def known_properties(body: JsonObject, known: frozenset[str]) -> None:
    """Refuse properties that the API does not have.

    :raises BatchServiceError: 400.
    """
    for name in body:
        if name not in known:
            raise BatchServiceError(
                400,
                "InvalidRequestBody",
                "The specified Request Body is not syntactically valid.",
                [
                    (
                        "Reason",
                        f"The property '{name}' does not exist. Make sure to only use property names of this type.",
                    )
                ],
            )
