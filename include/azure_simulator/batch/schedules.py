"""Job schedules: they make jobs from a specification, once or again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from pydantic import TypeAdapter, ValidationError

from include.azure_simulator.batch.errors import BatchServiceError, invalid_value, missing_property
from include.azure_simulator.batch.jobs import (
    Job,
    JobState,
    check_pool_info,
    known_properties,
    object_id,
    with_defaults,
)
from include.azure_simulator.resources import JsonObject, new_etag

_DURATION = TypeAdapter(timedelta)
_MOMENT = TypeAdapter(datetime)
_MINIMUM_INTERVAL = timedelta(minutes=1)
_CHANGEABLE = frozenset({"schedule", "jobSpecification", "metadata"})


class ScheduleState(StrEnum):
    """States of a job schedule, as the data plane writes them."""

    ACTIVE = "active"
    COMPLETED = "completed"
    DISABLED = "disabled"
    TERMINATING = "terminating"
    DELETING = "deleting"


@dataclass(slots=True)
class JobSchedule:
    """A job schedule; ``next_run`` is when it makes its next job, ``job_id`` the job that it made last."""

    id: str
    body: JsonObject
    created: datetime
    state: ScheduleState = ScheduleState.ACTIVE
    since: datetime = field(init=False)
    modified: datetime = field(init=False)
    previous: tuple[ScheduleState, datetime] | None = None
    etag: str = field(default_factory=new_etag)
    next_run: datetime | None = None
    job_id: str | None = None
    jobs_made: int = 0
    ended: datetime | None = None

    def __post_init__(self) -> None:
        self.since = self.modified = self.created
        self.next_run = max(self.created, self._moment("doNotRunUntil") or self.created)

    def update(self, change: JsonObject, now: datetime) -> None:
        """Change it; jobs that it has made keep what they were made with.

        :raises BatchServiceError: 400 for a bad body, 409 when it has ended.
        """
        self._require_open()
        known_properties(change, _CHANGEABLE)
        body = self.body | change
        check_schedule(body)
        self.body = body
        self._touch(now)

    def disable(self, now: datetime) -> None:
        """Make no more jobs for now."""
        self._require_open()
        self._enter(ScheduleState.DISABLED, now)

    def enable(self, now: datetime) -> None:
        """Make jobs again."""
        self._require_open()
        self._enter(ScheduleState.ACTIVE, now)

    def terminate(self, now: datetime) -> None:
        """Make no more jobs for good."""
        self._require_open()
        self.ended, self.next_run = now, None
        self._enter(ScheduleState.COMPLETED, now)

    def due_job(self, now: datetime, current: Job | None) -> Job | None:
        """The job that has to be made now, if one has; a job that still goes on makes the schedule wait.

        :param current: the job that it made last, as far as it still exists.
        """
        if self.state is not ScheduleState.ACTIVE or self.next_run is None or now < self.next_run:
            return None
        last_moment = self._moment("doNotRunAfter")
        if last_moment is not None and now > last_moment:
            self.terminate(now)
            return None
        if current is not None and current.state is not JobState.COMPLETED:
            return None
        made_at = self.next_run if current is None or current.ended is None else max(self.next_run, current.ended)
        self.jobs_made += 1
        self.job_id = f"{self.id}:job-{self.jobs_made}"
        interval = self._interval()
        self.next_run = None if interval is None else made_at + interval
        specification = cast(JsonObject, self.body["jobSpecification"])
        return Job(self.job_id, with_defaults({**specification, "id": self.job_id}), made_at)

    def _interval(self) -> timedelta | None:
        value = cast(JsonObject, self.body["schedule"]).get("recurrenceInterval")
        return None if value is None else _DURATION.validate_python(value)

    def _moment(self, name: str) -> datetime | None:
        value = cast(JsonObject, self.body["schedule"]).get(name)
        return None if value is None else _MOMENT.validate_python(value)

    def _enter(self, state: ScheduleState, at: datetime) -> None:
        self.previous = (self.state, self.since)
        self.state, self.since = state, at
        self._touch(at)

    def _touch(self, now: datetime) -> None:
        self.etag, self.modified = new_etag(), now

    def _require_open(self) -> None:
        if self.state in (ScheduleState.COMPLETED, ScheduleState.DELETING):
            raise BatchServiceError(
                409, "JobScheduleCompleted", "The specified job schedule is already in a completed state."
            )


def new_schedule(body: JsonObject, now: datetime) -> JobSchedule:
    """A job schedule as a user describes it.

    :raises BatchServiceError: 400 for a bad body.
    """
    known_properties(body, _CHANGEABLE | {"id", "displayName"})
    schedule_id = object_id(body)
    check_schedule(body)
    return JobSchedule(schedule_id, body, now)


def check_schedule(body: JsonObject) -> None:
    """Refuse a schedule that the service refuses.

    :raises BatchServiceError: 400.
    """
    specification, schedule = body.get("jobSpecification"), body.get("schedule")
    if not isinstance(specification, dict):
        raise missing_property("jobSpecification")
    if not isinstance(schedule, dict):
        raise missing_property("schedule")
    check_pool_info(specification)
    try:
        for name in ("doNotRunUntil", "doNotRunAfter"):
            if name in schedule:
                _MOMENT.validate_python(schedule[name])
        interval = schedule.get("recurrenceInterval")
        too_short = interval is not None and _DURATION.validate_python(interval) < _MINIMUM_INTERVAL
    except ValidationError as error:
        raise invalid_value("schedule", schedule, "A time or a duration is not in ISO 8601.") from error
    if too_short:
        raise invalid_value("recurrenceInterval", interval, "The minimum value is 1 minute.")
