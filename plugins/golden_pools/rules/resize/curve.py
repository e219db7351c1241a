"""Nodes over time: what the waits of a stage saw of its pool, in few enough points for a picture and an event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple, Self

from golden_pools.rules.facts import Pool, PoolNodes
from golden_pools.rules.resize.nodes import tally

SAMPLES = "samples"
"""Key of the points in a trigger's event, in a stage's store, and in XCom."""

MOST_POINTS = 120
"""Points that a curve keeps: about 6 KB of JSON."""


class Sample(NamedTuple):
    """What one look saw.

    :param at: aware, UTC
    :param allocated: nodes that the pool has, in whatever state
    :param ready: those that take work
    :param starting: those on their way
    :param bad: those that do not take work without help, and those that Batch has lost contact to
    """

    at: datetime
    allocated: int
    ready: int
    starting: int
    bad: int

    @classmethod
    def of(cls, pool: Pool, nodes: PoolNodes | None, at: datetime) -> Self:
        """Return what a look saw; nodes that Azure has not counted yet are on their way."""
        counted = tally(nodes) if nodes else (0, pool.current_total, 0)
        return cls(at.replace(microsecond=0), pool.current_total, *counted)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The numbers without the time."""
        return self.allocated, self.ready, self.starting, self.bad


class Curve:
    """Samples in their order: those with which the counts changed, and the last one.

    Of more than :data:`MOST_POINTS` the least telling ones go; the first, the last, and the most and the fewest nodes
    of each kind stay.

    :param points: as :meth:`to_list` returned them
    """

    def __init__(self, points: Iterable[Sequence[Any]] = ()) -> None:
        self._samples = [Sample(datetime.fromisoformat(at), *counts) for at, *counts in points]

    def see(self, sample: Sample) -> None:
        """Take in a sample; one from before the last (clocks of hosts differ) is left out."""
        samples = self._samples
        if samples and sample.at < samples[-1].at:
            return
        if len(samples) > 1 and samples[-1].counts == samples[-2].counts:
            samples.pop()  # told only how far the curve went
        samples.append(sample)
        while len(samples) > MOST_POINTS:
            del samples[self._least_telling()]
            self._samples = samples = _changes(samples)

    def _least_telling(self) -> int:
        """Return the place of the sample without which the curve, drawn in steps, changes least."""
        samples = self._samples
        kept = {0, len(samples) - 1}
        for column in zip(*(sample.counts for sample in samples), strict=True):
            kept |= {column.index(max(column)), column.index(min(column))}
        return min((place for place in range(len(samples)) if place not in kept), key=self._weight)

    def _weight(self, place: int) -> float:
        before, here, after = self._samples[place - 1 : place + 2]
        step = sum(abs(new - old) for new, old in zip(here.counts, before.counts, strict=True))
        return step * (after.at - here.at).total_seconds()

    def to_list(self) -> list[list[Any]]:
        """Return the points as JSON: ``[time, allocated, ready, starting, bad]`` each, the time ISO 8601, UTC."""
        return [[sample.at.isoformat(), *sample.counts] for sample in self._samples]


def _changes(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples without those that repeat the one before; the last one stays."""
    first, last = samples[0], samples[-1]
    between = [here for before, here in pairwise(samples[:-1]) if here.counts != before.counts]
    return [first, *between, last]
