"""Which targets a pool has when: those of the scale time that came last, or ``pool.targets`` where there are none.

A cron expression is a time on the wall, and comes when Airflow's scheduler says so (``CronTriggerTimetable``), since a
run that a scale time started has to find that time in force: a time that the clocks skip comes an hour later by the
wall; one that they show twice comes the second time, and both times only where the cron fires every hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from golden_pools.spec.model import PoolSpec, ScaleTime, Targets

_WIDEST_CHANGE = timedelta(hours=2)
"""Most that clocks are put forward or back: at Antarctica/Troll."""


def targets_at(spec: PoolSpec, moment: datetime) -> Targets:
    """Return the node counts that a spec says for a moment (aware)."""
    time = time_in_force(spec.scale, moment)
    return spec.pool.targets if time is None else time.targets


def time_in_force(scale: Sequence[ScaleTime], moment: datetime) -> ScaleTime | None:
    """Return the scale time that came last at or before a moment (aware); of two that came together, the later listed.

    None only where there are no scale times: a cron expression that comes true at all came true before any moment.
    """
    came = [(last_come(time, moment), place) for place, time in enumerate(scale)]
    return scale[max(came)[1]] if came else None


def next_change(scale: Sequence[ScaleTime], moment: datetime) -> datetime | None:
    """Return when the next scale time comes after a moment (aware); UTC, None where there are none."""
    return min((next_come(time, moment) for time in scale), default=None)


def last_come(time: ScaleTime, moment: datetime) -> datetime:
    """Return when a scale time came last, at or before a moment; UTC."""
    came: list[datetime] = []
    local = _wall(moment, time)
    for wall in _walls(time, local + _WIDEST_CHANGE, back=True):
        if came and wall < local - _WIDEST_CHANGE:
            break
        came += [shown for shown in _shown(time, wall) if shown <= moment]
    return max(came)


def next_come(time: ScaleTime, moment: datetime) -> datetime:
    """Return when a scale time comes next, after a moment; UTC."""
    comes: list[datetime] = []
    local = _wall(moment, time)
    for wall in _walls(time, local - _WIDEST_CHANGE, back=False):
        if comes and wall > local + _WIDEST_CHANGE:
            break
        comes += [shown for shown in _shown(time, wall) if shown > moment]
    return min(comes)


def _wall(moment: datetime, time: ScaleTime) -> datetime:
    """Return what the wall shows at a moment."""
    return moment.astimezone(ZoneInfo(time.timezone)).replace(tzinfo=None)


def _walls(time: ScaleTime, start: datetime, *, back: bool) -> Iterator[datetime]:
    """Yield the times on the wall at which the cron fires, one after the other, without end."""
    from croniter import croniter  # type: ignore[import-untyped] # comes with Airflow, which asks it the same question

    cron = croniter(time.cron, start)
    while True:
        yield cron.get_prev(datetime) if back else cron.get_next(datetime)


def _shown(time: ScaleTime, wall: datetime) -> tuple[datetime, ...]:
    """Return the moments at which the cron fires for one time on the wall; UTC."""
    zone = ZoneInfo(time.timezone)
    first, second = sorted(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown_twice = first != second and _wall(first, time) == wall
    return (first, second) if shown_twice and _fires_every_hour(time) else (second,)


def _fires_every_hour(time: ScaleTime) -> bool:
    from croniter import croniter

    return bool(croniter(time.cron).expanded[1] == ["*"])
