"""Emptying a pool: what one observation means for the resize to zero that we asked for, and when patience ends.

How a growing resize is judged stands in ``resize``: there errors and shares matter, here only whether nodes are left.
``resizeTimeout`` covers the removal too, so that a drain may have to be asked again while tasks run ("Resize a pool").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.family import is_deleting
from golden_pools.rules.resize.allocation import UNSEEN_LIMIT

SHORTEST_TIMEOUT = timedelta(minutes=5)
"""Azure refuses a shorter ``resizeTimeout``."""

FORCED_TIME = timedelta(minutes=30)
"""What a drain that puts tasks back into the queue may take: nothing but the removal of the nodes is waited for."""

ATTEMPTS = 20
"""Resizes to zero of one drain: its deadline bounds it, this only a pool that ends each of them at once."""


class DrainState(StrEnum):
    """What an observation of the pool means for its drain."""

    GOING_ON = "going on"
    NOT_SEEN_YET = "not seen yet"
    EMPTY = "empty"
    ENDED = "ended with nodes left"
    TAKEN_OVER = "taken over"
    GONE = "gone"


@dataclass(frozen=True, kw_only=True)
class Drain:
    """A drain of ours, as it is kept over retries.

    :param until: end of patience
    :param forced: tasks go back into the queue now
    :param attempts: resizes to zero asked for
    :param asked: whether a resize was asked for whose end nobody has seen
    :param started_before: start of the pool's last resize before that one
    """

    until: datetime
    forced: bool = False
    attempts: int = 0
    asked: bool = False
    started_before: datetime | None = None

    def left(self, now: datetime) -> timedelta:
        """Return how much patience is left, not below zero."""
        return max(self.until - now, timedelta(0))

    def timeout(self, now: datetime) -> timedelta:
        """Return Azure's ``resizeTimeout`` for the next resize to zero."""
        return max(self.left(now), SHORTEST_TIMEOUT)

    def asking(self, pool: Pool) -> Drain:
        """Return the drain that is about to ask for another resize of the pool as it is."""
        return replace(self, attempts=self.attempts + 1, asked=True, started_before=pool.resize_started)

    def is_ours(self, pool: Pool) -> bool:
        """Return whether the pool's last resize is one that this drain asked for."""
        return self.asked and pool.resize_started is not None and pool.resize_started != self.started_before

    def force(self, now: datetime) -> Drain:
        """Return the drain that no longer waits for tasks."""
        return replace(self, until=now + FORCED_TIME, forced=True, attempts=0)

    def stopped(self) -> Drain:
        """Return the drain whose resize we stop ourselves."""
        return replace(self, asked=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON, for the store and a trigger's arguments."""
        before = self.started_before
        return {
            **asdict(self),
            "until": self.until.isoformat(),
            "started_before": before.isoformat() if before else None,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` wrote."""
        before = value["started_before"]
        return cls(
            **{
                **value,
                "until": datetime.fromisoformat(value["until"]),
                "started_before": datetime.fromisoformat(before) if before else None,
            }
        )


def drain_state(pool: Pool | None, drain: Drain, *, unseen: int = UNSEEN_LIMIT) -> DrainState:
    """Return what one observation means.

    :param unseen: how many in a row, just before this one, were ``NOT_SEEN_YET``
    """
    if pool is None or is_deleting(pool):
        return DrainState.GONE
    steady = pool.allocation_state is AllocationState.STEADY
    if steady and not pool.current_total:
        return DrainState.EMPTY
    if not drain.is_ours(pool):
        return DrainState.NOT_SEEN_YET if unseen < UNSEEN_LIMIT else DrainState.ENDED
    if pool.autoscale or pool.asked_for != (0, 0):
        return DrainState.TAKEN_OVER
    return DrainState.ENDED if steady else DrainState.GOING_ON


def is_shrinking_to_zero(pool: Pool) -> bool:
    """Return whether a resize to no nodes goes on."""
    return pool.allocation_state is not AllocationState.STEADY and not pool.autoscale and pool.asked_for == (0, 0)
