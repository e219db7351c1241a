"""The plan of a resize, without any world around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from include.azure_simulator.batch.allocation import Growth, Limit, Pace, plan_growth
from include.azure_simulator.batch.scripts import ScriptedError

START = datetime(2026, 11, 22, tzinfo=UTC)
QUOTA = ScriptedError(code="AccountCoreQuotaReached")
COUNTS = st.integers(min_value=0, max_value=60)


def test_the_tightest_limit_names_the_error() -> None:
    other = ScriptedError(code="AccountVMSeriesCoreQuotaReached")
    growth = Growth("dedicated", 10, (Limit(7, QUOTA), Limit(3, other)))

    plan = plan_growth(growth, START, timedelta(hours=1), Pace(timedelta(0), 60, timedelta(0)))

    assert (len(plan.arrivals), plan.errors) == (3, (other,))


def test_a_limit_that_is_not_reached_is_no_error() -> None:
    plan = plan_growth(
        Growth("dedicated", 5, (Limit(5, QUOTA),)), START, timedelta(hours=1), Pace(timedelta(0), 60, timedelta(0))
    )

    assert (len(plan.arrivals), plan.errors) == (5, ())


def test_nothing_at_all_fails_after_the_failure_latency() -> None:
    pace = Pace(timedelta(minutes=2), 60, timedelta(minutes=1))

    plan = plan_growth(Growth("dedicated", 5, (Limit(0, QUOTA),)), START, timedelta(hours=1), pace)

    assert (plan.arrivals, plan.ends) == ((), START + timedelta(minutes=1))


@given(wanted=COUNTS, quota=COUNTS, capacity=st.none() | COUNTS, rate=st.floats(0.5, 100), latency=COUNTS)
def test_a_plan_keeps_its_promises(wanted: int, quota: int, capacity: int | None, rate: float, latency: int) -> None:
    timeout = timedelta(minutes=15)
    pace = Pace(timedelta(minutes=latency), rate, timedelta(minutes=1))

    plan = plan_growth(Growth("dedicated", wanted, (Limit(quota, QUOTA),), capacity), START, timeout, pace)

    assert len(plan.arrivals) <= min(wanted, quota, wanted if capacity is None else capacity)
    assert list(plan.arrivals) == sorted(plan.arrivals)
    assert START <= plan.ends <= START + timeout
    assert all(moment <= plan.ends for moment in plan.arrivals)
    assert bool(plan.errors) == (len(plan.arrivals) < wanted)
