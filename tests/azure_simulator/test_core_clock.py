"""Simulated time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.azure_simulator.clock import Clock

START = datetime(2026, 11, 22, tzinfo=UTC)


class Stopwatch:
    """Real seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


def test_runs_at_its_speed(stopwatch: Stopwatch) -> None:
    clock = Clock(60, START, monotonic=stopwatch)
    stopwatch.seconds += 2
    assert clock.now() == START + timedelta(minutes=2)


def test_a_frozen_clock_moves_only_by_hand(stopwatch: Stopwatch) -> None:
    clock = Clock(0, START, monotonic=stopwatch)
    stopwatch.seconds += 3600
    assert clock.now() == START
    clock.advance(timedelta(hours=1))
    assert clock.now() == START + timedelta(hours=1)


def test_time_is_continuous_when_the_speed_changes(stopwatch: Stopwatch) -> None:
    clock = Clock(60, START, monotonic=stopwatch)
    stopwatch.seconds += 1
    clock.set_speed(1)
    stopwatch.seconds += 5
    assert clock.now() == START + timedelta(seconds=65)


def test_never_runs_backwards(stopwatch: Stopwatch) -> None:
    with pytest.raises(ValueError, match="backwards"):
        Clock(0, START, monotonic=stopwatch).advance(timedelta(seconds=-1))


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_refuses_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Clock(speed)


def test_refuses_a_naive_start() -> None:
    with pytest.raises(ValueError, match="aware"):
        Clock(1, datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("speed", "simulated", "header"),
    [(60, 10, 1), (60, 90, 2), (1, 10, 10), (0, 15, 15), (1, 0, 1), (4, 10, 3)],
)
def test_retry_after_is_in_whole_real_seconds_and_never_zero(speed: float, simulated: int, header: int) -> None:
    assert Clock(speed, START).retry_after(timedelta(seconds=simulated)) == header
