"""When things happen: the run's schedule, its deadline, and what a time zone and a cron expression may be."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, StringConstraints

from golden_pools.spec import names
from golden_pools.spec.part import Part
from golden_pools.spec.suggest import did_you_mean


def _known_zone(zone: str) -> str:
    if zone not in _timezones():
        raise ValueError(f"an IANA timezone, such as Europe/Berlin{did_you_mean(zone, _timezones())}")
    return zone


def _valid_cron(cron: str) -> str:
    if len(cron.split()) != 5 or _MEANS_ANOTHER_TIME_EACH_TIME.search(cron):
        raise ValueError("a cron expression with five fields (minute hour day month weekday), such as 0 2 * * *")
    from croniter import (  # type: ignore[import-untyped] # comes with Airflow, which asks it the same question
        CroniterError,
        croniter,
    )

    try:
        croniter(cron, datetime(2026, 1, 1)).get_next()  # noqa: DTZ001 - asks whether, not when
    except CroniterError as error:
        raise ValueError(
            f"a cron expression that comes true, minute hour day month weekday, such as 0 2 * * * ({error})"
        ) from error
    return cron


_MEANS_ANOTHER_TIME_EACH_TIME = re.compile(r"\b[HR]\b", re.IGNORECASE)
"""croniter's hashed and random fields: a schedule that moves at every reading of the file is none."""


@cache
def _timezones() -> frozenset[str]:
    """All IANA zones; the first look goes through the file system."""
    return frozenset(available_timezones())


ZoneName = Annotated[str, AfterValidator(_known_zone)]
"""Name of an IANA zone."""

CronText = Annotated[str, AfterValidator(_valid_cron)]
"""Cron expression of five fields that comes true."""


class Schedule(Part):
    """When the run starts by itself."""

    cron: CronText = Field(description="Cron expression: minute, hour, day, month, weekday.", examples=["0 2 * * *"])
    timezone: ZoneName = Field(
        default="UTC",
        description="IANA zone; the run starts at this wall-clock time in summer and winter.",
        examples=["Europe/Berlin"],
    )


class Deadline(Part):
    """Until when a run that is going on has to have the pool on its new image."""

    time: Annotated[str, StringConstraints(pattern=names.CLOCK_TIME)] = Field(
        description="Wall-clock time, HH:MM; the first one after the run was due.", examples=["06:00"]
    )
    timezone: ZoneName = Field(default="UTC", description="IANA zone of the time.", examples=["Europe/Berlin"])

    def after(self, due: datetime) -> datetime:
        """Return the first moment of the time that comes after a run was due.

        A time that a clock change leaves out is taken as Python reads it: by the offset before the change.

        :param due: aware
        """
        hour, minute = map(int, self.time.split(":"))
        zone = ZoneInfo(self.timezone)
        local = due.astimezone(zone)
        at = local.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
        if at.timestamp() <= due.timestamp():
            at = (at + timedelta(days=1)).replace(fold=0)
        return at
