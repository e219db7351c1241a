"""Curves of node counts: what thinning may never take away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from golden_pools.rules.resize import Curve, Sample, tally
from golden_pools.rules.resize.curve import MOST_POINTS
from hypothesis import example, given
from hypothesis import strategies as st

from tests.rules import build

BEGIN = datetime(2026, 11, 22, 2, tzinfo=UTC)

looks = st.lists(
    st.tuples(
        st.integers(1, 900), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)
    ),  # seconds since the look before, and counts of few values: they repeat
    min_size=1,
    max_size=400,
)


def samples_of(looks: list[tuple[int, int, int, int, int]]) -> list[Sample]:
    samples, at = [], BEGIN
    for seconds, *counts in looks:
        at += timedelta(seconds=seconds)
        samples.append(Sample(at, *counts))
    return samples


def curve_of(samples: list[Sample]) -> list[Sample]:
    curve = Curve()
    for sample in samples:
        curve.see(sample)
    return read(curve)


def read(curve: Curve) -> list[Sample]:
    return [Sample(datetime.fromisoformat(at), *counts) for at, *counts in curve.to_list()]


@given(looks)
@example([(15, 0, number, 0, 0) for number in range(300)])
def test_a_curve_is_short_and_keeps_its_ends_and_extremes(looks: list[tuple[int, int, int, int, int]]) -> None:
    samples = samples_of(looks)
    kept = curve_of(samples)
    assert len(kept) <= MOST_POINTS
    assert set(kept) <= set(samples)
    assert kept == sorted(kept, key=lambda sample: sample.at)
    assert (kept[0], kept[-1]) == (samples[0], samples[-1])
    for column in range(1, 5):
        seen, told = [sample[column] for sample in samples], [sample[column] for sample in kept]
        assert (max(seen), min(seen)) == (max(told), min(told))


@given(looks)
def test_no_point_but_the_last_repeats_the_one_before(looks: list[tuple[int, int, int, int, int]]) -> None:
    kept = curve_of(samples_of(looks))
    assert all(one.counts != other.counts for one, other in pairwise(kept[:-1]))


@given(looks, st.integers(0, 400))
def test_waits_in_a_row_draw_one_curve(looks: list[tuple[int, int, int, int, int]], cut: int) -> None:
    samples = samples_of(looks)
    first = Curve()
    for sample in samples[:cut]:
        first.see(sample)
    second = Curve(first.to_list())
    for sample in samples[cut:]:
        second.see(sample)
    assert read(second) == curve_of(samples)


def test_up_to_its_length_a_curve_is_what_was_seen() -> None:
    samples = samples_of([(15, number, 0, number, 0) for number in range(MOST_POINTS)])
    assert curve_of(samples) == samples


def test_of_too_many_points_the_short_and_small_steps_go() -> None:
    steps = [(60, 10 * number, 0, 0, 0) for number in range(MOST_POINTS)]
    steps[50:51] = [(60, 491, 0, 0, 0), (1, 500, 0, 0, 0)]  # one node more, for a second
    kept = {sample.allocated for sample in curve_of(samples_of(steps))}
    assert kept == {10 * number for number in range(MOST_POINTS)}


def test_a_sample_from_before_the_last_is_left_out() -> None:
    now, before = Sample(BEGIN, 1, 1, 0, 0), Sample(BEGIN - timedelta(seconds=1), 2, 2, 0, 0)
    assert curve_of([now, before]) == [now]


def test_every_node_is_ready_starting_bad_or_missing() -> None:
    nodes = build.nodes(
        {"idle": 3, "running": 2, "creating": 4, "unusable": 1}, {"starttaskfailed": 1, "unknown": 1, "preempted": 7}
    )
    assert tally(nodes) == (5, 4, 3)


def test_nodes_that_are_not_counted_yet_are_starting() -> None:
    sample = Sample.of(build.pool(current_dedicated=3, current_spot=1), None, BEGIN.replace(microsecond=7))
    assert sample == (BEGIN, 4, 0, 4, 0)
