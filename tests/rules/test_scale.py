"""Scale times: which one is in force, also when the clocks change, and that Airflow's scheduler says the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
import pytest
from airflow.timetables.trigger import CronTriggerTimetable
from golden_pools.rules.scale import last_come, next_change, next_come, targets_at, time_in_force
from golden_pools.spec.model import ScaleTime, Targets
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import spec

BERLIN = "Europe/Berlin"
DAY, NIGHT = 400, 20


def times(*entries: tuple[str, int], zone: str = BERLIN) -> tuple[ScaleTime, ...]:
    return tuple(ScaleTime(cron=cron, dedicated=dedicated, timezone=zone) for cron, dedicated in entries)


WORKDAYS = times(("0 7 * * 1-5", DAY), ("0 19 * * 1-5", NIGHT))


def utc(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


def in_force(scale: tuple[ScaleTime, ...], moment: datetime) -> int:
    time = time_in_force(scale, moment)
    assert time is not None
    return time.dedicated


# Which time is in force


@pytest.mark.parametrize(
    ("moment", "dedicated"),
    [
        (utc(11, 24, 5, 59, 59), NIGHT),  # Tuesday, one second before 07:00 in Berlin
        (utc(11, 24, 6), DAY),  # at 07:00 itself
        (utc(11, 24, 17, 59, 59), DAY),
        (utc(11, 24, 18), NIGHT),
        (utc(11, 22, 12), NIGHT),  # Sunday: since Friday
        (utc(11, 23, 5), NIGHT),  # Monday before work
        (utc(11, 23, 6), DAY),
    ],
)
def test_the_time_that_came_last_is_in_force(moment: datetime, dedicated: int) -> None:
    assert in_force(WORKDAYS, moment) == dedicated


def test_a_moment_may_be_given_in_any_zone() -> None:
    moment = utc(11, 24, 6)

    assert in_force(WORKDAYS, pendulum.instance(moment).in_timezone("Asia/Tokyo")) == DAY


def test_of_two_that_come_together_the_later_in_the_list_is_in_force() -> None:
    daily, sundays = ("0 7 * * *", DAY), ("0 7 * * 0", NIGHT)
    sunday = utc(11, 22, 12)

    assert in_force(times(daily, sundays), sunday) == NIGHT
    assert in_force(times(sundays, daily), sunday) == DAY


def test_a_time_that_comes_once_a_year_is_in_force_all_year() -> None:
    assert in_force(times(("0 0 1 1 *", DAY)), utc(12, 31, 22)) == DAY


def test_a_time_that_comes_on_leap_days_only_came_years_ago() -> None:
    (leap,) = times(("0 0 29 2 *", DAY), zone="UTC")

    assert last_come(leap, utc(11, 24, 0)) == datetime(2024, 2, 29, tzinfo=UTC)
    assert next_come(leap, utc(11, 24, 0)) == datetime(2028, 2, 29, tzinfo=UTC)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/20"]),
    st.sampled_from(["2", "1-4", "7,19", "*", "*/6"]),
    st.sampled_from(["*", "1", "29"]),
    st.sampled_from(["*", "2", "10-12"]),
    st.sampled_from(["*", "0", "1-5"]),
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


CRONS = FIELDS.map(" ".join)


@given(CRONS, MOMENTS)
def test_a_time_that_a_spec_may_have_came_before_any_moment_and_comes_again(cron: str, moment: datetime) -> None:
    """So one of the times is always in force, and there is no time before the first."""
    time = ScaleTime(cron=cron, timezone=BERLIN)
    last, following = last_come(time, moment), next_come(time, moment)

    assert last <= moment < following
    assert last_come(time, following) == following
    assert last_come(time, following - timedelta(seconds=1)) == last


# The clocks change: on 29 March 2026 from 02:00 to 03:00, on 25 October from 03:00 back to 02:00 (Berlin)


@pytest.mark.parametrize(
    ("moment", "dedicated"),
    [
        (utc(3, 28, 6, 0), DAY),  # 07:00 in winter
        (utc(3, 29, 4, 59), NIGHT),
        (utc(3, 29, 5, 0), DAY),  # 07:00 in summer
        (utc(10, 24, 5, 0), DAY),
        (utc(10, 25, 5, 59), NIGHT),
        (utc(10, 25, 6, 0), DAY),  # 07:00 in winter again
    ],
)
def test_a_time_stays_on_the_wall_when_the_clocks_change(moment: datetime, dedicated: int) -> None:
    assert in_force(times(("0 7 * * *", DAY), ("0 19 * * *", NIGHT)), moment) == dedicated


def test_a_time_that_the_clocks_skip_comes_an_hour_later() -> None:
    (time,) = times(("30 2 * * *", DAY))

    assert next_come(time, utc(3, 28, 12)) == utc(3, 29, 1, 30)  # 03:30 by the wall
    assert last_come(time, utc(3, 29, 1, 29)) == utc(3, 28, 1, 30)
    assert last_come(time, utc(3, 29, 1, 30)) == utc(3, 29, 1, 30)


def test_a_time_that_is_skipped_comes_after_one_that_the_wall_shows_before_it() -> None:
    """02:30 comes when the wall shows 03:30: after 03:05."""
    scale = times(("30 2 * * *", NIGHT), ("5 3 * * *", DAY))

    assert in_force(scale, utc(3, 29, 1, 10)) == DAY
    assert in_force(scale, utc(3, 29, 1, 40)) == NIGHT


def test_a_time_that_comes_twice_counts_the_second_time() -> None:
    (time,) = times(("30 2 * * *", DAY))

    assert next_come(time, utc(10, 24, 12)) == utc(10, 25, 1, 30)
    assert last_come(time, utc(10, 25, 0, 59)) == utc(10, 24, 0, 30)  # the wall has shown 02:30 once


def test_a_time_of_every_hour_comes_both_times() -> None:
    (time,) = times(("30 * * * *", DAY))

    assert [next_come(time, utc(10, 25, hour, 0)).hour for hour in (0, 1, 2)] == [0, 1, 2]
    assert [last_come(time, utc(10, 25, hour, 31)).hour for hour in (0, 1, 2)] == [0, 1, 2]


CHANGES = [
    (BERLIN, utc(3, 28, 12)),
    (BERLIN, utc(10, 24, 12)),
    ("America/New_York", utc(3, 7, 12)),
    ("America/St_Johns", utc(10, 31, 12)),
    ("Antarctica/Troll", utc(3, 28, 12)),
    ("Antarctica/Troll", utc(10, 24, 12)),
    ("UTC", utc(11, 24, 12)),
]


@pytest.mark.parametrize("cron", ["0 2 * * *", "30 2 * * *", "15 * * * *", "*/20 1-4 * * *", "30 * * * 0"])
@pytest.mark.parametrize(("zone", "start"), CHANGES)
def test_airflow_starts_a_run_whenever_a_time_comes_and_at_no_other_moment(
    zone: str, start: datetime, cron: str
) -> None:
    end = start + timedelta(hours=36)

    def walk(following: Any) -> set[datetime]:
        found, moment = set(), start
        while (moment := following(moment)) < end:
            found.add(moment)
        return found

    timetable, time = CronTriggerTimetable(cron, timezone=zone), ScaleTime(cron=cron, timezone=zone)
    scheduled = walk(lambda moment: timetable._get_next(pendulum.instance(moment)))

    assert walk(lambda moment: next_come(time, moment)) == scheduled
    assert {last_come(time, moment) for moment in scheduled} == scheduled


# What follows for the pool


def test_without_scale_times_the_pools_own_targets_hold() -> None:
    assert targets_at(spec(), utc(11, 24, 6)) == Targets(dedicated=10, spot=5)
    assert next_change((), utc(11, 24, 6)) is None


def test_with_scale_times_the_pools_own_targets_never_hold() -> None:
    with_times = spec().model_copy(update={"scale": WORKDAYS})

    assert targets_at(with_times, utc(11, 24, 6)) == Targets(dedicated=DAY)
    assert targets_at(with_times, utc(11, 24, 2)) == Targets(dedicated=NIGHT)


def test_the_next_change_is_the_first_of_all_times() -> None:
    assert next_change(WORKDAYS, utc(11, 24, 6)) == utc(11, 24, 18)
    assert next_change(WORKDAYS, utc(11, 24, 5, 59)) == utc(11, 24, 6)
    assert next_change(WORKDAYS, utc(11, 20, 19)) == utc(11, 23, 6)  # over the weekend
