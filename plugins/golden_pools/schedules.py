"""What starts the DAGs that refresh pools: times, and events of other pools."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow.sdk import Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable

from golden_pools.spec.model import PoolSpec


def refresh_schedule(
    spec: PoolSpec, others: Mapping[str, Asset]
) -> CronTriggerTimetable | AssetOrTimeSchedule | AssetAny | None:
    """Return the schedule: a time, and for a follower every event of the image or of the pools that go first.

    An event only says when to look; Airflow keeps events of long ago, so it must not wait for one of each.
    """
    time = nightly(spec)
    if not others:
        return time
    follow = spec.image.source.follow
    assert follow is not None
    events = AssetAny(*(others[name] for name in follow.after or (follow.pool,)))
    return AssetOrTimeSchedule(timetable=time, assets=events) if time else events


def nightly(spec: PoolSpec) -> CronTriggerTimetable | None:
    """Return the schedule in the spec's timezone; a new DAG that is switched on at noon waits for the next night.

    That needs both: no start date, and zero as the age up to which a missed run is made up for (``False`` would mean a
    tenth of the interval). A DAG that ran before and was paused makes up for the last night that it missed, at once.
    """
    if spec.schedule is None:
        return None
    return CronTriggerTimetable(spec.schedule.cron, timezone=spec.schedule.timezone, run_immediately=timedelta(0))
